//! Files that appear whole or not at all: written under temporary names beside their places,
//! synced, then renamed. The folder may be another user's.

use std::fs::File;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::host::output::NewFile;

use crate::error::PackageError;

/// Files in the making; what isn't published goes when this is dropped.
#[derive(Debug)]
pub struct Staged {
    files: Vec<(NewFile, PathBuf)>,
    /// The folders that are ours, innermost first.
    made: Vec<PathBuf>,
}

impl Staged {
    /// Begins in a folder, which is made where it isn't there.
    ///
    /// # Errors
    /// [`PackageError::Write`] naming `path`, the file that is to come.
    pub fn begin(path: &Path) -> Result<Self, PackageError> {
        let folder = folder_of(path);
        let made = folder.ancestors().take_while(|folder| !fs::exists(folder) && **folder != *"");
        let made = made.map(Path::to_owned).collect();
        fs::create_dir_all(folder).map_err(|source| PackageError::Write { path: path.to_owned(), source })?;
        Ok(Self { files: Vec::new(), made })
    }

    /// A file that will be at `path`.
    ///
    /// # Errors
    /// [`PackageError::Write`].
    pub fn create(&mut self, path: &Path) -> Result<File, PackageError> {
        let failed = |source| PackageError::Write { path: path.to_owned(), source };
        let file = NewFile::create(path).map_err(failed)?;
        let writer = file.writer().map_err(failed)?;
        self.files.push((file, path.to_owned()));
        Ok(writer)
    }

    /// Opens a file that was created here, to read what was written.
    ///
    /// # Errors
    /// [`PackageError::Fs`].
    pub fn reader(&self, path: &Path) -> Result<File, PackageError> {
        match self.files.iter().find(|(_, place)| place == path) {
            Some((file, _)) => Ok(file.reader()?),
            None => Ok(fs::open(path)?),
        }
    }

    /// Shows all files at their places.
    ///
    /// # Errors
    /// [`PackageError::Write`]; those before the failing one stay.
    pub fn publish(mut self) -> Result<(), PackageError> {
        for (file, path) in std::mem::take(&mut self.files) {
            file.publish(0o644).map_err(|source| PackageError::Write { path, source })?;
            self.made.clear();
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.files.clear();
        // Whatever went wrong has its error already.
        for folder in &self.made {
            drop(fs::remove_dir_if_empty(folder));
        }
    }
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_not_published_was_never_there() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("new/out/a"), dir.path().join("new/out/b"));
        let mut staged = Staged::begin(&a).unwrap();
        staged.create(&a).unwrap().write_all(b"a").unwrap();
        drop(staged);
        assert!(fs::list(dir.path()).unwrap().is_empty());
        let mut staged = Staged::begin(&a).unwrap();
        staged.create(&a).unwrap().write_all(b"a").unwrap();
        staged.create(&b).unwrap();
        staged.publish().unwrap();
        let names: Vec<_> =
            fs::list(&dir.path().join("new/out")).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
