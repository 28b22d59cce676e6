//! Where a build works. Nobody but root and the build itself reaches it, at no moment.
//!
//! The build's own folder lies in one that only root may enter, and its processes see it as `M/V/build`,
//! where an empty folder with the log stands for all others. Without mounts it is `M/V/build` itself,
//! which only the build's group may enter; no other process is in that group. What root works on is
//! always taken back first.

use std::path::{Path, PathBuf};

use super::BuildSpec;
use crate::host::beneath::Beneath;
use crate::host::fs::{self, FsError};
use crate::host::ownership::{self, Gate};
use crate::host::process::Process;
use crate::host::sandbox::Account;
use crate::host::scratch;

/// The folders of a build.
#[derive(Debug)]
pub(super) struct Place {
    /// In the version folder, for root alone.
    private: PathBuf,
    /// Where the build's files are.
    folder: PathBuf,
    /// The path that the build has for them.
    seen: PathBuf,
    /// Nobody else builds a version of this module now.
    alone: bool,
    /// Whose the build's processes are, if not ours.
    account: Option<Account>,
    is_given: bool,
}

impl Place {
    /// The folders of a build, made. `is_mountable`: its processes can be shown a folder in another's place.
    pub(super) fn new(
        spec: &BuildSpec<'_>,
        account: Option<Account>,
        is_mountable: impl FnOnce(&Path, &Path) -> bool,
    ) -> Result<Self, FsError> {
        let seen = spec.layout.build_dir(spec.id);
        let private = spec.private.to_owned();
        scratch::create_private_folder(&private)?;
        let mut place = Self {
            folder: private.join("build"),
            private,
            seen,
            alone: spec.alone,
            account,
            is_given: false,
        };
        place.fill_in(is_mountable).inspect_err(|_| place.remove_all())?;
        Ok(place)
    }

    fn fill_in(&mut self, is_mountable: impl FnOnce(&Path, &Path) -> bool) -> Result<(), FsError> {
        if self.alone {
            fs::remove_any(&self.seen)?;
            fs::create_dir_all(&self.seen)?;
        }
        scratch::create_private_folder(&self.folder)?;
        if self.alone && !is_mountable(&self.folder, &self.seen) {
            fs::remove_any(&self.folder)?;
            self.folder.clone_from(&self.seen);
            fs::set_mode(&self.folder, 0o700)?;
            if let Some(account) = self.account {
                ownership::let_pass(&self.private, account.gid)?;
                scratch::create_private_folder(&self.tmp())?;
                ownership::give_away(&self.tmp(), account, Gate::Theirs)?;
            }
        }
        Ok(())
    }

    /// Where the build's files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path that the build has for them.
    pub(super) fn seen(&self) -> &Path {
        &self.seen
    }

    /// Whether the build sees its folder at another path.
    pub(super) fn is_mounted(&self) -> bool {
        self.folder != self.seen
    }

    /// Where the log is while the build runs.
    pub(super) fn log(&self) -> PathBuf {
        if self.alone && self.is_mounted() {
            self.seen.join("make.log")
        } else {
            self.private.join("make.log")
        }
    }

    /// A folder for temporary files of a build that has no `/tmp` of its own.
    pub(super) fn tmp(&self) -> PathBuf {
        self.private.join("tmp")
    }

    /// A path for something of root's.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.private.join(name)
    }

    /// The folders that a process of the build may write, with the paths that it sees them under.
    pub(super) fn folders(&self) -> Vec<(PathBuf, PathBuf)> {
        let mut folders = vec![(self.folder.clone(), self.seen.clone())];
        if !self.is_mounted() && self.account.is_some() {
            folders.push((self.tmp(), self.tmp()));
        }
        folders
    }

    /// The files that the build made, to be looked up.
    pub(super) fn beneath(&self) -> Result<Beneath, FsError> {
        Beneath::open(&self.folder, &self.seen)
    }

    /// The build's folder is its processes'.
    pub(super) fn give(&mut self) -> Result<(), FsError> {
        if let (Some(account), false) = (self.account, self.is_given) {
            self.is_given = true;
            let gate = if self.is_mounted() { Gate::Theirs } else { Gate::Ours };
            ownership::give_away(&self.folder, account, gate)?;
        }
        Ok(())
    }

    /// The build's folder is root's: nobody else may enter it, or write what is in it.
    pub(super) fn take_back(&mut self) -> Result<(), FsError> {
        // Without a user of its own the build is ours from the beginning, and what it left
        // may have loose modes.
        self.is_given = false;
        ownership::take_back(&self.folder)
    }

    /// Gives a folder, which lies where only root gets, to the build's processes.
    pub(super) fn lend(&self, folder: &Path, gate: Gate) -> Result<(), FsError> {
        self.account.map_or(Ok(()), |account| ownership::give_away(folder, account, gate))
    }

    /// A process that sees what the build sees, without being confined.
    pub(super) fn shown_to(&self, process: Process, folders: &[(PathBuf, PathBuf)]) -> Process {
        let moved = folders.iter().filter(|(folder, seen)| folder != seen);
        let moved: Vec<(&Path, &Path)> =
            moved.map(|(folder, seen)| (folder.as_path(), seen.as_path())).collect();
        if moved.is_empty() { process } else { process.seeing(&moved) }
    }

    /// The build has failed: what it left stays, as root's. Where it built alone that is at
    /// `M/V/build`, with the log in it.
    pub(super) fn keep(&mut self) -> Result<(), FsError> {
        self.take_back()?;
        if self.is_mounted() && !self.alone {
            return Ok(());
        }
        keep_left(&self.private, &self.seen)
    }

    /// Out of sight: what is at `M/V/build` gets a temporary name, which is returned.
    pub(super) fn hide(&self) -> Result<Option<PathBuf>, FsError> {
        if self.alone { fs::hide(&self.seen).map(Some) } else { Ok(None) }
    }

    /// Everything goes.
    pub(super) fn remove_all(&self) {
        let seen = self.alone.then_some(&self.seen);
        for path in std::iter::once(&self.private).chain(seen) {
            // What stays has a temporary name, or is what the next build begins with.
            drop(fs::remove_any(path));
        }
    }

    /// The folder of the build, and what stands for it, go.
    pub(super) fn clean(&self, hidden: Option<&Path>) -> Result<(), FsError> {
        hidden.map_or(Ok(()), fs::remove_any)?;
        fs::remove_any(&self.private)
    }
}

/// Puts what a failed build left in its own folder at `seen`, with its log.
///
/// # Errors
/// [`FsError`].
pub fn keep_left(private: &Path, seen: &Path) -> Result<(), FsError> {
    let (folder, log) = (private.join("build"), seen.join("make.log"));
    if !fs::exists(&folder) {
        // It was there all the time.
        if fs::exists(&private.join("make.log")) {
            fs::remove_any(&log)?;
            fs::rename(&private.join("make.log"), &log)?;
        }
        fs::set_mode(seen, 0o755)?;
        return fs::remove_any(private);
    }
    let kept = folder.join("make.log");
    let log = if fs::exists(&private.join("make.log")) { private.join("make.log") } else { log };
    if fs::exists(&log) {
        fs::remove_any(&kept)?;
        fs::rename_unsynced(&log, &kept)?;
    }
    fs::remove_any(seen)?;
    fs::set_mode(&folder, 0o755)?;
    fs::rename(&folder, seen)?;
    fs::remove_any(private)
}
