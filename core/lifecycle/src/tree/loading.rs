//! A tarball whose builds are not all in the tree yet: a note from before its module is registered until
//! after its last build, so that the same command, after it was killed, goes on instead of finding the
//! module there already.

use super::state;
use crate::host::fs::{self, FsError};
use crate::host::scratch;
use crate::id::ModuleId;
use crate::layout::Layout;

/// Builds of a module are about to be loaded.
///
/// # Errors
/// [`FsError`].
pub fn begin(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    let note = layout.loading(id);
    if let Some(dir) = note.parent() {
        state::create_folder(layout, dir)?;
    }
    scratch::write_note(&note, "")
}

/// Whether loading was cut short.
#[must_use]
pub fn is_unfinished(layout: &Layout, id: &ModuleId) -> bool {
    fs::exists(&layout.loading(id))
}

/// All are there, or the module is gone.
///
/// # Errors
/// [`FsError`].
pub fn end(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    fs::remove_file(&layout.loading(id))
}
