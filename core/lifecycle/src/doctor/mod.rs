//! What is wrong with a dkms tree and the kernels it serves, each fault with its reason and the one
//! command that fixes it.
//!
//! - [`facts`]: what is known, plain data; [`mod@look`] gathers it and changes nothing
//! - [`examine`]: facts → findings, pure; `tree` for registrations, links and leftovers, `kernels` for what
//!   is installed, `missing` for what should be, `system` for the rest
//! - [`mend`]: the repairs that need no plan

pub mod facts;
mod kernels;
pub mod look;
pub mod mend;
mod missing;
mod system;
mod tree;

use std::path::PathBuf;

pub use facts::Facts;
pub use look::look;

use crate::id::{ModuleId, Target};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something doesn't work, or soon won't.
    Problem,
    /// Good to know.
    Hint,
}

impl Severity {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Hint => "hint",
        }
    }
}

/// What can be fixed without asking: nothing of value is lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fix {
    /// The source folder is there: its link is made again.
    Register(ModuleId),
    /// Everything that was built for a kernel that is gone goes.
    DropKernel(Target),
    /// What an interrupted command left goes.
    Remove(PathBuf),
    /// A link that leads nowhere goes.
    Unlink(PathBuf),
    /// The index of a kernel's modules is made again.
    Depmod(Target),
    /// The next changing command puts it in order by itself: a command that changes nothing else is enough.
    Recover,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of fault, as a word for programs.
    pub kind: &'static str,
    /// The module concerned.
    pub module: Option<ModuleId>,
    /// The kernel concerned.
    pub target: Option<Target>,
    /// Why the machine can't boot or be reached without the module, if it can't.
    pub critical: Option<String>,
    /// What is wrong, and where.
    pub what: String,
    /// Why it is so, or what it leads to.
    pub why: Option<String>,
    /// The command that fixes it.
    pub command: Option<String>,
    /// What `--fix` does about it.
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(severity: Severity, kind: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            module: None,
            target: None,
            critical: None,
            what: what.into(),
            why: None,
            command: None,
            fix: None,
        }
    }

    fn problem(kind: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Problem, kind, what)
    }

    fn hint(kind: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Hint, kind, what)
    }

    fn module(mut self, id: &ModuleId) -> Self {
        self.module = Some(id.clone());
        self
    }

    fn on(mut self, target: &Target) -> Self {
        self.target = Some(target.clone());
        self
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

/// Everything that is wrong, problems first; within that what is wrong with critical modules, which are named
/// with the reason; then in the order of the parts, modules and kernels.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = tree::findings(facts);
    findings.extend(kernels::findings(facts));
    findings.extend(system::findings(facts));
    for finding in &mut findings {
        let Some(id) = &finding.module else { continue };
        if let (None, Some(why)) = (&finding.critical, facts.critical.why(&id.name)) {
            finding.critical = Some(why.to_owned());
            finding.what = finding.what.replacen(&id.to_string(), &format!("{id} ({why})"), 1);
        }
    }
    findings.sort_by_key(|finding| (finding.severity, finding.critical.is_none()));
    findings
}

/// A target as `-k` takes it.
fn on(target: &Target) -> String {
    format!("-k {}/{}", target.kernel, target.arch)
}
