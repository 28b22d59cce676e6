//! Files: every call names what it did and to which path when it fails, every write is synced before it becomes visible,
//! and what becomes visible does so by one rename.
#![expect(clippy::disallowed_methods, reason = "this is the file system's home")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::layout::TEMPORARY_PREFIX;

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{}`: {}", path.display(), plain(source))]
pub struct FsError {
    /// What was tried, as an infinitive: `read`, `rename`.
    pub verb: &'static str,
    /// To which path.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// An error's text without Rust's ` (os error N)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl FsError {
    /// Whether the path was not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    /// Whether the disk, or a quota, is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether we lack the right.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// What these functions return.
pub type Result<T> = std::result::Result<T, FsError>;

trait Naming<T> {
    fn naming(self, verb: &'static str, path: &Path) -> Result<T>;
}

impl<T> Naming<T> for io::Result<T> {
    fn naming(self, verb: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| FsError { verb, path: path.to_owned(), source })
    }
}

impl<T> Naming<T> for rustix::io::Result<T> {
    fn naming(self, verb: &'static str, path: &Path) -> Result<T> {
        self.map_err(|errno| FsError { verb, path: path.to_owned(), source: errno.into() })
    }
}

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
/// [`FsError`], also where it isn't a regular file (a FIFO would block for ever).
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).naming("read", path)?;
    Ok(bytes)
}

/// A whole file that should be text; bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// As [`read`].
pub fn read_lossy(path: &Path) -> Result<String> {
    let bytes = read(path)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// At most `limit` bytes of a file; what is longer is an error of kind [`io::ErrorKind::FileTooLarge`].
///
/// # Errors
/// As [`read`].
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).naming("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge)).naming("read", path);
    }
    Ok(bytes)
}

/// Opens a regular file for reading, never waiting for the other end of a FIFO.
///
/// # Errors
/// [`FsError`]; a folder is [`io::ErrorKind::IsADirectory`], anything else that isn't a file [`io::ErrorKind::InvalidInput`].
pub fn open(path: &Path) -> Result<File> {
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).naming("open", path)?;
    let kind = file.metadata().naming("look at", path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory)).naming("read", path);
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
            .naming("read", path);
    }
    Ok(file)
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

/// Whether we may write below `path`, or below the nearest folder above it that exists.
#[must_use]
pub fn may_write(path: &Path) -> bool {
    let nearest = path.ancestors().find(|above| is_dir(above)).unwrap_or(Path::new("/"));
    rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
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
    pub kind: fs::FileType,
}

/// The entries of a folder in byte order; none where it doesn't exist.
///
/// # Errors
/// [`FsError`] where it can't be read.
pub fn list(dir: &Path) -> Result<Vec<Entry>> {
    let Some(reader) = optional(fs::read_dir(dir).naming("list", dir))? else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for entry in reader {
        let entry = entry.naming("list", dir)?;
        let kind = entry.file_type().naming("look at", &entry.path())?;
        entries.push(Entry { name: entry.file_name(), kind });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Makes a folder and those above it (0755).
///
/// # Errors
/// [`FsError`].
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).naming("create the folder", path)
}

/// Removes a file or link; nothing there is fine.
///
/// # Errors
/// [`FsError`].
pub fn remove_file(path: &Path) -> Result<()> {
    optional(fs::remove_file(path).naming("remove", path)).map(|_| ())
}

/// Removes a folder and all below it, following no link; nothing there is fine.
///
/// # Errors
/// [`FsError`].
pub fn remove_tree(path: &Path) -> Result<()> {
    optional(fs::remove_dir_all(path).naming("remove the folder", path)).map(|_| ())
}

/// Removes whatever is at a path: file, link or whole folder; nothing there is fine.
///
/// # Errors
/// [`FsError`].
pub fn remove_any(path: &Path) -> Result<()> {
    match lstat(path)? {
        Some(meta) if meta.is_dir() => remove_tree(path),
        Some(_) => remove_file(path),
        None => Ok(()),
    }
}

