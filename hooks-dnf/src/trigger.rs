//! rpm's own calls in a transaction that touches kernels or sources, whoever runs it: before anything goes,
//! and when all has ended.

use dkms_core::exit::ExitCode;

use crate::front::Front;
use crate::plugin::{self, Said};
use crate::session::Session;

/// `trigger before|after|last`: sees what is there, or does what is to be done, where no plugin of a front
/// end will. `last`: our own package goes, so that nobody calls after it.
#[must_use]
pub fn run(session: &Session<'_>, words: &[&str]) -> ExitCode {
    // The paths: that we are called says enough, and rpm wants to be rid of them.
    drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
    // Who goes is not there any more when a plugin would call.
    if words != ["last"] && session.front() == Front::Plugin {
        return ExitCode::SUCCESS;
    }
    match words {
        ["before"] => {
            session.see();
            ExitCode::SUCCESS
        }
        _ => plugin::finish(session, Said::Now),
    }
}
