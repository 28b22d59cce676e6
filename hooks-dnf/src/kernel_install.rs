//! kernel-install(8): `add K …` comes before the kernel's initramfs is made, `remove K …`
//! before its files go.

use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, root};
use dkms_base::id::KernelRelease;
use dkms_core::event::Happening;
use dkms_hooks::Initramfs;

use crate::memory;
use crate::session::{Session, When};

/// `kernel-install --root` runs us outside of that root, and names it in `KERNEL_INSTALL_ROOT`.
///
/// # Errors
/// Where it can't be entered, in words.
pub fn enter_root(environment: &Environment) -> Result<Option<String>, String> {
    let Some(at) =
        environment.get_filled("KERNEL_INSTALL_ROOT").map(Path::new).filter(|at| *at != Path::new("/"))
    else {
        return Ok(None);
    };
    let entered =
        root::enter(at).map_err(|error| format!("cannot look below `{}`: {error}", at.display()))?;
    Ok(entered.warning(at))
}

/// Whatever happens, kernel-install goes on: the failure is reported and recorded.
#[must_use]
pub fn run(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let [command @ ("add" | "remove"), release, ..] = words else { return ExitCode::SUCCESS };
    let target = KernelRelease::new(*release).map_err(|error| error.to_string());
    let target =
        target.and_then(|release| session.adapter.target(&release).map_err(|error| error.to_string()));
    let target = match target {
        Ok(target) => target,
        Err(error) => {
            session.out.say(&format!("error: {error}"));
            return ExitCode::SUCCESS;
        }
    };
    let summary = if *command == "add" {
        let made_after_us = Initramfs::OthersFor([target.clone()].into());
        session.act(&[Happening::KernelArrived(target)], When::Meanwhile, made_after_us).0
    } else {
        // It may come back in this very transaction: then it has come again.
        if let Some(mut view) = memory::view(session.layout())
            && view.kernels.remove(*release).is_some()
            && let Err(error) = memory::keep_view(session.layout(), &view)
        {
            session.out.say(&format!("warning: {error}"));
        }
        session.batch(&[Happening::KernelLeaving(target)])
    };
    session.tell(summary, session.front());
    ExitCode::SUCCESS
}