/// Removes a folder if it is empty; says whether it is gone.
///
/// # Errors
/// [`FsError`] for everything but "not empty".
pub fn remove_dir_if_empty(path: &Path) -> Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).naming("remove the folder", path),
    }
}

/// Renames and syncs the folder of the new name, so that a power cut can't undo it alone.
///
/// # Errors
/// [`FsError`] naming the new path.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).naming("move into place", to)?;
    sync_folder_of(to)
}

/// Renames to a path where nothing is yet; `false`, and nothing done, where something is.
///
/// # Errors
/// [`FsError`] naming the new path.
pub fn rename_new(from: &Path, to: &Path) -> Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => return Ok(false),
        // Some file systems (NFS, FUSE) have no such rename; what is left is to look first.
        Err(rustix::io::Errno::INVAL) if exists(to) => return Ok(false),
        Err(rustix::io::Errno::INVAL) => fs::rename(from, to).naming("move into place", to)?,
        result => result.naming("move into place", to)?,
    }
    sync_folder_of(to)?;
    Ok(true)
}

/// Exchanges what is at two paths in one step (`renameat2` with `RENAME_EXCHANGE`).
///
/// # Errors
/// [`FsError`]; some file systems can't.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).naming("exchange", b)?;
    sync_folder_of(b)
}

/// Syncs the folder that holds `path`.
///
/// # Errors
/// [`FsError`].
pub fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let result = File::open(folder).and_then(|handle| handle.sync_all());
    match result {
        // Some file systems (FUSE, 9p) can't sync a folder; then there is nothing that we could do better.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result.naming("sync the folder", folder),
    }
}

/// A temporary neighbour of `path`, on the same file system, named so that it is swept after a crash.
#[must_use]
pub fn temporary_beside(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().unwrap_or(OsStr::new("x")).to_string_lossy();
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!("{TEMPORARY_PREFIX}{}_{unique}_{name}", std::process::id()))
}

/// Puts a file in place whole: written beside it, synced, renamed. The folder must exist.
///
/// # Errors
/// [`FsError`]; then whatever was at `path` is untouched and nothing is left beside it.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = temporary_beside(path);
    let write = || -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .naming("create", path)?;
        file.write_all(bytes).naming("write", path)?;
        file.set_permissions(fs::Permissions::from_mode(mode)).naming("set the mode of", path)?;
        file.sync_all().naming("write", path)
    };
    write().and_then(|()| rename(&temporary, path)).inspect_err(|_| drop(remove_file(&temporary)))
}

/// Puts a symbolic link in place, replacing the one that is there in one step.
///
/// # Errors
/// [`FsError`].
pub fn symlink(target: &Path, path: &Path) -> Result<()> {
    let temporary = temporary_beside(path);
    std::os::unix::fs::symlink(target, &temporary).naming("make the link", path)?;
    rename(&temporary, path).inspect_err(|_| drop(remove_file(&temporary)))
}

/// Makes a new file and opens it for writing; it must not be there yet.
///
/// # Errors
/// [`FsError`].
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path).naming("create", path)
}

/// Opens a file for writing at its end, making it where needed.
///
/// # Errors
/// [`FsError`].
pub fn append_to(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path).naming("open", path)
}

/// Sets permission bits.
///
/// # Errors
/// [`FsError`].
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).naming("set the mode of", path)
}

/// Sets access and modification time to `mtime` (seconds, nanoseconds).
///
/// # Errors
/// [`FsError`].
pub fn set_mtime(path: &Path, mtime: (i64, i64)) -> Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).naming("set the time of", path)
}

/// What a copied tree looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// As it was, where we may.
    Kept,
    /// The caller's.
    Callers,
}

/// Copies a file (by reference where the file system can), with mode and times; the copy is synced.
///
/// # Errors
/// [`FsError`]; a half-written copy is removed.
pub fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = open(from)?;
    let meta = source.metadata().naming("look at", from)?;
    let mut copy = || -> Result<()> {
        let mut target =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).naming("create", to)?;
        if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
            io::copy(&mut source, &mut target).naming("write", to)?;
        }
        target
            .set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))
            .naming("set the mode of", to)?;
        target.sync_all().naming("write", to)?;
        drop(target);
        set_mtime(to, (meta.mtime(), meta.mtime_nsec()))
    };
    copy().inspect_err(|error| {
        if error.source.kind() != io::ErrorKind::AlreadyExists {
            drop(remove_file(to));
        }
    })
}

