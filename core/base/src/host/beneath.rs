//! Files below a folder that another user has filled: looked up in open folders, one name at a time. A link
//! is followed only within the folder, even if another user changes it meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, openat, readlinkat, seek, statat, unlinkat,
};
use rustix::io::Errno;

use super::fs::{FsError, Result};

/// The kernel follows as many.
const MOST_LINKS: u32 = 40;
/// No path of a source is so deep; each folder on the way is an open descriptor.
const DEEPEST: usize = 100;
/// No linker leaves as many holes in a file.
const MOST_HOLES: u32 = 4096;

/// A folder, and the paths that lead to it for those who make links in it.
#[derive(Debug)]
pub struct Beneath {
    folder: OwnedFd,
    path: PathBuf,
    seen: Vec<PathBuf>,
}

/// A name in a folder that is open.
struct Found {
    folder: OwnedFd,
    name: OsString,
}

impl Beneath {
    /// Opens a folder, which links that are made in it call `seen`.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn open(path: &Path, seen: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty()).map_err(naming("open", path))?;
        let seen = [Some(seen.to_owned()), super::fs::canonical(seen).ok()];
        Ok(Self { folder, path: path.to_owned(), seen: seen.into_iter().flatten().collect() })
    }

    /// Opens a regular file for reading; `None` where there is none, or where the path
    /// leads out of the folder.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn file(&self, path: &Path) -> Result<Option<File>> {
        let naming = || naming("open", &self.path.join(path));
        let Some(found) = self.find(path).map_err(naming())? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&found.folder, &found.name, flags, Mode::empty()) {
            Ok(file) => {
                let file = File::from(file);
                let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
                Ok(is_file.then_some(file))
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno).map_err(naming()),
        }
    }

    /// Copies a regular file to a new one of ours, with its time, and its mode but for rights of others to
    /// write. `false` where there is none.
    ///
    /// # Errors
    /// [`FsError`]; one that is larger than `limit` is one too.
    pub fn copy_to(&self, path: &Path, to: &Path, limit: u64) -> Result<bool> {
        let Some(file) = self.file(path)? else { return Ok(false) };
        copy(&file, &self.path.join(path), to, limit)?;
        Ok(true)
    }

    /// The size of a regular file, and how many of its bytes are not in holes; `None` where there is none.
    /// Nothing of it is read.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn extent(&self, path: &Path) -> Result<Option<Extent>> {
        let Some(file) = self.file(path)? else { return Ok(None) };
        let io = |source| FsError { verb: "look at", path: self.path.join(path), source };
        let size = file.metadata().map_err(io)?.len();
        Ok(Some(Extent { size, written: written(&file, size).map_err(|errno| io(errno.into()))? }))
    }

    /// Puts a file of ours in the place of what is at a path, whose folder must be there;
    /// `false` where it isn't.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn put(&self, from: &Path, path: &Path) -> Result<bool> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
        let naming = || naming("write", &self.path.join(path));
        let Some(folder) = self.folder(parent).map_err(naming())? else { return Ok(false) };
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).map_err(naming()),
        }
        let mut source = super::fs::open(from)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, name, flags, Mode::from_raw_mode(0o644)).map_err(naming())?;
        io::copy(&mut source, &mut File::from(file)).map_err(|source| FsError {
            verb: "write",
            path: self.path.join(path),
            source,
        })?;
        Ok(true)
    }

    /// Takes away a file or link, not what it leads to.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn remove(&self, path: &Path) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let naming = || naming("remove", &self.path.join(path));
        let Some(folder) = self.folder(parent).map_err(naming())? else { return Ok(()) };
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).map_err(naming()),
        }
    }

    fn folder(&self, path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
        // The last name is looked up by the walk as well: it is a folder then.
        let Some(found) = self.find(&path.join("."))? else { return Ok(None) };
        Ok(Some(found.folder))
    }

    /// Where a path leads, links followed.
    fn find(&self, path: &Path) -> rustix::io::Result<Option<Found>> {
        let mut stack = vec![again(&self.folder)?];
        let mut names: VecDeque<OsString> = parts(path);
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            let Some(here) = stack.last() else { return Ok(None) };
            if name == "." {
                if names.is_empty() {
                    return Ok(Some(Found { folder: again(here)?, name }));
                }
                continue;
            }
            if name == ".." {
                stack.pop();
                if stack.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            let kind = match statat(here, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            match kind {
                FileType::Symlink => {
                    links += 1;
                    let to = readlinkat(here, &name, Vec::new())?;
                    let to = PathBuf::from(OsStr::from_bytes(to.as_bytes()));
                    let to = if to.is_absolute() {
                        let Some(within) = self.seen.iter().find_map(|seen| to.strip_prefix(seen).ok())
                        else {
                            return Ok(None);
                        };
                        stack.truncate(1);
                        within.to_owned()
                    } else {
                        to
                    };
                    if links > MOST_LINKS {
                        return Ok(None);
                    }
                    parts(&to).into_iter().rev().for_each(|part| names.push_front(part));
                }
                FileType::Directory => {
                    if stack.len() > DEEPEST {
                        return Ok(None);
                    }
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    match openat(here, &name, flags, Mode::empty()) {
                        Ok(folder) => stack.push(folder),
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                        Err(errno) => return Err(errno),
                    }
                }
                _ if names.is_empty() => return Ok(Some(Found { folder: again(here)?, name })),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// How large a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its length.
    pub size: u64,
    /// The bytes of it that are not in holes.
    pub written: u64,
}

/// Adds up what lies between the holes of a file, up to a number of them that no program leaves.
fn written(file: &File, size: u64) -> rustix::io::Result<u64> {
    let (mut at, mut written) = (0, 0);
    for _ in 0..MOST_HOLES {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(written),
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(size),
            Err(errno) => return Err(errno),
        };
        at = seek(file, SeekFrom::Hole(data))?;
        written += at.saturating_sub(data);
        if at >= size {
            return Ok(written);
        }
    }
    Ok(written)
}

/// Copies what is open to a new file of ours.
pub(super) fn copy(file: &File, from: &Path, to: &Path, limit: u64) -> Result<()> {
    let io = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| FsError { verb, path, source }
    };
    let meta = file.metadata().map_err(io("look at", from))?;
    let too_large =
        || FsError { verb: "read", path: from.to_owned(), source: io::ErrorKind::FileTooLarge.into() };
    if meta.len() > limit {
        return Err(too_large());
    }
    let mut target = super::fs::create_new(to, 0o600)?;
    let mut source = file.take(limit + 1);
    if io::copy(&mut source, &mut target).map_err(io("write", to))? > limit {
        return Err(too_large());
    }
    target.sync_all().map_err(io("write", to))?;
    drop(target);
    super::fs::set_mode(to, meta.mode() & 0o755 | 0o600)?;
    super::fs::set_mtime(to, (meta.mtime(), meta.mtime_nsec()))
}

fn again(folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(folder, 3)
}

fn naming(verb: &'static str, path: &Path) -> impl Fn(Errno) -> FsError + use<> {
    let path = path.to_owned();
    move |errno| FsError { verb, path: path.clone(), source: errno.into() }
}

/// The names of a path, as they are looked up from a folder.
fn parts(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let mut names: VecDeque<OsString> = names.map(OsStr::to_owned).collect();
    if path.as_os_str().is_empty()
        || path.ends_with(".")
        || path.as_os_str().as_encoded_bytes().ends_with(b"/.")
    {
        names.push_back(".".into());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::{create_dir_all, lstat, read, symlink, write_whole};

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("build");
        create_dir_all(&folder.join("sub")).unwrap();
        write_whole(&dir.path().join("outside"), b"secret", 0o644).unwrap();
        write_whole(&folder.join("sub/x.ko"), b"x", 0o666).unwrap();
        for (name, to) in [
            ("in.ko", "sub/x.ko"),
            ("back.ko", "sub/../sub/./x.ko"),
            ("absolute.ko", "/seen/sub/x.ko"),
            ("out.ko", "../outside"),
            ("etc.ko", "/etc/passwd"),
            ("up", ".."),
            ("loop", "loop"),
            ("nix.ko", "nix"),
        ] {
            symlink(Path::new(to), &folder.join(name)).unwrap();
        }
        (dir, folder)
    }

    #[test]
    fn links_are_followed_within_only() {
        let (_dir, folder) = folder();
        let beneath = Beneath::open(&folder, Path::new("/seen")).unwrap();
        let is_there = |path: &str| beneath.file(Path::new(path)).unwrap().is_some();
        for path in ["sub/x.ko", "./sub//x.ko", "in.ko", "back.ko", "absolute.ko"] {
            assert!(is_there(path), "{path}");
        }
        for path in [
            "out.ko",
            "etc.ko",
            "up/outside",
            "../outside",
            "loop",
            "nix.ko",
            "sub",
            "sub/x.ko/y",
            "missing",
            "",
        ] {
            assert!(!is_there(path), "{path}");
        }
        assert!(
            Beneath::open(&folder.join("up"), Path::new("/seen")).is_err(),
            "the folder is no link itself"
        );
    }

    #[test]
    fn copies_and_replacements_touch_nothing_else() {
        let (dir, folder) = folder();
        let beneath = Beneath::open(&folder, Path::new("/seen")).unwrap();
        let copy = dir.path().join("copy");
        assert!(beneath.copy_to(Path::new("in.ko"), &copy, 1).unwrap());
        let meta = lstat(&copy).unwrap().unwrap();
        assert_eq!((read(&copy).unwrap(), meta.mode() & 0o777), (b"x".to_vec(), 0o644));
        assert!(!beneath.copy_to(Path::new("out.ko"), &dir.path().join("none"), 9).unwrap());
        assert!(beneath.copy_to(Path::new("in.ko"), &dir.path().join("large"), 0).is_err());
        assert!(beneath.put(&copy, Path::new("out.ko")).unwrap());
        assert!(!beneath.put(&copy, Path::new("up/new")).unwrap());
        assert_eq!(read(&folder.join("out.ko")).unwrap(), b"x");
        assert_eq!(read(&dir.path().join("outside")).unwrap(), b"secret");
        beneath.remove(Path::new("etc.ko")).unwrap();
        assert!(lstat(&folder.join("etc.ko")).unwrap().is_none());
    }

    #[test]
    fn holes_are_seen_without_a_read() {
        let (_dir, folder) = folder();
        let file = crate::host::fs::create_new(&folder.join("holes"), 0o644).unwrap();
        file.set_len(64 << 20).unwrap();
        rustix::io::pwrite(&file, &[1; 4096], 32 << 20).unwrap();
        let beneath = Beneath::open(&folder, &folder).unwrap();
        let extent = beneath.extent(Path::new("holes")).unwrap().unwrap();
        assert_eq!(extent.size, 64 << 20);
        assert!((4096..1 << 20).contains(&extent.written), "{extent:?}");
        assert_eq!(beneath.extent(Path::new("in.ko")).unwrap(), Some(Extent { size: 1, written: 1 }));
        assert_eq!(beneath.extent(Path::new("out.ko")).unwrap(), None);
    }

    #[test]
    fn a_fifo_is_no_file_and_holds_up_nobody() {
        let (_dir, folder) = folder();
        rustix::fs::mknodat(CWD, folder.join("fifo"), FileType::Fifo, 0o644.into(), 0).unwrap();
        assert!(Beneath::open(&folder, &folder).unwrap().file(Path::new("fifo")).unwrap().is_none());
    }
}
