//! Changes to files that can be taken back until somebody says that they stay.
//!
//! What is replaced or taken away is only moved aside, in its own folder, under a temporary name that no depmod takes for
//! a module. So taking back needs no room on the disk, and a crash leaves nothing worse than such files, which
//! [`super::sweep`] removes. Knows nothing of modules.

use std::path::{Path, PathBuf};

use crate::host::fs::{self, FsError};

/// What was done, in order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    steps: Vec<Step>,
    /// Folders to remove if nothing is left in them, each with the folder above that stays.
    emptied: Vec<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
enum Step {
    /// A folder was made.
    Folder(PathBuf),
    /// Something was staged that isn't visible yet.
    Staged(PathBuf),
    /// Something is where nothing was.
    Made(PathBuf),
    /// What was at `path` is at `aside`.
    Moved { path: PathBuf, aside: PathBuf },
}

/// The end of every temporary name, so that it isn't one of a module (`.ko`).
pub(super) const STAGED: &str = ".new";

/// A temporary name beside `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(STAGED);
    fs::temporary_beside(&path.with_file_name(name))
}

impl Changes {
    /// Makes a folder and those above it.
    pub(super) fn folder(&mut self, dir: &Path) -> Result<(), FsError> {
        let missing: Vec<&Path> = dir.ancestors().take_while(|above| !fs::exists(above)).collect();
        for above in missing.into_iter().rev() {
            self.steps.push(Step::Folder(above.to_owned()));
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
                let staged = self.staged(path);
                fs::copy_file(from, &staged).map(|()| staged)
            }
        }
    }

    /// Prepares `path` as a link.
    pub(super) fn stage_link(&mut self, target: &Path, path: &Path) -> Result<PathBuf, FsError> {
        let staged = self.staged(path);
        fs::symlink(target, &staged).map(|()| staged)
    }

    /// Prepares `path` as a file with these bytes.
    pub(super) fn stage_bytes(&mut self, bytes: &[u8], path: &Path) -> Result<PathBuf, FsError> {
        let staged = self.staged(path);
        fs::write_whole(&staged, bytes, 0o644).map(|()| staged)
    }

    fn staged(&mut self, path: &Path) -> PathBuf {
        let staged = beside(path);
        self.steps.push(Step::Staged(staged.clone()));
        staged
    }

    /// Makes what was staged visible, in one step; what was there is kept aside.
    pub(super) fn publish(&mut self, staged: &Path, path: &Path) -> Result<(), FsError> {
        let present = fs::lstat(path)?;
        if present.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(FsError { verb: "replace", path: path.to_owned(), source });
        }
        if present.is_none() {
            self.steps.push(Step::Made(path.to_owned()));
            return fs::rename(staged, path).inspect_err(|_| drop(self.steps.pop()));
        }
        if fs::exchange(staged, path).is_ok() {
            self.steps.push(Step::Moved { path: path.to_owned(), aside: staged.to_owned() });
            return Ok(());
        }
        // A file system that can't exchange.
        self.take(path)?;
        fs::rename(staged, path)
    }

    /// Takes away what is at `path`.
    pub(super) fn take(&mut self, path: &Path) -> Result<(), FsError> {
        let aside = beside(path);
        fs::rename(path, &aside)?;
        self.steps.push(Step::Moved { path: path.to_owned(), aside });
        Ok(())
    }

    /// When all stays: removes `dir` and what is above it, as far as they are empty, up to but not `floor`.
    pub(super) fn prune_when_kept(&mut self, dir: &Path, floor: &Path) {
        self.emptied.push((dir.to_owned(), floor.to_owned()));
    }

    /// It stays: what was kept aside goes. `may_go` is asked for each folder that is empty now.
    ///
    /// Nothing that can go wrong here is worth an error: a leftover is swept by the next command.
    pub(super) fn keep(self, may_go: impl Fn(&Path) -> bool) {
        for step in &self.steps {
            match step {
                Step::Staged(path) | Step::Moved { aside: path, .. } => drop(fs::remove_any(path)),
                Step::Folder(_) | Step::Made(_) => {}
            }
        }
        for (dir, floor) in &self.emptied {
            let inside = dir.ancestors().take_while(|above| above.starts_with(floor) && above != floor);
            for above in inside {
                let empty = fs::list(above).is_ok_and(|entries| entries.is_empty());
                if !(empty && may_go(above) && fs::remove_dir_if_empty(above).unwrap_or(false)) {
                    break;
                }
            }
        }
    }

    /// Takes everything back, last step first; goes on after a failure.
    ///
    /// # Errors
    /// The first [`FsError`].
    pub(super) fn undo(self) -> Result<(), FsError> {
        let mut verdict = Ok(());
        for step in self.steps.into_iter().rev() {
            let result = match step {
                Step::Folder(path) => fs::remove_dir_if_empty(&path).map(|_| ()),
                Step::Staged(path) | Step::Made(path) => fs::remove_any(&path),
                Step::Moved { path, aside } => fs::rename(&aside, &path),
            };
            verdict = verdict.and(result);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            fs::write_whole(&world.at("new"), b"new", 0o600).unwrap();
            fs::write_whole(&world.at("old.ko"), b"old", 0o644).unwrap();
            world
        }
        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
        fn names(&self) -> Vec<String> {
            let entries = fs::list(self.0.path()).unwrap();
            entries.into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
        }
        fn change(&self) -> Changes {
            let mut changes = Changes::default();
            let staged = changes.stage_copy(&self.at("new"), &self.at("old.ko")).unwrap();
            changes.publish(&staged, &self.at("old.ko")).unwrap();
            changes.folder(&self.at("a/b")).unwrap();
            let staged = changes.stage_link(Path::new("x"), &self.at("a/b/c.ko")).unwrap();
            changes.publish(&staged, &self.at("a/b/c.ko")).unwrap();
            let unpublished = changes.stage_bytes(b"x", &self.at("d.ko")).unwrap();
            assert!(fs::is_file(&unpublished));
            changes.take(&self.at("new")).unwrap();
            changes
        }
    }

    #[test]
    fn undone_it_is_as_before() {
        let world = World::new();
        let inode = fs::stat(&world.at("old.ko")).unwrap().unwrap().ino();
        world.change().undo().unwrap();
        assert_eq!(world.names(), ["new", "old.ko"]);
        assert_eq!(fs::read(&world.at("old.ko")).unwrap(), b"old");
        assert_eq!(fs::stat(&world.at("old.ko")).unwrap().unwrap().ino(), inode);
    }

    #[test]
    fn kept_nothing_temporary_is_left() {
        let world = World::new();
        world.change().keep(|_| true);
        assert_eq!(world.names(), ["a", "old.ko"]);
        assert_eq!(fs::read(&world.at("old.ko")).unwrap(), b"new");
        assert_eq!(fs::link_target(&world.at("a/b/c.ko")).unwrap().unwrap(), Path::new("x"));
    }

    #[test]
    fn empty_folders_go_up_to_the_floor() {
        let world = World::new();
        let mut changes = Changes::default();
        fs::create_dir_all(&world.at("k/a/b")).unwrap();
        fs::write_whole(&world.at("k/a/b/c.ko"), b"", 0o644).unwrap();
        changes.take(&world.at("k/a/b/c.ko")).unwrap();
        changes.prune_when_kept(&world.at("k/a/b"), &world.at("k"));
        changes.keep(|dir| !dir.ends_with("a"));
        assert!(world.at("k/a").exists() && !world.at("k/a/b").exists());
        let mut changes = Changes::default();
        changes.prune_when_kept(&world.at("k/a/gone"), &world.at("k"));
        changes.keep(|_| true);
        assert!(world.at("k").exists() && !world.at("k/a").exists());
    }
}
