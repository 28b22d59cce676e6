//! Private keys among what a build may read: by their names, and by what stands in them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::host::fs;

/// Whether a file of this name may be a private key.
pub(super) fn may_be_private(path: &Path) -> bool {
    let extension = path.extension().map(OsStrExt::as_bytes).unwrap_or_default();
    [&b"pem"[..], b"key", b"priv", b"p12", b"pfx", b"asc"].contains(&extension)
}

/// Whether a file is a private key that not all users may read. Names that are only keys' count as such.
pub(super) fn is_private(path: &Path) -> bool {
    if !fs::is_file(path) || fs::is_readable_by_all(path) || !may_be_private(path) {
        return false;
    }
    let extension = path.extension().map(OsStrExt::as_bytes).unwrap_or_default();
    if ![&b"pem"[..], b"asc"].contains(&extension) {
        return true;
    }
    // What can't be read whole is taken for one.
    fs::read_limited(path, 1 << 20)
        .map_or(true, |bytes| bytes.windows(11).any(|window| window == b"PRIVATE KEY"))
}
