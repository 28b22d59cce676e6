//! What is on disk in the dkms tree, as plain data: one walk, nothing read twice, nothing changed.
//!
//! Knows the folders, not what confs say: names of installed files, exclusions and the like
//! need a conf besides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::host::fs::{self, FsError, Listed};
use crate::id::{Arch, KernelRelease, ModuleId, ModuleName, ModuleVersion, Target};
use crate::layout::Layout;
use crate::version;

/// The state of a dkms tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every version folder that is a registration, sound or broken.
    pub modules: BTreeMap<ModuleId, Registration>,
    /// `M/kernel-K-A`: which version is installed where. Links that lead to nothing built are left out.
    pub installed: BTreeMap<(ModuleName, Target), ModuleVersion>,
    /// Modules that have a folder for what they replaced on any kernel.
    pub archived: BTreeSet<ModuleName>,
}

/// One version of a module that the tree knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its `source` link.
    pub source: Source,
    /// What is built, by target.
    pub built: BTreeMap<Target, Built>,
}

/// What a registration's `source` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A link to a folder that exists.
    Present(PathBuf),
    /// A link that leads nowhere: broken.
    Dangling(PathBuf),
    /// No link, while the source folder exists: broken.
    Unlinked(PathBuf),
}

/// What was built for one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Built {
    /// The versions of its dependencies that it was built against (`.dep_D` files).
    pub dependencies: BTreeMap<ModuleName, ModuleVersion>,
}

impl Registration {
    /// Whether every action but `add` must stop here.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self.source, Source::Dangling(_) | Source::Unlinked(_))
    }
}

impl Snapshot {
    /// Looks at the whole tree. A tree that isn't there is an empty one; names that can't
    /// be ids are left alone.
    ///
    /// # Errors
    /// [`FsError`] where a folder of the tree can't be read.
    pub fn take(layout: &Layout) -> Result<Self, FsError> {
        Self::taken(layout, &Detail::Whole, &Listed::default())
    }

