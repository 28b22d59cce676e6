//! Copying files and trees, with modes and times.
#![expect(clippy::disallowed_methods, reason = "this is a part of the file system's home")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{Naming, Result, create_dir_all, list, open, remove_file, set_mode, set_mtime};

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
/// [`FsError`](super::FsError); a half-written copy is removed.
pub fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = open(from)?;
    let meta = source.metadata().naming("look at", from)?;
    let mut copy = || -> Result<()> {
        let mut target =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).naming("create", to)?;
        super::death::point();
        if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
            io::copy(&mut source, &mut target).naming("write", to)?;
        }
        target
            .set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))
            .naming("set the mode of", to)?;
        super::death::point();
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
/// [`FsError`](super::FsError); what was copied so far is left for the caller to remove.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::{link_target, lstat, symlink, write_whole};

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
