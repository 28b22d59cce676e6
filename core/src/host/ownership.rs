//! A folder that is somebody else's for a while: given away with all that is in it, and taken back.
//!
//! Whoever has it may put anything into it. So links are never followed here, and names are
//! looked up in open folders.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, openat, statat,
};
use rustix::io::Result;

use super::fs::FsError;
use super::sandbox::Account;

/// Below this depth nobody looks: no source is so deep, only somebody who wants to exhaust us.
const DEEPEST: usize = 200;

/// What becomes of the folder itself when what is in it is given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It is theirs too. It must lie where nobody else gets.
    Theirs,
    /// It stays ours, and only those in the account's group may enter it and write to it.
    Ours,
}

/// Gives what is in a folder to somebody, who can then write it all.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn give_away(folder: &Path, to: Account, gate: Gate) -> std::result::Result<(), FsError> {
    let mut give = |parent: &OwnedFd, name: &CStr, stat: &Stat| -> Result<()> {
        let mode = Mode::from_raw_mode(stat.st_mode);
        if (stat.st_uid, stat.st_gid) != (to.uid.as_raw(), to.gid.as_raw()) {
            chownat(parent, name, Some(to.uid), Some(to.gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let needed = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Mode::RWXU,
            FileType::RegularFile => Mode::RUSR | Mode::WUSR,
            _ => Mode::empty(),
        };
        if mode.contains(needed) { Ok(()) } else { set_mode(parent, name, mode | needed) }
    };
    let naming = naming(folder);
    let opened = open(&CWD, folder).map_err(&naming)?;
    below(&opened, &mut give, DEEPEST).map_err(&naming)?;
    let (owner, mode) = match gate {
        Gate::Theirs => (to.uid, Mode::RWXU),
        Gate::Ours => (rustix::process::geteuid(), Mode::RWXU | Mode::RWXG),
    };
    let given = fchown(&opened, Some(owner), Some(to.gid)).and_then(|()| fchmod(&opened, mode));
    given.map_err(&naming)
}

/// Takes a folder back, with all that is in it: first the folder, which only we may enter from then on.
/// Nothing in it has a set-id bit afterwards, or can be written by others.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn take_back(folder: &Path) -> std::result::Result<(), FsError> {
    let naming = naming(folder);
    let (uid, gid) = ours();
    let opened = open(&CWD, folder).map_err(&naming)?;
    let closed = fchown(&opened, Some(uid), Some(gid)).and_then(|()| fchmod(&opened, Mode::RWXU));
    closed.map_err(&naming)?;
    let mut take = |parent: &OwnedFd, name: &CStr, stat: &Stat| {
        if (stat.st_uid, stat.st_gid) != (uid.as_raw(), gid.as_raw()) {
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let mode = stat.st_mode & 0o7777;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory | FileType::RegularFile if mode & 0o6022 != 0 => {
                set_mode(parent, name, Mode::from_raw_mode(mode & 0o1755))
            }
            _ => Ok(()),
        }
    };
    below(&opened, &mut take, DEEPEST).map_err(&naming)
}

/// Makes a folder that is ours and which only those in a group may pass through.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn let_pass(folder: &Path, group: Gid) -> std::result::Result<(), FsError> {
    let naming = naming(folder);
    let opened = open(&CWD, folder).map_err(&naming)?;
    let passable = fchown(&opened, None, Some(group)).and_then(|()| fchmod(&opened, Mode::RWXU | Mode::XGRP));
    passable.map_err(&naming)
}

fn ours() -> (Uid, Gid) {
    (rustix::process::geteuid(), rustix::process::getegid())
}

fn naming(folder: &Path) -> impl Fn(rustix::io::Errno) -> FsError {
    |errno| FsError { verb: "change the owner of", path: folder.to_owned(), source: errno.into() }
}

/// Through a handle: a mode can't be set by name without following a link.
fn set_mode(parent: &OwnedFd, name: &CStr, mode: Mode) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fchmod(openat(parent, name, flags, Mode::empty())?, mode)
}

type Visit<'a> = dyn FnMut(&OwnedFd, &CStr, &Stat) -> Result<()> + 'a;

fn open(parent: &impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Visits all that is in a folder.
fn below(folder: &OwnedFd, visit: &mut Visit<'_>, depth: usize) -> Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        visit(folder, name, &stat)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && depth > 0 {
            below(&open(folder, name)?, visit, depth - 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_was_given_away_comes_back_as_ours() {
        assert!(rustix::process::geteuid().is_root(), "the tests run as root");
        let dir = tempfile::tempdir().unwrap();
        let (folder, outside) = (dir.path().join("build"), dir.path().join("outside"));
        fs::create_dir_all(&folder.join("sub")).unwrap();
        for (name, mode) in [("plain", 0o644), ("sub/shut", 0o400)] {
            fs::write_whole(&folder.join(name), b"", mode).unwrap();
        }
        fs::write_whole(&outside, b"", 0o600).unwrap();
        fs::symlink(Path::new("../outside"), &folder.join("link")).unwrap();
        let to = Account { uid: Uid::from_raw(65534), gid: Gid::from_raw(2_000_000_000) };
        let of = |name: &str| {
            let meta = fs::lstat(&folder.join(name)).unwrap().unwrap();
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        for (gate, top) in
            [(Gate::Theirs, (65534, 2_000_000_000, 0o700)), (Gate::Ours, (0, 2_000_000_000, 0o770))]
        {
            give_away(&folder, to, gate).unwrap();
            assert_eq!(of(""), top);
            assert_eq!(of("plain"), (65534, 2_000_000_000, 0o644));
            assert_eq!(of("sub/shut"), (65534, 2_000_000_000, 0o600));
            assert_eq!(of("link").0, 65534);
            fs::write_whole(&folder.join("made"), b"", 0o644).unwrap();
            fs::give_to(&folder.join("made"), 65534, 65534);
            fs::set_mode(&folder.join("made"), 0o6777).unwrap();
            fs::set_mode(&folder.join("sub"), 0o2777).unwrap();
            take_back(&folder).unwrap();
            assert_eq!(of("made"), (0, 0, 0o755));
            assert_eq!((of(""), of("sub")), ((0, 0, 0o700), (0, 0, 0o755)));
            assert_eq!((of("plain"), of("sub/shut").0, of("link").0), ((0, 0, 0o644), 0, 0));
        }
        let meta = fs::lstat(&outside).unwrap().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o600));
    }
}
