//! A file or a folder that a command writes where another user may own the folder around it, or write into
//! it: that folder is opened once, what is written is new and ours, and it gets its name by one rename.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::fs::{self, FsError, Result};
use super::trusted;
use crate::layout::TEMPORARY_PREFIX;

/// How often another name is tried where one is taken already.
const TRIES: u32 = 16;
/// No file system takes a longer name.
const LONGEST_NAME: usize = 255;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A file in the making. What isn't published goes when this is dropped.
#[derive(Debug)]
pub struct NewFile {
    place: Place,
    file: File,
}

/// A folder in the making. What isn't published goes when this is dropped.
#[derive(Debug)]
pub struct NewFolder {
    place: Place,
    own: OwnedFd,
    path: PathBuf,
}

/// A name in an open folder, and the name under which it is made.
#[derive(Debug)]
struct Place {
    folder: OwnedFd,
    /// A path of that folder that leads there whatever is renamed meanwhile.
    at: PathBuf,
    name: OsString,
    temporary: OsString,
    /// As it was given, for messages.
    path: PathBuf,
    is_done: bool,
}

/// Opens a folder once, for [`NewFile::create_below`].
///
/// # Errors
/// [`FsError`].
pub fn open_folder(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, FOLDER, Mode::empty()).map_err(naming("open", path))
}

impl NewFile {
    /// Begins a file that will be at `path`, whose folder is there.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn create(path: &Path) -> Result<Self> {
        Self::at(Place::open(path)?)
    }

    /// Begins a file in an open folder, below these folders in it, none of which is a link; `top` is that
    /// folder's path, for messages.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn create_below(folder: &OwnedFd, top: &Path, below: &[&str], name: &str) -> Result<Self> {
        let mut path = top.to_owned();
        let mut folder = folder.try_clone().map_err(|error| failed("open", top, error))?;
        for part in below {
            path.push(part);
            folder = openat(&folder, *part, FOLDER | OFlags::NOFOLLOW, Mode::empty())
                .map_err(naming("open", &path))?;
        }
        Self::create_in(&folder, &path.join(name))
    }

    /// Begins a file in an open folder; `path` is the file's, for its name and for messages.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn create_in(folder: &OwnedFd, path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_owned();
        let folder = folder.try_clone().map_err(|error| failed("open", path, error))?;
        Self::at(Place::of(folder, name, path)?)
    }

    fn at(mut place: Place) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            place.with_new_name(|folder, name| openat(folder, name, flags, Mode::RUSR | Mode::WUSR))?;
        Ok(Self { place, file: file.into() })
    }

    /// To be written; all handles share one position.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn writer(&self) -> Result<File> {
        self.file.try_clone().map_err(|error| failed("write", &self.place.path, error))
    }

    /// What has been written, from its beginning.
    ///
    /// # Errors
    /// [`FsError`], also where another user has put something in its place.
    pub fn reader(&self) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.place.check(&self.file)?;
        let Place { folder, temporary, path, .. } = &self.place;
        openat(folder, temporary, flags, Mode::empty()).map(File::from).map_err(naming("open", path))
    }

    /// Shows it at its place, in that of what is there; one rename.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn publish(mut self, mode: u32) -> Result<()> {
        let place = &mut self.place;
        let write = |error| failed("write", &place.path, error);
        fchmod(&self.file, Mode::from_raw_mode(mode)).map_err(|errno| write(errno.into()))?;
        self.file.sync_all().map_err(write)?;
        place.check(&self.file)?;
        place.named(fs::rename(&place.temporary(), &place.target()))?;
        place.is_done = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.place.is_done {
            // Whatever went wrong has its error already.
            let _ = unlinkat(&self.place.folder, &self.place.temporary, AtFlags::empty());
        }
    }
}

