//! Module files by name: in a kernel's folder and among the built ones. Opens nothing.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::host::fs::{self, FsError};
use crate::kernel::Compression;
use crate::kernel::module_tree::ModuleTree;
use crate::modfile::ModuleFile;

/// Folders right below a kernel's that hold no modules of that kernel: the headers, and links to
/// other kernels' modules.
const FOREIGN: [&str; 3] = ["build", "source", "weak-updates"];

/// The name of a file, where it is text.
pub(super) fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The modules of exactly this file name (a `-` is no `_` here) in a kernel's folder, in byte order.
pub(super) fn in_kernel(tree: &ModuleTree, kernel_dir: &Path, name: &str) -> Vec<PathBuf> {
    let foreign = |path: &Path| FOREIGN.iter().any(|folder| path.starts_with(kernel_dir.join(folder)));
    let named = |path: &Path| ModuleFile::from_path(path).is_some_and(|module| module.stem == name);
    tree.paths(name).iter().filter(|path| named(path) && !foreign(path)).cloned().collect()
}

/// The file of a module in one folder, whatever its compression, `preferred` first.
pub(super) fn in_folder(dir: &Path, name: &str, preferred: Compression) -> Option<PathBuf> {
    seen_in_folder(dir, name, preferred).map(|(path, _)| path)
}

/// The same, and what was seen there.
pub(super) fn seen_in_folder(dir: &Path, name: &str, preferred: Compression) -> Option<(PathBuf, Metadata)> {
    let mut paths = std::iter::once(preferred).chain(Compression::ALL).map(|one| path(dir, name, one));
    paths.find_map(|path| {
        let meta = fs::stat(&path).ok()??;
        meta.is_file().then_some((path, meta))
    })
}

/// The files of a module in one folder, of every compression, links that lead nowhere among them.
pub(super) fn all_in_folder(dir: &Path, name: &str) -> Vec<PathBuf> {
    let paths = Compression::ALL.into_iter().map(|one| path(dir, name, one));
    paths.filter(|path| fs::exists(path)).collect()
}

fn path(dir: &Path, name: &str, compression: Compression) -> PathBuf {
    dir.join(format!("{name}.ko{}", compression.suffix()))
}

/// The names of all modules in one folder.
///
/// # Errors
/// [`FsError`] where it can't be listed.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>, FsError> {
    let module = |entry: &fs::Entry| ModuleFile::from_name(entry.name.to_str()?);
    Ok(fs::list(dir)?.iter().filter_map(module).map(|module| module.stem).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_kernels_own_folders_count() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in
            ["a/b-c.ko", "a/b_c.ko", "updates/b-c.ko.xz", "build/b-c.ko", "weak-updates/b-c.ko", "b-c.ko"]
        {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write_whole(&at(path), b"", 0o644).unwrap();
        }
        let tree = ModuleTree::walk(dir.path()).unwrap();
        let found = in_kernel(&tree, dir.path(), "b-c");
        assert_eq!(found, [at("a/b-c.ko"), at("b-c.ko"), at("updates/b-c.ko.xz")]);
        assert_eq!(in_folder(&at("updates"), "b-c", Compression::None), Some(at("updates/b-c.ko.xz")));
        assert_eq!(names_in(&at("a")).unwrap(), ["b-c", "b_c"]);
    }
}
