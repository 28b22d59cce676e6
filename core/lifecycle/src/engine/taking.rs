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
use crate::plan::{Action, Refusal, World};
use crate::report::{Event, Reporter};

/// Whether a module is looked for before it is built.
fn may_be_taken(world: &World, force: bool, id: &ModuleId, target: &Target) -> bool {
    world.only_taken_from.is_some() || !force && world.may_be_taken(id, target)
}

/// A module that is to be built.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a ModuleId,
    pub(super) target: &'a Target,
    pub(super) conf: &'a ModuleConf,
    pub(super) kernel: &'a KernelFacts,
    pub(super) dependencies: &'a [(ModuleName, ModuleVersion)],
}

impl Effects<'_> {
    /// What is being done, as the beginning of a line. What may be there prebuilt is not being built yet.
    pub(super) fn doing(&self, action: &Action) -> String {
        match action {
            Action::Build { id, target } if may_be_taken(self.world, self.context.force, id, target) => {
                format!("Looking for {id} prebuilt for kernel {} ({})", target.kernel, target.arch)
            }
            _ => action.doing(),
        }
    }

    /// Says that a module is built after all.
    pub(super) fn tell_building(&self, id: &ModuleId, target: &Target, reporter: &dyn Reporter) {
        if may_be_taken(self.world, self.context.force, id, target) {
            let action = Action::Build { id: id.clone(), target: target.clone() };
            reporter.report(Event::Started { what: action.doing() });
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_built_where_it_is_only_taken() {
        let (id, target) = (ModuleId::parse("foo", "1").unwrap(), Target::parse("6.1", "x86_64").unwrap());
        let mut world = World::default();
        assert!(!may_be_taken(&world, false, &id, &target));
        world.only_taken_from = Some("`file:/srv`".to_owned());
        assert!(may_be_taken(&world, false, &id, &target) && may_be_taken(&world, true, &id, &target));
    }
}
