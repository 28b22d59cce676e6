//! Files: every call names what it did and to which path when it fails, every write is synced before it
//! becomes visible, and what becomes visible does so by one rename.
//!
//! Looking is here; `change` makes, moves and removes; `copy` copies files and trees; `walk` goes
//! through trees that others may have made.
#![expect(clippy::disallowed_methods, reason = "this is the file system's home")]

mod change;
mod copy;
mod error;
pub(in crate::host) mod walk;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

pub use change::death;
pub use change::{
    append_to, create_dir_all, create_link, create_new, discard, empty_folder, exchange, exchange_unsynced,
    give_to, hide, open_lock, remove_any, remove_dir_if_empty, remove_file, remove_tree, rename, rename_new,
    rename_unsynced, replace, set_mode, set_mtime, symlink, sync_folder, sync_folder_of, temporary_beside,
    write_new, write_whole,
};
pub(in crate::host) use copy::TreeCopy;
pub use copy::{Ownership, TreeLimit, copy_content, copy_file, copy_tree, copy_with_end, excess};
use error::Naming;
pub use error::{FsError, Result, is_shortage};

/// `None` instead of an error where the path is not there.
///
/// # Errors
/// Every other error stays one.
pub fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A whole file.
///
/// # Errors
/// [`FsError`], also where it isn't a regular file (a FIFO would block for ever), or larger
/// than any that we know.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_limited(path, LARGEST)
}

/// How much of two files is compared at once.
const BLOCK: usize = 256 << 10;
/// No file that is read whole is larger in normal use, except modules.
const LARGEST: u64 = 32 << 20;

/// A whole file that should be text; bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// As [`read`].
pub fn read_lossy(path: &Path) -> Result<String> {
    read_lossy_limited(path, LARGEST)
}

/// The same of at most `limit` bytes.
///
/// # Errors
/// As [`read_limited`].
pub fn read_lossy_limited(path: &Path, limit: u64) -> Result<String> {
    let bytes = read_limited(path, limit)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// At most `limit` bytes of a file; what is longer is an error of kind [`io::ErrorKind::FileTooLarge`].
///
/// # Errors
/// As [`read`].
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, meta) = opened(path)?;
    // What has a length is read as far as that; what the kernel makes up has none, and is read to its end.
    let most = if meta.len() == 0 { limit + 1 } else { meta.len().min(limit + 1) };
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(limit)).unwrap_or(0) + 1);
    file.take(most).read_to_end(&mut bytes).naming("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge)).naming("read", path);
    }
    Ok(bytes)
}

/// The error for a file that is larger than it may be.
#[must_use]
pub fn too_large(path: &Path) -> FsError {
    FsError { verb: "read", path: path.to_owned(), source: io::ErrorKind::FileTooLarge.into() }
}

/// Gives the content of a file in order and in pieces; one of more than `limit` bytes is an error.
///
/// # Errors
/// As [`read_limited`].
pub fn each_piece(path: &Path, limit: u64, then: &mut dyn FnMut(&[u8])) -> Result<()> {
    let (mut file, meta) = opened(path)?;
    if meta.len() > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge)).naming("read", path);
    }
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece).naming("read", path)? {
            0 => return Ok(()),
            count => then(&piece[..count]),
        }
    }
}

/// The first and the last bytes of a file that may be of any size, and how many were left out between.
///
/// # Errors
/// As [`read`].
pub fn read_ends(path: &Path, first: u64, last: u64) -> Result<(Vec<u8>, u64, Vec<u8>)> {
    let (mut file, meta) = opened(path)?;
    let (mut begin, mut end) = (Vec::new(), Vec::new());
    Read::by_ref(&mut file).take(first).read_to_end(&mut begin).naming("read", path)?;
    let left_out = meta.len().saturating_sub(begin.len() as u64 + last);
    if left_out > 0 {
        file.seek_relative(i64::try_from(left_out).unwrap_or(i64::MAX)).naming("read", path)?;
    }
    file.take(last).read_to_end(&mut end).naming("read", path)?;
    Ok((begin, left_out, end))
}

