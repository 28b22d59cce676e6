//! A kernel's packages come and go: what `/etc/kernel/*.d/dkms` and kernel-install call, with
//! the kernel's release.

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{KernelRelease, Target};
use dkms_conf::settings::OnBuildFailure;
use dkms_core::event::Happening;
use dkms_core::plan::Work;
use dkms_hooks::Initramfs;
use dkms_kernel::has_headers;

use crate::ahead::{self, Ahead};
use crate::dpkg;
use crate::headers;
use crate::pending::{self, Pending};
use crate::session::{Ended, Session};
use crate::trigger;

/// `preinst.d`: a kernel is about to be replaced by another build of the same release, or comes. Where
/// nothing of it is there but headers, what was built is built against those, and stays. Within dpkg's run it
/// is only noted: should the new build not be unpacked, dpkg goes back to the old one, which keeps its
/// modules.
pub fn preinst(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let Some(target) = session.kernel(words) else { return session.failed() };
    let layout = session.layout();
    let parts = [
        layout.at("/boot").join(format!("vmlinuz-{}", target.kernel)),
        layout.kernel_dir(&target.kernel).join("kernel"),
    ];
    if !parts.iter().any(|part| fs::exists(part)) {
        return ExitCode::SUCCESS;
    }
    let pending = Pending::replaced(&target.kernel);
    if dpkg::is_above(session.environment()) && pending::add(layout, &pending).is_ok() {
        let _ = dpkg::activate(session.environment());
        return ExitCode::SUCCESS;
    }
    session.carry_out(&|_| Work::KernelPreinst { target: target.clone() }).code
}

/// `postinst.d`: a kernel is there. What makes its initramfs comes after us, so nothing
/// waits for the trigger.
pub fn postinst(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let Some(target) = session.kernel(words) else { return session.failed() };
    let made_after_us = Initramfs::OthersFor([target.clone()].into());
    let kernel = target.kernel.clone();
    let is_replaced = pending::replaced(session.layout()).contains(&kernel);
    let replaced = is_replaced.then(|| Happening::KernelReplaced(target.clone()));
    let told = std::iter::once(Happening::KernelArrived(target)).chain(replaced).collect::<Vec<_>>();
    let (ended, ahead) = with_all_that_comes(session, &told, made_after_us);
    dealt_with(session, &kernel, &ended);
    trigger::look_again(session, &ahead, &ended);
    ended.code
}

/// `header_postinst.d`: a kernel's headers are there. Within dpkg's run, modules and other kernels' headers
/// come with them, so all of it is built together. The trigger is left what couldn't be begun.
pub fn headers_postinst(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let Some(target) = session.kernel(words) else { return session.failed() };
    let is_inside = dpkg::is_above(session.environment());
    // What failed then was reported; where failures count it fails here as well.
    let is_told = session.adapter.settings.on_build_failure == OnBuildFailure::Report;
    if is_inside && is_told && ahead::is_kernel_done(session, &target.kernel) {
        headers::add(session.layout(), &target.kernel);
        return ExitCode::SUCCESS;
    }
    let pending = Pending::headers(&target.kernel);
    let is_noted = is_inside && pending::add(session.layout(), &pending).is_ok();
    let kernel = target.kernel.clone();
    let (ended, ahead) = with_all_that_comes(session, &[Happening::HeadersArrived(target)], Initramfs::Ours);
    dealt_with(session, &kernel, &ended);
    if is_noted {
        trigger::settle(session, &pending, &ended);
    }
    trigger::look_again(session, &ahead, &ended);
    ended.code
}

/// The trigger, which sees headers that nobody told us of, has nothing to do for a kernel.
fn dealt_with(session: &Session<'_>, kernel: &KernelRelease, ended: &Ended) {
    if has_headers(kernel, session.layout()) && !ended.is_due && !ended.waiting.contains(kernel) {
        headers::add(session.layout(), kernel);
    }
}

/// A batch for a kernel, and for all that dpkg has unpacked with it.
fn with_all_that_comes(session: &Session<'_>, told: &[Happening], initramfs: Initramfs) -> (Ended, Ahead) {
    let snapshot = session.adapter.snapshot().unwrap_or_default();
    let mut ahead = ahead::look(session, None, &snapshot);
    for happening in told {
        if let Happening::HeadersArrived(target) = happening {
            // Its package has done what it does to them.
            ahead.look.unready.remove(&target.kernel);
        }
    }
    (session.batch_ahead(told, &ahead, initramfs), ahead)
}

/// `prerm.d`: a kernel is about to go. Where only its package is replaced, it stays.
pub fn prerm(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let parameters = session.environment().get("DEB_MAINT_PARAMS").unwrap_or_default();
    let first = parameters.split_whitespace().next().unwrap_or_default().trim_matches('\'');
    if dpkg::is_above(session.environment()) && ["upgrade", "failed-upgrade"].contains(&first) {
        return ExitCode::SUCCESS;
    }
    let Some(target) = session.kernel(words) else { return session.failed() };
    leave(session, target).code
}

fn leave(session: &Session<'_>, target: Target) -> Ended {
    let of_it: Vec<Pending> = pending::all(session.layout());
    drop(pending::done(session.layout(), of_it.iter().filter(|pending| pending.is_of(&target.kernel))));
    session.batch(&[Happening::KernelLeaving(target)], Initramfs::Others)
}

/// `40-dkms.install add|remove K …`, called by systemd's kernel-install before what makes an initramfs.
pub fn kernel_install(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let elsewhere = session.environment().get_filled("KERNEL_INSTALL_ROOT").is_some_and(|root| root != "/");
    match words.split_first() {
        Some((&"add", rest)) if !elsewhere => postinst(session, rest),
        Some((&"remove", rest)) if !elsewhere => match session.kernel(rest) {
            Some(target) => leave(session, target).code,
            None => session.failed(),
        },
        _ => ExitCode::SUCCESS,
    }
}
