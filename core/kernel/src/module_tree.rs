//! The modules below a kernel's folder: where each is, and how they are compressed. Knows only
//! names, opens no module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::modfile::{self, ModuleFile};
use dkms_base::host::fs::{self, Entry, FsError};

use super::Compression;

/// The module files of a kernel by module name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleTree {
    by_name: BTreeMap<String, Vec<PathBuf>>,
}

impl ModuleTree {
    /// Walks a kernel's folder once, following no link to a folder (`build` and `source` lead out of it). A
    /// link to a module is one. A folder that isn't there has no modules.
    ///
    /// # Errors
    /// [`FsError`] where a folder can't be read: what we don't see must not count as missing.
    pub fn walk(kernel_dir: &Path) -> Result<Self, FsError> {
        let mut tree = Self::default();
        tree.add(kernel_dir)?;
        Ok(tree)
    }

    fn add(&mut self, dir: &Path) -> Result<(), FsError> {
        for entry in fs::list(dir)? {
            let path = dir.join(&entry.name);
            if entry.kind.is_dir() {
                self.add(&path)?;
            } else if let Some(module) = module_of(&entry) {
                self.by_name.entry(modfile::canonical_name(&module.stem)).or_default().push(path);
            }
        }
        Ok(())
    }

    /// Where modules of that name are, in byte order; `-` and `_` in a name are the same.
    #[must_use]
    pub fn paths(&self, name: &str) -> &[PathBuf] {
        self.by_name.get(&modfile::canonical_name(name)).map_or(&[], Vec::as_slice)
    }

    /// Every module's name (with `_` for `-`) and its paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[PathBuf])> {
        self.by_name.iter().map(|(name, paths)| (name.as_str(), paths.as_slice()))
    }

    /// Whether there is no module at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The lines of modules.dep, `PATH: NEEDED…`: each module with those that it depends on, what is needed last
/// first. Paths are as they stand there, below the kernel's folder.
#[must_use]
pub fn dependencies(modules_dep: &str) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let line = |line: &str| {
        let (path, needs) = line.split_once(':')?;
        Some((PathBuf::from(path), needs.split_whitespace().map(PathBuf::from).collect()))
    };
    modules_dep.lines().filter_map(line).collect()
}

/// The module file that an entry is by its name.
fn module_of(entry: &Entry) -> Option<ModuleFile> {
    let regular = entry.kind.is_file() || entry.kind.is_symlink();
    entry.name.to_str().filter(|_| regular).and_then(ModuleFile::from_name)
}

/// Folders of modules that came from elsewhere.
const ADDED: [&str; 3] = ["extra", "updates", "weak-updates"];

/// How the modules of a kernel are compressed: as the first that is found. Its own (`kernel/`) count before
/// all others, and those that were added (`updates`, `extra`, `weak-updates`: ours, mostly) only where there
/// is nothing else. Without any: not compressed.
///
/// # Errors
/// [`FsError`] where a folder can't be read.
pub fn compression(kernel_dir: &Path) -> Result<Compression, FsError> {
    let (own, others): (Vec<Entry>, Vec<Entry>) =
        fs::list(kernel_dir)?.into_iter().partition(|entry| entry.name == "kernel");
    let (added, others): (Vec<Entry>, Vec<Entry>) =
        others.into_iter().partition(|entry| ADDED.iter().any(|name| entry.name == *name));
    for entries in [own, others, added] {
        if let Some(found) = first_of(kernel_dir, &entries)? {
            return Ok(found);
        }
    }
    Ok(Compression::None)
}

/// The files of a folder come before its folders: that is where most walks end at once.
fn first_of(dir: &Path, entries: &[Entry]) -> Result<Option<Compression>, FsError> {
    if let Some(module) = entries.iter().find_map(module_of) {
        return Ok(Some(module.compression));
    }
    for entry in entries.iter().filter(|entry| entry.kind.is_dir()) {
        let below = dir.join(&entry.name);
        if let Some(found) = first_of(&below, &fs::list(&below)?)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, b"", 0o644).unwrap();
        }
        dir
    }

    #[test]
    fn names_lead_to_paths() {
        let dir = kernel(&[
            "kernel/drivers/snd-hda.ko.xz",
            "updates/dkms/snd_hda.ko",
            "kernel/fs/ext4.ko",
            "modules.dep",
            "kernel/fs/ext4.ko.txt",
        ]);
        fs::symlink(Path::new("/"), &dir.path().join("build")).unwrap();
        fs::create_dir_all(&dir.path().join("weak-updates")).unwrap();
        fs::symlink(Path::new("/nowhere/kvm.ko"), &dir.path().join("weak-updates/kvm.ko")).unwrap();
        let tree = ModuleTree::walk(dir.path()).unwrap();
        let expected =
            [dir.path().join("kernel/drivers/snd-hda.ko.xz"), dir.path().join("updates/dkms/snd_hda.ko")];
        assert_eq!(tree.paths("snd-hda"), expected);
        assert_eq!(tree.paths("snd_hda"), expected);
        assert_eq!(tree.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["ext4", "kvm", "snd_hda"]);
        assert!(tree.paths("absent").is_empty());
        assert!(ModuleTree::walk(&dir.path().join("absent")).unwrap().is_empty());
    }

    #[test]
    fn the_kernels_own_modules_tell_the_compression() {
        let cases: [(&[&str], Compression); 7] = [
            (&[], Compression::None),
            (&["kernel/fs/a.ko.zst", "updates/dkms/b.ko"], Compression::Zstd),
            (&["kernel/fs/a.ko", "extra/b.ko.xz", "misc/c.ko.xz"], Compression::None),
            (&["misc/c.ko.gz", "extra/b.ko"], Compression::Gzip),
            (&["updates/dkms/c.ko.xz", "modules.dep"], Compression::Xz),
            (&["a.ko.xz"], Compression::Xz),
            (&["kernel/a.ko.lz4", "kernel/z/b.ko.gz"], Compression::Gzip),
        ];
        for (files, expected) in cases {
            assert_eq!(compression(kernel(files).path()).unwrap(), expected, "{files:?}");
        }
    }
}
