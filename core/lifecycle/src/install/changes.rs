//! Changes to files that can be taken back until they are confirmed, also by another
//! process after a crash.
//!
//! Everything is prepared first, under temporary names that no depmod takes for a module; then all steps are
//! written down ([`super::journal`]), and only then made, each by one rename. What is replaced or taken away
//! is moved aside, in its own folder, so taking back needs no space on the disk. What has been done is known
//! by the files themselves, by their inodes. Knows nothing of modules.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use crate::host::fs::{self, FsError};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Entry {
    /// A folder is made that wasn't there.
    Folder {
        /// Which.
        path: PathBuf,
    },
    /// Something is written that isn't visible yet, or no longer: what it was exchanged for.
    Staged {
        /// Its temporary name.
        path: PathBuf,
    },
    /// What is staged takes its place; what was there, if anything, is where it was staged.
    Publish {
        /// Its temporary name.
        staged: PathBuf,
        /// Its place.
        path: PathBuf,
        /// What is staged.
        new: Identity,
    },
    /// What is at a place goes aside.
    Take {
        /// The place.
        path: PathBuf,
        /// Its temporary name then.
        aside: PathBuf,
        /// What is there.
        old: Identity,
    },
    /// When all stays: a folder goes, and those above it, as far as they are empty, up to but not `floor`.
    Prune {
        /// The lowest.
        dir: PathBuf,
        /// What stays.
        floor: PathBuf,
    },
    /// What is to become of all this.
    Phase {
        /// That.
        phase: Phase,
    },
}

/// What is to become of changes that were cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// They are undone.
    Changing,
    /// They are finished.
    Keep,
}

/// What tells a file from another at the same path. Renaming changes none of this; a device's number isn't a
/// part of it, since that is another after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity {
    inode: u64,
    size: u64,
    mtime: (i64, i64),
}

impl Identity {
    /// Of what is at a path itself; `None` where nothing is.
    fn of(path: &Path) -> Result<Option<Self>, FsError> {
        let meta = fs::lstat(path)?;
        Ok(meta.map(|meta| Self {
            inode: meta.ino(),
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        }))
    }

    fn known(path: &Path) -> Result<Self, FsError> {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        Self::of(path)?.ok_or_else(|| FsError { verb: "look at", path: path.to_owned(), source: missing })
    }
}

/// What is done and what is going to be, in order.
#[derive(Debug)]
pub(super) struct Changes {
    journal: Journal,
    /// What the journal says.
    entries: Vec<Entry>,
    /// What it will say when it is [committed](Self::commit).
    planned: Vec<Entry>,
    phase: Phase,
}

/// The end of every temporary name, so that it isn't one of a module (`.ko`).
const STAGED: &str = ".new";

/// A temporary name beside `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(STAGED);
    fs::temporary_beside(&path.with_file_name(name))
}

