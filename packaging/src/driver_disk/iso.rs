//! An image of a disk, by xorriso: the one thing here that isn't written by ourselves.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs, programs};

use crate::entries::Entries;
use crate::error::PackageError;
use crate::laid_out::{last_lines, lay_out};
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
