//! Whose a module file in a kernel's folder is: two packages may build modules of one name. What a registered
//! module owns is no original of the kernel; when the one that lies over it goes, it is put back.

use std::path::{Path, PathBuf};

use super::Place;
use super::changes::Changes;
use super::find;
use super::identity::is_same_module;
use crate::host::fs::{self, FsError};
use crate::id::ModuleName;
use crate::report::{Event, Reporter};

/// The other module whose file this is, if it is installed on the same kernel.
pub(super) fn owner(place: &Place<'_>, name: &str, path: &Path) -> Option<ModuleName> {
    others(place, name).into_iter().find(|(_, built)| is_same_module(built, path)).map(|(owner, _)| owner)
}

/// Puts back what other modules have installed under a name that is free again in `folder`.
pub(super) fn put_back(
    place: &Place<'_>,
    name: &str,
    folder: &Path,
    changes: &mut Changes,
    reporter: &dyn Reporter,
) -> Result<(), FsError> {
    let Some((owner, built)) = others(place, name).into_iter().next() else { return Ok(()) };
    let to = folder.join(find::file_name(&built));
    reporter.report(Event::note(format!("restoring `{}` of {owner}", to.display())));
    changes.folder(folder)?;
    let staged = changes.stage_copy(&built, &to)?;
    changes.publish(&staged, &to)
}

/// Takes what this module has built out of the archives of others, where the 3.x line keeps it as the
/// kernel's own: it would come back when its owner is gone.
pub(super) fn take_from_archives(
    place: &Place<'_>,
    changes: &mut Changes,
    reporter: &dyn Reporter,
) -> Result<(), FsError> {
    let built_dir = place.built_dir();
    for entry in fs::list(&place.layout.dkms_tree)? {
        let name = entry.name.into_string().ok().and_then(|name| ModuleName::new(name).ok());
        let Some(other) = name.filter(|other| *other != place.id.name) else { continue };
        let archive = place.layout.originals_dir(&other, place.target());
        for kept in fs::list(&archive)? {
            let (path, built) = (archive.join(&kept.name), built_dir.join(&kept.name));
            let is_ours = !kept.kind.is_dir() && fs::is_file(&built) && fs::same_bytes(&built, &path);
            if !is_ours {
                continue;
            }
            reporter.report(Event::note(format!(
                "`{}` is not an original: {} has built it",
                path.display(),
                place.id
            )));
            let mut origin = path.clone().into_os_string();
            origin.push(".origin");
            for path in [path, origin.into()] {
                if fs::exists(&path) {
                    changes.take(&path)?;
                }
            }
            changes.prune_when_kept(&archive, &place.layout.module_dir(&other));
        }
    }
    Ok(())
}

/// The modules that are installed on this kernel and have built one of this name, each
/// with what it has built.
fn others(place: &Place<'_>, name: &str) -> Vec<(ModuleName, PathBuf)> {
    let entries = fs::list(&place.layout.dkms_tree).unwrap_or_default();
    let names = entries.into_iter().filter_map(|entry| ModuleName::new(entry.name.into_string().ok()?).ok());
    let found = names.filter(|other| *other != place.id.name).filter_map(|other| {
        let dir = fs::canonical(&place.layout.installed_link(&other, place.target())).ok()?;
        let built = find::in_folder(&dir.join("module"), name, place.kernel.compression)?;
        Some((other, built))
    });
    found.collect()
}
