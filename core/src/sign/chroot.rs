//! Whether we are in a chroot, by the rule of ischroot(1): our root isn't that of process 1.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::Environment;
use crate::host::fs;

/// Where it can't be told (no `/proc`, no right to look), the answer is no, as ischroot's callers take it.
#[must_use]
pub fn in_chroot(environment: &Environment) -> bool {
    // fakechroot(1) only pretends to be one, and says so.
    if environment.get("FAKECHROOT") == Some("true") {
        return true;
    }
    let identity = |path| fs::stat(Path::new(path)).ok().flatten().map(|meta| (meta.dev(), meta.ino()));
    match (identity("/"), identity("/proc/1/root")) {
        (Some(ours), Some(first)) => ours != first,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fakechroot_counts() {
        assert!(in_chroot(&[("FAKECHROOT", "true")].into_iter().collect()));
    }
}
