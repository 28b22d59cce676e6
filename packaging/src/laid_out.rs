//! Entries as files on disk, for programs that make images of a folder; and what such a program says.

use std::path::Path;

use dkms_base::host::fs;

use crate::entries::{Body, Entries};
use crate::error::PackageError;

/// Puts the entries on disk, all with one time.
pub(crate) fn lay_out(entries: &Entries, date: u64, tree: &Path) -> Result<(), PackageError> {
    let time = (i64::try_from(date).unwrap_or(i64::MAX), 0);
    fs::create_dir_all(tree)?;
    for (name, entry) in entries.iter() {
        let path = tree.join(name);
        match &entry.body {
            Body::Folder => fs::create_dir_all(&path)?,
            Body::Bytes(bytes) => fs::write_whole(&path, bytes, entry.mode)?,
            Body::File { path: from, .. } => fs::copy_file(from, &path)?,
            Body::Link(target) => fs::symlink(target, &path)?,
        }
        if !matches!(entry.body, Body::Link(_)) {
            fs::set_mode(&path, entry.mode)?;
            fs::set_mtime(&path, time)?;
        }
    }
    // What was put in changed them.
    for (name, _) in entries.iter().filter(|(_, entry)| entry.body == Body::Folder) {
        fs::set_mtime(&tree.join(name), time)?;
    }
    Ok(fs::set_mtime(tree, time)?)
}

/// What matters of what a program said.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
