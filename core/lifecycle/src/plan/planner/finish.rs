//! What the steps together are followed by: a depmod and the images of each kernel, once.

use std::collections::BTreeMap;

use super::Planner;
use crate::id::Target;
use crate::plan::step::{Action, ImageWork, Plan, StepId};

impl Planner<'_> {
    /// Adds what comes once at the end: depmod for each changed kernel, loading, the admin's command.
    pub(in crate::plan) fn finish(mut self) -> Plan {
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
            if let Some((how, why)) = self.image_work(target, steps) {
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

    /// What is done about the initramfs of a kernel, if it has one that may be out of date, and why.
    fn image_work(&mut self, target: &Target, steps: &[StepId]) -> Option<(ImageWork, &'static str)> {
        if self.options.initramfs_by_others.contains(target) {
            return None;
        }
        let installs = self.options.held_initramfs && steps.iter().any(|step| self.installs(*step));
        let asks = steps.iter().any(|step| self.asks_for_initramfs(*step));
        if let Some(how) = self.options.initramfs.filter(|_| asks || installs) {
            if self.world.with_image_to_remake.contains(target) {
                let why = match asks {
                    true => "a module with `REMAKE_INITRD` is installed",
                    false => "if it holds a module that is installed",
                };
                return Some((how, why));
            }
            if asks {
                self.note(format!("kernel {} has no initramfs yet, so none is remade", target.kernel));
            }
        }
        let how = self.options.initramfs_of_removed.filter(|_| self.leaves_an_image(target, steps))?;
        Some((how, "if it holds a module that is taken out"))
    }

    /// Whether a module is taken out of a kernel that stays and has an initramfs.
    pub(super) fn leaves_an_image(&self, target: &Target, steps: &[StepId]) -> bool {
        let takes_out = |step: &StepId| matches!(self.steps[step.0].action, Action::Uninstall { .. });
        !self.going.contains(target) && self.world.with_image.contains(target) && steps.iter().any(takes_out)
    }

    /// Images that were noted.
    pub(in crate::plan) fn look_at_images(&mut self, targets: &[Target]) {
        for (target, how) in targets.iter().zip(self.options.initramfs_of_removed.into_iter().cycle()) {
            let action = Action::Initramfs { target: target.clone(), how };
            self.push(action, "it may hold a module that was taken out", Vec::new());
        }
    }

    pub(super) fn installs(&self, step: StepId) -> bool {
        matches!(self.steps[step.0].action, Action::Install { .. })
    }

    /// Whether a step installs a module whose conf has `REMAKE_INITRD`.
    pub(super) fn asks_for_initramfs(&self, step: StepId) -> bool {
        match &self.steps[step.0].action {
            Action::Install { id, target } => self.conf(id, target).is_ok_and(|conf| conf.remake_initrd),
            _ => false,
        }
    }

    /// depmod for the kernels that others have changed without one.
    pub(super) fn pay(&mut self, changed: &BTreeMap<Target, Vec<StepId>>) {
        let is_due = |target: &&Target| !changed.keys().any(|other| other.kernel == target.kernel);
        for target in self.world.owed.iter().filter(|_| !self.options.no_depmod).filter(is_due) {
            let action = Action::Depmod { target: target.clone() };
            self.push(action, "its modules have changed since the last one", Vec::new());
        }
    }

    pub(super) fn load(&mut self, target: &Target, steps: &[StepId], after: &[StepId]) {
        for step in steps {
            if let Action::Install { id, .. } = &self.steps[step.0].action {
                let action = Action::Load { id: id.clone(), target: target.clone() };
                let load = self.push(action, "the kernel runs now", vec![*step]);
                self.steps[load.0].after = after.to_vec();
            }
        }
    }
}
