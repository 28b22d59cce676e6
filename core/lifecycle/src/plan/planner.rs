//! The steps for one module on one kernel, each asked for in order: what must come before, what is there
//! already, what speaks against it.

mod build;
mod finish;
mod install;

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use super::request::{NewSource, Options};
use super::step::{Action, Remark, Step, StepId};
use super::transaction::Retiring;
use super::world::World;
use crate::conf::ModuleConf;
use crate::id::{ModuleId, ModuleName, Target};
use crate::tree::Source;

/// A plan in the making: the world, and what the steps so far will have made of it.
pub(super) struct Planner<'a> {
    pub(super) world: &'a World,
    pub(super) options: &'a Options,
    steps: Vec<Step>,
    remarks: Vec<Remark>,
    /// Modules that a step registers.
    pub(super) added: BTreeMap<ModuleId, StepId>,
    /// The version of each module that a batch brings up.
    pub(super) newest: BTreeMap<ModuleName, ModuleId>,
    /// What a step installs: the dependency edges of later builds.
    pub(super) installed: BTreeMap<(ModuleName, Target), StepId>,
    /// The last step that builds a module: where builds share a folder, the next comes after it.
    built: BTreeMap<ModuleId, StepId>,
    /// Builds that the steps drop, with those steps.
    pub(super) dropped: BTreeMap<(ModuleId, Target), StepId>,
    /// Builds that are no longer what their source says: they are made again, and stay in use until then.
    pub(super) stale: BTreeSet<(ModuleId, Target)>,
    /// What a batch decides about by itself: not to be built again because of a dependency.
    pub(super) decided: BTreeSet<(ModuleName, Target)>,
    /// Old versions that go once their successors are in place.
    pub(super) retiring: Vec<Retiring>,
    /// Kernels whose module folder the steps change, with those steps.
    changed: BTreeMap<Target, Vec<StepId>>,
    /// Kernels that go once all this is done.
    going: BTreeSet<Target>,
    /// All modules of a kernel are asked for, not one by its name.
    batch: bool,
    /// While set, every new step waits for the one before it.
    in_order: bool,
}

impl<'a> Planner<'a> {
    pub(super) fn new(world: &'a World, options: &'a Options) -> Self {
        Self {
            world,
            options,
            steps: Vec::new(),
            remarks: Vec::new(),
            added: BTreeMap::new(),
            newest: world.snapshot.newest().into_iter().map(|id| (id.name.clone(), id.clone())).collect(),
            installed: BTreeMap::new(),
            built: BTreeMap::new(),
            dropped: BTreeMap::new(),
            stale: BTreeSet::new(),
            decided: BTreeSet::new(),
            retiring: Vec::new(),
            changed: BTreeMap::new(),
            going: BTreeSet::new(),
            batch: false,
            in_order: true,
        }
    }

    /// Once its modules are gone, empty folders of this kernel go too.
    pub(super) fn kernel_goes(&mut self, target: &Target) {
        self.going.insert(target.clone());
    }

    /// For batches: steps wait only for what they need, so that one failure doesn't end the rest.
    pub(super) fn side_by_side(&mut self) {
        self.batch = true;
        self.in_order = !self.options.continue_on_error;
    }

    pub(super) fn push(&mut self, action: Action, why: impl Into<String>, mut needs: Vec<StepId>) -> StepId {
        let id = StepId(self.steps.len());
        let (mut after, mut lands) = (Vec::new(), Vec::new());
        let last = id.0.checked_sub(1).map(StepId).filter(|_| self.in_order);
        if let Action::Build { id: module, .. } = &action {
            // What is built early stays out of sight until its turn has come.
            lands.extend(last.filter(|last| !needs.contains(last)));
            let earlier = self.built.insert(module.clone(), id);
            let may_meet = !self.world.private_folders || self.world.unconfined.contains(&module.name);
            after.extend(earlier.filter(|_| may_meet));
        } else {
            needs.extend(last);
        }
        needs.sort_unstable();
        needs.dedup();
        self.steps.push(Step { action, why: why.into(), needs, after, lands });
        id
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.push(Action::Refuse(refusal), "", Vec::new());
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.remarks.push(Remark::Note(text.into()));
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.remarks.push(Remark::Warning(text.into()));
    }

