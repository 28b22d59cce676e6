//! An image of a disk, by xorriso: the one thing here that isn't written by ourselves.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs, programs};

use crate::entries::{Body, Entries};
use crate::error::PackageError;
use crate::tarball::write_error;

/// By this label installers know a disk with drivers.
const LABEL: &str = "OEMDRV";

/// Where xorriso is.
///
/// # Errors
/// [`PackageError::NoXorriso`].
pub fn program(environment: &Environment) -> Result<PathBuf, PackageError> {
    programs::find("xorriso", environment).ok_or(PackageError::NoXorriso)
}

/// Writes an image of the entries to a file; `folder` is for what lies on disk meanwhile.
pub(super) fn write(
    environment: &Environment,
    entries: &Entries,
    date: u64,
    folder: &Path,
    file: &mut File,
    path: &Path,
) -> Result<(), PackageError> {
    let (tree, image) = (folder.join("tree"), folder.join("image"));
    lay_out(entries, date, &tree)?;
    let words = ["-as", "mkisofs", "-quiet", "-r", "-J", "-joliet-long", "-V", LABEL, "-o"];
    let words = words.map(OsString::from).into_iter().chain([image.clone().into(), tree.into()]);
    let command = Process::new(program(environment)?, words, environment)
        // It counts for every time in the image, and for its identity.
        .env("SOURCE_DATE_EPOCH", &date.to_string());
    let ended = command.capture()?;
    if ended.code() != 0 {
        return Err(PackageError::Xorriso { path: path.to_owned(), output: last_lines(&ended.text()) });
    }
    let mut made = fs::open(&image)?;
    io::copy(&mut made, file).map_err(|source| write_error(path, source))?;
    Ok(())
}

/// Puts the entries on disk, all with one time.
fn lay_out(entries: &Entries, date: u64, tree: &Path) -> Result<(), PackageError> {
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

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
