//! What became of the last builds of each module for each kernel: when, how long, how much memory, why it
//! failed, with the log of a failure. So what has failed need not be tried again as long as nothing has
//! changed, and a batch knows what to expect.
//!
//! `.state/attempts/M/V/K/A/N.json` with `N.log` beside it, the highest number the newest. What can't be read
//! as such isn't there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::fs::{self, FsError};
use crate::host::leftovers;
use crate::id::{ModuleId, ModuleName, Target};
use crate::layout::Layout;

/// Grows with every incompatible change.
const FORMAT: u32 = 1;
/// How many are kept for each module and kernel.
const KEPT: usize = 5;
/// Larger than any record.
const RECORD_LIMIT: u64 = 256 << 10;
/// What is kept of a log at its begin, where the first error is, and at its end.
const LOG_PART: u64 = 2 << 20;

/// A build that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`] of the version that wrote it.
    version: u32,
    /// When it ended, in seconds since 1970.
    pub when: u64,
    /// How long it took.
    pub seconds: f64,
    /// Its memory at the peak, in bytes, where that was measured.
    pub memory: Option<u64>,
    /// The inputs key, where there is one, and the outcome follows from the inputs.
    pub key: Option<String>,
    /// The result was taken from the build cache.
    pub cached: bool,
    /// Why it failed; `None`: it didn't.
    pub failure: Option<Failure>,
}

/// Why a build failed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error, as it was reported.
    pub error: String,
    /// What the log says: the first error, its cause, the remedy.
    pub diagnosis: Vec<String>,
}

impl Failure {
    /// The first error of the log, or failing that the error.
    #[must_use]
    pub fn first(&self) -> &str {
        self.diagnosis.first().unwrap_or(&self.error)
    }
}

impl Record {
    /// A build that has just ended.
    #[must_use]
    pub fn new(when: u64, seconds: f64, memory: Option<u64>) -> Self {
        Self { version: FORMAT, when, seconds, memory, key: None, cached: false, failure: None }
    }
}

/// A build that was tried, as it is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The module.
    pub id: ModuleId,
    /// The kernel.
    pub target: Target,
    /// What became of it.
    pub record: Record,
    /// The log, where it failed and that was kept.
    pub log: Option<PathBuf>,
}

/// What a build of a module will take, as far as the past tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// From begin to end.
    pub seconds: f64,
    /// At its peak, in bytes.
    pub memory: Option<u64>,
}

/// Remembers a build, and its log; forgets the oldest.
///
/// # Errors
/// [`FsError`]; then it is not remembered.
pub fn record(
    layout: &Layout,
    id: &ModuleId,
    target: &Target,
    record: &Record,
    log: Option<&Path>,
) -> Result<(), FsError> {
    let dir = layout.attempts_dir(id, target);
    fs::create_dir_all(&dir)?;
    // Nobody else looks after this folder.
    leftovers::sweep_folder(&dir, 0)?;
    let mut numbers = numbers(&dir);
    let number = numbers.last().map_or(1, |last| last + 1);
    if let Some(log) = log {
        fs::write_whole(&dir.join(format!("{number}.log")), &shortened(log)?, 0o644)?;
    }
    // Texts and numbers can always be written as JSON.
    let text = serde_json::to_vec_pretty(record).unwrap_or_default();
    fs::write_whole(&dir.join(format!("{number}.json")), &text, 0o644)?;
    numbers.push(number);
    for old in numbers.iter().rev().skip(KEPT) {
        fs::remove_file(&dir.join(format!("{old}.json")))?;
        fs::remove_file(&dir.join(format!("{old}.log")))?;
    }
    Ok(())
}

/// A log without its middle, where it is huge.
fn shortened(log: &Path) -> Result<Vec<u8>, FsError> {
    let (begin, left_out, end) = fs::read_ends(log, LOG_PART, LOG_PART)?;
    let note = if left_out > 0 { format!("\n# {left_out} bytes are left out here\n") } else { String::new() };
    Ok([begin, note.into_bytes(), end].concat())
}

/// The numbers of the records in a folder, ascending.
fn numbers(dir: &Path) -> Vec<u64> {
    let names = fs::list(dir).unwrap_or_default().into_iter();
    let number = |entry: fs::Entry| entry.name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
    let mut numbers: Vec<u64> = names.filter_map(number).filter(|number| *number < u64::MAX).collect();
    numbers.sort_unstable();
    numbers
}

