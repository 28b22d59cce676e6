//! The files of an rpm package, and its writing.

use std::io::Write as _;
use std::path::Path;

use rpm::{FileOptions, Package, PackageBuilder};

use super::name::seconds;
use crate::entries::{Body, Entries};
use crate::error::PackageError;
use crate::staged::Staged;
use crate::tarball::write_error;

/// Puts in what is at and below `place`; the folders above it are others'.
pub(crate) fn add_entries(
    builder: &mut PackageBuilder,
    entries: &Entries,
    place: &Path,
    date: u32,
    path: &Path,
) -> Result<(), PackageError> {
    for (name, entry) in entries.iter().filter(|(name, _)| name.starts_with(place)) {
        let Some(name) = name.to_str() else {
            return Err(PackageError::CannotPack {
                path: name.to_owned(),
                why: "has a name that is no text",
            });
        };
        let name = format!("/{name}");
        let mode = u16::try_from(entry.mode).unwrap_or(0o644);
        let mtime = entry.mtime.map_or(date, |mtime| seconds(mtime).min(date)).into();
        let file = |name: String| FileOptions::new(name).permissions(mode).modified_at(mtime);
        let added = match &entry.body {
            // Many packages have modules of a kernel; the folder is nobody's own.
            Body::Folder if name.starts_with("/lib/modules/") => continue,
            Body::Folder => {
                builder.with_dir_entry(FileOptions::dir(name).permissions(mode).modified_at(mtime))
            }
            Body::Link(target) => {
                builder.with_symlink(FileOptions::symlink(name, target.to_string_lossy()).modified_at(mtime))
            }
            Body::Bytes(bytes) => builder.with_file_contents(bytes.clone(), file(name)),
            Body::File { path, .. } => builder.with_file(path, file(name)),
        };
        added.map_err(|source| rpm_error(path, source))?;
    }
    Ok(())
}

/// What the crate says, with the package that it is about.
pub(crate) fn rpm_error(path: &Path, source: rpm::Error) -> PackageError {
    PackageError::Rpm { path: path.to_owned(), source: Box::new(source) }
}

/// Makes the package and shows it.
pub(crate) fn finish(mut builder: PackageBuilder, path: &Path) -> Result<(), PackageError> {
    let package = builder.build().map_err(|source| rpm_error(path, source))?;
    show(&package, path, Kind::Binary)
}

/// What the first bytes of a package call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Binary,
    Source,
}

/// Writes a package to its place, whole or not at all.
pub(crate) fn show(package: &Package, path: &Path, kind: Kind) -> Result<(), PackageError> {
    let mut staged = Staged::begin(path)?;
    let mut lead = Vec::new();
    let failed = |source| match source {
        // What the crate reports of a full disk is reported as everywhere.
        rpm::Error::Io(source) => write_error(path, source),
        other => rpm_error(path, other),
    };
    package.metadata.write(&mut lead).map_err(failed)?;
    // The high and the low byte of the package's type; nothing but file(1) looks at it.
    if let (Kind::Source, Some(byte)) = (kind, lead.get_mut(7)) {
        *byte = 1;
    }
    let mut file = staged.create(path)?;
    let write = |source| write_error(path, source);
    file.write_all(&lead).and_then(|()| file.write_all(&package.payload)).map_err(write)?;
    file.sync_all().map_err(write)?;
    drop(file);
    staged.publish()
}
