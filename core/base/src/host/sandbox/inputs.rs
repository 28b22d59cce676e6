//! What a build reads and only root may: shown in the sandbox as root reads it.
//!
//! Where the file system can, a tree is mounted with its owner mapped to the build user. Where
//! it can't (overlayfs), what the build user could not read is copied, and laid over the tree.
//! Keys are never among it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, openat, statat};

use super::account::Account;
use super::keys;
use crate::host::fs;
use crate::host::{scratch, trusted};
use crate::sys::{mapped_tree, open_plain, user_namespace};

/// No tree of headers or sources is deeper.
const DEEPEST: usize = 60;

/// At most this much is copied.
const MOST_BYTES: u64 = 512 << 20;

/// Where copies are: root's, and not the caller's choice.
const COPIES: [&str; 2] = ["/var/tmp", "/tmp"];

/// How an input is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// As it is.
    AsIs,
    /// With other owners: a place in [`Inputs::owners`].
    Mapped(usize),
    /// With this folder over it, or with this file in its place.
    Copied(PathBuf),
}

/// A folder or file, by its path without links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) how: How,
}

/// All inputs of a sandbox.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Each tree comes after the one that it is in.
    pub(super) found: Vec<Input>,
    pub(super) owners: Vec<OwnedFd>,
    /// What nobody but root may read: the keys that are known, and those among the inputs.
    pub(super) secret: Vec<PathBuf>,
    /// What stays unreadable, since it could be neither mapped nor copied.
    pub(super) unreadable: Vec<PathBuf>,
    /// The folder that copies are in, for as long as the sandbox is used.
    pub(super) copies: Option<tempfile::TempDir>,
    /// By whom trees are owned whose owners are in `owners`.
    known: Vec<(u32, u32)>,
    copied: u64,
}

impl Inputs {
    /// The inputs at these paths, for a process of `owner` (`None`: ours). What is below
    /// `layer` is never mapped.
    pub(super) fn of(
        paths: &[PathBuf],
        layer: Option<&Path>,
        owner: Option<Account>,
        secret: Vec<PathBuf>,
        is_hidden: &dyn Fn(&Path) -> bool,
    ) -> Self {
        let mut inputs = Self { secret, ..Self::default() };
        let owner = owner.filter(|owner| !owner.uid.is_root());
        let mut pending: Vec<PathBuf> =
            paths.iter().filter_map(|path| trusted::resolved(path).ok()).collect();
        while let Some(path) = pending.pop() {
            if inputs.found.iter().any(|input| path.starts_with(&input.path)) {
                continue;
            }
            // A tree that one of its folders was found before takes that in.
            inputs.found.retain(|input| !input.path.starts_with(&path));
            let links = inputs.take(&path, layer == Some(path.as_path()), owner);
            for target in links {
                match is_hidden(&target) {
                    true if may_be_shown(&target) => pending.push(target),
                    false if owner.is_none_or(|owner| may_read(owner, &target)) => {}
                    // Root reads what it leads to, a build does not.
                    _ if !inputs.is_secret(&target) && fs::exists(&target) => inputs.unreadable.push(target),
                    _ => {}
                }
            }
        }
        inputs.found.sort_by(|a, b| a.path.cmp(&b.path));
        inputs
    }

    /// Takes one in; where its links lead.
    fn take(&mut self, path: &Path, is_layer: bool, owner: Option<Account>) -> Vec<PathBuf> {
        let Ok(Some(meta)) = fs::stat(path) else { return Vec::new() };
        if self.is_secret(path) {
            return Vec::new();
        }
        let mut how = How::AsIs;
        if let Some(owner) = owner {
            let mapped = if is_layer { None } else { self.mapped(path, (meta.uid(), meta.gid()), owner) };
            how = mapped.map_or(How::AsIs, How::Mapped);
        }
        let mut walk = Walk {
            top: path,
            owner: owner.filter(|_| how == How::AsIs),
            copy: None,
            inputs: self,
            links: Vec::new(),
        };
        if meta.is_dir() {
            walk.all();
        } else if meta.is_file() && keys::is_private(path) {
            walk.inputs.secret.push(path.to_owned());
            return Vec::new();
        } else if meta.is_file() {
            walk.one(&meta);
        } else {
            return Vec::new();
        }
        let Walk { copy, links, .. } = walk;
        if let Some(copy) = copy {
            how = How::Copied(copy);
        }
        self.found.push(Input { path: path.to_owned(), how });
        links
    }

