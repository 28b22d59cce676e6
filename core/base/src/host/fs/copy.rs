//! Copying files and trees, with modes and times.
//!
//! A tree is copied folder by folder, each seen through its own descriptor and none through a link; it may be
//! no deeper and fuller than any source is.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::walk::{Named, Place};
use super::{FsError, Naming, Result, create_dir_all, open, remove_file, set_mtime};

/// What a copied tree looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// As it was, where we may.
    Kept,
    /// The caller's.
    Callers,
}

/// Folders in folders, and entries in all of them together: more than any module's source has by far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimit {
    /// How deep.
    pub depth: usize,
    /// How many.
    pub entries: usize,
}

impl TreeLimit {
    /// Of a source, and of what a build may leave in its folder.
    pub const SOURCE: Self = Self { depth: 200, entries: 1_000_000 };
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

/// Copies the content of a file to a new one with this mode, which is synced. The time is that of the copy.
///
/// # Errors
/// [`FsError`]; a half-written copy is removed.
pub fn copy_content(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let mut source = open(from)?;
    let mut target = super::create_new(to, mode)?;
    let mut copy = || -> Result<()> {
        super::death::point();
        if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
            io::copy(&mut source, &mut target).naming("write", to)?;
        }
        target.set_permissions(fs::Permissions::from_mode(mode)).naming("set the mode of", to)?;
        target.sync_all().naming("write", to)
    };
    copy().inspect_err(|_| drop(remove_file(to)))
}

/// Copies the content of a file to a new one, and these bytes behind it; synced.
///
/// # Errors
/// [`FsError`]; a half-written file is removed.
pub fn copy_with_end(from: &Path, to: &Path, end: &[u8], mode: u32) -> Result<()> {
    copy_content(from, to, mode)?;
    let append = || -> Result<()> {
        let mut file = super::append_to(to)?;
        file.write_all(end).naming("write", to)?;
        file.sync_all().naming("write", to)
    };
    append().inspect_err(|_| drop(remove_file(to)))
}

/// Copies a whole folder to a path that doesn't exist yet: files, folders and links (as links), modes and
/// times kept; files are synced. Anything else (devices, FIFOs, sockets) is left out.
///
/// # Errors
/// [`FsError`]; what was copied so far is left for the caller to remove.
pub fn copy_tree(from: &Path, to: &Path, ownership: Ownership) -> Result<()> {
    TreeCopy { ownership, is_synced: true, over: false, plain: false }.run(from, to)
}

/// What a copy that becomes the caller's loses: others would decide what is in it, or gain rights by it.
const OPEN: u32 = 0o6022;

/// How a tree is copied.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) struct TreeCopy {
    pub(in crate::host) ownership: Ownership,
    /// Files are synced.
    pub(in crate::host) is_synced: bool,
    /// Over what is there.
    pub(in crate::host) over: bool,
    /// No part of the path that is copied from may be a link.
    pub(in crate::host) plain: bool,
}

/// A folder that is being copied: what is still to be done in it, and what it is to look like.
struct Level {
    entries: std::vec::IntoIter<Named>,
    stat: Stat,
}

impl TreeCopy {
    /// Copies what is in a folder, and the folder's own mode and time.
    pub(in crate::host) fn run(self, from: &Path, to: &Path) -> Result<()> {
        let source = if self.plain { Place::plain(from) } else { Place::at(from, true) };
        self.run_from(source.naming("open", from)?, from, to)
    }

