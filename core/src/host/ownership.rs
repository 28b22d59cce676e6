//! A folder that is somebody else's for a while: given away with all that is in it, and taken back.
//!
//! Whoever has it may put anything into it. So links are never followed here, and names are looked up in open folders.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, openat, statat,
};

use super::fs::FsError;
use super::sandbox::Account;

/// Below this depth nobody looks: no source is so deep, only somebody who wants to exhaust us.
const DEEPEST: usize = 200;

/// What was whose, and had which mode, where that isn't root's and as it is when it is given away.
#[derive(Debug, Default)]
pub struct Before(HashMap<(u64, u64), (Uid, Gid, Mode)>);

/// Gives a folder with all that is in it to somebody, who can then write it all.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn give_away(folder: &Path, to: Account) -> Result<Before, FsError> {
    let mut before = Before::default();
    let mut give = |parent: &OwnedFd, name: &CStr, stat: &Stat| -> rustix::io::Result<()> {
        let (owner, mode) = (owner_of(stat), Mode::from_raw_mode(stat.st_mode));
        if owner == (to.uid, to.gid) {
            return Ok(());
        }
        chownat(parent, name, Some(to.uid), Some(to.gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let needed = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Mode::RWXU,
            FileType::RegularFile => Mode::RUSR | Mode::WUSR,
            _ => Mode::empty(),
        };
        if !mode.contains(needed) {
            set_mode(parent, name, mode | needed)?;
        }
        if owner != (Uid::ROOT, Gid::ROOT) || !mode.contains(needed) {
            before.0.insert((stat.st_dev, stat.st_ino), (owner.0, owner.1, mode));
        }
        Ok(())
    };
    walk(folder, &mut give)?;
    Ok(before)
}

/// Takes back what is still theirs: what was there gets its owner and mode back, everything else is root's.
///
/// # Errors
/// [`FsError`], naming the folder.
pub fn take_back(folder: &Path, from: Account, before: &Before) -> Result<(), FsError> {
    walk(folder, &mut |parent, name, stat| {
        if stat.st_uid != from.uid.as_raw() {
            return Ok(());
        }
        let earlier = before.0.get(&(stat.st_dev, stat.st_ino));
        let (uid, gid) = earlier.map_or((Uid::ROOT, Gid::ROOT), |(uid, gid, _)| (*uid, *gid));
        // This takes set-id bits of files away too.
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        match earlier {
            Some((_, _, mode)) if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink => {
                set_mode(parent, name, *mode)
            }
            _ => Ok(()),
        }
    })
}

fn owner_of(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

/// Through a handle: a mode can't be set by name without following a link.
fn set_mode(parent: &OwnedFd, name: &CStr, mode: Mode) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fchmod(openat(parent, name, flags, Mode::empty())?, mode)
}

type Visit<'a> = dyn FnMut(&OwnedFd, &CStr, &Stat) -> rustix::io::Result<()> + 'a;

/// Visits a folder and all that is in it.
fn walk(folder: &Path, visit: &mut Visit<'_>) -> Result<(), FsError> {
    let naming = |errno: rustix::io::Errno| FsError {
        verb: "change the owner of",
        path: folder.to_owned(),
        source: errno.into(),
    };
    let opened = open(&CWD, folder).map_err(naming)?;
    let stat = statat(&opened, c".", AtFlags::empty()).map_err(naming)?;
    visit(&opened, c".", &stat).map_err(naming)?;
    below(&opened, visit, DEEPEST).map_err(naming)
}

fn open(parent: &impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn below(folder: &OwnedFd, visit: &mut Visit<'_>, depth: usize) -> rustix::io::Result<()> {
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
    fn what_was_given_away_comes_back_as_it_was() {
        assert!(rustix::process::geteuid().is_root(), "the tests run as root");
        let dir = tempfile::tempdir().unwrap();
        let (folder, outside) = (dir.path().join("build"), dir.path().join("outside"));
        fs::create_dir_all(&folder.join("sub")).unwrap();
        for (name, mode) in [("plain", 0o644), ("sub/shut", 0o400)] {
            fs::write_whole(&folder.join(name), b"", mode).unwrap();
        }
        fs::write_whole(&outside, b"", 0o600).unwrap();
        fs::symlink(Path::new("../outside"), &folder.join("link")).unwrap();
        fs::give_to(&folder.join("sub/shut"), 7, 8);
        let to = Account { uid: Uid::from_raw(65534), gid: Gid::from_raw(65534) };
        let of = |name: &str| {
            let meta = fs::lstat(&folder.join(name)).unwrap().unwrap();
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        let before = give_away(&folder, to).unwrap();
        assert_eq!(of("plain"), (65534, 65534, 0o644));
        assert_eq!(of("sub/shut"), (65534, 65534, 0o600));
        assert_eq!((of("").0, of("link").0), (65534, 65534));
        fs::write_whole(&folder.join("made"), b"", 0o644).unwrap();
        fs::give_to(&folder.join("made"), 65534, 65534);
        fs::set_mode(&folder.join("made"), 0o4755).unwrap();
        take_back(&folder, to, &before).unwrap();
        assert_eq!(of("made"), (0, 0, 0o755));
        assert_eq!(of("plain"), (0, 0, 0o644));
        assert_eq!(of("sub/shut"), (7, 8, 0o400));
        assert_eq!((of("").0, of("sub").0, of("link").0), (0, 0, 0));
        let meta = fs::lstat(&outside).unwrap().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o600));
    }
}
