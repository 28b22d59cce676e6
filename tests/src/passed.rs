//! The points of long tests that an earlier run has passed: `make test-full` goes on where it was ended.
//!
//! A point that passes is recorded in the cache, under a key of all that its result depends on: the programs
//! under test, the test's own source, the code that all tests share, the packages of this machine. If one of
//! them changes, every point is tried again. A point that fails is never recorded.
//!
//! Only the full tier records and reads. Each test says how many points it took from earlier runs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use dkms_base::host::{clock, fs};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::cache::Cache;
use crate::command::must;
use crate::{say, tier};

/// Records of other programs that nobody has added to for so many seconds are deleted: a week.
const OLD: u64 = 7 * 24 * 3600;

/// No program is larger, be it made without any optimisation.
const LARGEST: u64 = 1 << 30;

/// The points of one test.
#[derive(Debug)]
pub struct Passed {
    test: &'static str,
    /// None outside the full tier.
    records: Option<Records>,
    /// How many points were asked for, and how many of them an earlier run had passed.
    asked: AtomicUsize,
    earlier: AtomicUsize,
}

/// The records of all that depends on the same.
#[derive(Debug)]
struct Records {
    folder: PathBuf,
    /// Nothing is taken from earlier runs.
    is_anew: bool,
}

impl Passed {
    /// Those of a test (its file, without `.rs`) with this source, which depend on these programs and texts
    /// besides what the tests share.
    ///
    /// # Errors
    /// If what they depend on cannot be read.
    pub fn of(
        cache: &Cache,
        (test, source): (&'static str, &str),
        programs: &[&Path],
        texts: &[&str],
    ) -> Result<Self> {
        let records = match tier::is_full() {
            true => Some(Records {
                folder: folder(&cache.at("points").join(test), source, programs, texts)?,
                is_anew: tier::is_anew(),
            }),
            false => None,
        };
        Ok(Self { test, records, asked: AtomicUsize::new(0), earlier: AtomicUsize::new(0) })
    }

    /// What an earlier run recorded of a point, if it passed there.
    #[must_use]
    pub fn earlier<T: DeserializeOwned>(&self, point: &str) -> Option<T> {
        let value = self.records.as_ref()?.read(point);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.earlier.fetch_add(usize::from(value.is_some()), Ordering::Relaxed);
        value
    }

    /// The points that an earlier run has passed, with what it recorded, and those that are left.
    #[must_use]
    pub fn sorted<T, V: DeserializeOwned>(
        &self,
        points: Vec<T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<(T, V)>, Vec<T>) {
        let (mut passed, mut left) = (Vec::new(), Vec::new());
        for point in points {
            match self.earlier(&name(&point)) {
                Some(value) => passed.push((point, value)),
                None => left.push(point),
            }
        }
        (passed, left)
    }

    /// The points that are left, of a test that needs to know nothing of the others.
    #[must_use]
    pub fn left<T>(&self, points: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
        self.sorted::<T, ()>(points, name).1
    }

    /// Records a point that has passed, with what a later run needs to know of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&self, point: &str, value: &impl Serialize) -> Result<()> {
        self.records.as_ref().map_or(Ok(()), |records| records.write(point, value))
    }
}

impl Records {
    fn read<T: DeserializeOwned>(&self, point: &str) -> Option<T> {
        let file = self.file(point);
        if self.is_anew {
            // It may fail now, and then a later run must not find it.
            fs::remove_any(&file).expect("a record can be removed from the cache");
        }
        let bytes = fs::optional(fs::read(&file)).ok()??;
        let (of, value) = serde_json::from_slice::<(String, T)>(&bytes).ok()?;
        (of == point).then_some(value)
    }

    fn write(&self, point: &str, value: &impl Serialize) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        Ok(fs::write_whole(&self.file(point), &serde_json::to_vec(&(point, value))?, 0o644)?)
    }

    fn file(&self, point: &str) -> PathBuf {
        self.folder.join(key(&[point.as_bytes()]))
    }
}

impl Drop for Passed {
    /// Also for a test that fails.
    fn drop(&mut self) {
        let (asked, earlier) = (self.asked.get_mut(), self.earlier.get_mut());
        if self.records.is_none() {
            return;
        }
        say(&format!(
            "{}: {earlier} of {asked} points were passed by an earlier run of the same programs",
            self.test
        ));
        let line = format!("{earlier} {asked}\n");
        let written =
            tier::tally().map(|tally| fs::append_to(&tally).map(|mut file| file.write_all(line.as_bytes())));
        if !matches!(written, None | Some(Ok(Ok(())))) {
            say("the points could not be counted");
        }
    }
}

/// The folder of records for all that they depend on; old ones of the same test are deleted.
fn folder(all: &Path, source: &str, programs: &[&Path], texts: &[&str]) -> Result<PathBuf> {
    let mut parts = vec![source.as_bytes().to_vec(), shared()?.into_bytes(), machine()?.into_bytes()];
    for program in programs {
        parts.push(fs::read_limited(program, LARGEST)?);
    }
    parts.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let folder = all.join(key(&parts));
    if fs::is_dir(all) && !fs::is_dir(&folder) {
        let old = |path: &PathBuf| {
            let changed = fs::lstat(path).ok().flatten().and_then(|meta| meta.modified().ok());
            let since = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            since.is_some_and(|since| since.as_secs() + OLD < clock::unix_seconds())
        };
        for path in fs::list(all)?.iter().map(|entry| all.join(&entry.name)).filter(old) {
            fs::remove_any(&path)?;
        }
    }
    Ok(folder)
}

/// One name for all of these parts, in this order.
fn key(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // With its length, so that nothing moves from one part to the next.
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The code that all tests share, a line for each file.
fn shared() -> Result<String> {
    let mut lines = String::new();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in walkdir::WalkDir::new(&top).sort_by_file_name() {
        let path = entry?.into_path();
        if fs::is_file(&path) {
            lines.push_str(&format!(
                "{} {}\n",
                path.strip_prefix(&top)?.display(),
                key(&[&fs::read(&path)?])
            ));
        }
    }
    Ok(lines)
}

/// This machine, over which roots are made: its kernel and the versions of all its packages.
fn machine() -> Result<String> {
    let packages =
        must("dpkg-query", &["-W", "-f=${Package} ${Version} ${db:Status-Abbrev}\n"], Path::new("/"))?;
    Ok(format!("{}{packages}", must("uname", &["-rm"], Path::new("/"))?))
}

#[cfg(test)]
mod tests {
    use super::{Records, key};

    #[test]
    fn each_part_and_its_borders_change_the_key() {
        let of = |parts: &[&str]| key(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
        assert_eq!(of(&["program", "test"]), of(&["program", "test"]));
        assert_eq!(of(&[]).len(), 32);
        for other in [&["program"][..], &["programt", "est"], &["test", "program"], &["program", "test", ""]]
        {
            assert_ne!(of(other), of(&["program", "test"]), "{other:?}");
        }
    }
    #[test]
    fn what_was_recorded_is_found_by_the_next_run_and_by_none_that_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let run = |is_anew| Records { folder: dir.path().join("key"), is_anew };
        assert_eq!(run(false).read::<usize>("a"), None);
        run(false).write("a", &3_usize).unwrap();
        assert_eq!((run(false).read("a"), run(false).read::<usize>("b")), (Some(3_usize), None));
        assert_eq!(run(true).read::<usize>("a"), None);
        assert_eq!(run(false).read::<usize>("a"), None, "it may have failed in between");
    }
}