    /// Copies what is in an open folder; `from` names it in messages.
    pub(in crate::host) fn run_from(self, mut source: Place, from: &Path, to: &Path) -> Result<()> {
        create_dir_all(to)?;
        let mut target = Place::at(to, true).naming("open", to)?;
        let mut left = TreeLimit::SOURCE.entries;
        let mut levels = vec![Level::enter(&source, &mut left, from)?];
        let mut paths = Paths { source: from.to_owned(), target: to.to_owned() };
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                self.finish(target.folder(), &level.stat).naming("set the mode of", &paths.target)?;
                levels.pop();
                if !levels.is_empty() {
                    source.up().naming("open", &paths.source)?;
                    target.up().naming("open", &paths.target)?;
                    paths.pop();
                }
                continue;
            };
            paths.push(OsStr::from_bytes(entry.name.to_bytes()));
            if entry.is_folder {
                if source.depth() >= TreeLimit::SOURCE.depth {
                    return Err(too_much(
                        from,
                        format!("folders in folders, more than {}", TreeLimit::SOURCE.depth),
                    ));
                }
                self.folder(&target, &entry.name).naming("create the folder", &paths.target)?;
                source.down(&entry.name).naming("open", &paths.source)?;
                target.down(&entry.name).naming("open", &paths.target)?;
                levels.push(Level::enter(&source, &mut left, from)?);
            } else {
                self.entry(&source, &target, &entry.name, &paths)?;
                paths.pop();
            }
        }
        Ok(())
    }

    fn folder(self, target: &Place, name: &CStr) -> rustix::io::Result<()> {
        super::death::point();
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        match rustix::fs::mkdirat(target.folder(), name, mode) {
            Err(Errno::EXIST) if self.over => {
                if FileType::from_raw_mode(target.stat(name)?.st_mode) == FileType::Directory {
                    return Ok(());
                }
                rustix::fs::unlinkat(target.folder(), name, AtFlags::empty())?;
                rustix::fs::mkdirat(target.folder(), name, mode)
            }
            result => result,
        }
    }

    /// Copies what is no folder.
    fn entry(self, source: &Place, target: &Place, name: &CStr, paths: &Paths) -> Result<()> {
        let Paths { source: read, target: written } = paths;
        let stat = source.stat(name).naming("look at", read)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                self.make_way(target, name, written)?;
                let leads_to = rustix::fs::readlinkat(source.folder(), name, Vec::new())
                    .naming("read the link", read)?;
                rustix::fs::symlinkat(leads_to.as_c_str(), target.folder(), name)
                    .naming("make the link", written)?;
                self.give(target.folder(), name, &stat);
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(target.folder(), name, &times(&stat), flags)
                    .naming("set the time of", written)
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let opened =
                    rustix::fs::openat(source.folder(), name, flags, Mode::empty()).naming("open", read)?;
                let mut from = File::from(opened);
                let meta = from.metadata().naming("look at", read)?;
                if !meta.is_file() {
                    return Err(io::Error::from(io::ErrorKind::InvalidInput)).naming("copy", read);
                }
                self.make_way(target, name, written)?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                super::death::point();
                let made = rustix::fs::openat(target.folder(), name, flags, Mode::RUSR | Mode::WUSR);
                let mut to = File::from(made.naming("create", written)?);
                super::death::point();
                if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
                    io::copy(&mut from, &mut to).naming("write", written)?;
                }
                self.finish(&to, &stat).naming("set the mode of", written)?;
                super::death::point();
                if self.is_synced { to.sync_all().naming("write", written) } else { Ok(()) }
            }
            // What programs leave there while they run is no part of any source.
            _ => Ok(()),
        }
    }

    /// Takes away what is in the place of a file or link.
    fn make_way(self, target: &Place, name: &CStr, path: &Path) -> Result<()> {
        if !self.over {
            return Ok(());
        }
        match rustix::fs::unlinkat(target.folder(), name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                let unreachable =
                    |errno: Errno| FsError { verb: "replace", path: path.to_owned(), source: errno.into() };
                let mut folder = target.again().map_err(unreachable)?;
                folder.down(name).map_err(unreachable)?;
                super::walk::empty_at(folder).map_err(unreachable)?;
                rustix::fs::unlinkat(target.folder(), name, AtFlags::REMOVEDIR).naming("replace", path)
            }
            result => result.naming("replace", path),
        }
    }

    /// Owner first: changing it takes set-id bits away.
    fn finish(self, copy: &impl AsFd, stat: &Stat) -> rustix::io::Result<()> {
        if self.ownership == Ownership::Kept {
            // Only root may; for everyone else the copy is simply theirs.
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            let _ = rustix::fs::fchown(copy, Some(uid), Some(gid));
        }
        let lost = if self.ownership == Ownership::Callers { OPEN } else { 0 };
        rustix::fs::fchmod(copy, Mode::from_raw_mode(stat.st_mode & 0o7777 & !lost))?;
        rustix::fs::futimens(copy, &times(stat))
    }

    fn give(self, target: &impl AsFd, name: &CStr, stat: &Stat) {
        if self.ownership == Ownership::Kept {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            let _ = rustix::fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        }
    }
}

/// Where a copy is, for messages only: no call sees these paths.
struct Paths {
    source: PathBuf,
    target: PathBuf,
}

impl Paths {
    fn push(&mut self, name: &OsStr) {
        self.source.push(name);
        self.target.push(name);
    }

    fn pop(&mut self) {
        self.source.pop();
        self.target.pop();
    }
}

impl Level {
    fn enter(source: &Place, left: &mut usize, top: &Path) -> Result<Self> {
        let most = TreeLimit::SOURCE.entries;
        let entries = match source.all(*left) {
            Err(Errno::TOOBIG) => return Err(too_much(top, format!("more than {most} entries"))),
            result => result.naming("list", top)?,
        };
        *left -= entries.len();
        let stat = rustix::fs::fstat(source.folder()).naming("look at", top)?;
        Ok(Self { entries: entries.into_iter(), stat })
    }
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.try_into().unwrap_or_default() };
    Timestamps { last_access: time, last_modification: time }
}

