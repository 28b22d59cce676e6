//! Which builds there are logs of: those that are remembered ([`attempts`]), what is built now, and what a
//! failed build has left, be it one of the 3.x line. Reads only.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Snapshot;
use super::attempts::{self, Attempt};
use crate::host::fs;
use crate::id::{ModuleId, Target};
use crate::layout::Layout;

/// A larger log is not shown.
const LOG_LIMIT: u64 = 64 << 20;

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Built,
    /// Well, without make.
    Cached,
    /// It failed.
    Failed,
    /// It runs, or was cut short.
    Unfinished,
}

impl Ending {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A build, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The module.
    pub id: ModuleId,
    /// The kernel; `None` where an old log doesn't say.
    pub target: Option<Target>,
    /// When it ended, in seconds since 1970.
    pub when: u64,
    /// How it ended.
    pub ending: Ending,
    /// How long it took.
    pub seconds: Option<f64>,
    /// The error that was reported.
    pub error: Option<String>,
    /// What was printed about its log.
    pub diagnosis: Vec<String>,
    /// The log, where there still is one.
    pub log: Option<PathBuf>,
}

/// All builds of the modules that `wanted` picks, newest first.
#[must_use]
pub fn all(layout: &Layout, snapshot: &Snapshot, wanted: impl Fn(&ModuleId) -> bool) -> Vec<Logged> {
    let attempts = attempts::all(layout, None).into_iter().filter(|attempt| wanted(&attempt.id));
    let mut builds: Vec<Logged> = attempts.map(of_attempt).collect();
    for (id, found) in snapshot.modules.iter().filter(|(id, _)| wanted(id)) {
        found.built.keys().for_each(|target| add_current(layout, id, target, &mut builds));
        add_left(layout, id, &mut builds);
    }
    builds.sort_by_key(|build| std::cmp::Reverse(build.when));
    builds
}

fn of_attempt(attempt: Attempt) -> Logged {
    let Attempt { id, target, record, log } = attempt;
    let ending = match &record.failure {
        Some(_) => Ending::Failed,
        None if record.cached => Ending::Cached,
        None => Ending::Built,
    };
    let (error, diagnosis) = record.failure.map(|failure| (failure.error, failure.diagnosis)).unzip();
    let (when, seconds) = (record.when, Some(record.seconds));
    Logged {
        id,
        target: Some(target),
        when,
        ending,
        seconds,
        error,
        diagnosis: diagnosis.unwrap_or_default(),
        log,
    }
}

/// The log of what is built now belongs to the newest build that went well.
fn add_current(layout: &Layout, id: &ModuleId, target: &Target, builds: &mut Vec<Logged>) {
    let log = layout.make_log(id, target);
    let Some(when) = time_of(&log) else { return };
    let is_it = |build: &&mut Logged| {
        build.id == *id
            && build.target.as_ref() == Some(target)
            && matches!(build.ending, Ending::Built | Ending::Cached)
    };
    match builds.iter_mut().find(is_it) {
        Some(build) => build.log = Some(log),
        None => builds.push(Logged {
            id: id.clone(),
            target: Some(target.clone()),
            when,
            ending: Ending::Built,
            seconds: None,
            error: None,
            diagnosis: Vec::new(),
            log: Some(log),
        }),
    }
}

/// What stands in `M/V/build`: the 3.x line leaves a failed build's log there, and nowhere else.
fn add_left(layout: &Layout, id: &ModuleId, builds: &mut Vec<Logged>) {
    let log = layout.build_dir(id).join("make.log");
    let Some(when) = time_of(&log) else { return };
    let Ok(text) = text_of(&log) else { return };
    let head = text.lines().next().unwrap_or_default();
    let is_ours = head.contains(": build of ");
    // Ours ends before it is remembered.
    let is_known = |build: &Logged| build.id == *id && build.ending == Ending::Failed && build.when >= when;
    if is_ours && builds.iter().any(is_known) {
        return;
    }
    builds.push(Logged {
        id: id.clone(),
        target: target_in(head),
        when,
        ending: if is_ours { Ending::Unfinished } else { Ending::Failed },
        seconds: None,
        error: None,
        diagnosis: Vec::new(),
        log: Some(log),
    });
}

/// The kernel that a log's first line names: `… for kernel K (A)`.
fn target_in(head: &str) -> Option<Target> {
    let (kernel, arch) = head.rsplit_once(" for kernel ")?.1.split_once(" (")?;
    Target::parse(kernel, arch.split_once(')')?.0).ok()
}

/// When a log was last written; `None` where there is none.
fn time_of(log: &Path) -> Option<u64> {
    let meta = fs::lstat(log).ok()??;
    meta.is_file().then(|| u64::try_from(meta.mtime()).unwrap_or(0))
}

/// The text of a log, as it is: the caller that prints it makes it harmless.
///
/// # Errors
/// [`fs::FsError`].
pub fn text_of(log: &Path) -> fs::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read_limited(log, LOG_LIMIT)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::attempts::{Failure, Record};
    use crate::tree::registration;

    #[test]
    fn each_build_is_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let target = Target::parse("6.1.0", "x86_64").unwrap();
        fs::create_dir_all(&layout.source_dir(&id)).unwrap();
        registration::add(&layout, &id).unwrap();
        let write = |path: &Path, text: &str, when: i64| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(path, text.as_bytes(), 0o644).unwrap();
            fs::set_mtime(path, (when, 0)).unwrap();
        };
        let shown = || -> Vec<String> {
            let builds = all(&layout, &Snapshot::take(&layout).unwrap(), |_| true);
            builds
                .iter()
                .map(|build| format!("{} {} {}", build.when, build.ending.word(), build.log.is_some()))
                .collect()
        };
        write(&layout.make_log(&id, &target), "log", 10);
        fs::create_dir_all(&layout.built_dir(&id, &target)).unwrap();
        let left = layout.build_dir(&id).join("make.log");
        write(&left, "DKMS make.log for foo-1.0 for kernel 6.1.0 (x86_64)\nerror\n", 20);
        assert_eq!(shown(), ["20 failed true", "10 built true"]);
        let target_of_old = all(&layout, &Snapshot::take(&layout).unwrap(), |_| true)[0].target.clone();
        assert_eq!(target_of_old, Some(target.clone()));
        attempts::record(&layout, &id, &target, &Record::new(10, 1.0, None), None).unwrap();
        write(&left, "dkms-4.0.0: build of foo/1.0 for kernel 6.1.0 (x86_64)\n", 30);
        assert_eq!(shown(), ["30 unfinished true", "10 built true"]);
        let mut record = Record::new(31, 1.0, None);
        record.failure = Some(Failure { error: "no".to_owned(), diagnosis: Vec::new() });
        attempts::record(&layout, &id, &target, &record, Some(&left)).unwrap();
        assert_eq!(shown(), ["31 failed true", "10 built true"]);
        assert!(all(&layout, &Snapshot::take(&layout).unwrap(), |_| false).is_empty());
    }
}