impl Changes {
    /// None yet.
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal, entries: Vec::new(), planned: Vec::new(), phase: Phase::Changing }
    }

    fn note(&mut self, entry: Entry) -> Result<(), FsError> {
        self.journal.append(std::slice::from_ref(&entry))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Makes a folder and those above it, at once: what is staged may have to be in it.
    pub(super) fn folder(&mut self, dir: &Path) -> Result<(), FsError> {
        let missing: Vec<&Path> = dir.ancestors().take_while(|above| !fs::exists(above)).collect();
        for above in missing.into_iter().rev() {
            self.note(Entry::Folder { path: above.to_owned() })?;
            fs::create_dir_all(above)?;
        }
        // Not a folder after all? Then this says so.
        fs::create_dir_all(dir)
    }

    /// Prepares `path` from a copy of `from`: its bytes, or where it leads if it is a link.
    pub(super) fn stage_copy(&mut self, from: &Path, path: &Path) -> Result<PathBuf, FsError> {
        match fs::link_target(from)? {
            Some(target) => self.stage_link(&target, path),
            None => {
                let staged = self.staged(path)?;
                fs::copy_file(from, &staged).map(|()| staged)
            }
        }
    }

    /// Prepares `path` as a link.
    pub(super) fn stage_link(&mut self, target: &Path, path: &Path) -> Result<PathBuf, FsError> {
        let staged = self.staged(path)?;
        fs::create_link(target, &staged).map(|()| staged)
    }

    /// Prepares `path` as a file with these bytes.
    pub(super) fn stage_bytes(&mut self, bytes: &[u8], path: &Path) -> Result<PathBuf, FsError> {
        let staged = self.staged(path)?;
        fs::write_new(&staged, bytes, 0o644).map(|()| staged)
    }

    fn staged(&mut self, path: &Path) -> Result<PathBuf, FsError> {
        let staged = beside(path);
        self.note(Entry::Staged { path: staged.clone() })?;
        Ok(staged)
    }

    /// When committed, what was staged becomes visible, in one step; what was there is kept aside.
    pub(super) fn publish(&mut self, staged: &Path, path: &Path) -> Result<(), FsError> {
        let new = Identity::known(staged)?;
        self.planned.push(Entry::Publish { staged: staged.to_owned(), path: path.to_owned(), new });
        Ok(())
    }

    /// When committed, what is at `path` goes.
    pub(super) fn take(&mut self, path: &Path) -> Result<(), FsError> {
        let old = Identity::known(path)?;
        self.planned.push(Entry::Take { path: path.to_owned(), aside: beside(path), old });
        Ok(())
    }

    /// When all stays: removes `dir` and what is above it, as far as they are empty, up to but not `floor`.
    pub(super) fn prune_when_kept(&mut self, dir: &Path, floor: &Path) {
        self.planned.push(Entry::Prune { dir: dir.to_owned(), floor: floor.to_owned() });
    }

    /// Whether something is going to be published at `path`.
    pub(super) fn is_taken(&self, path: &Path) -> bool {
        self.planned.iter().any(|entry| matches!(entry, Entry::Publish { path: to, .. } if to == path))
    }

    /// Writes down all that was planned, then does it. `first` comes in between.
    ///
    /// # Errors
    /// [`FsError`]; what was done so far is for the caller to [undo](Self::undo).
    pub(super) fn commit(&mut self, first: impl FnOnce() -> Result<(), FsError>) -> Result<(), FsError> {
        let planned = std::mem::take(&mut self.planned);
        if planned.is_empty() {
            return Ok(());
        }
        self.journal.append(&planned)?;
        self.journal.sync()?;
        first()?;
        self.entries.extend(planned.iter().cloned());
        let mut synced = BTreeSet::new();
        for entry in &planned {
            match entry {
                Entry::Publish { staged, path, .. } => {
                    self.put(staged, path)?;
                    synced.insert(path.parent());
                }
                Entry::Take { path, aside, .. } => {
                    fs::rename_unsynced(path, aside)?;
                    synced.insert(path.parent());
                }
                _ => {}
            }
        }
        // A new folder's own name is on disk when the folder above it is.
        for entry in &self.entries {
            if let Entry::Folder { path } = entry {
                synced.insert(path.parent());
            }
        }
        synced.into_iter().flatten().try_for_each(fs::sync_folder)
    }

    fn put(&mut self, staged: &Path, path: &Path) -> Result<(), FsError> {
        let Some(present) = fs::lstat(path)? else { return fs::rename_unsynced(staged, path) };
        if present.is_dir() {
            let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(FsError { verb: "replace", path: path.to_owned(), source });
        }
        if fs::exchange_unsynced(staged, path).is_ok() {
            return Ok(());
        }
        // A file system that can't exchange.
        let aside = beside(path);
        self.note(Entry::Take { path: path.to_owned(), aside: aside.clone(), old: Identity::known(path)? })?;
        self.journal.sync()?;
        fs::rename_unsynced(path, &aside)?;
        fs::rename_unsynced(staged, path)
    }

    /// It is to stay, unless it is [undone](Self::undo) after all: who finds this after
    /// a crash finishes it.
    ///
    /// # Errors
    /// [`FsError`] where that can't be written down.
    pub(super) fn settle(&mut self) -> Result<(), FsError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.phase = Phase::Keep;
        self.note(Entry::Phase { phase: Phase::Keep })
    }

    /// It stays: what was kept aside goes. `may_go` is asked for each folder that is empty now.
    ///
    /// Nothing that can go wrong here is worth an error: the next command finishes it.
    pub(super) fn keep(mut self, may_go: impl Fn(&Path) -> bool) {
        if self.entries.is_empty() {
            return;
        }
        if self.phase == Phase::Changing {
            drop(self.settle());
        }
        // Before this, a power cut undoes; behind it, what undoing needs may go.
        if self.journal.sync().is_ok() && finish(&self.entries, may_go).is_ok() {
            self.journal.remove();
        }
    }

    /// Takes everything back, last step first; goes on after a failure.
    ///
    /// # Errors
    /// The first [`FsError`].
    pub(super) fn undo(mut self) -> Result<(), FsError> {
        let mut verdict = Ok(());
        if self.phase == Phase::Keep {
            let entry = Entry::Phase { phase: Phase::Changing };
            verdict = self.note(entry).and_then(|()| self.journal.sync());
        }
        verdict = verdict.and(undo(&self.entries));
        if verdict.is_ok() {
            self.journal.remove();
        }
        verdict
    }
}