    fn is_secret(&self, path: &Path) -> bool {
        self.secret.iter().any(|secret| path.starts_with(secret))
    }

    /// The place of the owners that show `path` as the build user's, where that is
    /// possible and means anything.
    fn mapped(&mut self, path: &Path, of: (u32, u32), owner: Account) -> Option<usize> {
        if of.0 == owner.uid.as_raw() {
            return None;
        }
        #[cfg(test)]
        if !MAPS.get() {
            return None;
        }
        let place = match self.known.iter().position(|known| *known == of) {
            Some(place) => place,
            None => {
                let uids = exchanged(of.0, owner.uid.as_raw());
                let gids = exchanged(of.1, owner.gid.as_raw());
                self.owners.push(user_namespace(&uids, &gids).ok()?);
                self.known.push(of);
                self.known.len() - 1
            }
        };
        let text = CString::new(path.as_os_str().as_bytes()).ok()?;
        mapped_tree(&text, self.owners.get(place)?).ok().map(|_| place)
    }

    /// A new folder for the copies of one input.
    fn folder(&mut self) -> Option<PathBuf> {
        if self.copies.is_none() {
            let made = |place: &&str| tempfile::Builder::new().prefix("dkms-inputs-").tempdir_in(place).ok();
            self.copies = COPIES.iter().find_map(made);
        }
        let folder = self.copies.as_ref()?.path().join(self.found.len().to_string());
        // A tree that was taken into another one has left its copies.
        let made = fs::remove_any(&folder).and_then(|()| fs::create_dir_all(&folder));
        made.and_then(|()| fs::set_mode(&folder, 0o755)).ok()?;
        Some(folder)
    }
}

/// Id maps in which two ids have changed places, and all others are who they are.
fn exchanged(a: u32, b: u32) -> CString {
    let (low, high) = (a.min(b), a.max(b));
    let ranges = [
        (0, 0, low),
        (low, high, 1),
        (low + 1, low + 1, high.saturating_sub(low + 1)),
        (high, low, u32::from(high != low)),
        (high + 1, high + 1, u32::MAX - 1 - high),
    ];
    let lines = ranges.into_iter().filter(|(_, _, count)| *count > 0);
    let text: String = lines.map(|(from, to, count)| format!("{from} {to} {count}\n")).collect();
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
thread_local! {
    static MAPS: std::cell::Cell<bool> = const { std::cell::Cell::new(true) };
}

/// Has this thread's sandboxes do as where no owners can be mapped, until it is dropped.
#[cfg(test)]
pub(super) fn without_maps() -> impl Drop {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            MAPS.set(true);
        }
    }
    MAPS.set(false);
    Again
}

/// Whether a link of a source or of headers may show what it leads to: parts of a home, of headers and
/// sources, not the state and the settings of the system, and no hidden folder of anyone's.
pub(super) fn may_be_shown(target: &Path) -> bool {
    let has_dot = target.iter().any(|part| part.as_bytes().starts_with(b"."));
    let depth = target.components().count();
    let fits = |(above, least): (&str, usize)| target.starts_with(above) && depth >= least;
    !has_dot
        && [("/home", 4), ("/root", 3), ("/usr", 4), ("/lib", 4), ("/opt", 4), ("/srv", 4)]
            .into_iter()
            .any(fits)
}

/// Whether a user can read what is at a path, and go through all folders above it.
fn may_read(user: Account, path: &Path) -> bool {
    let may =
        |right: u32, path: &Path| fs::stat(path).ok().flatten().is_some_and(|meta| user.may(right, &meta));
    may(4, path) && path.ancestors().skip(1).all(|folder| may(1, folder))
}

/// One way through a tree.
struct Walk<'a> {
    top: &'a Path,
    /// Who must be able to read it all; `None`: nobody is asked.
    owner: Option<Account>,
    /// Where copies of it go.
    copy: Option<PathBuf>,
    inputs: &'a mut Inputs,
    /// What its links lead to, outside of it.
    links: Vec<PathBuf>,
}

