//! Putting a module in place on a kernel, and taking it out again.

use super::Planner;
use crate::id::{ModuleId, Target};
use crate::plan::refusal::Refusal;
use crate::plan::step::{Action, StepId};

impl Planner<'_> {
    /// The step that installs, `None` where it is installed already or a refusal was planned.
    pub(in crate::plan) fn install(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
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

    pub(super) fn install_step(
        &mut self,
        id: &ModuleId,
        target: &Target,
        why: &str,
        needs: Vec<StepId>,
    ) -> StepId {
        let step = self.push(Action::Install { id: id.clone(), target: target.clone() }, why, needs);
        self.installed.insert((id.name.clone(), target.clone()), step);
        self.changed.entry(target.clone()).or_default().push(step);
        step
    }

    pub(super) fn has_kernel_folder(&self, id: &ModuleId, target: &Target) -> Result<(), Refusal> {
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
    pub(super) fn rebuild_dependents(&mut self, id: &ModuleId, target: &Target, after: StepId) {
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

    pub(in crate::plan) fn uninstall(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
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

    pub(in crate::plan) fn unbuild(&mut self, id: &ModuleId, target: &Target) -> Option<StepId> {
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

    pub(in crate::plan) fn remove(&mut self, id: &ModuleId, targets: &[Target]) {
        self.each_known(id, targets, Self::unbuild);
        let left = self.world.snapshot.targets(id).into_iter();
        let is_left =
            left.filter(|target| !self.dropped.contains_key(&(id.clone(), target.clone()))).count() > 0;
        if self.world.snapshot.get(id).is_some_and(|found| !found.is_broken()) && !is_left {
            let needs = (0..self.steps.len()).map(StepId).collect();
            self.push(Action::Forget { id: id.clone() }, "it is left for no kernel", needs);
        }
    }
}
