//! What apt and dpkg call: each hook is a script of one line that runs this program with a word for itself.
//!
//! - [`kernel`]: a kernel's packages come and go
//! - [`module`]: a module package has come (`common.postinst`)
//! - [`ahead`]: what has been unpacked with it is built in the same batch; [`unpacked`] finds that;
//!   [`prebuilt`]: what packages will bring prebuilt
//! - [`trigger`]: what couldn't be begun in its turn is, when dpkg processes triggers; apt's last word
//! - [`preflight`]: what apt is about to do, before anything has changed; [`transaction`] reads it
//! - [`turns`]: what packages have begun and ended otherwise
//! - [`boot`]: modules of the kernel that runs
//! - [`headers`]: headers that came without a script that calls us
//! - [`pending`]: what waits for the trigger; [`frontend`]: which apt runs; [`dpkg`]: questions to dpkg
//! - [`session`]: what every hook starts with, and what its failures mean to dpkg
//!
//! What a thing that happened leads to is decided in [`dkms_core::event`] and in the planner.

pub mod ahead;
pub mod boot;
pub mod dpkg;
pub mod frontend;
pub mod headers;
pub mod kernel;
pub mod module;
pub mod pending;
pub mod prebuilt;
pub mod preflight;
pub mod session;
pub mod transaction;
pub mod trigger;
pub mod turns;
pub mod unpacked;

use dkms_base::exit::ExitCode;
use dkms_base::host::Environment;
use dkms_hooks::{Output, hook};
use session::Session;

/// Runs a hook; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    hook::run(|_, environment| session::stream(environment), run)
}

fn run(words: &[&str], environment: Environment, out: &Output) -> ExitCode {
    let Some((name, words)) = words.split_first() else { return usage(out) };
    let act: fn(&Session<'_>, &[&str]) -> ExitCode = match *name {
        "kernel-preinst" => kernel::preinst,
        "kernel-postinst" => kernel::postinst,
        "headers-postinst" => kernel::headers_postinst,
        "kernel-prerm" => kernel::prerm,
        "kernel-install" => kernel::kernel_install,
        "common-postinst" => module::postinst,
        "trigger" => trigger::run,
        "finish" => trigger::finish,
        "images" => trigger::leave,
        "index" => trigger::index,
        "preflight" => preflight::run,
        "autoinstaller" => boot::run,
        _ => return usage(out),
    };
    match Session::begin(environment, out) {
        Ok(session) => act(&session, words),
        // How it is set up can't be known, so nobody has asked for more than being told.
        Err(error) => {
            session::say_error(out, &error);
            ExitCode::SUCCESS
        }
    }
}

fn usage(out: &Output) -> ExitCode {
    out.say("error: this program is called by the hooks of apt and dpkg; people use `dkms`");
    ExitCode::BAD_OPTION
}