/// Opens a regular file for reading, never waiting for the other end of a FIFO.
///
/// # Errors
/// [`FsError`]; a folder is [`io::ErrorKind::IsADirectory`], anything else that isn't a file
/// [`io::ErrorKind::InvalidInput`].
pub fn open(path: &Path) -> Result<File> {
    opened(path).map(|(file, _)| file)
}

fn opened(path: &Path) -> Result<(File, Metadata)> {
    // Opening a device may do something (a watchdog is started), and a link that another user made may lead
    // to one. So what is there is held first, without being opened, and looked at.
    let held = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).naming("open", path)?;
    let meta = held.metadata().naming("look at", path)?;
    if meta.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory)).naming("read", path);
    }
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
            .naming("read", path);
    }
    let open = |path: &Path| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let of_descriptor = format!("/proc/self/fd/{}", held.as_raw_fd());
    let is_held = |file: &File| {
        file.metadata().is_ok_and(|opened| (opened.dev(), opened.ino()) == (meta.dev(), meta.ino()))
    };
    if let Some(file) = open(Path::new(&of_descriptor)).ok().filter(is_held) {
        return Ok((file, meta));
    }
    // A root without `/proc`, or a process that may not look into itself.
    let file = open(path).naming("open", path)?;
    if !is_held(&file) {
        return Err(io::Error::other("it was exchanged meanwhile")).naming("open", path);
    }
    Ok((file, meta))
}

/// What is at a path, links followed; `None` where nothing is.
///
/// # Errors
/// [`FsError`] where we may not look, or a link leads to itself.
pub fn stat(path: &Path) -> Result<Option<Metadata>> {
    optional(fs::metadata(path).naming("look at", path))
}

/// What is at a path itself; `None` where nothing is.
///
/// # Errors
/// [`FsError`] where we may not look.
pub fn lstat(path: &Path) -> Result<Option<Metadata>> {
    optional(fs::symlink_metadata(path).naming("look at", path))
}

/// Whether a path leads to a folder; an unreadable one is none.
#[must_use]
pub fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// How many folders are in a folder; `None` where its file system does not count them as links of the folder
/// (btrfs, a merged one of overlayfs), or it can't be looked at.
#[must_use]
pub fn folders_in(path: &Path) -> Option<u64> {
    let meta = fs::metadata(path).ok().filter(Metadata::is_dir)?;
    meta.nlink().checked_sub(2)
}

/// Whether a path leads to a regular file; an unreadable one is none.
#[must_use]
pub fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

/// Whether anything is at a path, be it a dangling link.
#[must_use]
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether a path leads to a regular file with an execute bit.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether every user may read what is at a path, as far as its own mode says.
#[must_use]
pub fn is_readable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o004 != 0)
}

/// Whether we may write below `path`, or below the nearest folder above it that exists.
#[must_use]
pub fn may_write(path: &Path) -> bool {
    let nearest = path.ancestors().find(|above| is_dir(above)).unwrap_or(Path::new("/"));
    rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// How many bytes we may still write to the file system of a path.
///
/// # Errors
/// [`FsError`].
pub fn free_bytes(path: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(path).naming("look at the file system of", path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether nothing can be written to the file system of a path.
#[must_use]
pub fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Whether no program can be run from the file system of a path.
#[must_use]
pub fn is_noexec(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Where a link points; `None` where nothing is or it is no link.
///
/// # Errors
/// [`FsError`] where we may not look.
pub fn link_target(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        result => optional(result.naming("read the link", path)),
    }
}

/// The path with every link resolved.
///
/// # Errors
/// [`FsError`] where it leads nowhere.
pub fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).naming("resolve", path)
}

/// One entry of a folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Its own kind (a link is a link).
    pub kind: FileType,
}

impl Entry {
    /// Whether it can be part of a source: a file, folder or link, and no FIFO, socket or device.
    #[must_use]
    pub fn is_of_a_source(&self) -> bool {
        self.kind.is_file() || self.kind.is_dir() || self.kind.is_symlink()
    }
}

