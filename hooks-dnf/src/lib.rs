//! What dnf, rpm and kernel-install call; each hook is a line or a few that run this program
//! with words for itself.
//!
//! - [`dnf4`], [`dnf5`]: the plugins, before a transaction and after it; [`plugin`] is what both do
//! - [`zypp`]: the plugin of libzypp; [`scriptlet`]: whether the script that calls us
//!   needs its module at once
//! - [`trigger`]: rpm's file triggers, the net below both; [`kernel_install`],
//!   [`module`]: scripts of packages
//! - [`view`]: what packages have brought, and what has changed since it was seen last (pure); [`mod@look`]
//!   sees it, [`memory`] keeps it
//! - [`incoming`], [`mod@preflight`]: what is about to come, and which modules will not be there
//! - [`offline`]: transactions that are prepared now and carried out at the next boot
//! - [`front`]: who runs us, and whether a later call follows; [`session`]: how a batch is run and reported
//!
//! What a change leads to is decided in [`dkms_core::event`] and in the planner.

pub mod dnf4;
pub mod dnf5;
pub mod front;
mod header;
pub mod incoming;
pub mod kernel_install;
pub mod look;
pub mod memory;
pub mod module;
pub mod offline;
pub mod plugin;
pub mod preflight;
pub mod scriptlet;
pub mod session;
pub mod trigger;
pub mod view;
pub mod zypp;

use dkms_base::exit::ExitCode;
use dkms_base::host::Environment;
use dkms_hooks::{Output, Stream, hook};
use session::Session;

/// Reads bytes as what libzypp, dnf 4 and dnf 5 tell: for those who throw any at it.
pub fn examine(bytes: &[u8]) {
    let _ = zypp::examine(bytes);
    let _ = dnf4::parse(&String::from_utf8_lossy(bytes));
    let mut plugin = dnf5::Plugin::new(bytes, std::io::sink());
    let _ = (plugin.root(), plugin.packages());
}

/// Runs a hook; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let stream = |words: &[&str], _: &Environment| match words {
        // What dnf 5 and libzypp read from us isn't for people.
        ["dnf5", ..] => Stream::error(),
        // Standard error isn't shown either.
        ["zypp", ..] => Stream::of_parent(),
        ["dnf4", "after"] => Stream::below(),
        _ => Stream::out(),
    };
    hook::start(stream, run)
}

fn run(words: &[&str], environment: Environment, out: &Output) -> ExitCode {
    let Some((name, words)) = words.split_first() else { return usage(out) };
    let with_session = |act: &dyn Fn(&Session<'_>) -> ExitCode| {
        Session::begin(environment.clone(), out).map_or(ExitCode::SUCCESS, |session| act(&session))
    };
    match *name {
        "dnf4" => dnf4::run(words, environment, out),
        "zypp" => zypp::run(&environment, out),
        "dnf5" => dnf5::run(words, environment, out),
        "trigger" => with_session(&|session| trigger::run(session, words)),
        "kernel-install" => match kernel_install::enter_root(&environment) {
            Ok(warning) => {
                warning.iter().for_each(|text| out.say(&format!("warning: {text}")));
                with_session(&|session| kernel_install::run(session, words))
            }
            Err(error) => {
                out.say(&format!("warning: {error}"));
                ExitCode::SUCCESS
            }
        },
        "common-postinst" => {
            let session = Session::begin(environment, out);
            session.map_or(ExitCode::SUCCESS, |session| module::postinst(session, words))
        }
        _ => usage(out),
    }
}

fn usage(out: &Output) -> ExitCode {
    out.say("error: this program is called by the hooks of dnf, rpm and kernel-install; people use `dkms`");
    ExitCode::BAD_OPTION
}
