//! Landlock rules: the second isolation layer where there are mounts of our own, and the first where there
//! are none.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use super::Purpose;
use super::view::View;
use crate::host::fs;

/// The newest that we know; of older ones we take what they have, from the second on: the first one lets
/// nobody move a file from one folder to another, which builds do.
const KNOWN: ABI = ABI::V6;

/// The first that keeps a process from abstract sockets of others.
pub(super) const WITH_SCOPES: i64 = 6;

/// Below this depth a hidden path hides all that stands beside it.
const DEEPEST: usize = 12;

/// The rules for a process with mounts of its own, and for one without; `None` where the
/// kernel has no landlock.
pub(super) fn make(view: &View, purpose: Purpose) -> Option<[OwnedFd; 2]> {
    let with_mounts = || -> Result<RulesetCreated, RulesetError> {
        let mut rules = add(begin(purpose)?, Path::new("/"), AccessFs::from_read(KNOWN))?;
        for path in view.writable() {
            rules = add(rules, path, AccessFs::from_all(KNOWN))?;
        }
        Ok(rules)
    };
    let without = || -> Result<RulesetCreated, RulesetError> {
        let mut rules = begin(purpose)?;
        let mut opened = Vec::new();
        for path in readable(Path::new("/"), &view.secrets(), DEEPEST, &mut opened) {
            rules = add(rules, &path, AccessFs::from_read(KNOWN))?;
        }
        // What is there may be seen where something beside it is hidden; but not what is in every home.
        for path in opened.iter().filter(|path| path.parent().is_some()) {
            rules = add(rules, path, AccessFs::ReadDir.into())?;
        }
        let devices = AccessFs::from_file(KNOWN) | AccessFs::ReadDir;
        rules = add(rules, Path::new("/dev"), devices)?;
        for path in view.shown().chain(view.folders.iter().map(|(folder, _)| folder.as_path())) {
            rules = add(rules, path, AccessFs::from_read(KNOWN))?;
        }
        for path in view.writable_in_place() {
            rules = add(rules, path, AccessFs::from_all(KNOWN))?;
        }
        Ok(rules)
    };
    let descriptor = |made: Result<RulesetCreated, RulesetError>| made.ok().and_then(Option::<OwnedFd>::from);
    Some([descriptor(with_mounts())?, descriptor(without())?])
}

/// All access to files that our rules handle on this kernel, as its bits.
pub(super) fn all_access() -> u64 {
    let known = match crate::sys::landlock_version() {
        ..=2 => ABI::V2,
        3 | 4 => ABI::V3,
        _ => KNOWN,
    };
    AccessFs::from_all(known).bits()
}

fn begin(purpose: Purpose) -> Result<RulesetCreated, RulesetError> {
    let refused = match purpose {
        Purpose::Build => AccessNet::from_all(KNOWN),
        Purpose::Download => AccessNet::BindTcp.into(),
    };
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(refused)?
        .scope(Scope::from_all(KNOWN))?
        .create()
}

/// What isn't there needs no rule.
fn add(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let access = if fs::is_dir(path) { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(opened, access))
}

/// The fewest paths that hold everything but what is secret; and the folders that were `opened` for that.
fn readable(path: &Path, secrets: &[PathBuf], depth: usize, opened: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    if secrets.iter().any(|secret| path.starts_with(secret)) {
        return Vec::new();
    }
    if !secrets.iter().any(|secret| secret.starts_with(path)) {
        return vec![path.to_owned()];
    }
    if depth == 0 {
        return Vec::new();
    }
    opened.push(path.to_owned());
    let entries = fs::list(path).unwrap_or_default();
    let kept = entries.into_iter().filter(|entry| !entry.kind.is_symlink());
    kept.flat_map(|entry| readable(&path.join(entry.name), secrets, depth - 1, opened)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_secret_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/b/key", "a/b/other", "a/c", "d"] {
            fs::create_dir_all(&dir.path().join(name)).unwrap();
        }
        let below = |secrets: &[&str]| -> Vec<String> {
            let secrets: Vec<PathBuf> = secrets.iter().map(|name| dir.path().join(name)).collect();
            let paths = readable(dir.path(), &secrets, DEEPEST, &mut Vec::new());
            let names = paths.iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_string_lossy());
            names.map(|name| name.into_owned()).collect()
        };
        assert_eq!(below(&["a/b/key"]), ["a/b/other", "a/c", "d"]);
        assert_eq!(below(&["a", "d/nix"]), [""; 0]);
        assert_eq!(below(&["nix/nix"]), ["a", "d"]);
        assert_eq!(below(&["/elsewhere"]), [""]);
    }
}
