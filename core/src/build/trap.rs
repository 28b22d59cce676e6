//! What a module's own code has left is looked at before root works on it: links, FIFOs and the like, set up where root would
//! write or read through them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::host::fs::{self, FsError};

/// Whether a path leads to a regular file within a folder.
pub(super) fn is_own_file(folder: &Path, path: &Path) -> bool {
    real_within(folder, path).is_some_and(|path| fs::is_file(&path))
}

/// Where a path leads to, if that is within the folder.
pub(super) fn real_within(folder: &Path, path: &Path) -> Option<PathBuf> {
    let (folder, path) = (fs::canonical(folder).ok()?, fs::canonical(path).ok()?);
    path.starts_with(folder).then_some(path)
}

/// Takes away what stands beside a file under a name that a tool would write to (`x.ko.xz`, `x.ko.~signed~`), unless it is a
/// file of its own.
pub(super) fn clear_beside(file: &Path) -> Result<(), FsError> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return Ok(()) };
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        let is_other =
            entry.name.as_encoded_bytes().starts_with(name.as_encoded_bytes()) && entry.name != name;
        if is_other
            && let Some(meta) = fs::lstat(&path)?
            && !meta.is_dir()
            && !(meta.is_file() && meta.nlink() == 1)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
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
        let own = |name: &str| is_own_file(&folder, &folder.join(name));
        assert!(own("sub/x.ko") && own("in.ko"));
        for name in ["out.ko", "up/outside", "nix.ko", "sub", "missing"] {
            assert!(!own(name), "{name}");
        }
    }

    #[test]
    fn what_is_set_up_beside_a_module_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["x.ko", "x.ko.cmd", "y.ko"] {
            fs::write_whole(&at(name), b"x", 0o644).unwrap();
        }
        fs::symlink(Path::new("/etc/nix"), &at("x.ko.xz")).unwrap();
        fs::symlink(Path::new("/etc/nix"), &at("y.ko.xz")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("x.ko.~signed~"),
            rustix::fs::FileType::Fifo,
            0o644.into(),
            0,
        )
        .unwrap();
        clear_beside(&at("x.ko")).unwrap();
        let names: Vec<_> = fs::list(dir.path()).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["x.ko", "x.ko.cmd", "y.ko", "y.ko.xz"]);
    }
}
