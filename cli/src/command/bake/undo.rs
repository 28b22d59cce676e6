//! What a bake takes out again: modules that have to be built again, and all of its own work if it fails.

use std::collections::{BTreeMap, BTreeSet};

use dkms_base::id::{ModuleId, Target};
use dkms_core::bake::Recorder;
use dkms_core::engine::Outcome;
use dkms_core::plan::{Action, Work, World};
use dkms_core::tree::Snapshot;

use super::is_signed_by_us;
use crate::failure::Failure;
use crate::session::Session;

/// Unbuilds modules that were built before without the key that was given: they are to be signed by it.
pub(super) fn drop_unsigned(session: &Session<'_>, world: &World, targets: &[Target]) -> Result<(), Failure> {
    let Some(given) = &session.given_key else { return Ok(()) };
    let layout = &session.settings.layout;
    let certificates = targets.iter().map(|target| (target.clone(), given.certificate().to_owned()));
    let survey = session.survey();
    let recorder = Recorder::new(layout, &survey, certificates.collect());
    let mut unsigned: BTreeMap<ModuleId, Vec<Target>> = BTreeMap::new();
    for target in targets.iter().filter(|target| is_signed_by_us(session, world, target)) {
        for id in world.snapshot.built_on(target) {
            let files = recorder.built(id, target);
            if files.iter().any(|file| recorder.key_of(file, target).is_none()) {
                unsigned.entry(id.clone()).or_default().push(target.clone());
            }
        }
    }
    unsigned.into_iter().try_for_each(|(id, targets)| session.carry_out(&Work::Unbuild { id, targets }))
}

/// Takes back what a bake has done, last things first. What can't be taken back was reported, and the command
/// fails anyway.
pub(super) fn take_back(session: &Session<'_>, outcome: &Outcome, before: &Snapshot) {
    let mut added = BTreeSet::new();
    let mut uninstalled: BTreeMap<&ModuleId, Vec<Target>> = BTreeMap::new();
    let mut unbuilt: BTreeMap<&ModuleId, Vec<Target>> = BTreeMap::new();
    for action in &outcome.done {
        match action {
            Action::Add { id, .. } => {
                added.insert(id);
            }
            Action::Build { id, target } => unbuilt.entry(id).or_default().push(target.clone()),
            Action::Install { id, target } => uninstalled.entry(id).or_default().push(target.clone()),
            _ => {}
        }
    }
    let do_it = |work: Work| drop(session.carry_out(&work));
    for (id, targets) in uninstalled {
        do_it(Work::Uninstall { id: id.clone(), targets });
    }
    for (id, targets) in unbuilt {
        do_it(Work::Unbuild { id: id.clone(), targets });
    }
    for id in added {
        do_it(Work::Remove { id: id.clone(), targets: Vec::new() });
    }
    // An older version that gave way.
    for ((name, target), version) in &before.installed {
        let id = ModuleId::new(name.clone(), version.clone());
        let is_back = session.snapshot().is_ok_and(|now| now.is_installed(&id, target));
        if !is_back {
            do_it(Work::Install { id, targets: vec![target.clone()], source: None });
        }
    }
}
