//! A package transaction as one plan: modules and kernels that come and go together.
//!
//! What comes is built side by side; an old version stays in use on a kernel until the new one is installed
//! there and depmod has seen it, so that a failure leaves the old one. Knows nothing of package managers:
//! [`crate::event`] makes a [`Batch`] of what they tell.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{self, Rules};
use super::planner::Planner;
use super::step::{Action, StepId};
use crate::event::Batch;
use crate::id::{ModuleId, ModuleName, Target};
use crate::tree::Source;

/// An old version of a module: what was built of it for a kernel goes once the new one is in use there.
#[derive(Debug, Clone)]
pub(super) struct Retiring {
    id: ModuleId,
    /// What goes, and after the install of what.
    builds: Vec<(Target, Option<StepId>)>,
    /// Steps that have dropped the other builds.
    dropped: Vec<StepId>,
    /// Whether nothing of it stays.
    whole: bool,
}

/// Plans a transaction.
pub(super) fn carry(planner: &mut Planner<'_>, batch: &Batch) {
    planner.side_by_side();
    for target in &batch.leaving_kernels {
        for id in planner.world.snapshot.built_on(target) {
            planner.unbuild(id, target);
        }
        planner.kernel_goes(target);
    }
    // Nothing is built again of a source that goes.
    for id in batch.leaving.keys() {
        let targets = planner.world.snapshot.targets(id).into_iter();
        planner.decided.extend(targets.map(|target| (id.name.clone(), target)));
    }
    for (id, _) in batch.leaving.iter().filter(|(_, successor)| successor.is_none()) {
        leave(planner, id, batch);
    }
    let arrived = register(planner, batch);
    if !batch::is_switched_off(planner) {
        drop_stale(planner, batch);
        bring_up(planner, batch, &arrived);
    }
    for (old, new) in &batch.leaving {
        if let Some(new) = new {
            swap(planner, old, new, batch);
        }
    }
}

/// A module that goes, and nothing takes its place.
fn leave(planner: &mut Planner<'_>, id: &ModuleId, batch: &Batch) {
    if planner.world.snapshot.get(id).is_none() {
        return planner.note(format!("module `{id}` is not in the dkms tree"));
    }
    let targets = planner.world.snapshot.targets(id);
    let (gone, rest): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| batch.leaving_kernels.contains(target));
    let mut dropped: Vec<StepId> = gone.iter().filter_map(|target| planner.drop_step(id, target)).collect();
    dropped.extend(rest.iter().filter_map(|target| planner.unbuild(id, target)));
    planner.push(Action::Forget { id: id.clone() }, "its package is being removed", dropped);
}

/// Registers what arrives; returns those that can be brought up.
fn register(planner: &mut Planner<'_>, batch: &Batch) -> BTreeSet<ModuleId> {
    let mut arrived = BTreeSet::new();
    for id in batch.arriving.keys() {
        let source = planner.world.snapshot.get(id).map(|found| &found.source);
        let is_there = match source {
            Some(Source::Present(_)) => true,
            Some(_) => planner.register(id, None, "its registration has no source").is_some(),
            None => planner.register(id, None, "its package was installed").is_some(),
        };
        if is_there {
            arrived.insert(id.clone());
        }
    }
    arrived
}

/// What was built from a source or for a kernel that has been replaced.
fn drop_stale(planner: &mut Planner<'_>, batch: &Batch) {
    for target in &batch.rebuilt_kernels {
        for id in planner.world.snapshot.built_on(target) {
            let key = (id.clone(), target.clone());
            let is_ours = matches!(planner.world.confs.get(&key), Some(Ok(conf)) if conf.autoinstall);
            if is_ours && !batch.leaving.contains_key(id) {
                planner.unbuild(id, target);
            }
        }
    }
    for id in &batch.anew {
        let targets = planner.world.snapshot.targets(id);
        let stays = |target: &Target| !batch.leaving_kernels.contains(target);
        planner.stale.extend(targets.into_iter().filter(stays).map(|target| (id.clone(), target)));
    }
}