/// The builds of a module for a kernel, newest first.
#[must_use]
pub fn list(layout: &Layout, id: &ModuleId, target: &Target) -> Vec<Attempt> {
    let dir = layout.attempts_dir(id, target);
    let read = |number: u64| {
        let text = fs::read_limited(&dir.join(format!("{number}.json")), RECORD_LIMIT).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        let is_sound = record.version == FORMAT && record.seconds.is_finite() && record.seconds >= 0.0;
        let log = Some(dir.join(format!("{number}.log"))).filter(|log| fs::is_file(log));
        is_sound.then(|| Attempt { id: id.clone(), target: target.clone(), record, log })
    };
    numbers(&dir).into_iter().rev().filter_map(read).collect()
}

/// The newest build of a module for a kernel.
#[must_use]
pub fn last(layout: &Layout, id: &ModuleId, target: &Target) -> Option<Attempt> {
    list(layout, id, target).into_iter().next()
}

/// The newest build, where that is a failure with the inputs that there are now.
#[must_use]
pub fn remembered_failure(
    layout: &Layout,
    id: &ModuleId,
    target: &Target,
    current_key: &str,
) -> Option<Attempt> {
    let is_the_same =
        |record: &Record| record.failure.is_some() && record.key.as_deref() == Some(current_key);
    last(layout, id, target).filter(|attempt| is_the_same(&attempt.record))
}

/// The first error of the newest build, where that is a failure that follows from its inputs. Whether these
/// are still the same isn't looked at: that takes processes.
#[must_use]
pub fn last_failure(layout: &Layout, id: &ModuleId, target: &Target) -> Option<String> {
    let record = last(layout, id, target)?.record;
    record.failure.filter(|_| record.key.is_some()).map(|failure| failure.first().to_owned())
}

/// All that are remembered, of one module or of all, newest first.
#[must_use]
pub fn all(layout: &Layout, name: Option<&ModuleName>) -> Vec<Attempt> {
    let root = layout.state_dir().join("attempts");
    let below = |dir: &Path| -> Vec<String> {
        let folders = fs::list(dir).unwrap_or_default().into_iter().filter(|entry| entry.kind.is_dir());
        folders.filter_map(|entry| entry.name.into_string().ok()).collect()
    };
    let names = match name {
        Some(name) => vec![name.to_string()],
        None => below(&root),
    };
    let mut attempts = Vec::new();
    for name in names {
        for version in below(&root.join(&name)) {
            let Ok(id) = ModuleId::parse(&name, &version) else { continue };
            for kernel in below(&root.join(&name).join(&version)) {
                for arch in below(&root.join(&name).join(&version).join(&kernel)) {
                    let Ok(target) = Target::parse(&kernel, &arch) else { continue };
                    attempts.extend(list(layout, &id, &target));
                }
            }
        }
    }
    attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.record.when));
    attempts
}

/// What a build of a module will take: as its newest real one, of any version for any kernel, that went well;
/// failing that, as the newest that didn't.
#[must_use]
pub fn expected(layout: &Layout, name: &ModuleName) -> Option<Expected> {
    let attempts = all(layout, Some(name));
    let real: Vec<&Record> =
        attempts.iter().map(|attempt| &attempt.record).filter(|record| !record.cached).collect();
    let good = real.iter().find(|record| record.failure.is_none()).or(real.first())?;
    let memory = good.memory.or_else(|| real.iter().find_map(|record| record.memory));
    Some(Expected { seconds: good.seconds, memory })
}

