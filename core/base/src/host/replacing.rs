//! A file that is replaced in a folder which another user may exchange meanwhile: the folder is opened once,
//! and only names in it are used after that.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::fs::{self, FsError, Result};

/// A file, and the open folder that it is in.
#[derive(Debug)]
pub struct Replacing {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Replacing {
    /// Opens the folder of a file.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn open(path: &Path) -> Result<Self> {
        let naming = |errno: Errno| FsError { verb: "open", path: path.to_owned(), source: errno.into() };
        let name = path.file_name().ok_or_else(|| naming(Errno::INVAL))?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, parent, flags, Mode::empty()).map_err(naming)?;
        Ok(Self { folder, name, path: path.to_owned() })
    }

    /// Puts the content of a file of ours in its place, with owner and mode of what is there; one rename.
    ///
    /// # Errors
    /// [`FsError`], also where there is no regular file any more; then what is there stays.
    pub fn replace_with(&self, from: &Path) -> Result<()> {
        let temporary = fs::temporary_beside(Path::new(&self.name));
        let mut source = fs::open(from)?;
        let mut replace = || -> io::Result<()> {
            let there = statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.folder, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
            io::copy(&mut source, &mut file)?;
            // Only root may; for others the file is theirs.
            let _ = fchown(&file, Some(Uid::from_raw(there.st_uid)), Some(Gid::from_raw(there.st_gid)));
            fchmod(&file, Mode::from_raw_mode(there.st_mode & 0o777))?;
            file.sync_all()?;
            renameat(&self.folder, &temporary, &self.folder, &self.name)?;
            Ok(rustix::fs::fsync(&self.folder)?)
        };
        replace().map_err(|source| {
            let _ = unlinkat(&self.folder, &temporary, AtFlags::empty());
            FsError { verb: "replace", path: self.path.clone(), source }
        })
    }
}
