//! Making, moving and removing: each visible change is one rename, after what it shows was synced.
#![expect(clippy::disallowed_methods, reason = "this is a part of the file system's home")]

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{FsError, Naming, Result, exists, lstat, optional, walk};
use crate::layout::TEMPORARY_PREFIX;

/// Where a test lets us die: before each change, as `kill -9` would.
#[cfg(any(test, feature = "testing"))]
pub mod death {
    use std::cell::Cell;

    thread_local!(static LEFT: Cell<Option<u32>> = const { Cell::new(None) });

    /// The process that is recorded to be at work: one that is dead for those who come later.
    pub fn process_id() -> u32 {
        // Process numbers end at 4194304 (PID_MAX_LIMIT).
        if LEFT.get().is_some() { 4_999_999 } else { std::process::id() }
    }

    /// Runs `work` until it has made so many changes; `None` where it has died then.
    pub fn after<T>(changes: u32, work: impl FnOnce() -> T) -> Option<T> {
        LEFT.set(Some(changes));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        LEFT.set(None);
        result.ok()
    }

    /// What comes before each change.
    pub fn point() {
        // What destructors do then, the dead don't; but they can't be kept from it.
        if let Some(left) = LEFT.get().filter(|_| !std::thread::panicking()) {
            match left.checked_sub(1) {
                Some(less) => LEFT.set(Some(less)),
                None => std::panic::resume_unwind(Box::new(())),
            }
        }
    }
}

/// Where a test lets a run die; this is none.
#[cfg(not(any(test, feature = "testing")))]
pub mod death {
    pub use std::process::id as process_id;
    /// What comes before each change.
    pub const fn point() {}
}

/// Makes a folder and those above it (0755).
///
/// # Errors
/// [`FsError`].
pub fn create_dir_all(path: &Path) -> Result<()> {
    death::point();
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).naming("create the folder", path)
}

/// Removes a file or link; nothing there is fine.
///
/// # Errors
/// [`FsError`].
pub fn remove_file(path: &Path) -> Result<()> {
    death::point();
    optional(fs::remove_file(path).naming("remove", path)).map(|_| ())
}

/// Removes a folder and all below it, however deep, following no link; nothing there is fine.
///
/// # Errors
/// [`FsError`].
pub fn remove_tree(path: &Path) -> Result<()> {
    death::point();
    let emptied = optional(walk::empty(path).naming("remove the folder", path))?;
    emptied.map_or(Ok(()), |()| optional(fs::remove_dir(path).naming("remove the folder", path)).map(|_| ()))
}

/// Removes all that is in a folder, however deep.
///
/// # Errors
/// [`FsError`].
pub fn empty_folder(path: &Path) -> Result<()> {
    death::point();
    walk::empty(path).naming("remove what is in the folder", path)
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
    death::point();
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
/// [`FsError`] naming the new path; then nothing has moved, but for a file that was replaced
/// when the sync failed.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let is_new = lstat(to)?.is_none();
    death::point();
    fs::rename(from, to).naming("move into place", to)?;
    sync_folder_of(to).inspect_err(|_| {
        if is_new {
            drop(fs::rename(to, from));
        }
    })
}

/// Renames, for a caller who syncs the folder once for several.
///
/// # Errors
/// [`FsError`] naming the new path.
pub fn rename_unsynced(from: &Path, to: &Path) -> Result<()> {
    death::point();
    fs::rename(from, to).naming("move into place", to)
}

/// Renames to a path where nothing is yet; `false`, and nothing done, where something is.
///
/// # Errors
/// [`FsError`](super::FsError) naming the new path.
pub fn rename_new(from: &Path, to: &Path) -> Result<bool> {
    death::point();
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => return Ok(false),
        // Some file systems (NFS, FUSE) have no such rename; what is left is to look first.
        Err(rustix::io::Errno::INVAL) if exists(to) => return Ok(false),
        Err(rustix::io::Errno::INVAL) => fs::rename(from, to).naming("move into place", to)?,
        result => result.naming("move into place", to)?,
    }
    sync_folder_of(to).inspect_err(|_| drop(fs::rename(to, from)))?;
    Ok(true)
}

/// Exchanges what is at two paths in one step (`renameat2` with `RENAME_EXCHANGE`).
///
/// # Errors
/// [`FsError`]; some file systems can't.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    exchange_unsynced(a, b)?;
    sync_folder_of(b).inspect_err(|_| drop(exchange_unsynced(a, b)))
}

/// As [`exchange`], for a caller who syncs the folder once for several.
///
/// # Errors
/// As there.
pub fn exchange_unsynced(a: &Path, b: &Path) -> Result<()> {
    death::point();
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).naming("exchange", b)
}

/// Puts what is at `staged` at `path`, over what is there: a file, a link or a whole folder. What was there
/// is at `staged` afterwards, or gone: the caller removes it.
///
/// # Errors
/// [`FsError`].
pub fn replace(staged: &Path, path: &Path) -> Result<()> {
    if lstat(path)?.is_none() {
        return rename(staged, path);
    }
    match exchange(staged, path) {
        Err(error) if cannot_move(&error) => {
            remove_any(path)?;
            rename(staged, path)
        }
        result => result,
    }
}

/// Renames a folder to a temporary name beside it, which is returned; where the file system
/// can't, it stays as it is.
///
/// # Errors
/// [`FsError`].
pub fn hide(dir: &Path) -> Result<PathBuf> {
    let hidden = temporary_beside(dir);
    match rename(dir, &hidden) {
        Ok(()) => Ok(hidden),
        Err(error) if cannot_move(&error) => Ok(dir.to_owned()),
        Err(error) => Err(error),
    }
}