fn too_much(top: &Path, what: String) -> FsError {
    let source = io::Error::new(io::ErrorKind::InvalidData, format!("there are {what}"));
    FsError { verb: "copy", path: PathBuf::from(top), source }
}

/// What a tree has too much of, by the first folder that is too deep or the first entry too many; `None`: it
/// is within the limit.
///
/// # Errors
/// [`FsError`] where it can't be looked at.
pub fn excess(top: &Path, limit: TreeLimit) -> Result<Option<String>> {
    let mut place = Place::at(top, false).naming("open", top)?;
    let mut left = limit.entries;
    let mut enter = |place: &Place| match place.all(left) {
        Err(Errno::TOOBIG) => Ok(None),
        Ok(entries) => {
            left -= entries.len();
            Ok(Some(entries.into_iter()))
        }
        Err(errno) => Err(errno).naming("list", top),
    };
    let too_many = || Some(format!("more than {} files and folders", limit.entries));
    let Some(first) = enter(&place)? else { return Ok(too_many()) };
    let mut levels = vec![first];
    while let Some(entries) = levels.last_mut() {
        match entries.find(|entry| entry.is_folder) {
            Some(_) if place.depth() >= limit.depth => {
                return Ok(Some(format!("folders in folders, more than {}", limit.depth)));
            }
            Some(folder) => {
                place.down(&folder.name).naming("open", top)?;
                let Some(below) = enter(&place)? else { return Ok(too_many()) };
                levels.push(below);
            }
            None => {
                levels.pop();
                if !levels.is_empty() {
                    place.up().naming("open", top)?;
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::walk::tests::dig;
    use crate::host::fs::{link_target, lstat, symlink, write_whole};

    #[test]
    fn what_becomes_the_callers_is_nobody_elses_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(&from.join("sub")).unwrap();
        for (name, mode) in [("sub/run", 0o4777), ("sub/text", 0o666)] {
            write_whole(&from.join(name), b"x", 0o600).unwrap();
            crate::host::fs::set_mode(&from.join(name), mode).unwrap();
            set_mtime(&from.join(name), (1_000_000, 5)).unwrap();
        }
        crate::host::fs::set_mode(&from.join("sub"), 0o777).unwrap();
        copy_tree(&from, &to, Ownership::Callers).unwrap();
        let of = |name: &str| lstat(&to.join(name)).unwrap().unwrap();
        let modes = ["sub", "sub/run", "sub/text"].map(|name| of(name).mode() & 0o7777);
        assert_eq!((modes, of("sub/run").mtime()), ([0o755, 0o755, 0o644], 1_000_000));
    }

    #[test]
    fn a_tree_is_copied_with_modes_times_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(&from.join("sub")).unwrap();
        write_whole(&from.join("sub/script"), b"#!/bin/sh\n", 0o755).unwrap();
        set_mtime(&from.join("sub/script"), (1_000_000, 5)).unwrap();
        symlink(Path::new("sub/script"), &from.join("link")).unwrap();
        set_mtime(&from, (2_000_000, 5)).unwrap();
        copy_tree(&from, &to, Ownership::Callers).unwrap();
        let meta = lstat(&to.join("sub/script")).unwrap().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime(), meta.mtime_nsec()), (0o755, 1_000_000, 5));
        assert!(!super::super::exists(&to.join("fifo")));
        assert_eq!(link_target(&to.join("link")).unwrap().unwrap(), Path::new("sub/script"));
        assert_eq!(lstat(&to).unwrap().unwrap().mtime(), 2_000_000);
    }

    #[test]
    fn what_is_too_deep_or_too_full_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let long = std::ffi::CString::new("n".repeat(255)).unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        dig(&from, 150, &long);
        assert_eq!(excess(&from, TreeLimit::SOURCE).unwrap(), None);
        copy_tree(&from, &to, Ownership::Callers).unwrap();
        super::super::remove_any(&to).unwrap();
        let found = |limit| excess(&from, limit).unwrap().unwrap();
        assert!(found(TreeLimit { depth: 149, entries: 1000 }).contains("more than 149"));
        assert!(found(TreeLimit { depth: 200, entries: 150 }).contains("more than 150 files"));
        dig(&from.join("x"), 1500, &long);
        let error = copy_tree(&from, &to, Ownership::Callers).unwrap_err().to_string();
        assert!(error.contains("more than 200"), "{error}");
    }
}
