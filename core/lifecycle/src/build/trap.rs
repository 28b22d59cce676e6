//! Links of a source that lead out of it.

use std::path::{Path, PathBuf};

use crate::host::fs;

/// Where a path leads to, if that is within the folder.
pub(super) fn real_within(folder: &Path, path: &Path) -> Option<PathBuf> {
    let (folder, path) = (fs::canonical(folder).ok()?, fs::canonical(path).ok()?);
    path.starts_with(folder).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_within_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("build");
        fs::create_dir_all(&folder.join("sub")).unwrap();
        fs::write_whole(&dir.path().join("outside"), b"x", 0o644).unwrap();
        fs::write_whole(&folder.join("sub/x.ko"), b"x", 0o644).unwrap();
        for (name, to) in [("in.ko", "sub/x.ko"), ("out.ko", "../outside"), ("up", ".."), ("nix.ko", "nix")] {
            fs::symlink(Path::new(to), &folder.join(name)).unwrap();
        }
        let own = |name: &str| real_within(&folder, &folder.join(name)).is_some();
        assert!(own("sub/x.ko") && own("in.ko"));
        for name in ["out.ko", "up/outside", "nix.ko", "missing"] {
            assert!(!own(name), "{name}");
        }
    }
}