/// As many bytes of a folder are read at once.
const LISTED_AT_ONCE: usize = 16 << 10;

/// The entries of a folder in byte order; none where it doesn't exist.
///
/// # Errors
/// [`FsError`] where it can't be read.
pub fn list(dir: &Path) -> Result<Vec<Entry>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(dir, flags, Mode::empty()).naming("list", dir);
    let Some(folder) = optional(opened)? else { return Ok(Vec::new()) };
    entries_of(&folder, dir)
}

/// The entries of an open folder, which messages call `dir`.
fn entries_of(folder: &OwnedFd, dir: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); LISTED_AT_ONCE];
    // One call less than opendir(3) takes, which asks how large a buffer is to be.
    let mut reader = RawDir::new(folder, &mut buffer);
    while let Some(entry) = reader.next() {
        let entry = match entry {
            // It was removed since it was opened: readdir(3) takes that for the end, too.
            Err(Errno::NOENT) => break,
            entry => entry.naming("list", dir)?,
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        let kind = match entry.file_type() {
            _ if name == "." || name == ".." => continue,
            FileType::Unknown => {
                let seen = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                FileType::from_raw_mode(seen.naming("look at", &dir.join(&name))?.st_mode)
            }
            kind => kind,
        };
        entries.push(Entry { name, kind });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Folders that were listed, for several looks at a tree that follow each other at once.
#[derive(Debug, Default)]
pub struct Listed {
    /// By path; as a text it is hashed in one go.
    known: RefCell<HashMap<OsString, Rc<[Entry]>>>,
}

impl Listed {
    /// As [`list`], of a folder as it was when it was first listed.
    ///
    /// # Errors
    /// As [`list`].
    pub fn list(&self, dir: &Path) -> Result<Rc<[Entry]>> {
        if let Some(entries) = self.known.borrow().get(dir.as_os_str()) {
            return Ok(Rc::clone(entries));
        }
        let entries: Rc<[Entry]> = list(dir)?.into();
        self.known.borrow_mut().insert(dir.into(), Rc::clone(&entries));
        Ok(entries)
    }

    /// Something was changed below this folder.
    pub fn forget_below(&self, dir: &Path) {
        self.known.borrow_mut().retain(|listed, _| !Path::new(listed).starts_with(dir));
    }
}

/// Whether a path leads to a copy of a file: as long, and with its time of change to the nanosecond, which
/// [`copy_file`] keeps; otherwise with the same bytes. Times without nanoseconds were set by an archive or by
/// what makes images reproducible, where many files have the same: there the bytes decide.
#[must_use]
pub fn is_copy(of: &Path, meta: &Metadata, path: &Path) -> bool {
    let Ok(other) = fs::metadata(path) else { return false };
    let seen = |meta: &Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
    let is_timed = meta.is_file() && other.is_file() && meta.mtime_nsec() != 0;
    is_timed && seen(meta) == seen(&other) || same_bytes(of, path)
}

/// Whether two paths lead to one file, or to two with the same bytes; `false` where either can't be read.
#[must_use]
pub fn same_bytes(a: &Path, b: &Path) -> bool {
    let (Ok((mut a, meta_a)), Ok((mut b, meta_b))) = (opened(a), opened(b)) else { return false };
    if (meta_a.dev(), meta_a.ino()) == (meta_b.dev(), meta_b.ino()) {
        return true;
    }
    if meta_a.len() != meta_b.len() {
        return false;
    }
    let (mut bytes_a, mut bytes_b) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut left = meta_a.len();
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let (bytes_a, bytes_b) = (&mut bytes_a[..size], &mut bytes_b[..size]);
        if a.read_exact(bytes_a).is_err() || b.read_exact(bytes_b).is_err() || bytes_a != bytes_b {
            return false;
        }
        left -= size as u64;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_removed_while_it_is_listed_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let open = File::open(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        assert!(entries_of(&open.into(), &folder).unwrap().is_empty());
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
        assert!(read(&fifo).is_err());
    }
}
