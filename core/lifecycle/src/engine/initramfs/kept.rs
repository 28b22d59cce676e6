//! Images that are kept as they are. One holds a module that a package has taken out in favour of another
//! version, which isn't installed on this kernel (it doesn't build, the headers are gone). Made again, the
//! image would be without it, and the machine may not come up; so it stays until the module is installed or
//! leaves the tree.

use std::collections::{BTreeMap, BTreeSet};

use super::Images;
use crate::conf::ModuleConf;
use crate::engine::error::StepError;
use crate::id::{ModuleId, ModuleName};
use crate::install;
use crate::kernel::{ModuleTree, has_headers};
use crate::modfile::canonical_name;
use crate::tree::Snapshot;
use crate::tree::images::{self, Removed};
use crate::tree::turns::PackageRemoval;

/// What an image is kept for.
enum Awaited {
    /// This is registered, and is to be installed.
    Installing(ModuleId),
    /// This is registered, and not for this kernel.
    Excluded(ModuleId),
    /// A package of this module is being replaced.
    Configuring(ModuleName),
}

impl Awaited {
    fn of(&self) -> &ModuleName {
        match self {
            Self::Installing(id) | Self::Excluded(id) => &id.name,
            Self::Configuring(of) => of,
        }
    }
}

impl Images<'_> {
    /// Those of them that an image is kept for: the tree has their module, in a version that is to be
    /// installed, or their package is being replaced; and no version of it is installed on this kernel, which
    /// has none of its own either.
    fn awaited(&self, gone: &Removed) -> Result<BTreeMap<String, Awaited>, StepError> {
        let is_of_packages = |name: &String| self.keeps || !self.removed.contains_key(name);
        let of_packages: Vec<_> = gone.iter().filter(|(name, _)| is_of_packages(name)).collect();
        if of_packages.is_empty() {
            return Ok(BTreeMap::new());
        }
        let snapshot = Snapshot::take(self.layout)?;
        let tree = ModuleTree::walk(&self.layout.kernel_dir(&self.target.kernel)).unwrap_or_default();
        let newest = snapshot.newest();
        let removals = PackageRemoval::all(self.layout);
        let awaited = |(name, of): (&String, &Option<ModuleName>)| {
            let of = of.as_ref()?;
            let registered = self.successor(name, of, &newest);
            let is_at_work = removals.iter().any(|removal| removal.id.name == *of);
            let awaited = registered.or_else(|| is_at_work.then(|| Awaited::Configuring(of.clone())))?;
            let is_missing = tree.paths(name).is_empty()
                && snapshot.installed_version(awaited.of(), self.target).is_none();
            is_missing.then(|| (name.clone(), awaited))
        };
        Ok(of_packages.into_iter().filter_map(awaited).collect())
    }

    /// The module in the tree that takes the place of one: the newest version of the same dkms module, or
    /// another one that has a module of that name.
    fn successor(&self, name: &str, of: &ModuleName, newest: &[&ModuleId]) -> Option<Awaited> {
        let has_it =
            |conf: &ModuleConf| conf.modules.iter().any(|one| canonical_name(&one.dest_name) == name);
        let other = || self.confs.iter().find(|(_, conf)| has_it(conf)).map(|(id, _)| *id);
        let id = newest.iter().find(|id| id.name == *of).copied().or_else(other)?;
        let is_excluded = self.confs.iter().any(|(one, conf)| *one == id && conf.excluded.is_some());
        Some(if is_excluded { Awaited::Excluded(id.clone()) } else { Awaited::Installing(id.clone()) })
    }

    /// Keeps the images that hold modules which are awaited; what is to be printed of it. `None`: there are
    /// none.
    pub(super) fn keep(&self, note: &images::Note) -> Result<Option<Vec<String>>, StepError> {
        let gone = self.gone(note);
        let awaited = self.awaited(&gone)?;
        let names: BTreeSet<String> = awaited.keys().cloned().collect();
        let kernel = &self.target.kernel;
        let holding = install::holds_removed(kernel, &names, self.layout, self.environment);
        if holding.is_empty() {
            return Ok(None);
        }
        let held: BTreeSet<&String> = holding.iter().flat_map(|image| &image.modules).collect();
        let held =
            held.into_iter().filter_map(|name| Some((name.clone(), Some(awaited.get(name)?.of().clone()))));
        if !self.installed.is_empty() {
            images::note(self.layout, kernel)?;
        }
        images::note_removed(self.layout, kernel, &gone)?;
        images::hold(self.layout, kernel, &held.collect())?;
        let said = holding.iter().flat_map(|image| {
            image.modules.iter().filter_map(|name| {
                let file = image.image.display();
                Some(match awaited.get(name)? {
                    Awaited::Installing(id) => format!(
                        "`{file}` is kept as it is, since it holds {name}, and {id} is not installed on kernel \
                         {kernel}{}: `dkms install {id} -k {kernel}` tries again",
                        self.why_not()
                    ),
                    Awaited::Excluded(id) => match &image.command {
                        Some(command) => format!(
                            "`{file}` is kept as it is, since it holds {name}, and {id} is not for kernel {kernel}: \
                             `{command}` makes it without {name}"
                        ),
                        None => format!(
                            "`{file}` is kept as it is, since it holds {name}, and {id} is not for kernel {kernel}"
                        ),
                    },
                    // dpkg is still at it, and says so if it doesn't come to its end.
                    Awaited::Configuring(_) if install::is_inside_dpkg(self.environment) => return None,
                    Awaited::Configuring(of) => format!(
                        "`{file}` is kept as it is, since it holds {name}, and the package of {of} is not \
                         configured: `dpkg --configure -a` does that"
                    ),
                })
            })
        });
        Ok(Some(said.collect()))
    }

    /// Why a module may not be installed, where that is plain to see.
    fn why_not(&self) -> &'static str {
        let has_headers = has_headers(&self.target.kernel, self.layout);
        if has_headers { "" } else { ", whose headers are not installed" }
    }
}