    /// The same of folders that were listed a moment ago, as far as they were.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_listed(layout: &Layout, listed: &Listed) -> Result<Self, FsError> {
        Self::taken(layout, &Detail::Whole, listed)
    }

    /// The same for showing states, in a third of the system calls: [`Built::dependencies`] are not looked
    /// at, and empty; nor is where a source link leads, if it leads to a folder. `is_built` is asked of each
    /// target that is installed whether the folder of its built modules is there, by who looks into that.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn of_states(
        layout: &Layout,
        is_built: &dyn Fn(&ModuleId, &Target) -> bool,
    ) -> Result<Self, FsError> {
        Self::taken(layout, &Detail::States(is_built), &Listed::default())
    }

    fn taken(layout: &Layout, detail: &Detail<'_>, listed: &Listed) -> Result<Self, FsError> {
        let mut snapshot = Self::default();
        for entry in listed.list(&layout.dkms_tree)?.iter() {
            if let Some(name) = id(entry, ModuleName::new) {
                snapshot.take_module(layout, &name, detail, listed)?;
            }
        }
        Ok(snapshot)
    }

    fn take_module(
        &mut self,
        layout: &Layout,
        name: &ModuleName,
        detail: &Detail<'_>,
        listed: &Listed,
    ) -> Result<(), FsError> {
        let is_installed_link = |entry: &&fs::Entry| {
            entry.kind.is_symlink() && entry.name.as_encoded_bytes().starts_with(b"kernel-")
        };
        let entries = listed.list(&layout.module_dir(name))?;
        let (links, others): (Vec<_>, Vec<_>) = entries.iter().partition(is_installed_link);
        let originals = layout.originals_root(name);
        if others.iter().any(|entry| originals.file_name() == Some(&entry.name)) {
            self.archived.insert(name.clone());
        }
        let mut linked = BTreeSet::new();
        for link in links.into_iter().map(|entry| layout.module_dir(name).join(&entry.name)) {
            if let Some((id, target)) = fs::link_target(&link)?.and_then(|path| installed_build(name, &path))
                && layout.installed_link(name, &target) == link
                && KernelRelease::may_name_a_build(target.kernel.as_str())
            {
                linked.insert((id, target));
            }
        }
        for version in others.into_iter().filter_map(|entry| id(entry, ModuleVersion::new)) {
            let id = ModuleId::new(name.clone(), version);
            let here = linked.iter().filter(|(of, _)| *of == id).map(|(_, target)| target);
            if let Some(registration) = Registration::take(layout, &id, &here.collect(), detail, listed)? {
                self.modules.insert(id, registration);
            }
        }
        let is_built = |(id, target): &(ModuleId, Target)| self.is_built(id, target);
        let installed: Vec<_> = linked.into_iter().filter(is_built).collect();
        self.installed.extend(installed.into_iter().map(|(id, target)| ((id.name, target), id.version)));
        Ok(())
    }

    /// The registration of a module.
    #[must_use]
    pub fn get(&self, id: &ModuleId) -> Option<&Registration> {
        self.modules.get(id)
    }

    /// Whether a module is built for a target.
    #[must_use]
    pub fn is_built(&self, id: &ModuleId, target: &Target) -> bool {
        self.get(id).is_some_and(|found| found.built.contains_key(target))
    }

    /// Whether this very version is installed on a target.
    #[must_use]
    pub fn is_installed(&self, id: &ModuleId, target: &Target) -> bool {
        self.installed_version(&id.name, target) == Some(&id.version)
    }

    /// The version of a module that is installed on a target.
    #[must_use]
    pub fn installed_version(&self, name: &ModuleName, target: &Target) -> Option<&ModuleVersion> {
        self.installed.get(&(name.clone(), target.clone()))
    }

    /// The versions of a module, ascending.
    #[must_use]
    pub fn versions(&self, name: &ModuleName) -> Vec<&ModuleId> {
        let mut ids: Vec<_> = self.modules.keys().filter(|id| id.name == *name).collect();
        ids.sort_by(|a, b| version::compare(a.version.as_str(), b.version.as_str()));
        ids
    }

    /// The newest version of each module that isn't broken, ordered by name.
    #[must_use]
    pub fn newest(&self) -> Vec<&ModuleId> {
        let mut newest: BTreeMap<&ModuleName, &ModuleId> = BTreeMap::new();
        for (id, registration) in &self.modules {
            if registration.is_broken() {
                continue;
            }
            let best = newest.entry(&id.name).or_insert(id);
            if version::compare(best.version.as_str(), id.version.as_str()).is_lt() {
                *best = id;
            }
        }
        newest.into_values().collect()
    }

    /// What is installed on a target, ordered by name.
    pub fn installed_on(&self, target: &Target) -> impl Iterator<Item = ModuleId> {
        let here = self.installed.iter().filter(move |((_, on), _)| on == target);
        here.map(|((name, _), version)| ModuleId::new(name.clone(), version.clone()))
    }

    /// What is built for a target.
    pub fn built_on(&self, target: &Target) -> impl Iterator<Item = &ModuleId> {
        self.modules.iter().filter(move |(_, found)| found.built.contains_key(target)).map(|(id, _)| id)
    }

    /// What is installed on a target and was built against some version of a module.
    pub fn built_against(&self, name: &ModuleName, target: &Target) -> impl Iterator<Item = ModuleId> {
        self.installed_on(target).filter(move |id| {
            let built = self.get(id).and_then(|found| found.built.get(target));
            built.is_some_and(|built| built.dependencies.contains_key(name))
        })
    }

    /// Every target that a module is built for.
    #[must_use]
    pub fn targets(&self, id: &ModuleId) -> Vec<Target> {
        self.get(id).map(|found| found.built.keys().cloned().collect()).unwrap_or_default()
    }
}

impl Registration {
    /// `None` where neither link nor source folder is there: a leftover, which is left alone. `linked`: the
    /// targets that it is installed on, if it is built for them.
    fn take(
        layout: &Layout,
        id: &ModuleId,
        linked: &BTreeSet<&Target>,
        detail: &Detail<'_>,
        listed: &Listed,
    ) -> Result<Option<Self>, FsError> {
        let link = layout.source_link(id);
        if let Detail::States(is_built) = detail
            && fs::is_dir(&link)
        {
            let built = match only_linked(layout, id, linked, is_built) {
                Some(built) => built,
                None => Built::of(layout, id, detail, listed)?,
            };
            return Ok(Some(Self { source: Source::Present(link), built }));
        }
        let source = match fs::link_target(&link)? {
            Some(target) if fs::is_dir(&link) => Source::Present(target),
            Some(target) => Source::Dangling(target),
            None if fs::is_dir(&link) => Source::Present(link),
            None if fs::exists(&link) => Source::Dangling(link),
            None if fs::is_dir(&layout.source_dir(id)) => Source::Unlinked(layout.source_dir(id)),
            None => return Ok(None),
        };
        Ok(Some(Self { source, built: Built::of(layout, id, detail, listed)? }))
    }
}

/// How much of the tree is looked at.
enum Detail<'a> {
    /// What is built and installed; of what is installed this says whether it is built.
    States(&'a dyn Fn(&ModuleId, &Target) -> bool),
    /// And what it was built against.
    Whole,
}

