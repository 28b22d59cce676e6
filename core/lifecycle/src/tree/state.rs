//! The folders of what we remember between commands (`.state`): they have the owner of the tree,
//! so that another user's tree stays that user's after root has worked in it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, ModuleName, ModuleVersion};
use crate::layout::Layout;

/// Makes a folder below `.state` that nobody else may enter: what is in it must not be
/// locked, or read, by others.
///
/// # Errors
/// [`FsError`].
pub fn create_private_folder(layout: &Layout, dir: &Path) -> Result<(), FsError> {
    create_folder(layout, dir)?;
    // One of an earlier version of ours may be open to all.
    match fs::stat(dir)? {
        Some(meta) if meta.mode() & 0o077 != 0 && fs::may_write(dir) => fs::set_mode(dir, 0o700),
        _ => Ok(()),
    }
}

/// The modules of which a folder has something, as `NAME/VERSION`; other names are left alone.
#[must_use]
pub fn modules_in(folder: &Path) -> Vec<ModuleId> {
    let mut ids = Vec::new();
    for entry in fs::list(folder).unwrap_or_default() {
        let Some(Ok(name)) = entry.name.to_str().map(ModuleName::new) else { continue };
        let versions = fs::list(&folder.join(&name)).unwrap_or_default();
        let version = |entry: fs::Entry| ModuleVersion::new(entry.name.to_str()?).ok();
        ids.extend(versions.into_iter().filter_map(version).map(|one| ModuleId::new(name.clone(), one)));
    }
    ids
}

/// Makes a folder below `.state`, and those above it.
///
/// # Errors
/// [`FsError`].
pub fn create_folder(layout: &Layout, dir: &Path) -> Result<(), FsError> {
    if fs::is_dir(dir) {
        return Ok(());
    }
    let inside = dir.ancestors().take_while(|above| above.starts_with(layout.state_dir()));
    let missing: Vec<&Path> = inside.filter(|above| !fs::exists(above)).collect();
    fs::create_dir_all(dir)?;
    if let Some(tree) = fs::stat(&layout.dkms_tree)? {
        missing.into_iter().for_each(|folder| fs::give_to(folder, tree.uid(), tree.gid()));
    }
    Ok(())
}
