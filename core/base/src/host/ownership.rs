//! A folder that is another user's for a while: given away with all that is in it, and taken back.
//!
//! That user may put anything into it. So links are never followed here, and names are
//! looked up in open folders.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, openat};
use rustix::io::{Errno, Result};

use super::access_list;
use super::fs::walk::Place;
use super::fs::{FsError, TreeLimit};
use super::sandbox::Account;

/// What becomes of the folder itself when what is in it is given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It is theirs too. It must lie where nobody else gets.
    Theirs,
    /// It stays ours, and only those in the account's group may enter it and write to it.
    Ours,
}

/// Gives what is in a folder to a user, who can then write it all.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn give_away(folder: &Path, to: Account, gate: Gate) -> std::result::Result<(), FsError> {
    let mut give = |place: &Place, name: &CStr, stat: &Stat| -> io::Result<()> {
        let mode = Mode::from_raw_mode(stat.st_mode);
        if (stat.st_uid, stat.st_gid) != (to.uid.as_raw(), to.gid.as_raw()) {
            chownat(place.folder(), name, Some(to.uid), Some(to.gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let needed = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Mode::RWXU,
            FileType::RegularFile => Mode::RUSR | Mode::WUSR,
            _ => Mode::empty(),
        };
        if mode.contains(needed) { Ok(()) } else { Ok(set_mode(place, name, mode | needed)?) }
    };
    let naming = naming(folder);
    let top = Place::at(folder, false).map_err(|errno| naming(errno.into()))?;
    no_links_out(&top).and_then(|()| below(&top, &mut give)).map_err(&naming)?;
    let (owner, mode) = match gate {
        Gate::Theirs => (to.uid, Mode::RWXU),
        Gate::Ours => (rustix::process::geteuid(), Mode::RWXU | Mode::RWXG),
    };
    let given = fchown(top.folder(), Some(owner), Some(to.gid)).and_then(|()| admit(&top, mode));
    given.map_err(|errno| naming(errno.into()))
}

/// Takes a folder back, with all that is in it: first the folder, which only we may enter from then on.
/// Nothing in it has a set-id bit afterwards, or can be written by others.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn take_back(folder: &Path) -> std::result::Result<(), FsError> {
    let naming = naming(folder);
    let (uid, gid) = ours();
    let top = Place::at(folder, false).map_err(|errno| naming(errno.into()))?;
    let closed = fchown(top.folder(), Some(uid), Some(gid)).and_then(|()| fchmod(top.folder(), Mode::RWXU));
    closed.map_err(|errno| naming(errno.into()))?;
    let mut take = |place: &Place, name: &CStr, stat: &Stat| -> io::Result<()> {
        if (stat.st_uid, stat.st_gid) != (uid.as_raw(), gid.as_raw()) {
            chownat(place.folder(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let mode = stat.st_mode & 0o7777;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory | FileType::RegularFile if mode & 0o6022 != 0 => {
                Ok(set_mode(place, name, Mode::from_raw_mode(mode & 0o1755))?)
            }
            _ => Ok(()),
        }
    };
    no_links_out(&top).and_then(|()| below(&top, &mut take)).map_err(&naming)
}

/// Makes a folder that is ours and which only those in a group may pass through.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn let_pass(folder: &Path, group: Gid) -> std::result::Result<(), FsError> {
    let naming = naming(folder);
    let top = Place::at(folder, false).map_err(|errno| naming(errno.into()))?;
    let passable =
        fchown(top.folder(), None, Some(group)).and_then(|()| admit(&top, Mode::RWXU | Mode::XGRP));
    passable.map_err(|errno| naming(errno.into()))
}

/// Sets a folder's mode, whose group bits mean its group and nobody else: with an access control list, which
/// the folder above may have handed down to it, they would be the mask of all that the list names (acl(5)).
fn admit(top: &Place, mode: Mode) -> Result<()> {
    access_list::remove(&top.folder())?;
    fchmod(top.folder(), mode)
}

fn ours() -> (Uid, Gid) {
    (rustix::process::geteuid(), rustix::process::getegid())
}

fn naming(folder: &Path) -> impl Fn(io::Error) -> FsError {
    |source| FsError { verb: "change the owner of", path: folder.to_owned(), source }
}

/// Through a handle: a mode can't be set by name without following a link.
fn set_mode(place: &Place, name: &CStr, mode: Mode) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fchmod(openat(place.folder(), name, flags, Mode::empty())?, mode)
}

type Visit<'a> = dyn FnMut(&Place, &CStr, &Stat) -> io::Result<()> + 'a;