/// What a version is built for, if it is installed on all of it: the file system counts as many folders as
/// installed links name, each kernel with one architecture. `None`: the folders have to be listed.
fn only_linked(
    layout: &Layout,
    id: &ModuleId,
    linked: &BTreeSet<&Target>,
    is_built: &dyn Fn(&ModuleId, &Target) -> bool,
) -> Option<BTreeMap<Target, Built>> {
    let folder = layout.version_dir(id);
    let kernels = u64::try_from(linked.len()).ok()?;
    // What a failed build left is no kernel's.
    let is_all = |count: u64| count == kernels || count == kernels + 1 && fs::is_dir(&layout.build_dir(id));
    if !fs::folders_in(&folder).is_some_and(is_all) {
        return None;
    }
    // Two links with one kernel name two architectures, of which its folder has at most one.
    let is_alone =
        |target: &&Target| fs::folders_in(&folder.join(&target.kernel)) == Some(1) && is_built(id, target);
    linked
        .iter()
        .all(is_alone)
        .then(|| linked.iter().map(|target| ((*target).clone(), Built::default())).collect())
}

impl Built {
    /// For each target.
    fn of(
        layout: &Layout,
        id: &ModuleId,
        detail: &Detail<'_>,
        listed: &Listed,
    ) -> Result<BTreeMap<Target, Self>, FsError> {
        let mut built = BTreeMap::new();
        for kernel in listed.list(&layout.version_dir(id))?.iter() {
            let name = kernel.name.to_string_lossy().into_owned();
            // A release may be called anything; what was built for one is known by what is in its folder.
            if !KernelRelease::may_name_a_build(&name) {
                continue;
            }
            let Some(kernel) = self::id(kernel, KernelRelease::new) else { continue };
            for arch in listed.list(&layout.version_dir(id).join(&kernel))?.iter() {
                let Some(arch) = self::id(arch, Arch::new) else { continue };
                let target = Target::new(kernel.clone(), arch);
                let found = match detail {
                    Detail::States(_) => fs::is_dir(&layout.built_dir(id, &target)).then(Self::default),
                    Detail::Whole => Self::take(layout, id, &target, listed)?,
                };
                built.extend(found.map(|found| (target, found)));
            }
        }
        Ok(built)
    }

    /// `None` where the folder of a target holds no built modules.
    fn take(
        layout: &Layout,
        id: &ModuleId,
        target: &Target,
        listed: &Listed,
    ) -> Result<Option<Self>, FsError> {
        let dir = layout.target_dir(id, target);
        let (mut dependencies, mut is_built) = (BTreeMap::new(), false);
        for entry in listed.list(&dir)?.iter() {
            let Some(name) = entry.name.to_str() else { continue };
            is_built |= name == "module" && entry.kind.is_dir();
            let Some(Ok(dependency)) = name.strip_prefix(".dep_").map(ModuleName::new) else { continue };
            if let Ok(version) = ModuleVersion::new(
                String::from_utf8_lossy(&fs::read_limited(&dir.join(name), 4096).unwrap_or_default()).trim(),
            ) {
                dependencies.insert(dependency, version);
            }
        }
        Ok(is_built.then_some(Self { dependencies }))
    }
}

/// A folder's entry as an id; nothing where it is no folder, or its name can't be one.
fn id<T, E>(entry: &fs::Entry, parse: impl FnOnce(String) -> Result<T, E>) -> Option<T> {
    if !entry.kind.is_dir() {
        return None;
    }
    parse(entry.name.to_str()?.to_owned()).ok()
}

