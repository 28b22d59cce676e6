//! Advisory locks (flock) on modules and kernels: the system frees them when their process
//! ends, however it ends.
//!
//! A lock is a file in `.state/locks`; the process that holds it exclusively deletes it at the end. So a file
//! that is locked counts only if it still is the one at its path. Locks are taken in the order of their keys
//! and never made stronger, so no two commands wait for each other. What a process above us holds (a
//! `POST_INSTALL` script that calls `dkms`) it holds for us.
//!
//! Knows nothing of what is done under a lock.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::key::{Key, Keys, Mode};
use super::running::{self, Holder, Running};
use super::state;
use crate::host::fs::{self, FsError};
use crate::host::{ancestry, clock, signals};
use crate::layout::Layout;
use crate::report::{Event, Reporter};

/// How often we look whether a lock is free.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file system takes no locks, is full, or may not be written to.
    #[error("cannot lock {keys}: {source}")]
    Files {
        /// What was to be locked.
        keys: Keys,
        /// What failed.
        source: FsError,
    },
    /// Another process has had it for too long.
    #[error("{key} is locked: {holder}; waited {seconds} s")]
    TimedOut {
        /// What was waited for.
        key: Key,
        /// Who holds it.
        holder: String,
        /// For how long we waited.
        seconds: u64,
    },
    /// A signal asked us to stop.
    #[error("interrupted while waiting for {key}")]
    Interrupted {
        /// What was waited for.
        key: Key,
    },
}

impl LockError {
    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Files { source, .. } if source.is_no_space() => {
                vec!["free space on that file system, then run the command again".to_owned()]
            }
            Self::TimedOut { .. } => vec![
                "run the command again when that one has ended; `lock_timeout` in `/etc/dkms/framework.conf` says how many seconds to wait".to_owned(),
            ],
            Self::Files { .. } | Self::Interrupted { .. } => Vec::new(),
        }
    }
}

