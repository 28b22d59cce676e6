//! What the plugins of both dnfs do: before a transaction and after it, on the system itself or
//! in an `--installroot`.

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, ancestry, root};
use dkms_core::event::Happening;
use dkms_hooks::{Initramfs, Output, Summary, unsaid};

use crate::front::Front;
use crate::incoming::{Coming, Package};
use crate::memory;
use crate::offline;
use crate::preflight::{Verdict, preflight};
use crate::session::{Session, When};

/// What is about to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The root of the system that it is done to.
    pub root: PathBuf,
    /// Its packages.
    pub packages: Vec<Package>,
}

/// Before anything is changed. Where we can't look, nothing is known against it.
#[must_use]
pub fn before(transaction: &Transaction, environment: Environment, out: &Output) -> Verdict {
    // Outside the root, and with the system's own /proc.
    let coming = Coming::with(&transaction.packages);
    let front = ancestry::ancestors().first().copied();
    // Nothing of an installroot runs before its transaction.
    root::only_read();
    let Some(session) = enter(&transaction.root, environment, out) else { return Verdict::GoOn };
    session.see();
    if let Some(Err(error)) = front.map(|front| memory::keep_front(session.layout(), front)) {
        out.say(&format!("warning: {error}"));
    }
    preflight(&session, &transaction.packages, &coming).unwrap_or_else(|error| {
        out.say(&format!("warning: what becomes of modules can't be foreseen: {error}"));
        Verdict::GoOn
    })
}

/// After it: does what is left to do. Returns the answer for the front end.
#[must_use]
pub fn after(at: &Path, environment: Environment, out: &Output, said: Said) -> ExitCode {
    let Some(session) = enter(at, environment, out) else { return ExitCode::SUCCESS };
    memory::forget_front(session.layout());
    finish(&session, said)
}

/// When the summary is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// At once.
    Now,
    /// Once more we are called for it.
    Later,
}

/// The last that is done of a transaction.
#[must_use]
pub fn finish(session: &Session<'_>, said: Said) -> ExitCode {
    finish_with(session, &[], said)
}

/// The same, where that has happened besides what is seen.
#[must_use]
pub fn finish_with(session: &Session<'_>, told: &[Happening], said: Said) -> ExitCode {
    let (summary, code) = session.act(told, When::AtTheEnd, Initramfs::Ours);
    let summary = unsaid::take(session.layout()).and(summary).and(session.settle_images());
    let code = if summary.failed.is_empty() { code } else { session.failed() };
    if let Err(error) = offline::note(session.layout(), &summary, offline::is_at_work(session.layout())) {
        session.out.say(&format!("warning: {error}"));
    }
    let front = match said {
        Said::Now => Front::Nobody,
        Said::Later => Front::Plugin,
    };
    session.tell(summary, front);
    code
}

/// The last word, when the front end has said all of its own.
pub fn end(at: &Path, environment: Environment, out: &Output) {
    if let Some(session) = enter(at, environment, out) {
        session.tell(Summary::default(), Front::Nobody);
    }
}

fn enter<'a>(at: &Path, environment: Environment, out: &'a Output) -> Option<Session<'a>> {
    if at != Path::new("/") && at != Path::new("") {
        match root::enter(at) {
            Ok(entered) => entered.warning(at).iter().for_each(|text| out.say(&format!("warning: {text}"))),
            Err(error) => {
                out.say(&format!("warning: cannot look below `{}`: {error}", at.display()));
                return None;
            }
        }
    }
    Session::begin(environment, out)
}