/// Visits all that is in a folder, with one folder open at a time.
fn below(top: &Place, visit: &mut Visit<'_>) -> io::Result<()> {
    let TreeLimit { depth, mut entries } = TreeLimit::SOURCE;
    let mut enter = |place: &Place| -> io::Result<_> {
        let names = place.all(entries).map_err(|errno| match errno {
            Errno::TOOBIG => io::Error::other("there are too many files and folders in it"),
            errno => errno.into(),
        })?;
        entries -= names.len();
        Ok(names.into_iter())
    };
    let mut place = top.again()?;
    let mut levels = vec![enter(&place)?];
    while let Some(names) = levels.last_mut() {
        let Some(entry) = names.next() else {
            levels.pop();
            if !levels.is_empty() {
                place.up()?;
            }
            continue;
        };
        let stat = place.stat(&entry.name)?;
        visit(&place, &entry.name, &stat)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            if place.depth() >= depth {
                return Err(io::Error::other(format!("it has folders in folders, more than {depth}")));
            }
            place.down(&entry.name)?;
            levels.push(enter(&place)?);
        }
    }
    Ok(())
}

/// Refuses a file that has a name outside of the folder too: it may be another user's.
fn no_links_out(top: &Place) -> io::Result<()> {
    let mut linked: BTreeMap<(u64, u64), (_, CString)> = BTreeMap::new();
    below(top, &mut |_, name, stat| {
        let names = stat.st_nlink;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory && names > 1 {
            let (others, _) = linked.entry((stat.st_dev, stat.st_ino)).or_insert((names, name.to_owned()));
            *others = others.saturating_sub(1);
        }
        Ok(())
    })?;
    match linked.into_values().find(|(others, _)| *others > 0) {
        None => Ok(()),
        Some((_, name)) => {
            let name = name.to_string_lossy().into_owned();
            Err(io::Error::other(format!("`{name}` in it is a hard link to a file outside of it")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs;
    use rustix::fs::CWD;
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

    #[test]
    fn a_list_that_was_handed_down_admits_nobody() {
        let dir = tempfile::tempdir().unwrap();
        access_list::testing::name(12345, dir.path(), true);
        let folder = dir.path().join("build");
        let to = Account { uid: Uid::from_raw(65534), gid: Gid::from_raw(2_000_000_000) };
        for is_given in [true, false] {
            fs::create_dir_all(&folder).unwrap();
            assert!(access_list::is_at(&folder));
            let admitted =
                if is_given { give_away(&folder, to, Gate::Ours) } else { let_pass(&folder, to.gid) };
            admitted.unwrap();
            assert!(!access_list::is_at(&folder));
            fs::create_dir_all(&folder.join("below")).unwrap();
            assert!(!access_list::is_at(&folder.join("below")));
            fs::remove_tree(&folder).unwrap();
        }
    }

    #[test]
    fn files_with_names_elsewhere_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, outside) = (dir.path().join("build"), dir.path().join("outside"));
        fs::create_dir_all(&folder.join("sub")).unwrap();
        let link = |from: &Path, name: &str| {
            rustix::fs::linkat(CWD, from, CWD, folder.join(name), AtFlags::empty()).unwrap();
        };
        let to = Account { uid: Uid::from_raw(65534), gid: Gid::from_raw(2_000_000_000) };
        // All names of this one are in it.
        fs::write_whole(&folder.join("own"), b"", 0o644).unwrap();
        link(&folder.join("own"), "sub/own");
        give_away(&folder, to, Gate::Theirs).unwrap();
        take_back(&folder).unwrap();
        fs::write_whole(&outside, b"", 0o600).unwrap();
        fs::set_mode(&outside, 0o4755).unwrap();
        fs::give_to(&outside, 1, 1);
        fs::set_mode(&outside, 0o4755).unwrap();
        link(&outside, "sub/trap");
        for refused in [give_away(&folder, to, Gate::Theirs), take_back(&folder)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("`trap` in it is a hard link"), "{error}");
        }
        let meta = fs::lstat(&outside).unwrap().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (1, 0o4755));
    }

    #[test]
    fn a_folder_that_is_too_deep_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let deepest = TreeLimit::SOURCE.depth;
        for (depth, fits) in [(deepest, true), (deepest + 1, false)] {
            let folder = dir.path().join(depth.to_string());
            fs::walk::tests::dig(&folder, depth, c"d");
            assert_eq!(take_back(&folder).is_ok(), fits, "{depth}");
        }
    }
}