/// Copies a whole folder to a path that doesn't exist yet: files, folders and links (as links), modes and times kept.
/// Anything else (devices, FIFOs, sockets) is an error, unless `ownership` is kept by root.
///
/// # Errors
/// [`FsError`]; what was copied so far is left for the caller to remove.
pub fn copy_tree(from: &Path, to: &Path, ownership: Ownership) -> Result<()> {
    let meta = fs::metadata(from).naming("look at", from)?;
    create_dir_all(to)?;
    for entry in list(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        if entry.kind.is_dir() {
            copy_tree(&source, &target, ownership)?;
        } else if entry.kind.is_symlink() {
            let leads_to = fs::read_link(&source).naming("read the link", &source)?;
            std::os::unix::fs::symlink(&leads_to, &target).naming("make the link", &target)?;
            let own = fs::symlink_metadata(&source).naming("look at", &source)?;
            set_mtime(&target, (own.mtime(), own.mtime_nsec()))?;
        } else if entry.kind.is_file() {
            copy_file(&source, &target)?;
        } else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither file, folder nor link"))
                .naming("copy", &source);
        }
        if ownership == Ownership::Kept {
            let own = fs::symlink_metadata(&source).naming("look at", &source)?;
            // Only root may; for everyone else the copy is simply theirs.
            drop(std::os::unix::fs::lchown(&target, Some(own.uid()), Some(own.gid())));
        }
    }
    set_mode(to, meta.mode() & 0o7777)?;
    set_mtime(to, (meta.mtime(), meta.mtime_nsec()))
}

/// Whether two files have the same bytes; `false` where either can't be read.
#[must_use]
pub fn same_bytes(a: &Path, b: &Path) -> bool {
    let Ok(Some((size_a, size_b))) =
        stat(a).and_then(|a| stat(b).map(|b| a.zip(b))).map(|both| both.map(|(a, b)| (a.len(), b.len())))
    else {
        return false;
    };
    size_a == size_b && matches!((read(a), read(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_whole(&path, b"old", 0o644).unwrap();
        let missing = dir.path().join("no/such/folder/file");
        assert!(write_whole(&missing, b"x", 0o644).unwrap_err().is_not_found());
        write_whole(&path, b"new", 0o600).unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_new_name_is_taken_only_where_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write_whole(&a, b"a", 0o644).unwrap();
        write_whole(&b, b"b", 0o644).unwrap();
        assert!(!rename_new(&a, &b).unwrap());
        assert_eq!(read(&b).unwrap(), b"b");
        remove_file(&b).unwrap();
        assert!(rename_new(&a, &b).unwrap());
        assert!(rename_new(&a, &b).unwrap_err().is_not_found());
    }

    #[test]
    fn links_are_replaced_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink(Path::new("a"), &link).unwrap();
        symlink(Path::new("b"), &link).unwrap();
        assert_eq!(link_target(&link).unwrap().unwrap(), Path::new("b"));
        assert_eq!(link_target(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
        assert!(read(&fifo).is_err());
    }

    #[test]
    fn a_tree_is_copied_with_modes_times_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(&from.join("sub")).unwrap();
        write_whole(&from.join("sub/script"), b"#!/bin/sh\n", 0o755).unwrap();
        set_mtime(&from.join("sub/script"), (1_000_000, 5)).unwrap();
        symlink(Path::new("sub/script"), &from.join("link")).unwrap();
        copy_tree(&from, &to, Ownership::Callers).unwrap();
        let meta = lstat(&to.join("sub/script")).unwrap().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime(), meta.mtime_nsec()), (0o755, 1_000_000, 5));
        assert_eq!(link_target(&to.join("link")).unwrap().unwrap(), Path::new("sub/script"));
    }
}
