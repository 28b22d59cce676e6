//! A place in a tree of folders that another user may have made: as deep and as full as they liked.
//!
//! One folder is open at a time, whatever the depth; names are looked up in it, so no path is ever too long;
//! nothing recurses. On the way up `..` must be the folder that it was on the way down.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::{Errno, Result};

use crate::sys::open_plain;

/// How many entries of a folder are looked at together.
const BATCH: usize = 1024;
/// How many folders of a folder are remembered at once where the tree is so deep that this
/// may take much memory.
const FEW: usize = 4;
/// From here on it is.
const DEEP: usize = 64;
/// How often a folder that was empty may have something in it again: another process writes to it.
const MOST_RACES: u32 = 1000;

/// A folder in a tree, and the way back to where the walk began.
#[derive(Debug)]
pub(in crate::host) struct Place {
    folder: OwnedFd,
    /// Device and inode of each folder above, from the first.
    above: Vec<(u64, u64)>,
}

/// An entry of a folder.
#[derive(Debug)]
pub(in crate::host) struct Named {
    pub(in crate::host) name: CString,
    pub(in crate::host) is_folder: bool,
}

impl Place {
    /// At a folder; a link at its path is followed only where `follow` says so.
    pub(in crate::host) fn at(path: &Path, follow: bool) -> Result<Self> {
        let flags = if follow { FLAGS.difference(OFlags::NOFOLLOW) } else { FLAGS };
        let folder = openat(CWD, path.as_os_str().as_bytes(), flags, Mode::empty())?;
        Ok(Self { folder, above: Vec::new() })
    }

