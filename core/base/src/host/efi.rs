//! EFI variables, as the kernel's efivarfs shows them: a file each, four bytes of
//! attributes before the value.

use std::path::Path;

use super::fs::{self, FsError};

/// Larger than any real variable.
const LIMIT: u64 = 1 << 20;

/// Bytes of attributes.
const ATTRIBUTES: usize = 4;

/// The value of a variable in a folder where efivarfs is mounted; `None` where there is no such
/// variable, or no such folder.
///
/// # Errors
/// [`FsError`] where it is there and can't be read.
pub fn variable(folder: &Path, name: &str, vendor: &str) -> Result<Option<Vec<u8>>, FsError> {
    let file = folder.join(format!("{name}-{vendor}"));
    let bytes = fs::optional(fs::read_limited(&file, LIMIT))?;
    Ok(bytes.and_then(|bytes| Some(bytes.get(ATTRIBUTES..)?.to_owned())))
}
