//! Which processes stand above us, from proc(5).

use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::OnceLock;

use super::fs;
use super::process::quote;

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks after boot (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

/// Those that stood above us when we left their system for an image, where they can't be seen.
static REMEMBERED: OnceLock<Vec<ProcessIdentity>> = OnceLock::new();

/// Notes who stands above us now, for [`ancestors`].
pub(super) fn remember() {
    let _ = REMEMBERED.set(ancestors());
}

/// The parent of our parent: rpm, where a scriptlet's shell runs us. `None` without `/proc`.
#[must_use]
pub fn grandparent() -> Option<ProcessIdentity> {
    if let Some(remembered) = REMEMBERED.get() {
        return remembered.get(1).copied();
    }
    let (parent, _) = parent_and_start(std::os::unix::process::parent_id())?;
    let (_, started) = parent_and_start(parent)?;
    Some(ProcessIdentity { pid: parent, started })
}

/// The standard output of our parent, with its place in the file: opened again, a regular file would have
/// another one, and both would write over each other. `None` if it is not available.
#[must_use]
pub fn output_of_parent() -> Option<File> {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    let parent = std::os::unix::process::parent_id();
    let shared = || {
        let pid = Pid::from_raw(i32::try_from(parent).ok()?)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        pidfd_getfd(process, 1, PidfdGetfdFlags::empty()).ok().map(File::from)
    };
    let again = || {
        let path = format!("/proc/{parent}/fd/1");
        let file = fs::append_to(Path::new(&path)).ok()?;
        let kind = file.metadata().ok()?.file_type();
        (kind.is_fifo() || kind.is_char_device()).then_some(file)
    };
    shared().or_else(again)
}

/// Whether a process has a library in memory, as `librpm`.
#[must_use]
pub fn uses_library(pid: u32, name: &str) -> bool {
    let maps = fs::read_lossy(Path::new(&format!("/proc/{pid}/maps"))).unwrap_or_default();
    let names = [format!("/{name}.so"), format!("/{name}-")];
    maps.lines().any(|line| names.iter().any(|name| line.contains(name.as_str())))
}

/// A process by its number; `None` where there is none, or no `/proc`.
#[must_use]
pub fn identity(pid: u32) -> Option<ProcessIdentity> {
    parent_and_start(pid).map(|(_, started)| ProcessIdentity { pid, started })
}

/// Whether no process of this number runs any more. One that has ended and that nobody has waited for, as in
/// a container whose first process waits for none, runs no more.
#[must_use]
pub fn is_gone(pid: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let is_unknown = |pid: i32| {
        Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    };
    is_unknown(pid) || stat(pid.unsigned_abs()).is_some_and(|stat| has_ended(&stat))
}

/// This process.
#[must_use]
pub fn own() -> ProcessIdentity {
    let pid = std::process::id();
    identity(pid).unwrap_or(ProcessIdentity { pid, started: 0 })
}

/// All that stand above us: our parent, its parent, and so on.
#[must_use]
pub fn ancestors() -> Vec<ProcessIdentity> {
    if let Some(remembered) = REMEMBERED.get() {
        return remembered.clone();
    }
    let above = |pid: &u32| parent_and_start(*pid).map(|(parent, _)| parent).filter(|parent| *parent != 0);
    let first = std::os::unix::process::parent_id();
    std::iter::successors(Some(first).filter(|pid| *pid != 0), above).filter_map(identity).collect()
}

/// The command line of a process, as one could type it.
#[must_use]
pub fn command_line(pid: u32) -> Option<String> {
    let text = fs::read_lossy(Path::new(&format!("/proc/{pid}/cmdline"))).ok()?;
    let words: Vec<String> = text.trim_end_matches('\0').split('\0').map(quote).collect();
    Some(words.join(" ")).filter(|line| line != "''")
}

fn parent_and_start(pid: u32) -> Option<(u32, u64)> {
    parse_stat(&stat(pid)?)
}

fn stat(pid: u32) -> Option<String> {
    fs::read_lossy(Path::new(&format!("/proc/{pid}/stat"))).ok()
}

/// Field 3: `Z` and `X` are what is left of a process.
fn has_ended(stat: &str) -> bool {
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Fields 4 and 22 of proc_pid_stat(5). The second, the name, stands in parentheses and may hold anything.
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_no_trap() {
        let stat = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 1";
        assert_eq!(parse_stat(stat), Some((7, 12345)));
        assert_eq!(parse_stat("nonsense"), None);
        assert!(!has_ended(stat) && has_ended("12 (a) Z) Z 7 12") && !has_ended("nonsense"));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process that nobody waits for")]
    fn a_process_that_nobody_waited_for_is_gone() {
        assert!(!is_gone(i32::try_from(own().pid).unwrap()) && is_gone(4_999_999));
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let ended = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            is_gone(pid)
        });
        child.wait().unwrap();
        assert!(ended);
    }

    #[test]
    fn somebody_started_our_parent() {
        assert!(grandparent().is_some());
        assert_eq!(grandparent(), ancestors().get(1).copied());
        assert_eq!(ancestors().last().map(|first| first.pid), Some(1));
        assert!(command_line(own().pid).is_some_and(|line| !line.contains('\0')));
    }
}
