//! After a transaction: everything that it brought, and what earlier ones left unsettled, as one batch.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};
use dkms_hooks::{AdapterError, Plain, Summary};

use crate::initramfs;
use crate::record::Record;
use crate::settle;
use crate::system::System;
use crate::targets::Thing;

/// A transaction has brought these things, or taken them away.
///
/// # Errors
/// [`AdapterError`]; then what was to be done is remembered.
pub fn done<W: std::io::Write + Send>(
    system: &mut System<'_>,
    things: &BTreeSet<Thing>,
    plain: &Plain<W>,
) -> Result<ExitCode, AdapterError> {
    let layout = system.adapter.settings.layout.clone();
    let mut record = Record::load(&layout);
    let all: BTreeSet<Thing> = record.0.keys().chain(things).cloned().collect();
    system.look_up(&all);
    let told = settle::open(&record, things, system);
    if told.is_empty() && !system.adapter.owes_depmod() {
        settle_images(system, plain)?;
        system.adapter.forget_gone_kernels();
        Record::default().save(&layout)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(why) = &system.without_libalpm {
        plain.say(&format!("packages were looked up without libalpm: {why}"));
    }
    let maker = initramfs::maker(&system.adapter, &all);
    let outcome = system.adapter.batch(&told, maker, plain)?;
    system.adapter.judged(Summary::of(&outcome)).lines().iter().for_each(|line| plain.say(line));
    if outcome.is_interrupted() {
        plain.say("interrupted: the next transaction or the next boot finishes it");
        return Ok(ExitCode::INTERRUPTED);
    }
    settle_images(system, plain)?;
    settle::after(&mut record, &system.adapter.snapshot()?);
    save(&record, &layout, plain);
    Ok(system.adapter.exit_of(&outcome))
}

/// Sees to images that may hold modules which were taken out before the transaction.
fn settle_images<W: std::io::Write + Send>(
    system: &System<'_>,
    plain: &Plain<W>,
) -> Result<(), AdapterError> {
    let outcome = system.adapter.settle_images(plain)?;
    outcome.iter().flat_map(|outcome| Summary::of(outcome).lines()).for_each(|line| plain.say(&line));
    Ok(())
}

/// What [`done`] would do; changes nothing.
///
/// # Errors
/// [`AdapterError`].
pub fn plan<W: std::io::Write + Send>(
    system: &mut System<'_>,
    things: &BTreeSet<Thing>,
    plain: &Plain<W>,
) -> Result<ExitCode, AdapterError> {
    let layout = &system.adapter.settings.layout;
    let record = Record::load(layout);
    let all: BTreeSet<Thing> = record.0.keys().chain(things).cloned().collect();
    let maker = initramfs::maker(&system.adapter, &all);
    system.look_up(&all);
    let looked = system.adapter.look(&settle::open(&record, things, system), maker)?;
    looked.plan.remarks.iter().for_each(|remark| plain.report(remark.event()));
    looked.plan.steps.iter().for_each(|step| plain.say(&step.action.to_string()));
    Ok(ExitCode::SUCCESS)
}

fn save(record: &Record, layout: &Layout, reporter: &dyn Reporter) {
    if let Err(error) = record.save(layout) {
        reporter.report(Event::warning(error.to_string(), []));
    }
}

/// The boot service: what a transaction that was broken off left unsettled.
///
/// # Errors
/// [`AdapterError`].
pub fn finish<W: std::io::Write + Send>(
    system: &mut System<'_>,
    plain: &Plain<W>,
) -> Result<ExitCode, AdapterError> {
    let record = Record::load(&system.adapter.settings.layout);
    let goes_on =
        record.0.values().any(|before| before.comes_with.is_some_and(|transaction| transaction.runs()));
    if goes_on {
        return Ok(ExitCode::SUCCESS);
    }
    done(system, &BTreeSet::new(), plain)
}