    /// Registers a module; `None` where a refusal was planned instead.
    pub(super) fn register(
        &mut self,
        id: &ModuleId,
        source: Option<&NewSource>,
        why: &str,
    ) -> Option<StepId> {
        let there = self.world.sources.get(id);
        let refusal = match (source, there, self.world.plain_confs.get(id)) {
            (None, None, _) | (_, _, None) => {
                let path = self.world.source_tree.join(id.dir_name());
                Refusal::NoSourceFolder { id: id.clone(), path }
            }
            (_, _, Some(Err(fault))) => Refusal::of_conf(id, fault),
            (_, _, Some(Ok(_))) => {
                let source = source.filter(|new| there != Some(&new.folder)).cloned();
                let step = self.push(Action::Add { id: id.clone(), source }, why, Vec::new());
                self.added.insert(id.clone(), step);
                return Some(step);
            }
        };
        self.refuse(refusal);
        None
    }

    pub(super) fn add(&mut self, id: &ModuleId, source: Option<&NewSource>) {
        match self.world.snapshot.get(id).map(|found| &found.source) {
            Some(Source::Present(_)) => self.refuse(Refusal::AlreadyAdded { id: id.clone() }),
            Some(_) => {
                self.register(id, source, "its registration has no source");
            }
            None => {
                self.register(id, source, "it was requested");
            }
        }
    }

    /// Plans one action for each target, after registering the module where needed.
    pub(super) fn each(
        &mut self,
        id: &ModuleId,
        source: Option<&NewSource>,
        targets: &[Target],
        action: fn(&mut Self, &ModuleId, &Target) -> Option<StepId>,
    ) {
        match self.world.snapshot.get(id) {
            Some(found) if found.is_broken() => return self.refuse(Refusal::broken(id, found)),
            Some(_) => {}
            None if source.is_none() && !self.world.sources.contains_key(id) => {
                return self.refuse(Refusal::NotInTree { id: id.clone() });
            }
            None => {
                if self.register(id, source, "it is not in the dkms tree yet").is_none() {
                    return;
                }
            }
        }
        for target in targets {
            action(self, id, target);
        }
    }

    /// Plans one action for each target of a module that must be in the tree.
    pub(super) fn each_known(
        &mut self,
        id: &ModuleId,
        targets: &[Target],
        action: fn(&mut Self, &ModuleId, &Target) -> Option<StepId>,
    ) {
        match self.world.snapshot.get(id) {
            None => self.refuse(Refusal::NotInTree { id: id.clone() }),
            Some(found) if found.is_broken() => self.refuse(Refusal::broken(id, found)),
            Some(_) => {
                for target in targets {
                    action(self, id, target);
                }
            }
        }
    }

    pub(super) fn conf(&self, id: &ModuleId, target: &Target) -> Result<&'a ModuleConf, Refusal> {
        match self.world.confs.get(&(id.clone(), target.clone())) {
            Some(Ok(conf)) => Ok(conf),
            Some(Err(fault)) => Err(Refusal::of_conf(id, fault)),
            None => Err(Refusal::NotInTree { id: id.clone() }),
        }
    }

    /// Whether a module is built for a kernel, as its source says now, and no step so far changes that.
    pub(super) fn is_built(&self, id: &ModuleId, target: &Target) -> bool {
        self.world.snapshot.is_built(id, target) && self.is_kept(id, target)
    }

    /// As [`Self::is_built`], for installed.
    pub(super) fn is_installed(&self, id: &ModuleId, target: &Target) -> bool {
        self.world.snapshot.is_installed(id, target) && self.is_kept(id, target)
    }

    fn is_kept(&self, id: &ModuleId, target: &Target) -> bool {
        let key = (id.clone(), target.clone());
        !self.dropped.contains_key(&key) && !self.stale.contains(&key)
    }
}
