//! How modprobe finds modules of a kernel: depmod's index, the kernel's folder, and which of two modules
//! of one name depmod takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::known::LIST_LIMIT;
use super::search::SearchOrder;
use crate::host::fs::{self, FsError};
use crate::id::Target;
use crate::kernel::module_tree::dependencies;
use crate::kernel::{ModuleTree, kmod_conf};
use crate::layout::Layout;
use crate::modfile::{ModuleFile, canonical_name};

/// Folders right below a kernel's that are no part of it.
const FOREIGN: [&str; 2] = ["build", "source"];

/// A kernel's folder, looked at once for all modules in it.
#[derive(Debug)]
pub struct ModuleIndex<'a> {
    /// The folder.
    pub dir: PathBuf,
    /// The modules below it.
    pub tree: ModuleTree,
    /// The paths that modules.dep has, each with those that it depends on; `None`: there is none.
    known: Option<BTreeMap<PathBuf, Vec<PathBuf>>>,
    order: &'a SearchOrder,
}

impl<'a> ModuleIndex<'a> {
    /// Of a kernel.
    ///
    /// # Errors
    /// [`FsError`] where its folder can't be read.
    pub fn look(layout: &Layout, target: &Target, order: &'a SearchOrder) -> Result<Self, FsError> {
        let dir = layout.kernel_dir(&target.kernel);
        let text = fs::optional(fs::read_lossy_limited(&dir.join("modules.dep"), LIST_LIMIT))?;
        let known = text.map(|text| dependencies(&text));
        Ok(Self { tree: ModuleTree::walk(&dir)?, known, dir, order })
    }

    /// Whether there is a modules.dep.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the kernel has modules of its own.
    #[must_use]
    pub fn has_own_modules(&self) -> bool {
        fs::is_dir(&self.dir.join("kernel"))
    }

    /// Whether modules.dep names a file; `None`: there is no modules.dep.
    #[must_use]
    pub fn names(&self, path: &Path) -> Option<bool> {
        self.known.as_ref().map(|known| known.contains_key(self.below(path)))
    }

    /// Another module of a file's name, which depmod prefers.
    #[must_use]
    pub fn shadowing(&self, path: &Path) -> Option<PathBuf> {
        let ours = self.below(path);
        let name = ModuleFile::from_path(path).map(|file| file.stem).unwrap_or_default();
        let is_foreign = |other: &Path| FOREIGN.iter().any(|folder| other.starts_with(folder));
        let mut others = self.tree.paths(&name).iter().filter(|other| *other != path);
        let preferred = |other: &&PathBuf| {
            let other = self.below(other);
            !is_foreign(other) && self.order.prefers(other, ours)
        };
        others.find(preferred).cloned()
    }

    /// The modules that a file depends on (`depends` of its `.modinfo`) and that modprobe would not find.
    #[must_use]
    pub fn lost(&self, path: &Path, depends: &[String], builtin: &BTreeSet<String>) -> Vec<String> {
        let Some(needs) = self.known.as_ref().and_then(|known| known.get(self.below(path))) else {
            return Vec::new();
        };
        let name = |path: &PathBuf| ModuleFile::from_path(path).map(|file| canonical_name(&file.stem));
        let there = needs.iter().filter(|path| fs::is_file(&self.dir.join(path)));
        let there: BTreeSet<String> = there.filter_map(name).collect();
        let is_lost = |name: &String| !there.contains(name) && !builtin.contains(name);
        let depends = depends.iter().map(|name| canonical_name(name));
        depends.chain(needs.iter().filter_map(name)).filter(is_lost).collect()
    }

    /// The modules that are built into the kernel (modules.builtin).
    #[must_use]
    pub fn builtin(&self) -> BTreeSet<String> {
        let text = fs::read_lossy_limited(&self.dir.join("modules.builtin"), LIST_LIMIT).unwrap_or_default();
        let name = |line: &str| Some(canonical_name(&ModuleFile::from_path(Path::new(line))?.stem));
        text.lines().filter_map(name).collect()
    }

    fn below<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.dir).unwrap_or(path)
    }
}

/// What depmod.d says: of files with one name the one in the first folder counts.
///
/// # Errors
/// [`FsError`] where a folder can't be read.
pub fn search_order(layout: &Layout) -> Result<SearchOrder, FsError> {
    let files = kmod_conf("depmod.d", layout)?;
    let texts: Vec<String> = files.iter().filter_map(|path| fs::read_lossy(path).ok()).collect();
    Ok(SearchOrder::of(texts.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_modprobe_does_not_find_are_named() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::under(root.path());
        let target = Target::parse("6.1", "x86_64").unwrap();
        let dir = layout.kernel_dir(&target.kernel);
        let write = |path: &str, text: &str| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
            path
        };
        let foo = write("updates/dkms/foo.ko", "");
        write("kernel/lib/crc-x.ko", "");
        write("modules.builtin", "kernel/lib/built-in.ko\n");
        write("modules.dep", "updates/dkms/foo.ko: kernel/lib/crc-x.ko kernel/lib/gone.ko\n");
        let order = search_order(&layout).unwrap();
        let index = ModuleIndex::look(&layout, &target, &order).unwrap();
        assert_eq!((index.names(&foo), index.shadowing(&foo)), (Some(true), None));
        let depends = ["crc-x", "built_in", "absent"].map(str::to_owned);
        assert_eq!(index.lost(&foo, &depends, &index.builtin()), ["absent", "gone"]);
        let other = write("updates/foo.ko.xz", "");
        assert_eq!(index.names(&other), Some(false));
    }
}
