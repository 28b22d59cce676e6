//! Files and folders of this system that go along into another root: opened before it is entered, copied
//! after, when no path leads to them any more.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::fs::{self, FsError, Ownership, Result, TreeCopy, walk::Place};
use super::scratch;

/// A file or folder, open.
#[derive(Debug)]
pub struct Outside {
    path: PathBuf,
    opened: Opened,
}

#[derive(Debug)]
enum Opened {
    File(File),
    Folder(Place),
}

impl Outside {
    /// Opens a file or folder; a link is followed.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn open(path: &Path) -> Result<Self> {
        let opened = if fs::is_dir(path) {
            Opened::Folder(Place::at(path, true).map_err(|errno| FsError {
                verb: "open",
                path: path.to_owned(),
                source: errno.into(),
            })?)
        } else {
            Opened::File(fs::open(path)?)
        };
        Ok(Self { path: path.to_owned(), opened })
    }

    /// Copies it to a path that does not exist yet, in a folder of ours. A folder becomes the caller's, as
    /// with [`scratch::copy_over`].
    ///
    /// # Errors
    /// [`FsError`].
    pub fn copy_to(self, to: &Path) -> Result<()> {
        match self.opened {
            Opened::File(file) => scratch::copy_opened(file, to, 0o600),
            Opened::Folder(place) => {
                let copy =
                    TreeCopy { ownership: Ownership::Callers, is_synced: false, over: false, plain: true };
                copy.run_from(place, &self.path, to)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs::{create_dir_all, read, rename, write_whole};

    #[test]
    fn what_was_opened_is_copied_whatever_is_at_its_path_then() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        create_dir_all(&at("folder/sub")).unwrap();
        write_whole(&at("folder/sub/x"), b"folder", 0o644).unwrap();
        write_whole(&at("file"), b"file", 0o644).unwrap();
        let (folder, file) = (Outside::open(&at("folder")).unwrap(), Outside::open(&at("file")).unwrap());
        for name in ["folder", "file"] {
            rename(&at(name), &at(&format!("old-{name}"))).unwrap();
        }
        folder.copy_to(&at("a")).unwrap();
        file.copy_to(&at("b")).unwrap();
        assert_eq!(read(&at("a/sub/x")).unwrap(), b"folder");
        assert_eq!(read(&at("b")).unwrap(), b"file");
        assert!(Outside::open(&at("none")).is_err());
    }
}