fn bring_up(planner: &mut Planner<'_>, batch: &Batch, arrived: &BTreeSet<ModuleId>) {
    let is_arriving = |id: &ModuleId| batch.arriving.contains_key(id);
    let concerns_kernels = !batch.kernels.is_empty();
    batch::warn_of_broken(planner, |id| {
        concerns_kernels && !is_arriving(id) && !batch.leaving.contains_key(id)
    });
    let swapped = batch.leaving.values().flatten().map(|id| &id.name);
    let mut going: BTreeSet<_> = batch.leaving.keys().map(|id| id.name.clone()).collect();
    let staying = planner.world.snapshot.modules.keys().filter(|id| !batch.leaving.contains_key(id));
    let staying: Vec<_> = staying.map(|id| &id.name).chain(swapped).cloned().collect();
    staying.iter().for_each(|name| {
        going.remove(name);
    });
    let rules = Rules { going, headers_may_come: true, ahead: batch.ahead.clone(), ..Rules::default() };
    let candidates = batch.candidates(&planner.world.snapshot);
    planner.newest = candidates.iter().map(|id| (id.name.clone(), id.clone())).collect();
    for target in batch.targets() {
        let all = batch.kernels.contains(&target);
        let ids: Vec<ModuleId> = candidates
            .iter()
            .filter(|id| match batch.arriving.get(id) {
                Some(targets) => arrived.contains(id) && (all || targets.contains(&target)),
                None => all || has_waited(planner, batch, id, &target),
            })
            .cloned()
            .collect();
        batch::bring_up(planner, &ids, &target, &rules);
    }
}

/// Whether a module is not there because it needs one that arrives only now.
fn has_waited(planner: &Planner<'_>, batch: &Batch, id: &ModuleId, target: &Target) -> bool {
    let snapshot = &planner.world.snapshot;
    let arrives = |name: &ModuleName| {
        let here = batch.arriving.iter().any(|(id, targets)| id.name == *name && targets.contains(target));
        here && snapshot.installed_version(name, target).is_none()
    };
    let is_served = snapshot.installed_version(&id.name, target).is_some_and(|version| {
        !batch.leaving.contains_key(&ModuleId { name: id.name.clone(), version: version.clone() })
    });
    !is_served && planner.conf(id, target).is_ok_and(|conf| conf.build_depends.iter().any(arrives))
}

/// An old version is replaced by a new one, kernel by kernel, and stays where the new one will not be.
fn swap(planner: &mut Planner<'_>, old: &ModuleId, new: &ModuleId, batch: &Batch) {
    let snapshot = &planner.world.snapshot;
    if snapshot.get(old).is_none() {
        return;
    }
    let mut retiring = Retiring { id: old.clone(), builds: Vec::new(), dropped: Vec::new(), whole: true };
    for target in snapshot.targets(old) {
        let install = planner.installed.get(&(new.name.clone(), target.clone())).copied();
        if batch.leaving_kernels.contains(&target) {
            retiring.dropped.extend(planner.drop_step(old, &target));
        } else if install.is_some() || !snapshot.is_installed(old, &target) {
            retiring.builds.push((target, install));
        } else if planner.has_folder(&target) {
            retiring.whole = false;
            planner.warn(format!(
                "module `{old}` stays installed on kernel {} ({}): {new} will not be there",
                target.kernel, target.arch
            ));
        } else {
            retiring.dropped.extend(planner.unbuild(old, &target));
        }
    }
    planner.retiring.push(retiring);
}

impl Planner<'_> {
    /// The step that drops a build, where one does.
    pub(super) fn drop_step(&self, id: &ModuleId, target: &Target) -> Option<StepId> {
        self.dropped.get(&(id.clone(), target.clone())).copied()
    }

    /// Whether a kernel's module folder is there.
    pub(super) fn has_folder(&self, target: &Target) -> bool {
        self.world.kernels.get(target).is_some_and(|kernel| kernel.module_dir_exists)
    }

    /// Drops the builds of old versions, each after depmod has seen that the new one is in place.
    pub(super) fn retire(&mut self, depmods: &BTreeMap<Target, StepId>) {
        for Retiring { id, builds, mut dropped, whole } in std::mem::take(&mut self.retiring) {
            for (target, install) in builds {
                let needs =
                    install.into_iter().chain(depmods.get(&target).copied().filter(|_| install.is_some()));
                let action = Action::Unbuild { id: id.clone(), target: target.clone() };
                dropped.push(self.push(action, "a new version takes its place", needs.collect()));
            }
            if whole {
                self.push(Action::Forget { id }, "a new version takes its place", dropped);
            }
        }
    }
}
