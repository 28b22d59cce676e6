//! The table of scenarios: what is set up, which commands run, and where ours differs from the
//! original on purpose.
//!
//! The table is text, in `scenarios/*.txt`:
//!
//! ```text
//! = name of the scenario
//! module foo 1.0            a source tree in /usr/src/foo-1.0 …
//!   + MAKE="false"          … with a line added to its dkms.conf
//!   - AUTOINSTALL           … without the usual lines that begin so
//!   also bar 5.0            … with another C file bar.c, whose module has this version
//! sh touch /etc/dkms/x      a line of shell that has to succeed
//! cd /tmp                   where the following commands run
//! $ add foo/1.0             dkms with these words ($K, $K2, $K3 are kernels)
//! nobody$ add foo/1.0       the same, run by nobody
//!   ! why it differs        first line of a difference, then any of
//!   ! code 6                our exit code
//!   ! prints foo/1.0: added our stdout (one such line for each of its lines; `! prints` alone: nothing)
//!   ! status foo/1.0: added a line of what our `status` says afterwards (`! status` alone: nothing)
//!   ! only ours ~/foo       a path (`~` is /var/lib/dkms) and what is below it, from here on
//!   ! only theirs ~/foo
//!   ! other ~/foo           there on both sides, but different
//!   ! apart                 from here on the trees differ: only exit codes and what is declared of ours are compared
//! ```
//!
//! After each command exit codes, the stdout of `status`, what a further `status` says, and the trees are
//! compared; and our JSON document says what our lines say. A declared difference that doesn't show is an
//! error too: the table stays honest.

mod compare;
mod observe;
mod parse;
mod status;

pub use compare::{Mismatch, compare};
pub use observe::{Observation, observe, recorded};
pub use parse::parse;

use crate::fixture::Module;
use crate::kernels::{Kernels, THIRD};
use crate::root::User;

/// A scenario of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// File and line, for messages.
    pub at: String,
    /// Its own text: what its recorded observations depend on.
    pub text: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A source tree is written to `/usr/src`.
    Module(Module),
    /// A line of shell runs, which has to succeed.
    Shell(String),
    /// Following commands run in this folder.
    Folder(String),
    /// `dkms` runs, and is observed.
    Command(Command),
}

/// A command line of `dkms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The words after `dkms`.
    pub words: String,
    /// Who runs it.
    pub user: User,
    /// Where it stands, for messages.
    pub line: usize,
    /// Where ours differs on purpose.
    pub difference: Option<Difference>,
}

/// An intended difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The reason.
    pub why: String,
    /// Our exit code.
    pub code: Option<i32>,
    /// The lines of our stdout.
    pub prints: Option<Vec<String>>,
    /// The lines of our status afterwards.
    pub status: Option<Vec<String>>,
    /// Paths that differ from here on.
    pub paths: Vec<(Side, String)>,
    /// Whether the trees are too different to compare from here on.
    pub apart: bool,
}

/// On which side a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Only ours has it.
    Ours,
    /// Only the original has it.
    Theirs,
    /// Both have it, not alike.
    Both,
}

impl Scenario {
    /// Its commands, in order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.steps.iter().filter_map(|step| match step {
            Step::Command(command) => Some(command),
            _ => None,
        })
    }
}

impl Scenario {
    /// Puts the kernels' names where declared differences say `$K`, `$K2` and `$K3`.
    pub fn resolve(&mut self, kernels: &Kernels) {
        let named = |text: &mut String| {
            *text = text.replace("$K3", THIRD).replace("$K2", &kernels.second).replace("$K", &kernels.first);
        };
        for step in &mut self.steps {
            if let Step::Command(Command { difference: Some(difference), .. }) = step {
                difference.prints.iter_mut().flatten().for_each(named);
                difference.status.iter_mut().flatten().for_each(named);
                difference.paths.iter_mut().for_each(|(_, path)| named(path));
            }
        }
    }
}

impl Command {
    /// Whether its stdout is an interface, to be compared.
    #[must_use]
    pub fn prints_for_programs(&self) -> bool {
        self.words.split_whitespace().any(|word| word == "status")
    }
}
