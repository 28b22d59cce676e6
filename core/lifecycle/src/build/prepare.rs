//! The build folder: the source copied there, the admin's patches laid over it, patches applied.

use std::path::{Component, Path, PathBuf};

use super::place::Place;
use super::{BuildSpec, Failure, PatchFault, trap};
use crate::host::{fs, ownership, scratch, trusted};

/// The source folder, which must have more in it than a conf.
pub(super) fn source(spec: &BuildSpec<'_>) -> Result<PathBuf, Failure> {
    let link = spec.layout.source_link(spec.id);
    let source = match fs::optional(trusted::resolved(&link))? {
        Some(source) if fs::is_dir(&source) => source,
        _ => return Err(Failure::NoSource(link)),
    };
    let counts = |name: &std::ffi::OsStr| name != "dkms.conf" && !name.as_encoded_bytes().starts_with(b".");
    if fs::list(&source)?.iter().any(|entry| counts(&entry.name)) {
        Ok(source)
    } else {
        Err(Failure::NoSource(source))
    }
}

/// Fills the build folder, which is empty. It appears there whole, as ours, so that nobody enters it before.
pub(super) fn fill(spec: &BuildSpec<'_>, source: &Path, place: &Place) -> Result<(), Failure> {
    let filled = place.at("filled");
    scratch::copy_over(source, &filled)?;
    let overlay = spec.layout.etc_dkms().join(&spec.id.name).join("patches");
    if fs::is_dir(&overlay) {
        let patches = filled.join("patches");
        if trap::real_within(&filled, &patches).is_none() {
            // A link of the source that leads elsewhere: nothing is copied through that.
            fs::remove_any(&patches)?;
        }
        scratch::copy_over(&fs::canonical(&overlay)?, &patches)?;
    }
    ownership::take_back(&filled)?;
    fs::remove_any(place.folder())?;
    Ok(fs::rename_unsynced(&filled, place.folder())?)
}

/// A patch's path as `patch` gets it, relative to the build folder.
pub(super) fn patch_path(build_dir: &Path, patch: &str) -> Result<String, Failure> {
    let refuse = |fault| Err(Failure::PatchMissing { patch: patch.to_owned(), fault });
    let path = Path::new(patch);
    if path.is_absolute() {
        return refuse(PatchFault::Absolute);
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return refuse(PatchFault::Leaves);
    }
    if !fs::is_file(&build_dir.join("patches").join(path)) {
        return refuse(PatchFault::Missing);
    }
    Ok(format!("./patches/{patch}"))
}