/// Forgets a module version's builds.
///
/// # Errors
/// [`FsError`].
pub fn forget(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    let of_name = layout.state_dir().join("attempts").join(&id.name);
    fs::discard(&of_name.join(&id.version))?;
    fs::remove_dir_if_empty(&of_name).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        dir: tempfile::TempDir,
        layout: Layout,
        id: ModuleId,
        target: Target,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        World { layout, dir, id, target: Target::parse("6.1.0", "x86_64").unwrap() }
    }

    fn failed(when: u64, key: &str) -> Record {
        let failure = Failure { error: "it failed".to_owned(), diagnosis: vec!["first error: x".to_owned()] };
        Record { key: Some(key.to_owned()), failure: Some(failure), ..Record::new(when, 2.0, None) }
    }

    impl World {
        fn record(&self, record: &Record) {
            let log = self.dir.path().join("make.log");
            fs::write_whole(&log, b"the log\n", 0o644).unwrap();
            super::record(&self.layout, &self.id, &self.target, record, Some(&log)).unwrap();
        }

        fn remembered(&self, key: &str) -> bool {
            remembered_failure(&self.layout, &self.id, &self.target, key).is_some()
        }
    }

    #[test]
    fn the_last_five_are_kept_newest_first() {
        let world = world();
        (1..=7).for_each(|when| world.record(&failed(when, "k")));
        let whens: Vec<u64> =
            list(&world.layout, &world.id, &world.target).iter().map(|attempt| attempt.record.when).collect();
        assert_eq!(whens, [7, 6, 5, 4, 3]);
        let newest = last(&world.layout, &world.id, &world.target).unwrap();
        assert_eq!(newest.record, failed(7, "k"));
        assert_eq!(fs::read_lossy(&newest.log.unwrap()).unwrap(), "the log\n");
        let dir = world.layout.attempts_dir(&world.id, &world.target);
        assert_eq!(fs::list(&dir).unwrap().len(), 10);
    }

    #[test]
    fn only_the_newest_failure_of_the_same_inputs_is_remembered() {
        let world = world();
        world.record(&failed(1, "k"));
        assert!(world.remembered("k") && !world.remembered("other"));
        let told = || last_failure(&world.layout, &world.id, &world.target);
        assert_eq!(told().as_deref(), Some("first error: x"));
        world.record(&Record::new(2, 1.0, None));
        assert!(!world.remembered("k") && told().is_none(), "it has worked since");
        world.record(&Record { key: None, ..failed(3, "k") });
        assert!(!world.remembered("k") && told().is_none(), "a full disk, say");
    }

    #[test]
    fn what_is_expected_comes_from_real_builds() {
        let world = world();
        assert_eq!(expected(&world.layout, &world.id.name), None);
        world.record(&failed(1, "k"));
        assert_eq!(expected(&world.layout, &world.id.name).unwrap().seconds, 2.0);
        world.record(&Record::new(2, 30.0, Some(100)));
        world.record(&Record { cached: true, ..Record::new(3, 0.1, Some(1)) });
        let other = World { id: ModuleId::parse("foo", "2.0").unwrap(), ..world };
        other.record(&failed(4, "k"));
        let wanted = Expected { seconds: 30.0, memory: Some(100) };
        assert_eq!(expected(&other.layout, &other.id.name), Some(wanted));
        assert_eq!(all(&other.layout, None).iter().map(|a| a.record.when).collect::<Vec<_>>(), [4, 3, 2, 1]);
    }

    #[test]
    fn what_is_no_record_is_not_there() {
        let world = world();
        let dir = world.layout.attempts_dir(&world.id, &world.target);
        fs::create_dir_all(&dir).unwrap();
        let good = serde_json::to_string(&failed(1, "k")).unwrap();
        for (name, text) in [
            ("1.json", ""),
            ("2.json", "{"),
            ("3.json", &good.replace("\"version\":1", "\"version\":2")),
            ("4.json", &good.replace("\"seconds\":2.0", "\"seconds\":-2.0")),
            ("x.json", &good),
            ("18446744073709551615.json", &good),
        ] {
            fs::write_whole(&dir.join(name), text.as_bytes(), 0o644).unwrap();
        }
        assert_eq!(list(&world.layout, &world.id, &world.target), []);
        fs::create_dir_all(&world.layout.state_dir().join("attempts/-x/1/2/3")).unwrap();
        fs::create_dir_all(&dir.join("7.json")).unwrap();
        assert_eq!(all(&world.layout, None), []);
        world.record(&failed(9, "k"));
        assert_eq!(list(&world.layout, &world.id, &world.target).len(), 1);
    }

    #[test]
    fn a_module_that_goes_takes_them_along() {
        let world = world();
        world.record(&failed(1, "k"));
        crate::tree::registration::forget(&world.layout, &world.id).unwrap();
        assert_eq!(all(&world.layout, None), []);
        assert!(!fs::exists(&world.layout.state_dir().join("attempts/foo")));
    }

    #[test]
    fn the_middle_of_a_huge_log_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (path, part) = (dir.path().join("log"), usize::try_from(LOG_PART).unwrap());
        let log = [vec![b'a'; part], vec![b'b'; 1_000], vec![b'c'; part]].concat();
        fs::write_whole(&path, &log, 0o644).unwrap();
        let short = String::from_utf8(shortened(&path).unwrap()).unwrap();
        fs::write_whole(&path, &log[..part + 2_000], 0o644).unwrap();
        assert_eq!(shortened(&path).unwrap(), log[..part + 2_000]);
        assert!(short.contains("a\n# 1000 bytes are left out here\nc") && !short.contains("bb"));
    }
}
