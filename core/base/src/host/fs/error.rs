//! What a file operation says when it fails.

use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{}`: {}", path.display(), plain(source))]
pub struct FsError {
    /// What was tried, as an infinitive: `read`, `rename`.
    pub verb: &'static str,
    /// To which path.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Whether the system lacked what every program needs (room, memory, descriptors, a disk that works): the
/// same may work another time.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [i32; 7] =
        [libc::ENOSPC, libc::EDQUOT, libc::EIO, libc::ENOMEM, libc::EAGAIN, libc::EMFILE, libc::ENFILE];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code))
}

/// An error's text without Rust's ` (os error N)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl FsError {
    /// Whether the path was not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    /// Whether a link on the way leads to itself.
    #[must_use]
    pub fn is_loop(&self) -> bool {
        self.source.raw_os_error() == Some(libc::ELOOP)
    }

    /// Whether the disk, or a quota, is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// [`is_shortage`] of its cause.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        is_shortage(&self.source)
    }

    /// Whether the file system is mounted read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.source.kind() == io::ErrorKind::ReadOnlyFilesystem
    }

    /// Whether we lack the right.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// What these functions return.
pub type Result<T> = std::result::Result<T, FsError>;

/// An error of the kernel, with what was tried and on which path.
pub(super) trait Naming<T> {
    fn naming(self, verb: &'static str, path: &Path) -> Result<T>;
}

impl<T> Naming<T> for io::Result<T> {
    fn naming(self, verb: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| FsError { verb, path: path.to_owned(), source })
    }
}

impl<T> Naming<T> for rustix::io::Result<T> {
    fn naming(self, verb: &'static str, path: &Path) -> Result<T> {
        self.map_err(|errno| FsError { verb, path: path.to_owned(), source: errno.into() })
    }
}
