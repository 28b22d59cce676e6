//! Who holds which locks, and since when: a small record for each command that changes
//! something, for those who wait.
//!
//! Only told to people, and asked whether a holder stands above us; a lock is held because the kernel says
//! so ([`super::lock`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::key::{Key, Keys};
use super::state;
use crate::host::ancestry::{self, ProcessIdentity};
use crate::host::{clock, fs, scratch};
use crate::layout::Layout;

/// The format of the records.
const VERSION: u32 = 1;

/// No record of ours is longer; what is, isn't one.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    pid: u32,
    /// So that a later process with the same number isn't taken for it.
    started: u64,
    command: String,
    /// Seconds since 1970.
    since: u64,
    /// The names of the lock files.
    keys: Vec<String>,
}

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub process: ProcessIdentity,
    /// Its command line.
    pub command: String,
    /// For how many seconds it has been at work; `None`: not known.
    pub seconds: Option<u64>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} (`{}`)", self.process.pid, self.command)?;
        match self.seconds {
            Some(seconds) => write!(f, ", running for {seconds} s"),
            None => Ok(()),
        }
    }
}

/// Our own record; it goes with this value.
#[derive(Debug)]
pub(super) struct Running(PathBuf);

impl Running {
    /// A name for one; nothing is written yet.
    pub(super) fn new(layout: &Layout) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self(layout.running_dir().join(format!("{}.{unique}", std::process::id())))
    }

    /// Writes down what we hold. Without a record others wait as well, and only know less: a failure is none.
    pub(super) fn write(&self, layout: &Layout, keys: &Keys, since: u64) {
        let ProcessIdentity { pid, started } = ancestry::own();
        let record = Record {
            version: VERSION,
            pid,
            started,
            command: ancestry::command_line(pid).unwrap_or_default(),
            since,
            keys: keys.iter().map(|(key, _)| key.file_name()).collect(),
        };
        let text = serde_json::to_string(&record).unwrap_or_default();
        let made = state::create_folder(layout, &layout.running_dir());
        drop(made.and_then(|()| scratch::write_note(&self.0, &text)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// A record whose process still runs.
fn read(path: &Path) -> Option<Record> {
    let is_alive =
        |record: &Record| ancestry::identity(record.pid).is_some_and(|found| found.started == record.started);
    parse(path).filter(is_alive)
}

fn parse(path: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read_limited(path, LONGEST).ok()?).ok()?;
    (record.version == VERSION).then_some(record)
}

/// A command line of another process as a terminal may show it: at most so long, and without what
/// steers the terminal.
pub(super) fn plain(command: &str) -> String {
    const LONGEST: usize = 200;
    // U+200E to U+202E and U+2066 to U+2069 change the direction of text.
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    command.chars().filter(|c| !steers(*c)).take(LONGEST).collect()
}

/// Leaves the record of a process that worked on something and is gone.
#[cfg(test)]
pub(super) fn somebody_died(layout: &Layout, key: &Key) {
    let keys = vec![key.file_name()];
    // Process numbers end at 4194304 (PID_MAX_LIMIT).
    let record =
        Record { version: VERSION, pid: 4_999_999, started: 1, command: "dkms".to_owned(), since: 0, keys };
    fs::create_dir_all(&layout.running_dir()).unwrap();
    let text = serde_json::to_vec(&record).unwrap();
    fs::write_whole(&layout.running_dir().join(format!("4999999.{}", key.file_name())), &text, 0o644)
        .unwrap();
}

/// Who holds a lock, as far as the records say.
pub(super) fn holders(layout: &Layout, key: &Key) -> Vec<Holder> {
    let name = key.file_name();
    let records = fs::list(&layout.running_dir()).unwrap_or_default().into_iter();
    let records = records.filter_map(|entry| read(&layout.running_dir().join(entry.name)));
    let now = clock::unix_seconds();
    let holder = |record: Record| Holder {
        process: ProcessIdentity { pid: record.pid, started: record.started },
        command: plain(&record.command),
        seconds: Some(now.saturating_sub(record.since)),
    };
    records.filter(|record| record.keys.contains(&name)).map(holder).collect()
}

/// Whether another process than this one holds a lock now, and so may be in the middle of a change.
#[must_use]
pub fn is_anybody_else(layout: &Layout) -> bool {
    let records = fs::list(&layout.running_dir()).unwrap_or_default().into_iter();
    let mut alive = records.filter_map(|entry| read(&layout.running_dir().join(entry.name)));
    alive.any(|record| record.pid != std::process::id())
}

/// The records of processes that are gone.
#[derive(Debug, Default)]
pub(super) struct Dead {
    records: Vec<(PathBuf, Vec<String>)>,
}

/// Looks for them. One that can't be read names nothing: it was being written, before its process
/// had changed anything.
pub(super) fn dead(layout: &Layout) -> Dead {
    let paths = fs::list(&layout.running_dir()).unwrap_or_default().into_iter();
    let paths = paths.map(|entry| layout.running_dir().join(entry.name));
    let gone = paths.filter(|path| read(path).is_none());
    let records = gone.map(|path| {
        let keys = parse(&path).map(|record| record.keys).unwrap_or_default();
        (path, keys)
    });
    Dead { records: records.collect() }
}

impl Dead {
    /// Whether one of them worked on this.
    pub(super) fn had(&self, key: &Key) -> bool {
        let name = key.file_name();
        self.records.iter().any(|(_, keys)| keys.contains(&name))
    }

    /// What they left has been looked after, but for these: the records of the others go.
    pub(super) fn forget(self, but: &[Key]) {
        let kept: Vec<String> = but.iter().map(Key::file_name).collect();
        for (path, _) in self.records.iter().filter(|(_, keys)| !keys.iter().any(|key| kept.contains(key))) {
            drop(fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ModuleName;
    use crate::tree::Mode;

    #[test]
    fn a_record_is_read_as_long_as_its_process_runs() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let key = Key::Module(ModuleName::new("foo").unwrap());
        let other = Key::Module(ModuleName::new("bar").unwrap());
        let running = Running::new(&layout);
        running.write(&layout, &Keys::default().with(key.clone(), Mode::Exclusive), clock::unix_seconds());
        assert_eq!(holders(&layout, &key).len(), 1);
        assert_eq!(holders(&layout, &key)[0].process, ancestry::own());
        assert!(holders(&layout, &other).is_empty());
        // A later process with the same number.
        let text = fs::read_lossy(&running.0).unwrap();
        let own = ancestry::own();
        let stale = text.replace(&own.started.to_string(), "1");
        fs::write_whole(&layout.running_dir().join("stale"), stale.as_bytes(), 0o644).unwrap();
        fs::write_whole(&layout.running_dir().join("garbage"), b"{\"version\":1", 0o644).unwrap();
        assert_eq!(holders(&layout, &key).len(), 1);
        assert!(dead(&layout).had(&key) && !dead(&layout).had(&other));
        dead(&layout).forget(std::slice::from_ref(&key));
        assert_eq!(fs::list(&layout.running_dir()).unwrap().len(), 2, "the one without keys goes");
        dead(&layout).forget(&[other]);
        assert_eq!(fs::list(&layout.running_dir()).unwrap().len(), 1);
        drop(running);
        assert!(fs::list(&layout.running_dir()).unwrap().is_empty());
    }

    #[test]
    fn the_command_line_of_another_process_steers_no_terminal_and_is_short() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let key = Key::Module(ModuleName::new("foo").unwrap());
        let running = Running::new(&layout);
        running.write(&layout, &Keys::default().with(key.clone(), Mode::Exclusive), clock::unix_seconds());
        let mut record = parse(&running.0).unwrap();
        record.command = format!("a\x1b]0;T\x07\r\u{9b}2J\u{202e}\u{2066}b{}", "x".repeat(1000));
        fs::write_whole(&running.0, &serde_json::to_vec(&record).unwrap(), 0o644).unwrap();
        let told = holders(&layout, &key)[0].command.clone();
        assert!(told.starts_with("a]0;T2Jbxx") && told.len() == 200, "{told:?}");
    }
}