/// What is to become of changes that were cut short.
pub(super) fn phase_of(entries: &[Entry]) -> Phase {
    let phase = |entry: &Entry| if let Entry::Phase { phase } = entry { Some(*phase) } else { None };
    entries.iter().rev().find_map(phase).unwrap_or(Phase::Changing)
}

/// Takes back what was done of these, last step first; goes on after a failure. Doing it twice does no harm.
///
/// # Errors
/// The first [`FsError`].
pub(super) fn undo(entries: &[Entry]) -> Result<(), FsError> {
    let published = entries.iter().filter_map(|entry| match entry {
        Entry::Publish { new, .. } => Some(*new),
        _ => None,
    });
    let mut undoing = Undoing { published: published.collect(), precious: BTreeSet::new() };
    let mut verdict = Ok(());
    for entry in entries.iter().rev() {
        verdict = verdict.and(undoing.undo(entry));
    }
    verdict
}

struct Undoing {
    /// What we have made visible.
    published: BTreeSet<Identity>,
    /// Temporary names under which something lies that could not go back to its place.
    precious: BTreeSet<PathBuf>,
}

impl Undoing {
    fn undo(&mut self, entry: &Entry) -> Result<(), FsError> {
        match entry {
            Entry::Folder { path } if fs::is_dir(path) => fs::remove_dir_if_empty(path).map(|_| ()),
            Entry::Staged { path } if !self.precious.contains(path) => fs::remove_any(path),
            Entry::Publish { staged, path, new } => {
                let waiting = Identity::of(staged)?;
                if waiting == Some(*new) {
                    return Ok(());
                }
                let result = match (waiting, Identity::of(path)? == Some(*new)) {
                    (Some(_), true) => fs::rename(staged, path),
                    (None, true) => fs::remove_file(path).and_then(|()| fs::sync_folder_of(path)),
                    // Another process has put something there since.
                    (_, false) => Ok(()),
                };
                if fs::exists(staged) {
                    self.precious.insert(staged.clone());
                }
                result
            }
            Entry::Take { path, aside, old } if Identity::of(aside)? == Some(*old) => {
                match Identity::of(path)? {
                    // Another process has put something there since; both stay.
                    Some(there) if !self.published.contains(&there) => Ok(()),
                    _ => fs::rename(aside, path),
                }
            }
            Entry::Folder { .. } | Entry::Staged { .. } | Entry::Take { .. } => Ok(()),
            Entry::Prune { .. } | Entry::Phase { .. } => Ok(()),
        }
    }
}

