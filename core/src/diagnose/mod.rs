//! Build logs: which error came first, and what causes it. Pure: reads text, touches nothing.
//!
//! What it says of causes is what a person would guess from the same lines; where those fit none that is known, it says nothing.

mod cause;
mod error;

pub use cause::Cause;
pub use error::LogError;

/// What a log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The first error in it that isn't the consequence of another.
    pub first_error: Option<LogError>,
    /// What is behind it, where that is known.
    pub cause: Option<Cause>,
}

impl Diagnosis {
    /// To be shown, a line each: the error, its cause, the remedy.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let error = self.first_error.iter().map(|error| format!("first error: {error}"));
        let cause = self.cause.iter().flat_map(|cause| [cause.to_string(), cause.remedy()]);
        error.chain(cause).collect()
    }
}

/// Reads a log, ours or any that make, a compiler, a shell or `patch` has written.
#[must_use]
pub fn diagnose(log: &str) -> Diagnosis {
    let lines: Vec<&str> = last_command(log)
        .lines()
        .map(|line| begin_of(line, LONGEST_LINE).trim_end())
        .filter(|line| !is_ours(line))
        .collect();
    let first_error = error::first(&lines);
    let cause = cause::of(first_error.as_ref(), &lines);
    let kept = |LogError { text, file, line }| LogError {
        text: shortened(&text),
        file: file.as_deref().map(shortened),
        line,
    };
    Diagnosis { first_error: first_error.map(kept), cause }
}

/// More of a line than this says nothing of an error: in bytes.
const LONGEST_LINE: usize = 4096;
/// More of an error than this is not shown: in bytes.
const LONGEST_ERROR: usize = 600;

/// At most so many bytes of a text, from its begin.
fn begin_of(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// A text that is kept to a sane length; what is cut off is told by `…`.
fn shortened(text: &str) -> String {
    match begin_of(text, LONGEST_ERROR) {
        begin if begin.len() < text.len() => format!("{begin}…"),
        whole => whole.to_owned(),
    }
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
