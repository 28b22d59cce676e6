//! A folder that another user had is copied into one of ours: files, folders, and links that stay within.
//! Nobody who still has one of its files open can write to the copy.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};

use super::beneath;
use super::fs::{FsError, Result};

/// What comes out of a build has a few folders; this limit is for a build that wants to exhaust us.
const DEEPEST: usize = 32;
const MOST_ENTRIES: usize = 10_000;
const LARGEST: u64 = 4 << 30;

/// Which links are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Those that lead to somewhere in the folder.
    Within,
    /// All.
    All,
}

/// Copies what is in `from` to the new folder `to`; says what was left out, as paths in it.
///
/// # Errors
/// [`FsError`]; what was copied so far is left for the caller to remove.
pub fn adopt(from: &Path, to: &Path, links: Links) -> Result<Vec<PathBuf>> {
    let mut copy = Copy { from, to, links, entries: 0, bytes: 0, left_out: Vec::new() };
    let opened =
        open(CWD, from.as_os_str()).map_err(|errno| copy.error("open", Path::new(""), errno.into()))?;
    super::fs::create_dir_all(to)?;
    copy.folder(&opened, Path::new(""), 0)?;
    Ok(copy.left_out)
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    links: Links,
    entries: usize,
    bytes: u64,
    left_out: Vec<PathBuf>,
}

impl Copy<'_> {
    fn error(&self, verb: &'static str, path: &Path, source: std::io::Error) -> FsError {
        FsError { verb, path: self.from.join(path), source }
    }

    fn folder(&mut self, folder: &OwnedFd, path: &Path, depth: usize) -> Result<()> {
        let entries = Dir::read_from(folder).map_err(|errno| self.error("list", path, errno.into()))?;
        for entry in entries {
            let entry = entry.map_err(|errno| self.error("list", path, errno.into()))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            self.entries += 1;
            if self.entries > MOST_ENTRIES || depth > DEEPEST {
                let why = std::io::Error::other("there is more in it than any build leaves");
                return Err(self.error("take over", Path::new(""), why));
            }
            self.entry(folder, name, &path.join(name), depth)?;
        }
        super::fs::sync_folder(&self.to.join(path))
    }

    fn entry(&mut self, folder: &OwnedFd, name: &OsStr, path: &Path, depth: usize) -> Result<()> {
        let failed = |this: &Self, errno: rustix::io::Errno| this.error("take over", path, errno.into());
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed(self, errno))?;
        let target = self.to.join(path);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                super::fs::create_dir_all(&target)?;
                let below = open(folder, name).map_err(|errno| failed(self, errno))?;
                self.folder(&below, path, depth + 1)
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat(folder, name, flags, Mode::empty()).map_err(|errno| failed(self, errno))?;
                let file = File::from(file);
                let length = file.metadata().map_err(|error| self.error("look at", path, error))?.len();
                self.bytes = self.bytes.saturating_add(length);
                if self.bytes > LARGEST {
                    return Err(self.error("take over", path, std::io::ErrorKind::FileTooLarge.into()));
                }
                beneath::copy(&file, &self.from.join(path), &target, length)
            }
            FileType::Symlink => {
                let to = readlinkat(folder, name, Vec::new()).map_err(|errno| failed(self, errno))?;
                let to = PathBuf::from(OsStr::from_bytes(to.as_bytes()));
                if self.links == Links::All || stays_within(path, &to) {
                    return super::fs::create_link(&to, &target);
                }
                self.left_out.push(path.to_owned());
                Ok(())
            }
            _ => {
                self.left_out.push(path.to_owned());
                Ok(())
            }
        }
    }
}

/// Whether a link at a path of a folder leads to a place in that folder, by its text alone: up first, in
/// folders that are no links, then down, through other links of which the same holds.
fn stays_within(path: &Path, to: &Path) -> bool {
    let depth = path.components().count().saturating_sub(1);
    let up = to.components().take_while(|part| *part == Component::ParentDir).count();
    let is_down = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    up <= depth && to.components().skip(up).all(is_down)
}

fn open(parent: impl std::os::fd::AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::{create_dir_all, link_target, lstat, read, set_mode, symlink, write_whole};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn files_and_links_within_come_over() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        create_dir_all(&from.join("module")).unwrap();
        write_whole(&from.join("module/x.ko"), b"x", 0o644).unwrap();
        set_mode(&from.join("module/x.ko"), 0o6777).unwrap();
        for (name, to) in [
            ("module/y.ko", "x.ko"),
            ("up", "module/../module"),
            ("module/back", "../module/./x.ko"),
            ("out", "../to"),
            ("module/deep", "../../x"),
            ("etc", "/etc/shadow"),
        ] {
            symlink(Path::new(to), &from.join(name)).unwrap();
        }
        rustix::fs::mknodat(CWD, from.join("fifo"), FileType::Fifo, 0o644.into(), 0).unwrap();
        let mut left_out = adopt(&from, &to, Links::Within).unwrap();
        left_out.sort();
        assert_eq!(left_out, ["etc", "fifo", "module/deep", "out", "up"].map(PathBuf::from));
        assert_eq!(read(&to.join("module/x.ko")).unwrap(), b"x");
        assert_eq!(lstat(&to.join("module/x.ko")).unwrap().unwrap().mode() & 0o7777, 0o755);
        assert_eq!(link_target(&to.join("module/y.ko")).unwrap().unwrap(), Path::new("x.ko"));
        let all = adopt(&from, &dir.path().join("all"), Links::All).unwrap();
        assert_eq!(all, [PathBuf::from("fifo")]);
    }

    #[test]
    fn what_no_build_leaves_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut deep = dir.path().join("from");
        (0..40).for_each(|_| deep.push("d"));
        create_dir_all(&deep).unwrap();
        assert!(adopt(&dir.path().join("from"), &dir.path().join("to"), Links::Within).is_err());
    }
}
