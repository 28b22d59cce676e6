//! What of the record is settled: dealt with, or never carried out. Everything else is kept until it is.

use std::collections::BTreeSet;

use dkms_base::id::{ModuleId, ModuleName};
use dkms_core::event::Happening;
use dkms_core::tree::Snapshot;

use crate::record::{Before, Record, State, Transaction};
use crate::system::System;
use crate::targets::Thing;
use crate::tell;

/// What has happened and is still to be dealt with.
#[must_use]
pub fn open(record: &Record, brought: &BTreeSet<Thing>, system: &System<'_>) -> Vec<Happening> {
    let mut told = tell::happenings(record, brought, system);
    let is_aside = |happening: &Happening| matches!(happening, Happening::ModuleWasInUse(..));
    told.retain(|happening| is_aside(happening) || is_open(happening, &system.snapshot));
    if told.iter().all(is_aside) { Vec::new() } else { told }
}

/// What left, and the tree knows no more, has been dealt with.
fn is_open(happening: &Happening, snapshot: &Snapshot) -> bool {
    match happening {
        Happening::ModuleLeaving(id) => snapshot.get(id).is_some(),
        Happening::KernelLeaving(target) => snapshot.built_on(target).next().is_some(),
        // Said of what else happens, never alone.
        Happening::ModuleWasInUse(..) => false,
        Happening::KernelArrived(_)
        | Happening::KernelReplaced(_)
        | Happening::HeadersArrived(_)
        | Happening::ModuleArrived(..) => true,
    }
}

/// Before a transaction: forgets what earlier ones have left and needs nothing more.
pub fn before(record: &mut Record, system: &System<'_>) {
    let ours = Transaction::ours();
    record.0.retain(|thing, before| {
        let alone = Record([(thing.clone(), before.clone())].into());
        before.comes_with == Some(ours) || !open(&alone, &BTreeSet::new(), system).is_empty()
    });
}

/// After a batch: all is settled but an old version that stays in use, since the new one could not be built.
/// Both are remembered, so that they are seen together when something comes the next time.
pub fn after(record: &mut Record, snapshot: &Snapshot) {
    let module = |before: &Before| before.state.as_ref().and_then(State::module);
    let stays = |id: &ModuleId| snapshot.get(id).is_some_and(|found| found.is_broken());
    let staying: BTreeSet<ModuleName> =
        record.0.values().filter_map(module).filter(stays).map(|id| id.name).collect();
    record.0.retain(|thing, _| match thing {
        Thing::Module(folder) => staying.iter().any(|name| tell::may_be_of(folder, name.as_str())),
        Thing::Kernel(_) | Thing::Headers(_) => false,
    });
    record.0.values_mut().for_each(|before| before.comes_with = None);
}
