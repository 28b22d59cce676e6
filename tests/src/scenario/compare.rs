//! Two runs of a scenario → where they differ though the table doesn't say so, or don't though it does. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::{Command, Difference, Observation, Scenario, Side};
use crate::capture::Listing;
use crate::verdict::is_remembered;

/// Something that isn't as the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Scenario, file and line, and command.
    pub at: String,
    /// What is wrong, a line each.
    pub lines: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Compares what the original did with what ours did.
#[must_use]
pub fn compare(scenario: &Scenario, theirs: &[Observation], ours: &[Observation]) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut declared: Vec<(Side, String)> = Vec::new();
    let mut apart = false;
    let commands = scenario.commands().count();
    if (theirs.len(), ours.len()) != (commands, commands) {
        let line =
            format!("{commands} commands, {} runs of the original, {} of ours", theirs.len(), ours.len());
        mismatches.push(Mismatch { at: format!("{} ({})", scenario.name, scenario.at), lines: vec![line] });
    }
    for (command, (their, our)) in scenario.commands().zip(theirs.iter().zip(ours)) {
        let none = Difference::default();
        let difference = command.difference.as_ref().unwrap_or(&none);
        let mut lines = Vec::new();
        apart |= difference.apart;
        codes(difference, their, our, &mut lines);
        output(command, difference, apart, their, our, &mut lines);
        states(command, difference, apart, their, our, &mut lines);
        says_why(our, &mut lines);
        if !apart {
            declared.extend(difference.paths.iter().cloned());
            trees(&declared, &difference.paths, &their.listing, &our.listing, &mut lines);
        }
        if !lines.is_empty() {
            let at =
                format!("{} ({}, line {}): dkms {}", scenario.name, scenario.at, command.line, command.words);
            if our.code != 0 || their.code != 0 {
                lines.push(format!("our stderr: {}", our.stderr.trim().replace('\n', "\n        ")));
            }
            mismatches.push(Mismatch { at, lines });
        }
    }
    mismatches
}

fn codes(difference: &Difference, their: &Observation, our: &Observation, lines: &mut Vec<String>) {
    match difference.code {
        None if our.code != their.code => {
            lines.push(format!("exit code: original {}, ours {}", their.code, our.code));
        }
        Some(code) if our.code != code => {
            lines.push(format!("exit code: declared {code}, ours {}", our.code));
        }
        Some(code) if their.code == code => {
            lines
                .push(format!("exit code {code} is declared as a difference, but the original gives it too"));
        }
        _ => {}
    }
}

fn output(
    command: &Command,
    difference: &Difference,
    apart: bool,
    their: &Observation,
    our: &Observation,
    lines: &mut Vec<String>,
) {
    let printed: Vec<&str> = our.stdout.lines().collect();
    if let Some(declared) = &difference.prints {
        if printed != *declared {
            lines.push(format!("stdout: declared {declared:?}, ours {printed:?}"));
        }
        if our.stdout == their.stdout {
            lines.push("stdout is declared as a difference, but the original prints the same".to_owned());
        }
    } else if command.prints_for_programs() && their.code == 0 && !apart && our.stdout != their.stdout {
        let original: Vec<&str> = their.stdout.lines().collect();
        lines.push(format!("stdout: original {original:?}"));
        lines.push(format!("        ours     {printed:?}"));
    }
}

/// What `status` says after the command (if that wasn't the command itself), in lines and as JSON.
fn states(
    command: &Command,
    difference: &Difference,
    apart: bool,
    their: &Observation,
    our: &Observation,
    lines: &mut Vec<String>,
) {
    if let Some(declared) = &difference.status {
        if our.status != *declared {
            lines.push(format!("status afterwards: declared {declared:?}, ours {:?}", our.status));
        }
        if our.status == their.status {
            lines.push("status is declared as a difference, but the original says the same".to_owned());
        }
    } else if !apart && command.words != "status" && our.status != their.status {
        lines.push(format!("status afterwards: original {:?}", their.status));
        lines.push(format!("                   ours     {:?}", our.status));
    }
    if let Some(document) = &our.document
        && *document != our.status
    {
        lines.push(format!("status afterwards: as JSON {document:?}, as lines {:?}", our.status));
    }
}

/// A command that fails says so, in the form that programs and people know.
fn says_why(our: &Observation, lines: &mut Vec<String>) {
    let said = |start| our.stderr.lines().any(|line: &str| line.starts_with(start));
    if our.code != 0 && !said("Error! ") && !(our.code == 77 && said("Warning: ")) {
        lines.push(format!("exit code {} without a line that begins with `Error! `", our.code));
    }
}

