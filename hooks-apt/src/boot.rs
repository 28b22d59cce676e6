//! `dkms_autoinstaller start [K]`: brings up what the running kernel, or another, lacks. Called by
//! dkms.service at boot, and by hand.

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_core::event::Happening;
use dkms_kernel::{running_kernel, running_kernel_here};

use crate::ahead::Ahead;
use crate::session::Session;
use crate::trigger;

/// `start` does it; what else init scripts are asked has no meaning here.
pub fn run(session: &Session<'_>, words: &[&str]) -> ExitCode {
    match words {
        ["start" | "restart" | "force-reload", rest @ ..] => start(session, rest),
        ["stop", ..] => ExitCode::SUCCESS,
        _ => {
            session.out.say("usage: dkms_autoinstaller start [KERNEL]");
            ExitCode::BAD_OPTION
        }
    }
}

fn start(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let here = running_kernel_here(session.layout());
    let running = running_kernel().map(|kernel| kernel.to_string()).unwrap_or_default();
    let word = words.first().copied().unwrap_or(&running);
    let Some(target) = session.kernel(&[word]) else { return session.failed() };
    let is_here = match words {
        [] => here.is_some(),
        _ => fs::is_dir(&session.layout().kernel_dir(&target.kernel)),
    };
    if !is_here {
        // A container, or an image: the kernel is not this system's.
        session.out.say(&format!("kernel {} is not installed here: nothing to do", target.kernel));
        return ExitCode::SUCCESS;
    }
    trigger::batch(session, &[Happening::HeadersArrived(target)], &Ahead::default()).code
}