impl NewFolder {
    /// Begins a folder that will be at `path`, whose own folder is there. Until it is published only we can
    /// enter it.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn create(path: &Path) -> Result<Self> {
        let mut place = Place::open(path)?;
        let own = place.with_new_name(|folder, name| {
            mkdirat(folder, name, Mode::RWXU)?;
            openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())
        })?;
        // Between these two calls the owner of the folder around it may have put another one there.
        let meta = fstat(&own).map_err(naming("make the folder", path))?;
        let is_ours = meta.st_uid == rustix::process::geteuid().as_raw() && meta.st_mode & 0o077 == 0;
        let seen = seen(&own, || place.temporary())?;
        if !is_ours || !fs::list(&seen)?.is_empty() {
            return Err(exchanged(path));
        }
        Ok(Self { place, own, path: seen })
    }

    /// A path by which it is filled.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows it at its place, where nothing, or an empty folder, is.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn publish(mut self) -> Result<()> {
        self.finish()?;
        self.place.named(fs::rename(&self.place.temporary(), &self.place.target()))?;
        self.place.is_done = true;
        Ok(())
    }

    /// Shows it in the place of whatever is there, which is removed.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn replace(mut self) -> Result<()> {
        self.finish()?;
        let temporary = self.place.temporary();
        self.place.named(fs::replace(&temporary, &self.place.target()))?;
        self.place.is_done = true;
        // What was there before is there now.
        self.place.named(fs::remove_any(&temporary))
    }

    fn finish(&self) -> Result<()> {
        let mode = Mode::from_raw_mode(0o755);
        fchmod(&self.own, mode).map_err(naming("set the mode of", &self.place.path))?;
        self.place.named(fs::sync_folder(&self.path))?;
        self.place.check(&self.own)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.place.is_done {
            // Whatever went wrong has its error already.
            drop(fs::empty_folder(&self.path));
            let _ = unlinkat(&self.place.folder, &self.place.temporary, AtFlags::REMOVEDIR);
        }
    }
}

impl Place {
    fn open(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| naming("write", path)(Errno::INVAL))?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = openat(CWD, parent, FOLDER, Mode::empty()).map_err(naming("write", path))?;
        Self::of(folder, name, path)
    }

    fn of(folder: OwnedFd, name: OsString, path: &Path) -> Result<Self> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let at = seen(&folder, || parent.to_owned())?;
        Ok(Self { folder, at, name, temporary: OsString::new(), path: path.to_owned(), is_done: false })
    }

    /// Makes something under a new name. Another user can't know it before, and what is there already is
    /// never taken.
    fn with_new_name<T>(&mut self, make: impl Fn(&OwnedFd, &OsString) -> rustix::io::Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            let mut random = [0; 4];
            getrandom(&mut random, GetRandomFlags::empty()).map_err(naming("write", &self.path))?;
            let (process, number) = (std::process::id(), u32::from_ne_bytes(random));
            let mut name = OsString::from(format!("{TEMPORARY_PREFIX}{process}_{number}_"));
            if name.len() + self.name.len() <= LONGEST_NAME {
                name.push(&self.name);
            }
            tries += 1;
            match make(&self.folder, &name) {
                Err(Errno::EXIST) if tries < TRIES => {}
                made => {
                    self.temporary = name;
                    return made.map_err(naming("write", &self.path));
                }
            }
        }
    }

    fn temporary(&self) -> PathBuf {
        self.at.join(&self.temporary)
    }

    fn target(&self) -> PathBuf {
        self.at.join(&self.name)
    }

    /// Whether what we have made is still what its name leads to.
    fn check(&self, ours: impl AsFd) -> Result<()> {
        let ours = fstat(ours).map_err(naming("write", &self.path))?;
        let there = statat(&self.folder, &self.temporary, AtFlags::SYMLINK_NOFOLLOW);
        match there {
            Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => Ok(()),
            _ => Err(exchanged(&self.path)),
        }
    }

    /// With the path that the user knows.
    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| FsError { path: self.path.clone(), ..error })
    }
}

/// A path that leads to an open folder whatever is renamed meanwhile. Without `/proc` the folder's own path
/// has to do, where no other user can change it.
fn seen(folder: &OwnedFd, plain: impl Fn() -> PathBuf) -> Result<PathBuf> {
    // With the dot it is the folder itself, and no link, for calls that follow none.
    let path = PathBuf::from(format!("/proc/self/fd/{}/.", folder.as_raw_fd()));
    if fs::is_dir(&path) {
        return Ok(path);
    }
    let plain = plain();
    match trusted::fault_for_root(&plain) {
        None => Ok(plain),
        Some(fault) => {
            let text = format!("/proc is not mounted, and {fault}");
            Err(failed("write into", &plain, io::Error::new(io::ErrorKind::PermissionDenied, text)))
        }
    }
}