    /// At a folder; no part of its path is a link.
    pub(super) fn plain(path: &Path) -> Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
        Ok(Self { folder: open_plain(&path, FLAGS)?, above: Vec::new() })
    }

    /// The same folder, as the beginning of another walk.
    pub(in crate::host) fn again(&self) -> Result<Self> {
        let folder = openat(&self.folder, c".", FLAGS, Mode::empty())?;
        Ok(Self { folder, above: Vec::new() })
    }

    /// The folder.
    pub(in crate::host) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// How many folders lie between this one and where the walk began.
    pub(in crate::host) fn depth(&self) -> usize {
        self.above.len()
    }

    /// Goes into a folder of this one; a link is none.
    pub(in crate::host) fn down(&mut self, name: &CStr) -> Result<()> {
        let below = openat(&self.folder, name, FLAGS, Mode::empty())?;
        self.above.push(identity(&self.folder)?);
        self.folder = below;
        Ok(())
    }

    /// Goes back to the folder that this one is in.
    pub(in crate::host) fn up(&mut self) -> Result<()> {
        let above = openat(&self.folder, c"..", FLAGS, Mode::empty())?;
        // Another process has moved it meanwhile: from there no way leads back.
        if self.above.pop() != Some(identity(&above)?) {
            return Err(Errno::STALE);
        }
        self.folder = above;
        Ok(())
    }

    /// What is known of an entry itself.
    pub(in crate::host) fn stat(&self, name: &CStr) -> Result<Stat> {
        statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Some entries of the folder, from its begin: all where they are few.
    pub(in crate::host) fn some(&self) -> Result<Vec<Named>> {
        self.take(BATCH)
    }

    /// All entries of the folder, in the order of their bytes; an error where they are more than so many.
    pub(in crate::host) fn all(&self, most: usize) -> Result<Vec<Named>> {
        let mut names = self.take(most.saturating_add(1))?;
        if names.len() > most {
            return Err(Errno::TOOBIG);
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    fn take(&self, most: usize) -> Result<Vec<Named>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Directory => true,
                FileType::Unknown => FileType::from_raw_mode(self.stat(name)?.st_mode) == FileType::Directory,
                _ => false,
            };
            names.push(Named { name: name.to_owned(), is_folder });
            if names.len() >= most {
                break;
            }
        }
        Ok(names)
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn identity(folder: &impl AsFd) -> Result<(u64, u64)> {
    let stat = rustix::fs::fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Removes all that is in a folder.
pub(super) fn empty(path: &Path) -> Result<()> {
    empty_at(Place::at(path, false)?)
}

/// Removes all that is in the folder of a place.
pub(super) fn empty_at(mut place: Place) -> Result<()> {
    // For each folder that we are in: its folders that are still to be gone into, and its name.
    let mut pending = vec![remove_files(&place)?];
    let mut names: Vec<CString> = Vec::new();
    let mut races = 0;
    while let Some(folders) = pending.last_mut() {
        if let Some(name) = folders.pop() {
            match rustix::fs::unlinkat(place.folder(), name.as_c_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    place.down(&name)?;
                    pending.push(remove_files(&place)?);
                    names.push(name);
                }
                Err(errno) => return Err(errno),
            }
            continue;
        }
        // What didn't fit into memory, and what was made meanwhile.
        let again = remove_files(&place)?;
        if !again.is_empty() {
            *folders = again;
            continue;
        }
        pending.pop();
        if let Some(name) = names.pop() {
            place.up()?;
            match rustix::fs::unlinkat(place.folder(), name.as_c_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                // Another process writes there: it is looked at again.
                Err(Errno::NOTEMPTY | Errno::EXIST) if races < MOST_RACES => {
                    races += 1;
                    pending.last_mut().into_iter().for_each(|list| list.push(name.clone()));
                }
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

/// Removes what is no folder from a folder, and returns some of its folders: none only where it is empty.
fn remove_files(place: &Place) -> Result<Vec<CString>> {
    loop {
        let entries = place.some()?;
        let mut folders = Vec::new();
        let is_end = entries.is_empty();
        for entry in entries {
            if entry.is_folder {
                folders.push(entry.name);
                continue;
            }
            match rustix::fs::unlinkat(place.folder(), entry.name.as_c_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        if is_end || !folders.is_empty() {
            if place.depth() > DEEP {
                folders.truncate(FEW);
            }
            return Ok(folders);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::fs;

    /// Makes folders in folders, as deep as this.
    pub(crate) fn dig(path: &Path, depth: usize, name: &CStr) {
        fs::create_dir_all(path).unwrap();
        let mut folder = openat(CWD, path, FLAGS, Mode::empty()).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&folder, name, Mode::RWXU).unwrap();
            folder = openat(&folder, name, FLAGS, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        openat(&folder, c"file", flags, Mode::RUSR | Mode::WUSR).unwrap();
    }

    /// Few descriptors, a small stack, and paths that are longer than any path can be.
    #[test]
    fn whatever_somebody_has_left_can_be_removed() {
        // In memory: a disk takes minutes for so many folders.
        let memory = Path::new("/dev/shm");
        let made = if fs::may_write(memory) { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = made.unwrap();
        let top = dir.path().join("top");
        let long = CString::new("n".repeat(255)).unwrap();
        for (depth, name) in [(1500, long.as_c_str()), (30_000, c"d")] {
            dig(&top, depth, name);
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn({
                    let top = top.clone();
                    move || fs::remove_any(&top)
                })
                .unwrap()
                .join()
                .unwrap()
                .unwrap();
            assert!(!fs::exists(&top));
        }
        for number in 0..3000 {
            fs::create_dir_all(&top.join(format!("{number}/below"))).unwrap();
            let file = top.join(format!("{number}.x"));
            openat(CWD, &file, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        }
        fs::create_link(dir.path(), &top.join("link")).unwrap();
        fs::remove_tree(&top).unwrap();
        assert!(!fs::exists(&top) && fs::is_dir(dir.path()));
    }

    #[test]
    fn a_folder_that_is_moved_away_on_the_way_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(&at("a/b/c")).unwrap();
        let mut place = Place::at(&at("a"), false).unwrap();
        place.down(c"b").unwrap();
        place.down(c"c").unwrap();
        fs::rename(&at("a/b/c"), &at("c")).unwrap();
        assert_eq!(place.up(), Err(Errno::STALE));
    }
}
