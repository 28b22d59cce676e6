//! Gathering: which modules packages bring prebuilt, so that autoinstall leaves them to the packages.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::Survey;
use crate::bake::Manifest;
use crate::conf::ModuleConf;
use crate::conf::module::ModuleRecord;
use crate::host::fs::FsError;
use crate::id::{ModuleId, Target};
use crate::kernel::{ModuleTree, Prebuilt, prebuilt};
use crate::plan::World;
use crate::version;

impl Survey<'_> {
    /// What packages bring prebuilt of the modules that would be installed by themselves. One that another
    /// module is built against is built nevertheless: packages don't have its symbols. So is one of which an
    /// older version is installed: modprobe prefers that one to the package's.
    pub(super) fn take_prebuilt(&self, world: &mut World) -> Result<(), FsError> {
        let mut trees: BTreeMap<&Target, ModuleTree> = BTreeMap::new();
        let mut needed = BTreeSet::new();
        for ((_, target), conf) in &world.confs {
            let depends = conf.iter().flat_map(|conf| &conf.build_depends);
            needed.extend(depends.map(|name| (name, target)));
        }
        let mut found = BTreeMap::new();
        for ((id, target), conf) in &world.confs {
            let Ok(conf) = conf else { continue };
            let is_asked = conf.autoinstall
                && conf.excluded.is_none()
                && world.snapshot.installed_version(&id.name, target).is_none()
                && !needed.contains(&(&id.name, target));
            if !is_asked {
                continue;
            }
            let tree = match trees.entry(target) {
                Entry::Occupied(tree) => tree.into_mut(),
                Entry::Vacant(place) => place.insert(self.module_tree(target)?),
            };
            found.extend(self.prebuilt(conf, target, tree).map(|one| ((id.clone(), target.clone()), one)));
        }
        world.prebuilt = found;
        Ok(())
    }

    /// What of the modules the image of this system was made with.
    pub(super) fn take_baked(&self, world: &mut World) {
        let manifest = Manifest::known(self.layout());
        if manifest.modules.is_empty() {
            return;
        }
        let of = |(id, target): &(ModuleId, Target)| {
            let (version, _) = manifest.of(&id.name, target)?;
            let is_there = manifest.provides(id, target, self.layout());
            is_there.then(|| ((id.clone(), target.clone()), version.clone()))
        };
        world.baked = world.confs.keys().filter_map(of).collect();
    }

    /// The modules of a kernel.
    ///
    /// # Errors
    /// [`FsError`] where its folder can't be read.
    pub fn module_tree(&self, target: &Target) -> Result<ModuleTree, FsError> {
        ModuleTree::walk(&self.layout().kernel_dir(&target.kernel))
    }

    /// The package that brings every module of a conf prebuilt for a kernel, each in the version of the
    /// conf or a newer one.
    #[must_use]
    pub fn prebuilt(&self, conf: &ModuleConf, target: &Target, tree: &ModuleTree) -> Option<Prebuilt> {
        let (family, kernel) = (self.distribution().family, &target.kernel);
        let one = |module: &ModuleRecord| {
            let candidates = tree.paths(&module.dest_name).iter();
            let mut found = candidates.filter_map(|path| {
                let below = prebuilt::below(path, &self.layout().kernel_dir(kernel))?;
                let version = prebuilt::version_from(path, conf.id.version.as_str())?;
                let package = prebuilt::package_of(below, kernel, family, self.layout(), self.environment())?;
                Some(Prebuilt { package, version })
            });
            found.next()
        };
        let all: Option<Vec<Prebuilt>> = conf.included().map(one).collect();
        all?.into_iter().min_by(|a, b| version::compare(&a.version, &b.version))
    }
}