/// A lock that we have; given back with this value.
#[derive(Debug)]
struct Lock {
    path: std::path::PathBuf,
    file: File,
    mode: Mode,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let alone = self.mode == Mode::Exclusive
            || flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone && is_at(&self.file, &self.path) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Whether a file is still the one at its path.
fn is_at(file: &File, path: &Path) -> bool {
    let there = fs::lstat(path).ok().flatten();
    let here = file.metadata().ok();
    there.zip(here).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Locks that are held, until this value goes.
#[derive(Debug)]
pub struct Held {
    locks: Vec<Lock>,
    keys: Keys,
    /// Those that a process above us holds for us.
    lent: BTreeSet<Key>,
    waited: bool,
    _running: Option<Running>,
}

impl Held {
    /// What is held.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether another process had to end first: what was seen before is old.
    #[must_use]
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Whether nobody else can be at work on `key`: it is ours alone, not a process's above us.
    #[must_use]
    pub fn is_ours_alone(&self, key: &Key) -> bool {
        self.keys.mode(key) == Some(Mode::Exclusive) && !self.lent.contains(key)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while self.locks.pop().is_some() {}
    }
}

/// Takes all of `keys`, waiting up to `limit` for others, and telling for whom.
///
/// # Errors
/// [`LockError`]; then none is held.
pub fn acquire(
    layout: &Layout,
    keys: &Keys,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<Held, LockError> {
    let (began, since) = (Instant::now(), clock::unix_seconds());
    let running = Running::new(layout);
    let mut held = Held {
        locks: Vec::new(),
        keys: Keys::default(),
        lent: BTreeSet::new(),
        waited: false,
        _running: None,
    };
    let files = |source| LockError::Files { keys: keys.clone(), source };
    state::create_private_folder(layout, &layout.locks_dir()).map_err(files)?;
    for (key, mode) in keys.iter() {
        let mut told = false;
        loop {
            if let Some(lock) = take(layout, key, mode).map_err(files)? {
                held.locks.push(lock);
                break;
            }
            let holders = holders(layout, key);
            if is_held_for_us(&holders) {
                held.lent.insert(key.clone());
                break;
            }
            if signals::interrupted() {
                return Err(LockError::Interrupted { key: key.clone() });
            }
            if began.elapsed() >= limit {
                let seconds = began.elapsed().as_secs();
                return Err(LockError::TimedOut { key: key.clone(), holder: named(&holders), seconds });
            }
            if !told {
                running.write(layout, &held.keys, since);
                reporter.report(Event::note(format!("Waiting for {key}: {}", named(&holders))));
                told = true;
            }
            held.waited = true;
            std::thread::sleep(PAUSE.min(limit.saturating_sub(began.elapsed())));
        }
        held.keys.add(key.clone(), mode);
    }
    running.write(layout, &held.keys, since);
    held._running = Some(running);
    Ok(held)
}

/// Takes all of `keys`, or none where one is not available at once.
///
/// # Errors
/// [`LockError::Files`].
pub fn try_acquire(layout: &Layout, keys: &Keys) -> Result<Option<Held>, LockError> {
    let files = |source| LockError::Files { keys: keys.clone(), source };
    state::create_private_folder(layout, &layout.locks_dir()).map_err(files)?;
    let mut locks = Vec::new();
    for (key, mode) in keys.iter() {
        match take(layout, key, mode).map_err(files)? {
            Some(lock) => locks.push(lock),
            None => return Ok(None),
        }
    }
    Ok(Some(Held { locks, keys: keys.clone(), lent: BTreeSet::new(), waited: false, _running: None }))
}

/// Whether nobody holds `key`, by a look that changes nothing.
#[must_use]
pub fn is_free(layout: &Layout, key: &Key) -> bool {
    match fs::open(&layout.locks_dir().join(key.file_name())) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_ok(),
        // Who is not root can't open it; that its holder is noted all users can read.
        Err(error) if error.is_permission() => running::holders(layout, key).is_empty(),
        Err(error) => error.is_not_found(),
    }
}

/// Removes the files of locks that nobody holds: their owners were killed.
pub(super) fn sweep(layout: &Layout) {
    for entry in fs::list(&layout.locks_dir()).unwrap_or_default() {
        let path = layout.locks_dir().join(entry.name);
        let Ok(file) = fs::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(Lock { path, file, mode: Mode::Exclusive });
        }
    }
}

/// One lock, at once; `None` where another process has it.
fn take(layout: &Layout, key: &Key, mode: Mode) -> Result<Option<Lock>, FsError> {
    let path = layout.locks_dir().join(key.file_name());
    let operation = match mode {
        Mode::Shared => FlockOperation::NonBlockingLockShared,
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        let file = fs::open_lock(&path)?;
        belongs_to_the_tree(&file, &path);
        match flock(&file, operation) {
            Ok(()) if is_at(&file, &path) => return Ok(Some(Lock { path, file, mode })),
            // Its last owner has deleted it in the meantime.
            Ok(()) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) if is_held_by_strangers(layout, key, &file, &path) => {
                fs::remove_file(&path)?;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(FsError { verb: "lock", path, source: errno.into() }),
        }
    }
}

/// A lock file that root makes in another user's own tree belongs to that user, who else could not take
/// it when root has gone.
fn belongs_to_the_tree(file: &File, path: &Path) {
    let folder = path.parent().and_then(|folder| fs::stat(folder).ok().flatten());
    if let (Ok(own), Some(folder)) = (file.metadata(), folder)
        && own.uid() == 0
        && folder.uid() != 0
    {
        fs::give_to(path, folder.uid(), folder.gid());
    }
}

/// Whether only users who could not work in this tree hold a lock: its file is of an earlier version of ours,
/// whose locks all users could open, and no command of ours says that it holds it. Their lock counts for
/// nothing: the file is replaced by a new one.
fn is_held_by_strangers(layout: &Layout, key: &Key, file: &File, path: &Path) -> bool {
    let is_open = file.metadata().is_ok_and(|meta| meta.mode() & 0o077 != 0);
    let ours = path.parent().and_then(|folder| fs::stat(folder).ok().flatten()).map(|meta| meta.uid());
    let holders = if is_open { in_proc_locks(path) } else { Vec::new() };
    let user = |holder: &Holder| {
        let process = fs::stat(Path::new(&format!("/proc/{}", holder.process.pid))).ok().flatten();
        process.map(|meta| meta.uid())
    };
    is_open
        && running::holders(layout, key).is_empty()
        && holders.iter().all(|holder| user(holder).is_some_and(|uid| uid != 0 && Some(uid) != ours))
}

/// Whether all who hold a lock stand above us: they wait for us to end, so we need not wait for them.
fn is_held_for_us(holders: &[Holder]) -> bool {
    let above = ancestry::ancestors();
    !holders.is_empty() && holders.iter().all(|holder| above.contains(&holder.process))
}

fn named(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    if names.is_empty() { "another process works on it".to_owned() } else { names.join(", ") }
}

/// Who holds a lock: by the records, or else by what the kernel says.
fn holders(layout: &Layout, key: &Key) -> Vec<Holder> {
    let known = running::holders(layout, key);
    if known.is_empty() { in_proc_locks(&layout.locks_dir().join(key.file_name())) } else { known }
}

/// Who holds a flock on a file, from proc_locks(5): `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`.
fn in_proc_locks(path: &Path) -> Vec<Holder> {
    let Ok(Some(meta)) = fs::lstat(path) else { return Vec::new() };
    let text = fs::read_lossy(Path::new("/proc/locks")).unwrap_or_default();
    let pid = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
        let inode = file.rsplit(':').next()?.parse::<u64>().ok()?;
        pid.parse().ok().filter(|_| inode == meta.ino())
    };
    let holder = |pid: u32| {
        let process = ancestry::identity(pid)?;
        let command = ancestry::command_line(pid)?;
        Some(Holder { process, command: running::plain(&command), seconds: None })
    };
    text.lines().filter_map(pid).filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Environment;
    use crate::host::process::Process;
    use crate::id::{KernelRelease, ModuleName};
    use crate::report::{Recorder, Silent};

