//! What goes into an archive: names with modes, times and contents, ordered. Knows no format.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;

use crate::error::PackageError;

/// Folders in which version control keeps its own; no part of a source.
const VERSION_CONTROL: [&str; 6] = [".git", ".hg", ".svn", ".bzr", "CVS", "_darcs"];

/// The most bytes of a file of a package; programs with debug information are over a hundred MB.
pub(crate) const FILE_LIMIT: u64 = 1 << 30;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A folder.
    Folder,
    /// A file with these contents.
    Bytes(Vec<u8>),
    /// A file as it is on disk.
    File {
        /// Where.
        path: PathBuf,
        /// How long.
        size: u64,
    },
    /// A symbolic link.
    Link(PathBuf),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its permission bits.
    pub mode: u32,
    /// When it was changed; `None`, or later than the archive, counts as the archive's time.
    pub mtime: Option<u64>,
    /// What it is.
    pub body: Body,
}

/// The entries of an archive, by name: relative, folders before what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(BTreeMap<PathBuf, Entry>);

impl Entries {
    /// A folder, and those above it, each 0755 unless it is there already.
    pub fn folder(&mut self, name: &Path) {
        let above = name.ancestors().filter(|folder| *folder != Path::new(""));
        for folder in above {
            let plain = || Entry { mode: 0o755, mtime: None, body: Body::Folder };
            self.0.entry(folder.to_owned()).or_insert_with(plain);
        }
    }

    /// A file that we make; over one that is there.
    pub fn file(&mut self, name: impl AsRef<Path>, contents: impl Into<Vec<u8>>, mode: u32) {
        self.put(name.as_ref(), Entry { mode, mtime: None, body: Body::Bytes(contents.into()) });
    }

    /// A file on disk, with a mode and the archive's time: when and under which umask it was made
    /// is nobody's business.
    ///
    /// # Errors
    /// [`PackageError::Fs`] where it can't be looked at.
    pub fn plain_file(&mut self, from: &Path, name: &Path, mode: u32) -> Result<(), PackageError> {
        let size = look(from, fs::stat(from)?)?.len();
        self.put(name, Entry { mode, mtime: None, body: Body::File { path: from.to_owned(), size } });
        Ok(())
    }

    /// A folder on disk with all that is in it, modes and times kept, set-id bits dropped; what version
    /// control keeps there is left out, and so are FIFOs, sockets and devices.
    ///
    /// # Errors
    /// [`PackageError::CannotPack`] if it is itself one of these.
    pub fn tree(&mut self, from: &Path, name: &Path) -> Result<(), PackageError> {
        let meta = look(from, fs::lstat(from)?)?;
        let kind = meta.file_type();
        let body = if kind.is_dir() {
            Body::Folder
        } else if kind.is_file() {
            Body::File { path: from.to_owned(), size: meta.len() }
        } else if kind.is_symlink() {
            Body::Link(fs::link_target(from)?.unwrap_or_default())
        } else {
            return Err(PackageError::CannotPack {
                path: from.to_owned(),
                why: "is neither file, folder nor link",
            });
        };
        // A system that installs it gets nothing that others may write.
        let mode = if kind.is_symlink() { 0o777 } else { meta.mode() & 0o755 };
        // Time of a folder changes with what is done in it, as by the one who packs it.
        let mtime = if kind.is_dir() { None } else { u64::try_from(meta.mtime()).ok() };
        self.put(name, Entry { mode, mtime, body });
        if kind.is_dir() {
            for entry in fs::list(from)?.into_iter().filter(fs::Entry::is_of_a_source) {
                if !VERSION_CONTROL.iter().any(|own| entry.name == *own) {
                    self.tree(&from.join(&entry.name), &name.join(&entry.name))?;
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &Path, entry: Entry) {
        if let Some(folder) = name.parent() {
            self.folder(folder);
        }
        self.0.insert(name.to_owned(), entry);
    }

    /// The newest time of a file in it, in seconds; 0 where there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.0.values().filter_map(|entry| entry.mtime).max().unwrap_or(0)
    }

    /// All of them, ordered.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(name, entry)| (name.as_path(), entry))
    }

    /// Takes over all of another's.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

fn look(path: &Path, meta: Option<std::fs::Metadata>) -> Result<std::fs::Metadata, PackageError> {
    let gone = || fs::FsError { verb: "read", path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
    Ok(meta.ok_or_else(gone)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_taken_as_it_is_but_for_version_control_and_set_id_bits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(&at("src/.git/objects")).unwrap();
        fs::write_whole(&at("src/run"), b"#!/bin/sh\n", 0o4755).unwrap();
        fs::write_whole(&at("src/.gitignore"), b"*.ko\n", 0o600).unwrap();
        fs::symlink(Path::new("run"), &at("src/link")).unwrap();
        fs::set_mtime(&at("src/run"), (1_000, 0)).unwrap();
        let mut entries = Entries::default();
        entries.tree(&at("src"), Path::new("usr/src/foo-1.0")).unwrap();
        let looks: Vec<_> =
            entries.iter().map(|(name, entry)| format!("{} {:o}", name.display(), entry.mode)).collect();
        assert_eq!(
            looks,
            [
                "usr 755",
                "usr/src 755",
                "usr/src/foo-1.0 755",
                "usr/src/foo-1.0/.gitignore 600",
                "usr/src/foo-1.0/link 777",
                "usr/src/foo-1.0/run 755"
            ]
        );
        special(&at("src/socket"));
        let mut again = Entries::default();
        again.tree(&at("src"), Path::new("usr/src/foo-1.0")).unwrap();
        assert_eq!(again, entries);
        let error = again.tree(&at("src/socket"), Path::new("x")).unwrap_err();
        assert!(error.to_string().contains("socket"), "{error}");
    }

    fn special(path: &Path) {
        // A socket is no part of any package, and the standard library can make one.
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    }
}
