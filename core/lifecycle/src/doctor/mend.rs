//! The small repairs, each looked at once more right before it is made. What needs a plan
//! goes through the engine.

use std::path::Path;

use super::look;
use crate::host::fs::{self, FsError};
use crate::host::leftovers::is_abandoned;

/// Removes what an interrupted command left; nothing where its process runs after all.
///
/// # Errors
/// [`FsError`].
pub fn remove(path: &Path) -> Result<(), FsError> {
    if is_abandoned(path) { fs::remove_any(path) } else { Ok(()) }
}

/// Removes a link that leads to nothing built; nothing where it does by now.
///
/// # Errors
/// [`FsError`].
pub fn unlink(link: &Path) -> Result<(), FsError> {
    if look::leads_nowhere(link) { fs::remove_file(link) } else { Ok(()) }
}
