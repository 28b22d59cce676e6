//! Building a module for a kernel: what must be built before, what is there already, what speaks against it.

use super::Planner;
use crate::bundles::Listing;
use crate::conf::ModuleConf;
use crate::id::{ModuleId, ModuleName, Target};
use crate::plan::refusal::Refusal;
use crate::plan::step::{Action, Remark, StepId};

impl Planner<'_> {
    /// The step that builds, `None` where it is built already or a refusal was planned.
    pub(in crate::plan) fn build(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
        if self.is_built(id, target) && !self.options.force {
            self.note(format!(
                "module `{id}` is already built for kernel {} ({})",
                target.kernel, target.arch
            ));
            return None;
        }
        let why = match self.is_built(id, target) {
            true => "it is to be built again",
            false if self.stale.contains(&(id.clone(), target.clone())) => "its source was replaced",
            false => "it is not built yet",
        };
        self.build_step(id, target, why)
    }

    pub(super) fn build_step(&mut self, id: &ModuleId, target: &Target, why: &str) -> Option<StepId> {
        match self.build_needs(id, target) {
            Ok(needs) => {
                Some(self.push(Action::Build { id: id.clone(), target: target.clone() }, why, needs))
            }
            Err(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    /// Whether a conf that rules its package out may say something else by the time of the build: bash reads
    /// it, and the steps before install what the module depends on.
    pub(in crate::plan) fn is_undecided(&self, target: &Target, conf: &ModuleConf) -> bool {
        let is_new = |name: &ModuleName| self.installed.contains_key(&(name.clone(), target.clone()));
        conf.is_computed && conf.excluded.is_some() && conf.build_depends.iter().any(is_new)
    }

    /// Whether any module of a package is for this kernel.
    pub(super) fn may_be_there(
        &self,
        id: &ModuleId,
        target: &Target,
        conf: &ModuleConf,
    ) -> Result<(), Refusal> {
        match &conf.excluded {
            Some(exclusion) if !self.is_undecided(target, conf) => Err(Refusal::Excluded {
                id: id.clone(),
                target: target.clone(),
                exclusion: exclusion.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Says which places did not answer.
    pub(super) fn warn_of_places(&mut self) {
        let places = &self.world.places;
        let isolation = places.iter().filter_map(Listing::isolation_warning);
        for text in places.iter().filter_map(Listing::warning).chain(isolation) {
            if !self.remarks.contains(&Remark::Warning(text.clone())) {
                self.warn(text);
            }
        }
    }

    /// Whether a place may have the module prebuilt; `--force` builds it, if anything is built here.
    pub(in crate::plan) fn may_be_taken(&self, id: &ModuleId, target: &Target) -> bool {
        let is_asked = !self.options.force || self.world.only_taken_from.is_some();
        is_asked && self.world.may_be_taken(id, target)
    }

    /// Whether a build can begin, and after which steps.
    pub(super) fn build_needs(&mut self, id: &ModuleId, target: &Target) -> Result<Vec<StepId>, Refusal> {
        let conf = self.conf(id, target)?;
        self.warn_of_places();
        let may_be_taken = self.may_be_taken(id, target);
        if !may_be_taken && let Some(refusal) = Refusal::of_building(self.world, id, target) {
            return Err(refusal);
        }
        self.may_be_there(id, target, conf)?;
        let mut needs: Vec<StepId> = self.added.get(id).copied().into_iter().collect();
        needs.extend(self.dropped.get(&(id.clone(), target.clone())));
        let mut missing = Vec::new();
        // What this is built against changes in this very plan: who knows.
        let mut is_against_new = false;
        for name in &conf.build_depends {
            let key = (name.clone(), target.clone());
            if let Some(step) = self.installed.get(&key) {
                needs.push(*step);
                is_against_new = true;
                continue;
            }
            let is_met = self.world.snapshot.installed.contains_key(&key)
                || self.batch && self.is_left_out(name, target);
            if !is_met {
                missing.push(name.clone());
            }
        }
        if !missing.is_empty() {
            let known = missing.iter().filter_map(|name| self.world.newest_known(name)).cloned().collect();
            let refusal =
                Refusal::DependenciesMissing { id: id.clone(), target: target.clone(), missing, known };
            if !self.options.force {
                return Err(refusal);
            }
            self.warn(refusal.to_string());
        }
        let matters =
            self.options.respect_failures && !self.options.force && !is_against_new && !may_be_taken;
        let remembered = self.world.failed_before.get(&(id.clone(), target.clone()));
        if let Some(failure) = remembered.filter(|_| matters) {
            return Err(Refusal::FailedBefore {
                id: id.clone(),
                target: target.clone(),
                failure: failure.clone(),
            });
        }
        Ok(needs)
    }

    /// Whether a dependency is in the tree but not for this kernel: a batch can't wait for it.
    pub(super) fn is_left_out(&self, name: &ModuleName, target: &Target) -> bool {
        let Some(newest) = self.newest.get(name) else { return false };
        self.conf(newest, target).is_ok_and(|conf| conf.excluded.is_some())
    }
}
