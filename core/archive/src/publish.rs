//! `ldtarball`, second half: what was staged appears at its place. Each folder is copied beside its
//! place under a temporary name and put there by one rename; a crash leaves what was there, and
//! rubbish that is swept.
//!
//! Whether the module is added already, and who holds the lock, is the caller's to know.

use std::path::Path;

use super::error::ArchiveError;
use super::read::{Staged, StagedBuild};
use dkms_base::host::fs::{self, Ownership};
use dkms_base::id::{ModuleId, ModuleName, Target};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};

/// What happens to something that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Kept,
    /// It gives way (`--force`; for a source, also where the module isn't added).
    Replaced,
}

/// Puts the staged source at `/usr/src/M-V`. Of built modules alone, that is a folder
/// with just the dkms.conf.
///
/// # Errors
/// [`ArchiveError::SourceExists`] where one is there and is to be kept; [`ArchiveError::Fs`] otherwise.
pub fn publish_source(
    staged: &Staged,
    layout: &Layout,
    id: &ModuleId,
    existing: Existing,
) -> Result<(), ArchiveError> {
    let place = layout.source_dir(id);
    if fs::exists(&place) && existing == Existing::Kept {
        return Err(ArchiveError::SourceExists { id: id.clone(), path: place });
    }
    fs::create_dir_all(&layout.source_tree)?;
    put(&place, |temporary| match &staged.source {
        Some(source) => Ok(fs::copy_tree(source, temporary, Ownership::Callers)?),
        None => {
            fs::create_dir_all(temporary)?;
            Ok(fs::copy_file(&staged.conf, &temporary.join("dkms.conf"))?)
        }
    })
}

/// Puts the staged built modules into the tree, in the built state, and says for which kernels it did. Those
/// that are there are skipped with a warning, unless they are to be replaced.
///
/// # Errors
/// [`ArchiveError::Fs`]; kernels before the failing one stay.
pub fn publish_builds(
    staged: &Staged,
    layout: &Layout,
    id: &ModuleId,
    existing: Existing,
    reporter: &dyn Reporter,
) -> Result<Vec<Target>, ArchiveError> {
    let mut published = Vec::new();
    for build in &staged.builds {
        let place = layout.target_dir(id, &build.target);
        if fs::exists(&place) && existing == Existing::Kept {
            reporter.report(Event::warning(
                format!(
                    "{id} is already built for {} ({}), the archive's build is skipped",
                    build.target.kernel, build.target.arch
                ),
                ["`--force` replaces it".to_owned()],
            ));
            continue;
        }
        publish_build(build, layout, id)?;
        published.push(build.target.clone());
    }
    Ok(published)
}

/// Puts what was built for one kernel into the tree, in place of what is there.
///
/// # Errors
/// [`ArchiveError::Fs`]; then it is as it was.
pub fn publish_build(build: &StagedBuild, layout: &Layout, id: &ModuleId) -> Result<(), ArchiveError> {
    let place = &layout.target_dir(id, &build.target);
    let kernel_dir = layout.version_dir(id).join(&build.target.kernel);
    fs::create_dir_all(&kernel_dir)?;
    let result = put(place, |temporary| copy_build(&build.dir, temporary));
    if result.is_err() {
        // An empty kernel folder means nothing, but is none of what was there before; the first
        // error is the one to tell.
        drop(fs::remove_dir_if_empty(&kernel_dir));
    }
    result
}

/// Only what a built folder has: modules, logs, and the notes on what it was built against.
fn copy_build(from: &Path, to: &Path) -> Result<(), ArchiveError> {
    fs::create_dir_all(to)?;
    for entry in fs::list(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        let name = entry.name.to_str().unwrap_or_default();
        let is_note = name.strip_prefix(".dep_").is_some_and(|of| ModuleName::new(of).is_ok());
        if entry.kind.is_dir() && (name == "module" || name == "log") {
            fs::copy_tree(&source, &target, Ownership::Callers)?;
        } else if entry.kind.is_file() && is_note {
            fs::copy_file(&source, &target)?;
        }
    }
    Ok(fs::set_mode(to, 0o755)?)
}

/// Fills a temporary folder beside `place` and renames it there; what was there goes away afterwards.
fn put(place: &Path, fill: impl FnOnce(&Path) -> Result<(), ArchiveError>) -> Result<(), ArchiveError> {
    let temporary = fs::temporary_beside(place);
    let publish = || fs::replace(&temporary, place).and_then(|()| fs::remove_any(&temporary));
    let result = fill(&temporary).and_then(|()| Ok(publish()?));
    if result.is_err() {
        // Swept later where it fails now; the first error is the one to tell.
        drop(fs::remove_any(&temporary));
    }
    result
}
