//! The steps for one module on one kernel, each asked for in order: what must come before, what is there
//! already, what speaks against it.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use super::request::{NewSource, Options};
use super::step::{Action, Plan, Remark, Step, StepId};
use super::transaction::Retiring;
use super::world::World;
use crate::bundles::Listing;
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
    /// Builds that are no longer what their source says: they are made anew, and stay in use until then.
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

    /// The step that builds, `None` where it is built already or a refusal was planned.
    pub(super) fn build(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
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

    fn build_step(&mut self, id: &ModuleId, target: &Target, why: &str) -> Option<StepId> {
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
    pub(super) fn is_undecided(&self, target: &Target, conf: &ModuleConf) -> bool {
        let is_new = |name: &ModuleName| self.installed.contains_key(&(name.clone(), target.clone()));
        conf.is_computed && conf.excluded.is_some() && conf.build_depends.iter().any(is_new)
    }

    /// Whether any module of a package is for this kernel.
    fn may_be_there(&self, id: &ModuleId, target: &Target, conf: &ModuleConf) -> Result<(), Refusal> {
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
    fn warn_of_places(&mut self) {
        for text in self.world.places.iter().filter_map(Listing::warning) {
            if !self.remarks.contains(&Remark::Warning(text.clone())) {
                self.warn(text);
            }
        }
    }

    /// Whether a place may have the module prebuilt; `--force` builds it, if anything is built here.
    pub(super) fn may_be_taken(&self, id: &ModuleId, target: &Target) -> bool {
        let is_asked = !self.options.force || self.world.only_taken_from.is_some();
        is_asked && self.world.may_be_taken(id, target)
    }

    /// Whether a build can begin, and after which steps.
    fn build_needs(&mut self, id: &ModuleId, target: &Target) -> Result<Vec<StepId>, Refusal> {
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
            let refusal = Refusal::DependenciesMissing { id: id.clone(), target: target.clone(), missing };
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
    fn is_left_out(&self, name: &ModuleName, target: &Target) -> bool {
        let Some(newest) = self.newest.get(name) else { return false };
        self.conf(newest, target).is_ok_and(|conf| conf.excluded.is_some())
    }

    /// The step that installs, `None` where it is installed already or a refusal was planned.
    pub(super) fn install(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
        if self.is_installed(id, target) && !self.options.force {
            self.note(format!(
                "module `{id}` is already installed on kernel {} ({})",
                target.kernel, target.arch
            ));
            return None;
        }
        let mut needs = Vec::new();
        if !self.is_built(id, target) {
            needs.push(self.build(id, target)?);
        }
        if let Err(refusal) = self
            .conf(id, target)
            .and_then(|conf| self.may_be_there(id, target, conf))
            .and_then(|()| self.has_kernel_folder(id, target))
        {
            self.refuse(refusal);
            return None;
        }
        let why = if self.world.snapshot.is_installed(id, target) {
            "it is to be installed again"
        } else {
            "it is not installed yet"
        };
        let step = self.install_step(id, target, why, needs);
        self.rebuild_dependents(id, target, step);
        Some(step)
    }

    fn install_step(&mut self, id: &ModuleId, target: &Target, why: &str, needs: Vec<StepId>) -> StepId {
        let step = self.push(Action::Install { id: id.clone(), target: target.clone() }, why, needs);
        self.installed.insert((id.name.clone(), target.clone()), step);
        self.changed.entry(target.clone()).or_default().push(step);
        step
    }

    fn has_kernel_folder(&self, id: &ModuleId, target: &Target) -> Result<(), Refusal> {
        match self.world.kernels.get(target) {
            Some(kernel) if kernel.module_dir_exists => Ok(()),
            kernel => Err(Refusal::NoKernelFolder {
                id: id.clone(),
                target: target.clone(),
                path: kernel.map(|kernel| kernel.module_dir.clone()).unwrap_or_default(),
            }),
        }
    }

    /// Modules on this kernel with `BUILD_DEPENDS_REBUILD` that were built against another
    /// version of this one.
    fn rebuild_dependents(&mut self, id: &ModuleId, target: &Target, after: StepId) {
        let dependents: Vec<ModuleId> = self
            .world
            .snapshot
            .built_against(&id.name, target)
            .filter(|dependent| {
                let key = (dependent.name.clone(), target.clone());
                !self.installed.contains_key(&key)
                    && !self.decided.contains(&key)
                    && self.conf(dependent, target).is_ok_and(|conf| conf.build_depends_rebuild)
            })
            .filter(|dependent| {
                let built = self.world.snapshot.get(dependent).and_then(|found| found.built.get(target));
                built.is_some_and(|built| built.dependencies.get(&id.name) != Some(&id.version))
            })
            .collect();
        for dependent in dependents {
            let why = format!("it was built against another version of {}", id.name);
            let mut needs = match self.build_needs(&dependent, target) {
                Ok(needs) => needs,
                Err(Refusal::Excluded { .. }) => continue,
                Err(refusal) => {
                    self.warn(format!("{dependent} should be built again, since {why}: {refusal}"));
                    continue;
                }
            };
            needs.push(after);
            let action = Action::Build { id: dependent.clone(), target: target.clone() };
            let build = self.push(action, why.clone(), needs);
            let install = self.install_step(&dependent, target, &why, vec![build]);
            self.rebuild_dependents(&dependent, target, install);
        }
    }

    pub(super) fn uninstall(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
        if !self.world.snapshot.is_installed(id, target) {
            self.note(format!(
                "module `{id}` is not installed on kernel {} ({})",
                target.kernel, target.arch
            ));
            return None;
        }
        let action = Action::Uninstall { id: id.clone(), target: target.clone() };
        let step = self.push(action, "it is installed there", Vec::new());
        self.changed.entry(target.clone()).or_default().push(step);
        Some(step)
    }

    pub(super) fn unbuild(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
        if !self.world.snapshot.is_built(id, target) {
            self.note(format!("module `{id}` is not built for kernel {} ({})", target.kernel, target.arch));
            return None;
        }
        let mut needs = Vec::new();
        if self.world.snapshot.is_installed(id, target) {
            needs.extend(self.uninstall(id, target));
        }
        let action = Action::Unbuild { id: id.clone(), target: target.clone() };
        let step = self.push(action, "it is built for it", needs);
        self.dropped.insert((id.clone(), target.clone()), step);
        Some(step)
    }

    pub(super) fn remove(&mut self, id: &ModuleId, targets: &[Target]) {
        self.each_known(id, targets, Self::unbuild);
        let left = self.world.snapshot.targets(id).into_iter();
        let is_left =
            left.filter(|target| !self.dropped.contains_key(&(id.clone(), target.clone()))).count() > 0;
        if self.world.snapshot.get(id).is_some_and(|found| !found.is_broken()) && !is_left {
            let needs = (0..self.steps.len()).map(StepId).collect();
            self.push(Action::Forget { id: id.clone() }, "it is left for no kernel", needs);
        }
    }

    /// Adds what comes once at the end: depmod for each changed kernel, loading, the admin's command.
    pub(super) fn finish(mut self) -> Plan {
        let changed = std::mem::take(&mut self.changed);
        self.in_order = false;
        let mut depmods = BTreeMap::new();
        self.pay(&changed);
        for (target, steps) in &changed {
            let mut ends = steps.clone();
            let is_gone = self.going.contains(target) && !self.has_folder(target);
            if !self.options.no_depmod && !is_gone {
                let depmod =
                    self.push(Action::Depmod { target: target.clone() }, "its modules change", Vec::new());
                self.steps[depmod.0].after.clone_from(steps);
                ends.push(depmod);
                depmods.insert(target.clone(), depmod);
            }
            let may_hold = self.options.held_initramfs && steps.iter().any(|step| self.installs(*step));
            let asks = may_hold || steps.iter().any(|step| self.asks_for_initramfs(*step));
            let installed = self.options.initramfs.filter(|_| asks);
            let removed = self.options.initramfs_of_removed.filter(|_| self.leaves_an_image(target, steps));
            let due = match (installed, removed) {
                (Some(how), _) => Some((how, "a module that it holds is installed")),
                (None, Some(how)) => Some((how, "it may hold a module that is taken out")),
                (None, None) => None,
            };
            if let Some((how, why)) = due.filter(|_| !self.options.initramfs_by_others.contains(target)) {
                let action = Action::Initramfs { target: target.clone(), how };
                let step = self.push(action, why, Vec::new());
                self.steps[step.0].after.clone_from(&ends);
                ends.push(step);
            }
            let running = self.world.kernels.get(target).is_some_and(|kernel| kernel.running);
            if self.options.modprobe && running {
                self.load(target, steps, &ends);
            }
        }
        self.retire(&depmods);
        for target in std::mem::take(&mut self.going) {
            let is_due = changed.contains_key(&target) || self.world.owed.contains(&target);
            if !is_due || !self.has_folder(&target) {
                continue;
            }
            let all = (0..self.steps.len()).map(StepId).collect();
            let step = self.push(Action::SweepKernel { target }, "the kernel is being removed", Vec::new());
            self.steps[step.0].after = all;
        }
        if self.options.post_transaction && !changed.is_empty() {
            let all = (0..self.steps.len()).map(StepId).collect();
            let action = Action::PostTransaction { targets: changed.into_keys().collect() };
            let step = self.push(action, "framework.conf asks for it", Vec::new());
            self.steps[step.0].after = all;
        }
        Plan { steps: self.steps, remarks: self.remarks }
    }

    /// Whether a module is taken out of a kernel that stays and has an initramfs.
    fn leaves_an_image(&self, target: &Target, steps: &[StepId]) -> bool {
        let takes_out = |step: &StepId| matches!(self.steps[step.0].action, Action::Uninstall { .. });
        !self.going.contains(target) && self.world.with_image.contains(target) && steps.iter().any(takes_out)
    }

    /// Images that were noted.
    pub(super) fn look_at_images(&mut self, targets: &[Target]) {
        for (target, how) in targets.iter().zip(self.options.initramfs_of_removed.into_iter().cycle()) {
            let action = Action::Initramfs { target: target.clone(), how };
            self.push(action, "it may hold a module that was taken out", Vec::new());
        }
    }

    fn installs(&self, step: StepId) -> bool {
        matches!(self.steps[step.0].action, Action::Install { .. })
    }

    /// Whether a step installs a module whose conf has `REMAKE_INITRD`.
    fn asks_for_initramfs(&self, step: StepId) -> bool {
        match &self.steps[step.0].action {
            Action::Install { id, target } => self.conf(id, target).is_ok_and(|conf| conf.remake_initrd),
            _ => false,
        }
    }

    /// depmod for the kernels that others have changed without one.
    fn pay(&mut self, changed: &BTreeMap<Target, Vec<StepId>>) {
        let is_due = |target: &&Target| !changed.keys().any(|other| other.kernel == target.kernel);
        for target in self.world.owed.iter().filter(|_| !self.options.no_depmod).filter(is_due) {
            let action = Action::Depmod { target: target.clone() };
            self.push(action, "its modules have changed since the last one", Vec::new());
        }
    }

    fn load(&mut self, target: &Target, steps: &[StepId], after: &[StepId]) {
        for step in steps {
            if let Action::Install { id, .. } = &self.steps[step.0].action {
                let action = Action::Load { id: id.clone(), target: target.clone() };
                let load = self.push(action, "the kernel runs now", vec![*step]);
                self.steps[load.0].after = after.to_vec();
            }
        }
    }
}
