//! Which module files go into the guest: those that are asked for and what they need by modules.dep and by
//! `softdep`, what is needed before what needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;
use dkms_kernel::ModuleTree;
use dkms_kernel::modfile::{ModfileError, ModuleFile, canonical_name, read_info};
use dkms_kernel::module_tree::dependencies;

use crate::options;
use crate::report::Item;

/// No index of depmod is larger.
const LIMIT: u64 = 64 << 20;

/// Why files can't be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// Something can't be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A module file can't be read.
    #[error(transparent)]
    Modfile(#[from] ModfileError),
}

/// The module files of a guest, in the order in which they are loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Each file with its line in the list of the guest.
    pub(crate) items: Vec<(PathBuf, Item)>,
}

impl Selection {
    /// These files of a kernel's folder, and what they need.
    ///
    /// # Errors
    /// [`SelectionError`].
    pub fn of(folder: &Path, files: &[PathBuf], layout: &Layout) -> Result<Self, SelectionError> {
        let index = Index::read(folder)?;
        let options = options::of_system(layout)?;
        let mut order = Vec::new();
        files.iter().for_each(|file| index.add(file, &mut order, &mut BTreeSet::new()));
        let place: BTreeMap<&Path, usize> =
            order.iter().enumerate().map(|(place, file)| (file.as_path(), place)).collect();
        let mut items = Vec::new();
        for (number, file) in order.iter().enumerate() {
            let info = read_info(file)?;
            let name = name_of(file);
            let mut names = vec![name.clone()];
            names.extend(info.aliases.iter().map(|alias| canonical_name(alias)));
            let needed = index.needs(file);
            let needs = needed.iter().filter_map(|path| place.get(path.as_path()).copied());
            let item = Item {
                path: format!("/dkms-vm/{number}.ko"),
                names,
                options: options.get(&name).cloned().unwrap_or_default(),
                // A circle of softdeps is no reason not to load either.
                needs: needs.filter(|need| *need < number).collect(),
                is_asked: files.contains(file),
            };
            items.push((file.clone(), item));
        }
        Ok(Self { items })
    }

    /// The files that are asked for.
    pub fn asked(&self) -> impl Iterator<Item = &Path> {
        self.items.iter().filter(|(_, item)| item.is_asked).map(|(path, _)| path.as_path())
    }

    /// The same without these files: they are neither asked for nor loaded for others.
    #[must_use]
    pub(crate) fn list_without(&self, skipped: &BTreeSet<usize>) -> Vec<Item> {
        let mut items: Vec<Item> = self.items.iter().map(|(_, item)| item.clone()).collect();
        for place in skipped {
            if let Some(item) = items.get_mut(*place) {
                item.is_asked = false;
                item.path.clear();
                item.names.clear();
            }
        }
        items
    }
}

/// What depmod knows of a kernel's modules.
struct Index {
    folder: PathBuf,
    depends: BTreeMap<PathBuf, Vec<PathBuf>>,
    softdeps: BTreeMap<String, Vec<String>>,
    tree: ModuleTree,
}

impl Index {
    fn read(folder: &Path) -> Result<Self, FsError> {
        let text = |name: &str| fs::optional(fs::read_lossy_limited(&folder.join(name), LIMIT));
        Ok(Self {
            folder: folder.to_owned(),
            depends: dependencies(&text("modules.dep")?.unwrap_or_default()),
            softdeps: softdeps(&text("modules.softdep")?.unwrap_or_default()),
            tree: ModuleTree::walk(folder)?,
        })
    }

    /// What is loaded before a file, itself in the order of modules.dep: what is needed last comes first
    /// there.
    fn needs(&self, file: &Path) -> Vec<PathBuf> {
        let named = self.softdeps.get(&name_of(file)).into_iter().flatten();
        let soft = named.filter_map(|name| self.tree.paths(name).first().cloned());
        let below = file.strip_prefix(&self.folder).unwrap_or(file);
        let hard = self.depends.get(below).into_iter().flatten().rev().map(|need| self.folder.join(need));
        soft.chain(hard).filter(|path| path.starts_with(&self.folder) && fs::is_file(path)).collect()
    }

    fn add(&self, file: &Path, order: &mut Vec<PathBuf>, above: &mut BTreeSet<PathBuf>) {
        if order.iter().any(|known| known == file) || !above.insert(file.to_owned()) {
            return;
        }
        self.needs(file).iter().for_each(|need| self.add(need, order, above));
        order.push(file.to_owned());
    }
}

fn name_of(file: &Path) -> String {
    ModuleFile::from_path(file).map(|file| canonical_name(&file.stem)).unwrap_or_default()
}

/// `softdep NAME pre: A B post: C` of modules.softdep: what is loaded before.
fn softdeps(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { continue };
        let before: Vec<String> = words
            .skip_while(|word| *word != "pre:")
            .skip(1)
            .take_while(|word| *word != "post:")
            .map(canonical_name)
            .collect();
        found.entry(canonical_name(name)).or_insert_with(Vec::new).extend(before);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softdeps_before_a_module_count() {
        let found = softdeps("# Soft\nsoftdep a-b pre: c-d e post: f\nsoftdep g post: h\nsoftdep g pre: i\n");
        assert_eq!(found["a_b"], ["c_d", "e"]);
        assert_eq!(found["g"], ["i"]);
    }

    #[test]
    fn what_is_needed_comes_first() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("6.1");
        for file in ["k/a.ko", "k/b.ko", "k/c.ko", "k/s.ko"] {
            fs::create_dir_all(&folder.join("k")).unwrap();
            fs::write_whole(&folder.join(file), b"", 0o644).unwrap();
        }
        let text = "k/a.ko: k/b.ko k/c.ko\nk/b.ko: k/c.ko\nk/c.ko:\nk/s.ko: k/a.ko k/gone.ko\n";
        fs::write_whole(&folder.join("modules.dep"), text.as_bytes(), 0o644).unwrap();
        fs::write_whole(&folder.join("modules.softdep"), b"softdep c pre: s\n", 0o644).unwrap();
        let index = Index::read(&folder).unwrap();
        let mut order = Vec::new();
        index.add(&folder.join("k/a.ko"), &mut order, &mut BTreeSet::new());
        let names: Vec<String> = order.iter().map(|path| name_of(path)).collect();
        assert_eq!(names, ["s", "c", "b", "a"], "a circle of softdeps is left");
    }
}