/// Removes a folder and all below it, out of sight by one rename first; nothing there is fine.
///
/// # Errors
/// [`FsError`].
pub fn discard(dir: &Path) -> Result<()> {
    if lstat(dir)?.is_none() {
        return Ok(());
    }
    let hidden = temporary_beside(dir);
    match rename(dir, &hidden) {
        Ok(()) => remove_any(&hidden),
        Err(error) if cannot_move(&error) => remove_any(dir),
        Err(error) => Err(error),
    }
}

/// Whether the file system can't move or exchange these at all: some never exchange, and an overlay (a
/// container's root) moves no folder of a lower layer.
fn cannot_move(error: &FsError) -> bool {
    matches!(error.source.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EXDEV | libc::EOPNOTSUPP))
}

/// Syncs the folder that holds `path`.
///
/// # Errors
/// [`FsError`].
pub fn sync_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if folder != Path::new("") => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

/// Syncs a folder: the names in it.
///
/// # Errors
/// [`FsError`].
pub fn sync_folder(folder: &Path) -> Result<()> {
    death::point();
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
    path.with_file_name(format!("{TEMPORARY_PREFIX}{}_{unique}_{name}", death::process_id()))
}

/// Puts a file in place whole: written beside it, synced, renamed. The folder must exist.
///
/// # Errors
/// [`FsError`]; then whatever was at `path` is untouched and nothing is left beside it.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = temporary_beside(path);
    // The path in the error is the one that was meant.
    let named = |error| FsError { path: path.to_owned(), ..error };
    write_new(&temporary, bytes, mode).map_err(named)?;
    rename(&temporary, path).inspect_err(|_| drop(remove_file(&temporary)))
}

/// Writes and syncs a file that isn't there yet; its name is not synced.
///
/// # Errors
/// [`FsError`]; a half-written file is removed.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    death::point();
    let mut file = create_new(path, mode)?;
    let mut write = || -> Result<()> {
        death::point();
        file.write_all(bytes).naming("write", path)?;
        file.set_permissions(fs::Permissions::from_mode(mode)).naming("set the mode of", path)?;
        file.sync_all().naming("write", path)
    };
    write().inspect_err(|_| drop(remove_file(path)))
}

/// Puts a symbolic link in place, replacing the one that is there in one step.
///
/// # Errors
/// [`FsError`].
pub fn symlink(target: &Path, path: &Path) -> Result<()> {
    death::point();
    let temporary = temporary_beside(path);
    std::os::unix::fs::symlink(target, &temporary).naming("make the link", path)?;
    rename(&temporary, path).inspect_err(|_| drop(remove_file(&temporary)))
}

/// Makes a symbolic link where nothing is yet.
///
/// # Errors
/// [`FsError`].
pub fn create_link(target: &Path, path: &Path) -> Result<()> {
    death::point();
    std::os::unix::fs::symlink(target, path).naming("make the link", path)
}

/// Makes a new file and opens it for writing; it must not be there yet.
///
/// # Errors
/// [`FsError`].
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    death::point();
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path).naming("create", path)
}

/// Opens a file that is only there to be locked, making it where needed; a link is not followed.
///
/// # Errors
/// [`FsError`].
pub fn open_lock(path: &Path) -> Result<File> {
    death::point();
    let flags = libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).mode(0o600).custom_flags(flags).open(path).naming("open", path)
}

/// Makes a user the owner of what is at a path itself. Only root may, and nobody else has to.
pub fn give_to(path: &Path, user: u32, group: u32) {
    drop(std::os::unix::fs::lchown(path, Some(user), Some(group)));
}

/// Opens a file for writing at its end, making it where needed.
///
/// # Errors
/// [`FsError`].
pub fn append_to(path: &Path) -> Result<File> {
    death::point();
    OpenOptions::new().append(true).create(true).mode(0o644).open(path).naming("open", path)
}

/// Sets permission bits.
///
/// # Errors
/// [`FsError`].
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    death::point();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::{link_target, list, read};

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

    /// A container's root: a folder below is in another layer than what is written now.
    #[test]
    fn folders_of_a_lower_layer_are_replaced_and_discarded() {
        use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
        let dir = tempfile::tempdir().unwrap();
        // An upper layer needs a file system that takes one. A tmpfs does; an overlay, as below a
        // container's /tmp, does not.
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), None).expect("the tests run as root");
        let at = |name: &str| dir.path().join(name);
        for folder in ["lower/kept", "lower/gone", "upper", "work", "view"] {
            create_dir_all(&at(folder)).unwrap();
            write_whole(&at(folder).join("file"), b"old", 0o644).unwrap();
        }
        remove_file(&at("work/file")).unwrap();
        let layers = ["lowerdir=", ",upperdir=", ",workdir="].iter().zip(["lower", "upper", "work"]);
        let options: String = layers.map(|(key, name)| format!("{key}{}", at(name).display())).collect();
        let options = std::ffi::CString::new(options).unwrap();
        mount("overlay", at("view"), "overlay", MountFlags::empty(), options.as_c_str())
            .expect("this kernel has overlays");
        let verdict = std::panic::catch_unwind(|| {
            create_dir_all(&at("view/staged")).unwrap();
            write_whole(&at("view/staged/file"), b"new", 0o644).unwrap();
            replace(&at("view/staged"), &at("view/kept")).unwrap();
            assert_eq!(read(&at("view/kept/file")).unwrap(), b"new");
            discard(&at("view/gone")).unwrap();
            assert_eq!(list(&at("view")).unwrap().iter().filter(|entry| entry.kind.is_dir()).count(), 1);
        });
        unmount(at("view"), UnmountFlags::DETACH).unwrap();
        unmount(dir.path(), UnmountFlags::DETACH).unwrap();
        verdict.unwrap();
    }
}