impl Walk<'_> {
    /// A single file.
    fn one(&mut self, meta: &std::fs::Metadata) {
        if self.owner.is_none_or(|owner| owner.may(4, meta)) {
            return;
        }
        let Some(folder) = self.inputs.folder() else {
            return self.inputs.unreadable.push(self.top.to_owned());
        };
        let copy = folder.join("file");
        let opened = self.open(OFlags::RDONLY | OFlags::NONBLOCK);
        match opened.map(|file| self.copied(file.into(), meta.len(), &copy, false)) {
            Some(true) => self.copy = Some(copy),
            _ => self.inputs.unreadable.push(self.top.to_owned()),
        }
    }

    /// Opens the top, whose path has no links.
    fn open(&self, flags: OFlags) -> Option<OwnedFd> {
        open_plain(&CString::new(self.top.as_os_str().as_bytes()).ok()?, flags).ok()
    }

    fn all(&mut self) {
        let Some(top) = self.open(OFlags::RDONLY | OFlags::DIRECTORY) else { return };
        if let (Some(owner), Ok(stat)) = (self.owner, statat(&top, c"", rustix::fs::AtFlags::EMPTY_PATH))
            && !owner.may_by(5, &stat)
        {
            self.open_folder(Path::new(""));
        }
        self.below(&top, Path::new(""), 0);
    }

    fn below(&mut self, folder: &OwnedFd, at: &Path, depth: usize) {
        let Ok(entries) = Dir::read_from(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if [c".", c"..", c".git", c".svn"].contains(&name) {
                continue;
            }
            let path = at.join(std::ffi::OsString::from_vec(name.to_bytes().to_vec()));
            match entry.file_type() {
                FileType::Symlink => self.link(&path),
                FileType::Directory if depth < DEEPEST => self.folder(folder, name, &path, depth),
                FileType::RegularFile => self.file(folder, name, &path),
                _ => {}
            }
        }
    }

    fn link(&mut self, path: &Path) {
        // Where another user's link leads to what isn't theirs, it isn't shown: they see
        // what a build prints.
        if let Ok(target) = trusted::resolved(&self.top.join(path))
            && !target.starts_with(self.top)
        {
            self.links.push(target);
        }
    }

    fn folder(&mut self, parent: &OwnedFd, name: &CStr, path: &Path, depth: usize) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(folder) = openat(parent, name, flags, Mode::empty()) else { return };
        if let (Some(owner), Ok(stat)) = (self.owner, rustix::fs::fstat(&folder))
            && !owner.may_by(5, &stat)
        {
            self.open_folder(path);
        }
        self.below(&folder, path, depth + 1);
    }

    fn file(&mut self, parent: &OwnedFd, name: &CStr, path: &Path) {
        let may_be_key = keys::may_be_private(path);
        if self.owner.is_none() && !may_be_key {
            return;
        }
        let whole = self.top.join(path);
        if may_be_key && keys::is_private(&whole) {
            return self.inputs.secret.push(whole);
        }
        let Some(owner) = self.owner else { return };
        let Ok(stat) = statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else { return };
        if owner.may_by(4, &stat) || self.inputs.secret.contains(&whole) {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(parent.as_fd(), name, flags, Mode::empty());
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let copied = match (opened, self.copy_of(path)) {
            (Ok(file), Some(copy)) => self.copied(file.into(), size, &copy, stat.st_mode & 0o111 != 0),
            _ => false,
        };
        if !copied {
            self.inputs.unreadable.push(whole);
        }
    }

    /// Copies a file for all users to read.
    fn copied(&mut self, file: std::fs::File, size: u64, to: &Path, is_program: bool) -> bool {
        self.inputs.copied = self.inputs.copied.saturating_add(size);
        let mode = if is_program { 0o555 } else { 0o444 };
        self.inputs.copied <= MOST_BYTES && scratch::copy_opened(file, to, mode).is_ok()
    }

    /// Lets all users enter a folder.
    fn open_folder(&mut self, path: &Path) {
        let made = self.copy_of(&path.join("x")).is_some();
        if !made {
            self.inputs.unreadable.push(self.top.join(path));
        }
    }

    /// Where the copy of something goes; the folders above it are there, and all users may enter them.
    fn copy_of(&mut self, path: &Path) -> Option<PathBuf> {
        if self.copy.is_none() {
            self.copy = Some(self.inputs.folder()?);
        }
        let mut folder = self.copy.clone()?;
        let mut parts = path.iter().peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Some(folder.join(part));
            }
            folder.push(part);
            if !fs::is_dir(&folder) {
                fs::create_dir_all(&folder).and_then(|()| fs::set_mode(&folder, 0o755)).ok()?;
            }
        }
        None
    }
}
