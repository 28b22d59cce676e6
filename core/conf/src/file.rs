//! One file of a conf: its text, checked to be one, and what the static reader makes of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bash::Bash;
use super::confined::Confined;
use super::error::ConfError;
use super::found::Found;
use super::syntax::{self, NeedsBash, Script};
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::trusted;

/// The longest conf that we read. The longest real one known has 30 KB.
const LIMIT: u64 = 1 << 20;

const BOM: &str = "\u{feff}";

/// A file that was read.
#[derive(Debug)]
pub(super) struct ConfFile {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Parsed, or why only bash can read it.
    pub(super) script: Result<Script, NeedsBash>,
    /// Its text, without a byte order mark.
    pub(super) text: String,
    /// Whether bash would read the file itself otherwise: it has such a mark, or line ends of another system.
    is_changed: bool,
}

impl ConfFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// [`ConfError`] where it isn't a text of reasonable size.
    pub(super) fn read(path: &Path) -> Result<Self, ConfError> {
        let bytes = fs::read_limited(path, LIMIT).map_err(|error| refused(path, error))?;
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            return Err(ConfError::Binary { path: path.to_owned(), line });
        }
        // Bytes that are no UTF-8 stand in comments; the static reader leaves those elsewhere to bash.
        let text = String::from_utf8_lossy(&bytes);
        let whole = with_own_line_ends(text.strip_prefix(BOM).unwrap_or(&text));
        if !whole.contains('\n') && whole.trim_end_matches('\r').contains('\r') {
            return Err(ConfError::LineEnds { path: path.to_owned() });
        }
        let script = syntax::parse(&whole);
        Ok(Self { path: path.to_owned(), script, is_changed: whole != text, text: whole })
    }
}

/// A text of another system, or in which people of two systems wrote, with our line ends. For bash a CR
/// behind `then` or `]` is a part of the word, and it stops there.
fn with_own_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn refused(path: &Path, error: FsError) -> ConfError {
    if error.is_not_found() {
        ConfError::Missing { path: path.to_owned() }
    } else if error.source.kind() == std::io::ErrorKind::FileTooLarge {
        ConfError::TooLarge { path: path.to_owned(), limit: LIMIT }
    } else {
        ConfError::Unreadable(error)
    }
}

/// Sources files in bash. One with a byte order mark is read from a copy without it, one with line ends of
/// another system too; one that bash's user can't read too, where the system gives no way to show it.
///
/// # Errors
/// [`ConfError`].
pub(super) fn through_bash(files: &[Arc<ConfFile>], bash: &Bash<'_>) -> Result<Found, ConfError> {
    let is_shut = |file: &Arc<ConfFile>| bash.confined.is_some_and(|confined| confined.is_shut(&file.path));
    let found = sourced(files, bash, &|_| false);
    match found {
        Ok(found) if found.unreadable.is_empty() => Ok(found),
        _ if files.iter().any(is_shut) => sourced(files, bash, &is_shut),
        found => found,
    }
}

/// Sources files; those that are `shut` from copies.
fn sourced(
    files: &[Arc<ConfFile>],
    bash: &Bash<'_>,
    is_shut: &dyn Fn(&Arc<ConfFile>) -> bool,
) -> Result<Found, ConfError> {
    let mut copies = Vec::new();
    let mut paths = Vec::new();
    for file in files {
        let text = match (file.is_changed, is_shut(file)) {
            (true, _) => file.text.clone().into_bytes(),
            (false, true) => {
                fs::read_limited(&file.path, LIMIT).map_err(|error| refused(&file.path, error))?
            }
            (false, false) => {
                paths.push(file.path.clone());
                continue;
            }
        };
        let unwritable = |source| {
            ConfError::Unreadable(FsError { verb: "make a copy of", path: file.path.clone(), source })
        };
        let folder = tempfile::tempdir_in(trusted::staging_folder()).map_err(unwritable)?;
        paths.push(copied(&file.path, &text, folder.path(), bash)?);
        copies.push(folder);
    }
    let renamed = |error: ConfError| {
        files.iter().zip(&paths).fold(error, |error, (file, path)| error.renamed(path, &file.path))
    };
    bash.source(&paths).map_err(renamed)
}

/// A copy of a file under its own name, among links to what lies beside the file: a conf asks
/// `BASH_SOURCE` for both.
fn copied(file: &Path, text: &[u8], folder: &Path, bash: &Bash<'_>) -> Result<PathBuf, ConfError> {
    let copy = folder.join(file.file_name().unwrap_or_default());
    fs::write_whole(&copy, text, 0o644).map_err(ConfError::Unreadable)?;
    let beside = file.parent().unwrap_or(Path::new("/"));
    for entry in fs::list(beside).unwrap_or_default().into_iter().take(MOST_BESIDE) {
        let link = folder.join(&entry.name);
        if link != copy {
            fs::create_link(&beside.join(&entry.name), &link).map_err(ConfError::Unreadable)?;
        }
    }
    if let Some(owner) = bash.confined.and_then(Confined::owner) {
        for path in [folder, &copy] {
            fs::give_to(path, owner.uid.as_raw(), owner.gid.as_raw());
        }
    }
    Ok(copy)
}

/// More than this lies beside no conf.
const MOST_BESIDE: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_another_system_are_ours() {
        assert_eq!(with_own_line_ends("A=1\r\nB=\"x \\\r\n y\"\r\n"), "A=1\nB=\"x \\\n y\"\n");
        assert_eq!(with_own_line_ends("A=1\r\nB=2\nC=\"x \\\r\n y\""), "A=1\nB=2\nC=\"x \\\n y\"");
        assert_eq!(with_own_line_ends("A=1"), "A=1");
        assert_eq!(with_own_line_ends("A=\"1\r2\"\r\r\n"), "A=\"1\r2\"\r\n");
    }
}