    const LONG: Duration = Duration::from_secs(60);

    fn tree() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        (dir, layout)
    }

    fn module(name: &str) -> Key {
        Key::Module(ModuleName::new(name).unwrap())
    }

    fn keys(key: &Key, mode: Mode) -> Keys {
        Keys::default().with(key.clone(), mode)
    }

    #[test]
    fn shared_with_shared_and_alone_otherwise() {
        let (_dir, layout) = tree();
        let one = |mode| try_acquire(&layout, &keys(&module("a"), mode)).unwrap();
        let shared = one(Mode::Shared).unwrap();
        let also = one(Mode::Shared).unwrap();
        assert!(one(Mode::Exclusive).is_none());
        drop(shared);
        assert!(one(Mode::Exclusive).is_none() && is_free(&layout, &module("a")), "free for those who share");
        drop(also);
        let alone = one(Mode::Exclusive).unwrap();
        assert!(one(Mode::Shared).is_none() && !is_free(&layout, &module("a")));
        assert!(is_free(&layout, &module("b")));
        drop(alone);
        assert!(fs::list(&layout.locks_dir()).unwrap().is_empty(), "no file is left");
    }

    #[test]
    fn many_at_once_and_never_two_in_one() {
        let (_dir, layout) = tree();
        let kernel = Key::Kernel(KernelRelease::new("6.1").unwrap());
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for n in 0..4 {
                let (layout, inside, kernel) = (&layout, &inside, &kernel);
                scope.spawn(move || {
                    for _ in 0..5 {
                        let needed =
                            keys(kernel, Mode::Exclusive).with(module(["a", "b"][n % 2]), Mode::Exclusive);
                        let held = acquire(layout, &needed, LONG, &Silent).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::sleep(Duration::from_millis(5));
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(held);
                    }
                });
            }
        });
        assert!(fs::list(&layout.locks_dir()).unwrap().is_empty());
        assert!(fs::list(&layout.running_dir()).unwrap().is_empty());
    }

    #[test]
    fn who_waits_says_for_whom_and_not_for_ever() {
        let (_dir, layout) = tree();
        let held = acquire(&layout, &keys(&module("a"), Mode::Exclusive), LONG, &Silent).unwrap();
        assert!(!held.waited() && held.is_ours_alone(&module("a")));
        let said = Recorder::default();
        let limit = Duration::from_millis(300);
        let error = acquire(&layout, &keys(&module("a"), Mode::Shared), limit, &said).unwrap_err();
        let own = format!("process {} (", std::process::id());
        assert!(error.to_string().contains(&own), "{error}");
        let [Event::Note { text }] = &said.events()[..] else { panic!("{:?}", said.events()) };
        assert!(text.starts_with("Waiting for module `a`: ") && text.contains(&own), "{text}");
        assert!(text.contains("running for"), "{text}");
    }

    #[test]
    fn a_holder_without_a_record_is_found_in_proc() {
        let (_dir, layout) = tree();
        let held = try_acquire(&layout, &keys(&module("a"), Mode::Exclusive)).unwrap().unwrap();
        let found = holders(&layout, &module("a"));
        assert!(found.iter().any(|holder| holder.process == ancestry::own()), "{found:?}");
        drop(held);
        assert!(holders(&layout, &module("a")).is_empty());
    }

    #[test]
    fn nobody_else_can_lock_and_what_others_hold_of_earlier_versions_stops_nobody() {
        let (_dir, layout) = tree();
        let held = try_acquire(&layout, &keys(&module("a"), Mode::Exclusive)).unwrap().unwrap();
        let mode = |path: &Path| fs::stat(path).unwrap().unwrap().mode() & 0o777;
        let file = layout.locks_dir().join(module("a").file_name());
        assert_eq!((mode(&layout.locks_dir()), mode(&file)), (0o700, 0o600));
        drop(held);
        fs::write_whole(&file, b"", 0o644).unwrap();
        fs::set_mode(&layout.locks_dir(), 0o755).unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let line = "exec 9<\"$F\"; exec setpriv --reuid 12345 --regid 12345 --clear-groups sh -c 'flock -x 9; exec sleep 3'";
                Process::shell(line, &environment).env("F", &file.to_string_lossy()).capture().unwrap()
            });
            std::thread::sleep(Duration::from_millis(700));
            let began = Instant::now();
            let held = acquire(&layout, &keys(&module("a"), Mode::Exclusive), LONG, &Silent).unwrap();
            assert!(began.elapsed() < Duration::from_secs(2) && !held.waited());
            assert_eq!((mode(&layout.locks_dir()), mode(&file)), (0o700, 0o600));
        });
    }

    #[test]
    fn a_lock_ends_with_its_process() {
        let (_dir, layout) = tree();
        fs::create_dir_all(&layout.locks_dir()).unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let file = layout.locks_dir().join(module("a").file_name());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let line = "umask 077; exec 9>\"$F\"; flock -x 9; sleep 0.5; kill -9 $$";
                Process::shell(line, &environment).env("F", &file.to_string_lossy()).capture().unwrap()
            });
            while is_free(&layout, &module("a")) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let held = acquire(&layout, &keys(&module("a"), Mode::Exclusive), LONG, &Silent).unwrap();
            assert!(held.waited());
        });
        assert!(!fs::exists(&file));
    }

    #[test]
    fn what_is_no_file_to_lock_is_an_error() {
        let (_dir, layout) = tree();
        fs::create_dir_all(&layout.locks_dir()).unwrap();
        let file = layout.locks_dir().join(module("a").file_name());
        fs::symlink(Path::new("/etc/passwd"), &file).unwrap();
        let error = try_acquire(&layout, &keys(&module("a"), Mode::Exclusive)).unwrap_err();
        assert!(error.to_string().contains("module `a`"), "{error}");
    }
}