/// Removes what undoing these would have needed, then the folders that are empty now and `may_go`. Doing
/// it twice does no harm.
///
/// # Errors
/// The first [`FsError`]; it goes on after a failure.
pub(super) fn finish(entries: &[Entry], may_go: impl Fn(&Path) -> bool) -> Result<(), FsError> {
    let mut verdict = Ok(());
    for entry in entries {
        if let Entry::Staged { path } | Entry::Take { aside: path, .. } = entry {
            verdict = verdict.and(fs::remove_any(path));
        }
    }
    for entry in entries {
        let Entry::Prune { dir, floor } = entry else { continue };
        let inside = dir.ancestors().take_while(|above| above.starts_with(floor) && above != floor);
        for above in inside {
            let empty = fs::list(above).is_ok_and(|entries| entries.is_empty());
            if !(empty && may_go(above) && fs::remove_dir_if_empty(above).unwrap_or(false)) {
                break;
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, id};
    use super::*;

    /// What lies in a folder before, and what some changes make of it.
    struct Room {
        world: World,
        dir: PathBuf,
    }

    impl Room {
        fn new() -> Self {
            let world = World::new();
            let dir = world.in_kernel("room");
            world.write(&dir.join("new"), b"new");
            world.write(&dir.join("old.ko"), b"old");
            world.write(&dir.join("away/last.ko"), b"last");
            Self { world, dir }
        }
        fn changes(&self) -> Changes {
            Changes::new(Journal::new(&self.world.place(&id("1.0"))))
        }
        fn at(&self, name: &str) -> PathBuf {
            self.dir.join(name)
        }
        fn plan(&self) -> Result<Changes, FsError> {
            let mut changes = self.changes();
            let staged = changes.stage_copy(&self.at("new"), &self.at("old.ko"))?;
            changes.publish(&staged, &self.at("old.ko"))?;
            changes.folder(&self.at("a/b"))?;
            let staged = changes.stage_link(Path::new("x"), &self.at("a/b/c.ko"))?;
            changes.publish(&staged, &self.at("a/b/c.ko"))?;
            let unpublished = changes.stage_bytes(b"x", &self.at("d.ko"))?;
            assert!(fs::is_file(&unpublished));
            changes.take(&self.at("new"))?;
            changes.take(&self.at("away/last.ko"))?;
            changes.prune_when_kept(&self.at("away"), &self.world.kernel.module_dir);
            Ok(changes)
        }
        fn change(&self) -> Result<Changes, FsError> {
            let mut changes = self.plan()?;
            changes.commit(|| Ok(()))?;
            Ok(changes)
        }
    }

    #[test]
    fn undone_it_is_as_before() {
        let room = Room::new();
        let before = room.world.state();
        let inode = fs::stat(&room.at("old.ko")).unwrap().unwrap().ino();
        room.plan().unwrap().undo().unwrap();
        assert_eq!(room.world.state(), before, "nothing was visible yet");
        room.change().unwrap().undo().unwrap();
        assert_eq!(room.world.state(), before);
        let mut changes = room.change().unwrap();
        changes.settle().unwrap();
        changes.undo().unwrap();
        assert_eq!(room.world.state(), before);
        assert_eq!(fs::stat(&room.at("old.ko")).unwrap().unwrap().ino(), inode);
    }

    #[test]
    fn kept_nothing_temporary_is_left() {
        let room = Room::new();
        room.change().unwrap().keep(|_| true);
        let names: Vec<_> = fs::list(&room.dir).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "old.ko"]);
        assert_eq!(fs::read(&room.at("old.ko")).unwrap(), b"new");
        assert_eq!(fs::link_target(&room.at("a/b/c.ko")).unwrap().unwrap(), Path::new("x"));
        assert!(fs::list(&room.world.layout.journal_dir()).unwrap().is_empty());
    }

    #[test]
    fn what_is_kept_keeps_folders_that_may_not_go() {
        let room = Room::new();
        room.change().unwrap().keep(|dir| !dir.ends_with("away"));
        assert!(fs::is_dir(&room.at("away")));
    }

    #[test]
    fn what_somebody_else_put_there_since_stays_and_so_does_the_old() {
        let room = Room::new();
        let changes = room.change().unwrap();
        fs::write_whole(&room.at("old.ko"), b"an admin's", 0o644).unwrap();
        fs::write_whole(&room.at("new"), b"an admin's too", 0o644).unwrap();
        changes.undo().unwrap();
        assert_eq!(fs::read(&room.at("old.ko")).unwrap(), b"an admin's");
        assert_eq!(fs::read(&room.at("new")).unwrap(), b"an admin's too");
        let hidden = fs::list(&room.dir).unwrap();
        let hidden = hidden.iter().filter(|entry| entry.name.to_string_lossy().starts_with(".tmp_"));
        assert_eq!(hidden.count(), 2, "nothing of others is deleted");
    }

    #[test]
    fn a_journal_is_read_as_it_was_written_and_a_torn_line_is_none() {
        let room = Room::new();
        let changes = room.change().unwrap();
        let left = super::super::journal::left(&room.world.layout).unwrap();
        assert_eq!(left[0].entries, changes.entries);
        assert_eq!(phase_of(&left[0].entries), Phase::Changing);
        let text = fs::read(&left[0].path).unwrap();
        fs::write_whole(&left[0].path, &text[..text.len() - 3], 0o644).unwrap();
        let torn = super::super::journal::left(&room.world.layout).unwrap();
        assert_eq!(torn[0].entries, changes.entries[..changes.entries.len() - 1]);
        fs::write_whole(&left[0].path, b"{\"version\":2}\n", 0o644).unwrap();
        assert!(super::super::journal::left(&room.world.layout).unwrap().is_empty());
    }
}