fn exchanged(path: &Path) -> FsError {
    let text = "another user has put something else in its place meanwhile";
    failed("write", path, io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> FsError {
    FsError { verb, path: path.to_owned(), source }
}

fn naming(verb: &'static str, path: &Path) -> impl Fn(Errno) -> FsError {
    move |errno| failed(verb, path, errno.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        fs::list(dir).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn what_is_not_published_was_never_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let new = NewFile::create(&path).unwrap();
        new.writer().unwrap().write_all(b"text").unwrap();
        assert_eq!(io::read_to_string(new.reader().unwrap()).unwrap(), "text");
        drop(new);
        let folder = NewFolder::create(&dir.path().join("folder")).unwrap();
        fs::write_whole(&folder.path().join("x"), b"x", 0o644).unwrap();
        drop(folder);
        assert_eq!(names(dir.path()), [""; 0]);
        let new = NewFile::create(&path).unwrap();
        new.publish(0o644).unwrap();
        let folder = NewFolder::create(&dir.path().join("folder")).unwrap();
        fs::write_whole(&folder.path().join("x"), b"x", 0o644).unwrap();
        folder.publish().unwrap();
        let folder = NewFolder::create(&dir.path().join("folder")).unwrap();
        fs::write_whole(&folder.path().join("y"), b"y", 0o644).unwrap();
        folder.replace().unwrap();
        assert_eq!(names(dir.path()), ["file", "folder"]);
        assert_eq!(names(&dir.path().join("folder")), ["y"]);
    }

    /// The owner of the folder exchanges the temporary name for a link, and the folder for another one.
    #[test]
    fn nothing_is_written_or_made_readable_elsewhere() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (theirs, victim) = (dir.path().join("theirs"), dir.path().join("victim"));
        fs::create_dir_all(&theirs).unwrap();
        fs::create_dir_all(&victim).unwrap();
        let secret = victim.join("secret");
        fs::write_whole(&secret, b"secret", 0o600).unwrap();
        let exchange = |link: &Path| {
            let name = names(&theirs).pop().unwrap();
            fs::remove_any(&theirs.join(&name)).unwrap();
            fs::create_link(link, &theirs.join(&name)).unwrap();
        };
        let new = NewFile::create(&theirs.join("out")).unwrap();
        exchange(&secret);
        assert!(new.reader().is_err());
        assert!(new.publish(0o644).unwrap_err().to_string().contains("another user"));
        assert_eq!(fs::stat(&secret).unwrap().unwrap().mode() & 0o777, 0o600);
        let new = NewFolder::create(&theirs.join("out")).unwrap();
        exchange(&victim);
        // It went with its name; what is written now is written nowhere.
        drop(fs::write_whole(&new.path().join("module"), b"x", 0o644));
        assert!(new.replace().is_err());
        assert_eq!(names(&victim), ["secret"]);
        // The folder is exchanged for a link to another one.
        let new = NewFile::create(&theirs.join("out")).unwrap();
        fs::rename(&theirs, &dir.path().join("moved")).unwrap();
        fs::create_link(&victim, &theirs).unwrap();
        new.publish(0o644).unwrap();
        assert_eq!(names(&victim), ["secret"]);
        assert!(fs::is_file(&dir.path().join("moved/out")));
    }

    #[test]
    fn no_link_is_followed_below_an_open_folder() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir_all(&victim).unwrap();
        fs::create_dir_all(&dir.path().join("layout/blobs")).unwrap();
        fs::create_link(&victim, &dir.path().join("layout/blobs/sha256")).unwrap();
        let top = dir.path().join("layout");
        let folder = open_folder(&top).unwrap();
        assert!(NewFile::create_below(&folder, &top, &["blobs", "sha256"], "x").is_err());
        NewFile::create_below(&folder, &top, &["blobs"], "x").unwrap().publish(0o644).unwrap();
        assert_eq!((names(&victim).len(), names(&top.join("blobs")).len()), (0, 2));
    }
}
