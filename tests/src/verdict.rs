//! Judges how a command ended: one clear error or none, a quiet stdout, nothing on disk that it had
//! no reason to change.
//!
//! Each judgement is a list of what is wrong, empty where all is well, so that a table can
//! tell everything at once.

use crate::capture::Listing;
use crate::root::Output;

/// How every error begins.
const ERROR: &str = "Error! ";

/// What the progress lines of the working commands begin with.
const PROGRESS: [&str; 15] = [
    "Done in ",
    "Failed after ",
    "kernel ",
    "waiting for ",
    "Adding ",
    "Building ",
    "Installing ",
    "installing ",
    "Uninstalling ",
    "Removing ",
    "removing ",
    "module `",
    "Running ",
    "Undoing ",
    "Stopping",
];

/// What is wrong with a command that should have failed with this code and an error that says all of `says`.
#[must_use]
pub fn of_failure(output: &Output, code: i32, says: &[&str]) -> Vec<String> {
    let mut wrong = of_any(output);
    if output.code != code {
        wrong.push(format!("ended with {} instead of {code}", output.code));
    }
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with(ERROR)).collect();
    let [error] = errors[..] else {
        wrong.push(format!("told {} errors instead of one: {:?}", errors.len(), output.stderr));
        return wrong;
    };
    let missing = says.iter().filter(|word| !error.contains(**word));
    wrong.extend(missing.map(|word| format!("the error does not say `{word}`: {error}")));
    wrong
}

/// What is wrong with a command that should have succeeded.
#[must_use]
pub fn of_success(output: &Output) -> Vec<String> {
    let mut wrong = of_any(output);
    if output.code != 0 || output.stderr.contains(ERROR) {
        wrong.push(format!("ended with {}: {}", output.code, output.stderr));
    }
    wrong
}

fn of_any(output: &Output) -> Vec<String> {
    let mut wrong = Vec::new();
    if output.stderr.contains("panicked") {
        wrong.push(format!("it panicked: {}", output.stderr));
    }
    // Hints are indented below what they belong to; nothing else is.
    let known = |line: &str| ["  ", ERROR, "Warning: "].iter().any(|start| line.starts_with(start));
    if let Some(line) = output.stderr.lines().find(|line| !known(line)) {
        wrong.push(format!("stderr has a line of nobody's: {line:?}"));
    }
    wrong
}

/// What stdout has besides lines of progress.
#[must_use]
pub fn nonsense(stdout: &str) -> Vec<String> {
    let known = |line: &str| PROGRESS.iter().any(|start| line.starts_with(start));
    let unknown = stdout.lines().filter(|line| !known(line));
    unknown.map(|line| format!("stdout has a line that tells nothing: {line:?}")).collect()
}

/// Whether a path is what we remember between commands: locks, journal, attempts. It is no part of any
/// module's state, the 3.x line never looks at names that begin with a dot, and what must not be left there
/// is asked for by name.
#[must_use]
pub fn is_remembered(path: &str) -> bool {
    path.split('/').any(|part| part == ".state")
}

/// Every path that is not what it was, those below one of `but` and what we remember left out.
#[must_use]
pub fn changes(before: &Listing, after: &Listing, but: &[&str]) -> Vec<String> {
    let excused = |path: &&String| {
        is_remembered(path)
            || but.iter().any(|top| {
                path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    let mut wrong = Vec::new();
    for path in after.keys().filter(|path| !before.contains_key(*path) && !excused(path)) {
        wrong.push(format!("`{path}` is new"));
    }
    for (path, node) in before.iter().filter(|(path, _)| !excused(path)) {
        match after.get(path) {
            None => wrong.push(format!("`{path}` is gone")),
            Some(now) if now != node => wrong.push(format!("`{path}` was {node}, and is {now}")),
            Some(_) => {}
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Node;

    fn ended(code: i32, stderr: &str) -> Output {
        Output { code, stdout: String::new(), stderr: stderr.to_owned() }
    }

    #[test]
    fn a_failure_has_one_error_that_says_enough() {
        assert!(of_failure(&ended(8, "Error! `foo` is bad\n  try bar\n"), 8, &["foo"]).is_empty());
        for stderr in ["", "Error! a foo\nError! b foo\n", "Error! b\n", "Error! foo\nbash: garbage\n"] {
            assert!(!of_failure(&ended(8, stderr), 8, &["foo"]).is_empty(), "{stderr:?} passed");
        }
        assert!(!of_failure(&ended(9, "Error! foo\n"), 8, &["foo"]).is_empty());
        assert!(!of_success(&ended(0, "Error! foo\n")).is_empty());
        assert!(of_success(&ended(0, "Warning: foo\n")).is_empty());
    }

    #[test]
    fn what_changed_is_told_but_for_what_may() {
        let node = |mode| Node { kind: 'f', mode, owner: (0, 0), detail: String::new() };
        let listing = |paths: &[(&str, u32)]| -> Listing {
            paths.iter().map(|(path, mode)| ((*path).to_owned(), node(*mode))).collect()
        };
        let before = listing(&[("/a", 1), ("/b", 1), ("/c", 1)]);
        let after = listing(&[("/a", 1), ("/b", 2), ("/d", 1), ("/d/e", 1), ("/dx", 1)]);
        assert_eq!(changes(&before, &after, &[]).len(), 5);
        assert_eq!(changes(&before, &after, &["/d", "/b"]), ["`/dx` is new", "`/c` is gone"]);
        assert!(changes(&before, &before, &[]).is_empty());
    }
}
