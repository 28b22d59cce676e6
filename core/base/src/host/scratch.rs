//! What nobody misses after a power cut, so that nothing here is synced: build folders, the log that is
//! written into them, small notes.
#![expect(clippy::disallowed_methods, reason = "this is a part of the file system's home")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::fs::{FsError, Ownership, Result, TreeCopy, remove_file, set_mtime, temporary_beside};

fn naming(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FsError {
    move |source| FsError { verb, path: path.to_owned(), source }
}

/// Copies what is below `from`, a path without links (one may have been put there since it was resolved),
/// into the folder `to` (made where needed), over what is there: files by reference where the file system
/// can, links as links, times kept. All of it is ours; modes are kept but for set-id bits and rights of
/// others to write. Sockets, FIFOs and devices are left out. The mode of `to` stays what it is.
///
/// # Errors
/// [`FsError`]; what was copied so far is left.
pub fn copy_over(from: &Path, to: &Path) -> Result<()> {
    TreeCopy { ownership: Ownership::Callers, is_synced: false, over: true, plain: true }.run(from, to)
}

/// Makes a folder that nobody but us may enter.
///
/// # Errors
/// [`FsError`], also where something is there already.
pub fn create_private_folder(path: &Path) -> Result<()> {
    super::fs::death::point();
    fs::DirBuilder::new().mode(0o700).create(path).map_err(naming("create the folder", path))
}

/// Copies an open file to a new one, which gets this mode whatever the umask is; its time is kept.
///
/// # Errors
/// [`FsError`].
pub fn copy_opened(mut from: File, to: &Path, mode: u32) -> Result<()> {
    let meta = from.metadata().map_err(naming("look at", to))?;
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(naming("create", to))?;
    if rustix::fs::ioctl_ficlone(&target, &from).is_err() {
        io::copy(&mut from, &mut target).map_err(naming("write", to))?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(naming("set the mode of", to))?;
    set_mtime(to, (meta.mtime(), meta.mtime_nsec()))
}

/// Puts a small file in place whole. The folder must exist.
///
/// # Errors
/// [`FsError`]; then whatever was at `path` is untouched.
pub fn write_note(path: &Path, text: &str) -> Result<()> {
    let temporary = temporary_beside(path);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        super::fs::death::point();
        fs::rename(&temporary, path)
    };
    write().map_err(naming("write", path)).inspect_err(|_| drop(remove_file(&temporary)))
}

/// Makes a log: written at its end by the owner of the handle, readable through it even when its
/// name has been deleted.
///
/// # Errors
/// [`FsError`], also where something is there already.
pub fn create_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(naming("create", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::{create_dir_all, link_target, lstat, read, write_whole};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_source_is_copied_as_it_is_and_sockets_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(&from.join("sub")).unwrap();
        write_whole(&from.join("sub/run"), b"new", 0o755).unwrap();
        set_mtime(&from.join("sub/run"), (1_000_000, 5)).unwrap();
        symlink("/nix", from.join("dangling")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("fifo"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
            .unwrap();
        crate::host::fs::set_mode(&from.join("sub"), 0o2777).unwrap();
        create_dir_all(&to.join("sub")).unwrap();
        symlink("/etc/passwd", to.join("sub/run")).unwrap();
        copy_over(&from, &to).unwrap();
        let meta = lstat(&to.join("sub/run")).unwrap().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime(), meta.mtime_nsec()), (0o755, 1_000_000, 5));
        assert_eq!(read(&to.join("sub/run")).unwrap(), b"new");
        assert_eq!(link_target(&to.join("dangling")).unwrap().unwrap(), Path::new("/nix"));
        assert_eq!(lstat(&to.join("sub")).unwrap().unwrap().mode() & 0o7777, 0o755);
        assert!(lstat(&to.join("fifo")).unwrap().is_none());
    }
}
