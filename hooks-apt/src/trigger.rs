//! What nobody called for, or could not be begun, is built when dpkg processes triggers; at the end of apt's
//! run the summary is printed.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{KernelRelease, ModuleId, Target};
use dkms_core::event::Happening;
use dkms_core::tree::{Snapshot, owed};
use dkms_hooks::Initramfs;
use dkms_kernel::is_left_over;

use crate::ahead::{self, Ahead};
use crate::dpkg;
use crate::frontend;
use crate::headers;
use crate::pending::{self, Pending};
use crate::session::{Ended, Session};
use crate::turns;
use crate::unpacked;

/// What was noted before a batch is done, or is left to the trigger where nothing could be begun.
pub fn settle(session: &Session<'_>, what: &Pending, ended: &Ended) {
    if ended.is_due {
        let _ = dpkg::activate(session.environment());
    } else {
        drop(pending::done(session.layout(), [what]));
    }
}

/// What was left to packages that bring it prebuilt is looked at again when those are configured, and so
/// is what waits for headers.
pub fn look_again(session: &Session<'_>, ahead: &Ahead, ended: &Ended) {
    let noted = kernels_of_later(ahead, ended)
        .into_iter()
        .map(|kernel| pending::add(session.layout(), &Pending::headers(kernel)));
    if noted.filter(Result::is_ok).count() > 0 {
        let _ = dpkg::activate(session.environment());
    }
}

/// The kernels on which something is left to packages that are not configured yet.
fn kernels_of_later<'a>(ahead: &'a Ahead, ended: &'a Ended) -> BTreeSet<&'a KernelRelease> {
    ahead.look.prebuilt.keys().map(|(kernel, _)| kernel).chain(&ended.waiting).collect()
}

/// `trigger`: the postinst of the package dkms, when its trigger is processed and when it is configured.
pub fn run(session: &Session<'_>, _: &[&str]) -> ExitCode {
    ahead::sweep(session);
    let waiting = pending::all(session.layout());
    let (mut told, taken) = told(session, &waiting);
    let snapshot = session.adapter.snapshot().unwrap_or_default();
    told.extend(kernels_left_over(session, &snapshot));
    let unended = turns::look(session, &snapshot);
    told.extend(unended.told.clone());
    let (layout, environment) = (session.layout(), session.environment());
    let arrived = headers::arrived(layout, environment).into_iter();
    told.extend(
        arrived.filter_map(|kernel| session.adapter.target(&kernel).ok()).map(Happening::HeadersArrived),
    );
    if told.is_empty() && taken.is_empty() && !session.adapter.owes_depmod() {
        headers::note(layout, &BTreeSet::new());
        let code = images(session, &[]);
        unended.settle(session);
        if !frontend::is_above(layout) {
            // A kernel that is held may have gone, and after dpkg alone nobody else looks.
            session.say_kept();
        }
        return code;
    }
    // dpkg may process triggers while packages are still unpacked.
    let ahead = Ahead::of_trigger(session);
    let ended = batch(session, &told, &ahead);
    // After a failure dpkg calls again.
    if !ended.is_due && ended.code == ExitCode::SUCCESS {
        let later = kernels_of_later(&ahead, &ended);
        let is_left = |pending: &&Pending| later.iter().any(|kernel| pending.is_of(kernel));
        drop(pending::done(session.layout(), taken.into_iter().filter(|pending| !is_left(pending))));
        headers::note(layout, &later.into_iter().cloned().collect());
    }
    let images = images(session, &[]);
    if !ended.is_due {
        unended.settle(session);
    }
    if ended.code == ExitCode::SUCCESS { images } else { ended.code }
}

/// `index K`: a package of built modules was removed (`mkbmdeb`). Its script runs depmod if this fails:
/// outside dpkg, or if our trigger will not be called.
pub fn index(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let is_in_dpkg = session.environment().get_filled("DPKG_MAINTSCRIPT_PACKAGE").is_some();
    let Some(target) = session.kernel(words).filter(|_| is_in_dpkg) else { return ExitCode::USAGE_OR_RIGHTS };
    if owed::note(session.layout(), &target).is_ok() && dpkg::activate(session.environment()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::USAGE_OR_RIGHTS
    }
}

/// The last that we do where our own package goes: kernels' indexes, and images that may hold modules which
/// scripts of packages have taken out.
pub fn leave(session: &Session<'_>, words: &[&str]) -> ExitCode {
    if session.adapter.owes_depmod() {
        let _ = batch(session, &[], &Ahead::default());
    }
    images(session, words)
}

/// Images that may hold modules which scripts of packages have taken out.
fn images(session: &Session<'_>, _: &[&str]) -> ExitCode {
    turns::forget_gone(session);
    match session.adapter.settle_images(session.out) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(outcome)) => session.conclude(Ok(outcome)).code,
        Err(error) => session.conclude(Err(error)).code,
    }
}

/// Kernels whose packages have all gone, while modules of ours are still there: no script runs when
/// headers are removed.
fn kernels_left_over(session: &Session<'_>, snapshot: &Snapshot) -> Vec<Happening> {
    let layout = session.layout();
    let is_left = |target: &Target| {
        snapshot.built_on(target).next().is_some() && is_left_over(&target.kernel, layout).unwrap_or(false)
    };
    let installed = session.adapter.installed().unwrap_or_default();
    installed.into_iter().filter(is_left).map(Happening::KernelLeaving).collect()
}

/// What waits, as package managers have reported it, and the records of it.
fn told<'a>(session: &Session<'_>, waiting: &'a [Pending]) -> (Vec<Happening>, Vec<&'a Pending>) {
    let (mut told, mut taken) = (Vec::new(), Vec::new());
    for pending in waiting {
        match pending {
            Pending::Module { .. } => {
                let arrived = pending.arrived().filter(|(id, _)| is_there(session, id));
                told.extend(arrived.into_iter().flat_map(|(_, happenings)| happenings));
            }
            // Its own package, or what is built ahead of it, takes it up; unless that was never unpacked.
            Pending::Replaced { kernel } => {
                if unpacked::kernels(session.environment(), session.layout()).contains(kernel.as_str()) {
                    continue;
                }
            }
            Pending::Headers { kernel } => {
                let kernel = KernelRelease::new(kernel).ok();
                let target = kernel.and_then(|kernel| session.adapter.target(&kernel).ok());
                told.extend(target.map(Happening::HeadersArrived));
            }
        }
        taken.push(pending);
    }
    (told, taken)
}

/// Whether a module that has arrived has not left again since.
fn is_there(session: &Session<'_>, id: &ModuleId) -> bool {
    let layout = session.layout();
    fs::exists(&layout.source_dir(id).join("dkms.conf")) || fs::exists(&layout.version_dir(id))
}

/// Does what follows from what was reported, after which nobody makes an initramfs by himself.
#[must_use]
pub fn batch(session: &Session<'_>, told: &[Happening], ahead: &Ahead) -> Ended {
    session.batch_ahead(told, ahead, Initramfs::Ours)
}

/// `finish`: the end of apt's run. Does what nobody will do any more, and says what the hooks have kept.
pub fn finish(session: &Session<'_>, _: &[&str]) -> ExitCode {
    // What dpkg has gone back from is not left to its next run: that may be tomorrow.
    let is_due = turns::is_any(session);
    if is_due || !pending::all(session.layout()).is_empty() && !dpkg::will_call(session.environment()) {
        let _ = run(session, &[]);
    }
    let _ = images(session, &[]);
    ahead::sweep(session);
    session.say_kept();
    frontend::ends(session.layout());
    ExitCode::SUCCESS
}
