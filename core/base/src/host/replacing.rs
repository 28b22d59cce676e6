//! A file that is replaced in a folder which another user may exchange meanwhile: the folder is opened once,
//! and only names in it are used after that.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Uid, fchown, statat};

use super::fs::{self, FsError, Result};
use super::output::{self, NewFile};

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
        let no_name =
            || FsError { verb: "open", path: path.to_owned(), source: io::ErrorKind::InvalidInput.into() };
        let name = path.file_name().ok_or_else(no_name)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder =
            output::open_folder(parent).map_err(|error| FsError { path: path.to_owned(), ..error })?;
        Ok(Self { folder, name, path: path.to_owned() })
    }

    /// Puts the content of a file of ours in its place, with owner and mode of what is there; one rename.
    ///
    /// # Errors
    /// [`FsError`], also where there is no regular file any more; then what is there stays.
    pub fn replace_with(&self, from: &Path) -> Result<()> {
        let replace = || -> io::Result<()> {
            let there = statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
            }
            let inner = |error: FsError| error.source;
            let new = NewFile::create_in(&self.folder, &self.path).map_err(inner)?;
            let mut file = new.writer().map_err(inner)?;
            io::copy(&mut fs::open(from).map_err(inner)?, &mut file)?;
            // Only root may; for others the file is theirs.
            let _ = fchown(&file, Some(Uid::from_raw(there.st_uid)), Some(Gid::from_raw(there.st_gid)));
            new.publish(there.st_mode & 0o777).map_err(inner)
        };
        replace().map_err(|source| FsError { verb: "replace", path: self.path.clone(), source })
    }
}