/// The target `V/K/A` of an installed link.
fn installed_build(name: &ModuleName, link: &Path) -> Option<(ModuleId, Target)> {
    let parts: Vec<&str> = link.to_str()?.rsplitn(4, '/').collect();
    let [arch, kernel, version, ..] = parts[..] else { return None };
    let id = ModuleId::new(name.clone(), ModuleVersion::new(version).ok()?);
    Some((id, Target::parse(kernel, arch).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        (dir, layout)
    }

    fn register(layout: &Layout, id: &ModuleId) {
        fs::create_dir_all(&layout.source_dir(id)).unwrap();
        fs::create_dir_all(&layout.version_dir(id)).unwrap();
        fs::symlink(&layout.source_dir(id), &layout.source_link(id)).unwrap();
    }

    #[test]
    fn no_tree_is_an_empty_one() {
        let (_dir, layout) = tree();
        assert_eq!(Snapshot::take(&layout).unwrap(), Snapshot::default());
    }

    #[test]
    fn states_are_told_apart() {
        let (_dir, layout) = tree();
        let id = |version| ModuleId::parse("foo", version).unwrap();
        let target = Target::parse("6.1.0-9-amd64", "x86_64").unwrap();
        for version in ["1.0", "2.0", "3.0", "10.0"] {
            register(&layout, &id(version));
        }
        fs::remove_tree(&layout.source_dir(&id("2.0"))).unwrap();
        fs::remove_file(&layout.source_link(&id("10.0"))).unwrap();
        fs::create_dir_all(&layout.built_dir(&id("1.0"), &target)).unwrap();
        fs::write_whole(&layout.built_dir(&id("1.0"), &target).join("foo.ko"), b"x", 0o644).unwrap();
        fs::write_whole(&layout.target_dir(&id("1.0"), &target).join(".dep_bar"), b"7\n", 0o644).unwrap();
        fs::symlink(Path::new("1.0/6.1.0-9-amd64/x86_64"), &layout.installed_link(&id("1.0").name, &target))
            .unwrap();
        fs::create_dir_all(&layout.originals_dir(&id("1.0").name, &target)).unwrap();

        let snapshot = Snapshot::take(&layout).unwrap();
        assert_eq!(snapshot.modules.len(), 4);
        assert!(snapshot.is_installed(&id("1.0"), &target));
        assert!(!snapshot.is_built(&id("3.0"), &target));
        assert!(snapshot.modules[&id("2.0")].is_broken());
        assert!(snapshot.modules[&id("10.0")].is_broken());
        assert_eq!(snapshot.newest(), [&id("3.0")]);
        let built = &snapshot.modules[&id("1.0")].built[&target];
        assert_eq!(built.dependencies.len(), 1);
    }

    #[test]
    fn states_are_those_of_a_whole_look() {
        let (_dir, layout) = tree();
        let id = ModuleId::parse("foo", "1.0").unwrap();
        register(&layout, &id);
        let same = |what: &str| {
            let is_built = |id: &ModuleId, target: &Target| fs::is_dir(&layout.built_dir(id, target));
            let looks = [Snapshot::take(&layout), Snapshot::of_states(&layout, &is_built)].map(|found| {
                let mut found = found.unwrap();
                for found in found.modules.values_mut() {
                    found.source = Source::Present(layout.source_dir(&id));
                }
                let built = found.modules.values_mut().flat_map(|found| found.built.values_mut());
                built.for_each(|built| built.dependencies.clear());
                found
            });
            assert_eq!(looks[0], looks[1], "{what}");
            looks[0].targets(&id).len()
        };
        let target = |arch: &str| Target::parse("6.1.0-9", arch).unwrap();
        let build = |arch: &str| fs::create_dir_all(&layout.built_dir(&id, &target(arch))).unwrap();
        build("x86_64");
        assert_eq!(same("it is built"), 1);
        let link = |arch: &str| {
            let path = layout.installed_link(&id.name, &target(arch));
            fs::symlink(&Path::new("1.0/6.1.0-9").join(arch), &path).unwrap();
        };
        link("x86_64");
        fs::write_whole(&layout.target_dir(&id, &target("x86_64")).join(".dep_bar"), b"7\n", 0o644).unwrap();
        assert_eq!(same("it is installed"), 1);
        fs::create_dir_all(&layout.build_dir(&id)).unwrap();
        assert_eq!(same("a failed build has left its folder"), 1);
        fs::create_dir_all(&layout.built_dir(&id, &Target::parse("6.2.0", "x86_64").unwrap())).unwrap();
        assert_eq!(same("it is built for another kernel too"), 2);
        fs::remove_tree(&layout.version_dir(&id).join("6.2.0")).unwrap();
        fs::create_dir_all(&layout.originals_dir(&id.name, &target("x86_64"))).unwrap();
        assert_eq!(same("something was replaced"), 1);
        build("i686");
        assert_eq!(same("it is built for another architecture too"), 2);
        link("i686");
        fs::remove_tree(&layout.built_dir(&id, &target("i686"))).unwrap();
        assert_eq!(same("a link leads to nothing built"), 1);
    }

    #[test]
    fn a_link_to_nothing_built_installs_nothing() {
        let (_dir, layout) = tree();
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let target = Target::parse("6.1.0", "x86_64").unwrap();
        register(&layout, &id);
        fs::symlink(Path::new("1.0/6.1.0/x86_64"), &layout.installed_link(&id.name, &target)).unwrap();
        assert!(Snapshot::take(&layout).unwrap().installed.is_empty());
    }
}
