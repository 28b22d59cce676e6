//! The folders of what we remember between commands (`.state`): they have the owner of the tree,
//! so that another user's tree stays that user's after root has worked in it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::fs::{self, FsError};
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
