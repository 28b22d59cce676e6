//! rpm's own calls in a transaction that touches kernels or sources, whichever program runs it: before
//! anything goes, and when all has ended.

use std::collections::BTreeSet;
use std::io::Read;

use dkms_base::exit::ExitCode;
use dkms_base::id::ModuleId;
use dkms_core::event::Happening;
use dkms_kernel::Brought;

use crate::front::Front;
use crate::memory;
use crate::plugin::{self, Said};
use crate::session::Session;

/// The paths of a large transaction.
const LIMIT: u64 = 64 << 20;

/// `trigger before|after|last`: sees what is there, or does what is to be done, where no plugin of a front
/// end will. `last`: our own package goes, so that nobody calls after it; what is still there of the
/// modules that go in the same transaction goes with it.
#[must_use]
pub fn run(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let mut paths = Vec::new();
    let mut input = std::io::stdin().lock();
    // Where they can't be read nothing is known of what goes; rpm wants to be rid of them in any case.
    let _ = input.by_ref().take(LIMIT).read_to_end(&mut paths);
    drop(std::io::copy(&mut input, &mut std::io::sink()));
    let noted = memory::take_going(session.layout());
    match words {
        ["last"] => return plugin::finish_with(session, &leaving(session, &noted), Said::Now),
        ["before"] => note(session, &paths),
        _ => {}
    }
    if session.front() == Front::Plugin {
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

/// Notes which sources go, for the case that our own package goes before theirs.
fn note(session: &Session<'_>, paths: &[u8]) {
    let sources: BTreeSet<String> = Brought::of(String::from_utf8_lossy(paths).lines()).sources;
    if let Err(error) = memory::keep_going(session.layout(), &sources) {
        session.out.say(&format!("warning: {error}"));
    }
}

/// The modules of these folders, as they were seen when the transaction began.
fn leaving(session: &Session<'_>, folders: &BTreeSet<String>) -> Vec<Happening> {
    let view = memory::view(session.layout()).unwrap_or_default();
    let module = |folder: &String| {
        let (name, version) = view.modules.get(folder)?.module.clone()?;
        ModuleId::parse(&name, &version).ok()
    };
    folders.iter().filter_map(module).map(Happening::ModuleLeaving).collect()
}
