//! Before a build: whether the build cache or a place of prebuilt modules has its result. If none has, what
//! speaks against building it here.

use super::effects::{Effect, Effects, Terms};
use super::error::StepError;
use super::memory;
use super::refused::Judge;
use crate::build::{self, BuildError, Failure};
use crate::bundles::{Asked, Taken};
use crate::conf::ModuleConf;
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::kernel::KernelFacts;
use crate::plan::Refusal;
use crate::report::Reporter;

/// A module that is to be built.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a ModuleId,
    pub(super) target: &'a Target,
    pub(super) conf: &'a ModuleConf,
    pub(super) kernel: &'a KernelFacts,
    pub(super) dependencies: &'a [(ModuleName, ModuleVersion)],
}

impl Effects<'_> {
    /// Takes it from a place, unless the build cache has it. `Effect::Nothing`: it has to be built.
    pub(super) fn take(
        &self,
        wanted: &Wanted<'_>,
        terms: &Terms<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Effect, StepError> {
        let Wanted { id, target, conf, kernel, .. } = *wanted;
        let (settings, only) = (self.context.settings, self.world.only_taken_from.is_some());
        let is_not_asked =
            || settings.prebuilt.is_empty() || self.context.force || self.is_cached(wanted, reporter);
        if !only && is_not_asked() {
            return Ok(Effect::Nothing);
        }
        let judge = Judge::new(settings, self.context.distribution, self.context.environment);
        let environment = self.context.environment;
        let asked = Asked { id, target, conf, kernel, judge: &judge, environment, may_land: terms.may_land };
        let refused = match self.taker.take(&asked, &self.world.places, settings, reporter)? {
            Taken::Yes(_) => return Ok(Effect::Changed),
            Taken::NotWanted => return Err(BuildError::new(id, target, Failure::NotWanted).into()),
            Taken::No(refused) => refused,
        };
        match Refusal::of_building(self.world, id, target) {
            Some(Refusal::NotPrebuilt { id, target, places, .. }) => {
                Err(Refusal::NotPrebuilt { id, target, places, reasons: refused }.into())
            }
            Some(refusal) => Err(refusal.into()),
            None => self.failed_before(wanted),
        }
    }

    /// What failed before is not tried again for a bundle that was not taken.
    fn failed_before(&self, wanted: &Wanted<'_>) -> Result<Effect, StepError> {
        let (id, target) = (wanted.id.clone(), wanted.target.clone());
        let key = (id, target);
        let known = self.world.failed_before.get(&key).filter(|_| self.world.may_be_taken(&key.0, &key.1));
        match known.filter(|_| !self.is_against_new(wanted.conf, &key.1)) {
            Some(failure) => {
                Err(Refusal::FailedBefore { id: key.0, target: key.1, failure: failure.clone() }.into())
            }
            None => Ok(Effect::Nothing),
        }
    }

    /// Whether the build cache has what would be built.
    fn is_cached(&self, wanted: &Wanted<'_>, reporter: &dyn Reporter) -> bool {
        let settings = self.context.settings;
        if settings.build_cache.is_none() || !wanted.kernel.headers_usable {
            return false;
        }
        let look = memory::Look {
            settings,
            environment: self.context.environment,
            id: wanted.id,
            conf: wanted.conf,
            kernel: wanted.kernel,
            dependencies: wanted.dependencies,
        };
        memory::with_spec(&look, &self.memory, |spec| build::is_cached(spec, reporter)).unwrap_or(false)
    }
}