fn trees(
    declared: &[(Side, String)],
    new: &[(Side, String)],
    their: &Listing,
    our: &Listing,
    lines: &mut Vec<String>,
) {
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    let paths: BTreeSet<&String> = their.keys().chain(our.keys()).collect();
    for path in paths.into_iter().filter(|path| !is_remembered(path)) {
        let (side, text) = match (their.get(path), our.get(path)) {
            (Some(t), None) => (Side::Theirs, format!("{path}: only the original has it ({t})")),
            (None, Some(o)) => (Side::Ours, format!("{path}: only ours has it ({o})")),
            (Some(t), Some(o)) if t != o => (Side::Both, format!("{path}: original {t}, ours {o}")),
            _ => continue,
        };
        let covers = |(of, start): &&(Side, String)| {
            *of == side
                && path.strip_prefix(start.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'))
        };
        if let Some(index) = new.iter().position(|one| covers(&one)) {
            shown.insert(index);
        } else if !declared.iter().any(|one| covers(&one)) {
            lines.push(text);
        }
    }
    for (index, (side, path)) in new.iter().enumerate() {
        if !shown.contains(&index) {
            lines.push(format!("{path}: a difference is declared ({side:?}), but there is none"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::capture::{Listing, Node};
    use crate::scenario::{Observation, parse};

    fn seen(code: i32, stdout: &str, paths: &[(&str, u32)]) -> Observation {
        let node = |mode| Node { kind: 'f', mode, owner: (0, 0), detail: String::new() };
        let listing: Listing = paths.iter().map(|(p, m)| ((*p).to_owned(), node(*m))).collect();
        let stderr = if code == 0 { String::new() } else { "Error! x\n".to_owned() };
        let (status, document) = (Vec::new(), Some(Vec::new()));
        Observation { code, stdout: stdout.to_owned(), stderr, listing, status, document }
    }

    fn check(text: &str, theirs: &Observation, ours: &Observation) -> Vec<String> {
        let table = parse("t", text).unwrap();
        let found = compare(&table[0], std::slice::from_ref(theirs), std::slice::from_ref(ours));
        found.into_iter().flat_map(|mismatch| mismatch.lines).collect()
    }

    #[test]
    fn equal_runs_are_equal() {
        let run = seen(0, "foo/1.0: added\n", &[("/var/lib/dkms/foo", 0o755)]);
        assert!(check("= s\n$ status\n", &run, &run).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let run = seen(0, "a\n", &[("/x", 0o755)]);
        assert!(!check("= s\n$ status\n", &run, &seen(1, "a\n", &[("/x", 0o755)])).is_empty());
        assert!(!check("= s\n$ status\n", &run, &seen(0, "b\n", &[("/x", 0o755)])).is_empty());
        assert!(!check("= s\n$ status\n", &run, &seen(0, "a\n", &[("/x", 0o700)])).is_empty());
        assert!(!check("= s\n$ status\n", &run, &seen(0, "a\n", &[])).is_empty());
        assert!(!check("= s\n$ status\n", &run, &seen(0, "a\n", &[("/x", 0o755), ("/y", 0)])).is_empty());
        assert!(check("= s\n$ build\n", &run, &seen(0, "b\n", &[("/x", 0o755)])).is_empty());
    }

    #[test]
    fn declared_differences_must_show() {
        let run = seen(0, "", &[("/x", 0o755)]);
        let text = "= s\n$ build\n  ! why\n  ! code 6\n  ! only ours /y\n";
        assert!(check(text, &run, &seen(6, "", &[("/x", 0o755), ("/y/z", 0)])).is_empty());
        assert!(!check(text, &run, &seen(6, "", &[("/x", 0o755)])).is_empty());
        assert!(!check(text, &run, &seen(0, "", &[("/x", 0o755), ("/y", 0)])).is_empty());
        assert!(!check("= s\n$ build\n  ! why\n  ! code 0\n", &run, &run).is_empty());
    }

    #[test]
    fn a_silent_failure_is_found() {
        let mut run = seen(6, "", &[]);
        run.stderr.clear();
        assert!(!check("= s\n$ build\n", &run, &run).is_empty());
    }

    #[test]
    fn states_are_compared_after_every_command() {
        let run = seen(0, "", &[]);
        let mut other = run.clone();
        other.status = vec!["foo/1.0: added".to_owned()];
        assert_eq!(check("= s\n$ build\n", &run, &other).len(), 3, "two lines of both, and the document");
        other.document = Some(other.status.clone());
        assert!(check("= s\n$ build\n  ! why\n  ! status foo/1.0: added\n", &run, &other).is_empty());
        assert!(!check("= s\n$ build\n  ! why\n  ! status foo/1.0: built\n", &run, &other).is_empty());
        assert!(!check("= s\n$ build\n  ! why\n  ! status foo/1.0: added\n", &other, &other).is_empty());
        other.document = Some(Vec::new());
        assert!(!check("= s\n$ build\n", &other, &other).is_empty());
    }

    #[test]
    fn a_command_without_observation_is_found() {
        let table = parse("t", "= s\n$ status\n$ status\n").unwrap();
        let run = [seen(0, "", &[]), seen(0, "", &[])];
        assert!(compare(&table[0], &run, &run).is_empty());
        assert_eq!(compare(&table[0], &run, &run[..1]).len(), 1);
        assert_eq!(compare(&table[0], &run[..1], &run[..1]).len(), 1);
    }
}
