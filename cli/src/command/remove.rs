//! `uninstall`, `unbuild`, `remove`, `kernel_preinst`, `kernel_prerm`: what takes modules out.

use dkms_base::id::{ModuleId, Target};
use dkms_core::plan::Work;
use dkms_core::tree::rpm_upgrade::{self, Removal};

use crate::failure::Failure;
use crate::package_script;
use crate::render::say;
use crate::session::Session;

/// `dkms uninstall`
pub(super) fn uninstall(session: &Session<'_>) -> Result<(), Failure> {
    take_out(session, |id, targets| Work::Uninstall { id, targets })
}

/// `dkms unbuild`
pub(super) fn unbuild(session: &Session<'_>) -> Result<(), Failure> {
    take_out(session, |id, targets| Work::Unbuild { id, targets })
}

/// `dkms remove`
pub(super) fn remove(session: &Session<'_>) -> Result<(), Failure> {
    if session.args().rpm_safe_upgrade && !session.args().dry_run {
        let id = session.invocation.module()?;
        if rpm_upgrade::take_note(&session.settings.layout, &id)? == Removal::Cancelled {
            say(session.terminal, format!("{id} stays: this rpm transaction has just added it"));
            return Ok(());
        }
    }
    if !session.args().dry_run {
        package_script::note_removal(session)?;
    }
    take_out(session, |id, targets| Work::Remove { id, targets })
}

/// `dkms kernel_preinst`
pub(super) fn kernel_preinst(session: &Session<'_>) -> Result<(), Failure> {
    session.targets()?.into_iter().try_for_each(|target| session.carry_out(&Work::KernelPreinst { target }))
}

/// `dkms kernel_prerm`
pub(super) fn kernel_prerm(session: &Session<'_>) -> Result<(), Failure> {
    session.targets()?.into_iter().try_for_each(|target| session.carry_out(&Work::KernelPrerm { target }))
}

fn take_out(session: &Session<'_>, work: impl Fn(ModuleId, Vec<Target>) -> Work) -> Result<(), Failure> {
    let id = session.invocation.module()?;
    if session.args().all {
        // A command that had to wait for a build takes out what the build has made, too.
        return session.carry_out_holding(&|snapshot| work(id.clone(), snapshot.targets(&id)), None);
    }
    let targets = session.targets_of(&id, &session.snapshot()?)?;
    let is_for_none = targets.is_empty();
    session.carry_out(&work(id.clone(), targets))?;
    if is_for_none {
        say(session.terminal, format!("{id} is not built for any kernel"));
    }
    Ok(())
}
