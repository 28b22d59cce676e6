//! Which of two modules is newer, and which file is ours: the install's rules over what `modfile` reads.

use std::path::Path;

use crate::host::fs;
use crate::modfile::{self, ModuleInfo, Standing, read_info};

/// What the version check says of a new module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes in.
    Install,
    /// The kernel's is the same.
    Same,
    /// The kernel's is newer.
    Older,
}

/// Compares a new module with the one in the kernel. What can't be read as a module stands in nobody's way,
/// and a module without a version is older than one with.
pub(super) fn judge(new: &Path, present: &Path) -> Verdict {
    let (Ok(new_info), Ok(present_info)) = (read_info(new), read_info(present)) else {
        return Verdict::Install;
    };
    if new_info.version.is_none() && present_info.version.is_some() {
        return Verdict::Older;
    }
    match modfile::compare(new, present) {
        Ok(Standing::Older) => Verdict::Older,
        Ok(Standing::Same) => Verdict::Same,
        Ok(Standing::Newer | Standing::Different) | Err(_) => Verdict::Install,
    }
}

/// A module's version, as a message says it.
pub(super) fn version_text(path: &Path) -> String {
    let version = read_info(path).ok().and_then(|info: ModuleInfo| info.version);
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}

/// Whether a file is a readable module of this kernel. A link counts for what it leads to.
pub(super) fn is_module_of(path: &Path, kernel: &str) -> bool {
    read_info(path).is_ok_and(|info| info.kernel_release() == Some(kernel))
}

/// Whether an installed file is the built module: the same bytes, or the same `version` (which survives
/// another signature or strip), or where there is none whatever [`modfile::same_module`] goes by.
pub(super) fn is_same_module(built: &Path, installed: &Path) -> bool {
    if fs::same_bytes(built, installed) {
        return true;
    }
    let (Ok(one), Ok(other)) = (read_info(built), read_info(installed)) else { return false };
    match (one.version, other.version) {
        (None, None) => modfile::same_module(built, installed).unwrap_or(false),
        (one, other) => one == other,
    }
}
