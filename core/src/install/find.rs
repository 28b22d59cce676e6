//! Module files by name: in a kernel's folder and among the built ones. Knows names only, opens nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::host::fs::{self, FsError};

/// What may follow `.ko`.
const SUFFIXES: [&str; 4] = ["", ".gz", ".xz", ".zst"];

/// Folders right below a kernel's that hold no modules of that kernel: the headers, and links to other kernels' modules.
const FOREIGN: [&str; 3] = ["build", "source", "weak-updates"];

/// A module file's name without `.ko` and what follows it; `None` where it is no module file.
pub(super) fn stem(file: &str) -> Option<&str> {
    SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix)?.strip_suffix(".ko"))
}

/// The name of a file, where it is text.
pub(super) fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The module files of these names below a kernel's folder, each name's in byte order; no link to a folder is followed.
///
/// # Errors
/// [`FsError`] where a folder can't be listed.
pub(super) fn in_kernel(
    kernel_dir: &Path,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<PathBuf>>, FsError> {
    let mut found = BTreeMap::new();
    for entry in fs::list(kernel_dir)? {
        let path = kernel_dir.join(&entry.name);
        let foreign = FOREIGN.iter().any(|name| entry.name == *name);
        if entry.kind.is_dir() && !foreign {
            search(&path, names, &mut found)?;
        } else if !entry.kind.is_dir() {
            note(path, names, &mut found);
        }
    }
    Ok(found)
}

fn search(
    dir: &Path,
    names: &BTreeSet<&str>,
    found: &mut BTreeMap<String, Vec<PathBuf>>,
) -> Result<(), FsError> {
    for entry in fs::list(dir)? {
        let path = dir.join(&entry.name);
        if entry.kind.is_dir() {
            search(&path, names, found)?;
        } else {
            note(path, names, found);
        }
    }
    Ok(())
}

fn note(path: PathBuf, names: &BTreeSet<&str>, found: &mut BTreeMap<String, Vec<PathBuf>>) {
    if let Some(name) = stem(file_name(&path)).filter(|name| names.contains(name)) {
        found.entry(name.to_owned()).or_default().push(path);
    }
}

/// The file of a module in one folder, whatever its compression, `preferred` (`.xz`, say) first.
pub(super) fn in_folder(dir: &Path, name: &str, preferred: &str) -> Option<PathBuf> {
    let path = |suffix: &str| dir.join(format!("{name}.ko{suffix}"));
    std::iter::once(preferred).chain(SUFFIXES).map(path).find(|path| fs::is_file(path))
}

/// The files of a module in one folder, of every compression, links that lead nowhere among them.
pub(super) fn all_in_folder(dir: &Path, name: &str) -> Vec<PathBuf> {
    let paths = SUFFIXES.iter().map(|suffix| dir.join(format!("{name}.ko{suffix}")));
    paths.filter(|path| fs::exists(path)).collect()
}

/// The names of all modules in one folder, in byte order.
///
/// # Errors
/// [`FsError`] where it can't be listed.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>, FsError> {
    let entries = fs::list(dir)?;
    let mut names: Vec<String> =
        entries.iter().filter_map(|entry| stem(entry.name.to_str()?)).map(str::to_owned).collect();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_those_of_module_files() {
        for (file, expected) in [
            ("foo.ko", Some("foo")),
            ("foo.ko.xz", Some("foo")),
            ("foo-bar.ko.zst", Some("foo-bar")),
            ("foo.ko.bz2", None),
            ("foo.ko.origin", None),
            (".tmp_1_0_foo.ko.new", None),
            ("foo", None),
        ] {
            assert_eq!(stem(file), expected, "{file}");
        }
    }

    #[test]
    fn only_this_kernels_own_folders_are_searched() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "kernel/a/foo.ko",
            "updates/foo.ko.xz",
            "build/foo.ko",
            "weak-updates/foo.ko",
            "foo.ko",
            "kernel/food.ko",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, b"", 0o644).unwrap();
        }
        fs::symlink(&dir.path().join("kernel"), &dir.path().join("loop")).unwrap();
        let found = in_kernel(dir.path(), &["foo"].into()).unwrap();
        let expected = ["foo.ko", "kernel/a/foo.ko", "updates/foo.ko.xz"].map(|path| dir.path().join(path));
        assert_eq!(found["foo"], expected);
        assert_eq!(in_folder(&dir.path().join("updates"), "foo", ""), Some(expected[2].clone()));
    }
}
