//! Build logs: which error came first, and what causes it. Pure: reads text, touches nothing.
//!
//! What it says of causes is what a person would guess from the same lines; where those fit none that is
//! known, it says nothing.

mod cause;
mod error;
mod loader;
mod packages;
mod refusal;

pub use cause::{Cause, PASS_THE_KERNEL};
pub use error::LogError;
pub use refusal::{Refusal, RefusalKind, exempt_hint};

/// What a log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The first error in it that isn't the consequence of another.
    pub first_error: Option<LogError>,
    /// What was written last, where no line looks like an error; no part of [`Self::lines`], since a command
    /// that went well has one too.
    pub last_line: Option<String>,
    /// What is behind it, where that is known.
    pub cause: Option<Cause>,
    /// What the sandbox refused to the command that failed, the first of each kind.
    pub refusals: Vec<Refusal>,
    /// Where the source reads addresses of the kernel, which a sandbox doesn't show.
    pub addresses: Option<String>,
    /// The module, where the log is one of ours and says so.
    pub module: Option<String>,
}

impl Diagnosis {
    /// To be shown, a line each: the error, its cause, the remedy, what the sandbox refused.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let error = self.first_error.iter().map(|error| format!("first error: {error}"));
        let cause = self.cause.iter().flat_map(|cause| [cause.to_string(), cause.remedy()]);
        let refusals = self.refusals.iter().map(ToString::to_string);
        let refusals = refusals.chain(self.addresses.clone()).collect::<Vec<_>>();
        let hint = self.module.as_deref().filter(|_| !refusals.is_empty()).map(exempt_hint);
        error.chain(cause).chain(refusals).chain(hint).collect()
    }

    /// The same, if it is known that the build was for this kernel.
    #[must_use]
    pub fn for_kernel(self, kernel: &str) -> Self {
        let is_open = matches!(self.cause, None | Some(Cause::NoMakefile));
        let error = self.first_error.as_ref().filter(|_| is_open);
        let other = error.and_then(|error| cause::other_kernel(error, kernel));
        Self { cause: other.or(self.cause), ..self }
    }

    /// Whether the cause lies in the system around the build, where it may change without a
    /// trace in what is built.
    #[must_use]
    pub fn is_of_the_system(&self) -> bool {
        !self.refusals.is_empty() || self.cause.as_ref().is_some_and(Cause::is_of_the_system)
    }
}

/// Reads a log, ours or any that make, a compiler, a shell or `patch` has written.
#[must_use]
pub fn diagnose(log: &str) -> Diagnosis {
    let diagnosis = diagnose_output(last_command(log), confined_module(log));
    match kernel_of(log) {
        Some(kernel) => diagnosis.for_kernel(kernel),
        None => diagnosis,
    }
}

/// Reads what a command of a build wrote; with the name of the module where it ran in a sandbox.
#[must_use]
pub fn diagnose_output(output: &str, module: Option<String>) -> Diagnosis {
    let lines: Vec<&str> = output
        .lines()
        .map(|line| begin_of(line, LONGEST_LINE).trim_end())
        .filter(|line| !is_ours(line))
        .collect();
    let first_error = error::first(&lines);
    let mut cause = cause::of(first_error.as_ref(), &lines);
    let refusals = if module.is_some() { refusal::of(&lines) } else { Vec::new() };
    // What follows from a refusal, and would be fixed in vain.
    if !refusals.is_empty() && matches!(cause, Some(Cause::Unreadable | Cause::ReadOnly)) {
        cause = None;
    }
    let kept = |LogError { text, file, line }| LogError {
        text: shortened(&text),
        file: file.as_deref().map(shortened),
        line,
    };
    let tells = |line: &&&str| !line.is_empty() && !line.starts_with("# ") && !line.starts_with("make");
    let last_line = lines.iter().rfind(tells);
    let last_line = last_line.filter(|_| first_error.is_none()).map(|line| shortened(line));
    Diagnosis { first_error: first_error.map(kept), last_line, cause, refusals, addresses: None, module }
}

/// What a line has beyond so many bytes does not help with an error.
const LONGEST_LINE: usize = 4096;
/// More of an error than this is not shown: in bytes.
const LONGEST_ERROR: usize = 600;

/// At most so many bytes of a text, from its begin.
fn begin_of(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// A text that is kept to a sane length; `…` stands for what is cut off.
fn shortened(text: &str) -> String {
    match begin_of(text, LONGEST_ERROR) {
        begin if begin.len() < text.len() => format!("{begin}…"),
        whole => whole.to_owned(),
    }
}

/// What the sandbox refused during a whole build, by its log; nothing for logs of builds without one.
#[must_use]
pub fn refusals(log: &str) -> Vec<Refusal> {
    if confined_module(log).is_none() {
        return Vec::new();
    }
    refusals_in(log)
}

/// The same for what a command wrote that is known to have run in a sandbox.
#[must_use]
pub fn refusals_in(text: &str) -> Vec<Refusal> {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| begin_of(line, LONGEST_LINE).trim_end())
        .filter(|line| !is_ours(line))
        .collect();
    refusal::of(&lines)
}

/// The module that a log of ours is about, if it was built in a sandbox.
fn confined_module(log: &str) -> Option<String> {
    let head = log.lines().next()?.strip_prefix("dkms-")?;
    let (_, module) = head.split_once(": build of ")?;
    let name = module.split('/').next()?;
    (!log.contains("\n# not in a sandbox: ")).then(|| name.to_owned())
}

/// The kernel that a build was for, if the log is one of ours.
fn kernel_of(log: &str) -> Option<&str> {
    let head = log.lines().next()?.strip_prefix("dkms-")?;
    head.split_once(" for kernel ")?.1.split(' ').next()
}

/// In our own logs only what ran last can have failed.
fn last_command(log: &str) -> &str {
    log.rfind("\n# command: ").map_or(log, |at| &log[at..])
}

fn is_ours(line: &str) -> bool {
    ["# command: ", "# exit code: ", "# elapsed time: "].iter().any(|head| line.starts_with(head))
}

#[cfg(test)]
mod tests;
