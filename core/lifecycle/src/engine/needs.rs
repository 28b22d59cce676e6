//! Which modules and kernels a request may have to know about. Pure: looks at the request and the snapshot.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::id::{ModuleId, Target};
use crate::plan::{NewSource, Work};
use crate::tree::Snapshot;

/// What has to be looked at for a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The module that is asked for by name.
    pub(super) asked: Option<ModuleId>,
    /// Those that may have to be registered.
    pub(super) to_add: Vec<ModuleId>,
    /// Where its source comes from, if not from `/usr/src`.
    pub(super) new_source: Option<PathBuf>,
    /// Modules whose confs matter.
    pub(super) modules: Vec<ModuleId>,
    /// For these kernels.
    pub(super) targets: Vec<Target>,
    /// Also what these depend on, and what was built against them.
    pub(super) related: bool,
    /// Confs are read as far as they are sound.
    pub(super) lenient: bool,
    /// What may be taken out of these kernels, so that its conf is read as far as it is sound.
    pub(super) taken_out: BTreeSet<(ModuleId, Target)>,
    /// Weak-updates links count.
    pub(super) weak: bool,
}

impl Needs {
    pub(super) fn of(work: &Work, snapshot: &Snapshot) -> Self {
        match work {
            Work::Add { id, source } => Self::to_put_in(id, source.as_ref(), &[], snapshot),
            Work::Build { id, targets, source } | Work::Install { id, targets, source } => {
                Self::to_put_in(id, source.as_ref(), targets, snapshot)
            }
            Work::BuildEach { ids, target } => {
                Self { modules: ids.clone(), targets: vec![target.clone()], related: true, ..Self::default() }
            }
            Work::Uninstall { id, targets }
            | Work::Unbuild { id, targets }
            | Work::Remove { id, targets } => Self {
                asked: Some(id.clone()),
                modules: vec![id.clone()],
                targets: targets.clone(),
                lenient: true,
                ..Self::default()
            },
            Work::Autoinstall { targets } => Self {
                modules: snapshot.newest().into_iter().cloned().collect(),
                targets: targets.clone(),
                related: true,
                weak: true,
                ..Self::default()
            },
            Work::Bake { named, all, targets } => {
                let is_sound = |id: &ModuleId| snapshot.get(id).is_some_and(|found| !found.is_broken());
                let newest = snapshot.newest().into_iter().filter(|id| *all && !named.contains(id));
                Self {
                    to_add: named.iter().filter(|id| snapshot.get(id).is_none()).cloned().collect(),
                    modules: named
                        .iter()
                        .filter(|id| is_sound(id) || snapshot.get(id).is_none())
                        .chain(newest)
                        .cloned()
                        .collect(),
                    targets: targets.clone(),
                    related: true,
                    weak: true,
                    ..Self::default()
                }
            }
            Work::Batch(batch) => {
                let is_sound = |id: &ModuleId| snapshot.get(id).is_some_and(|found| !found.is_broken());
                Self {
                    to_add: batch.arriving.keys().filter(|id| !is_sound(id)).cloned().collect(),
                    modules: batch.candidates(snapshot),
                    targets: batch.targets().into_iter().collect(),
                    related: true,
                    taken_out: batch.taken_out(snapshot),
                    weak: true,
                    ..Self::default()
                }
            }
            Work::Match { template, target, only } => {
                let installed = snapshot
                    .installed_on(template)
                    .filter(|id| only.as_ref().is_none_or(|name| *name == id.name));
                Self {
                    modules: installed.collect(),
                    targets: vec![target.clone()],
                    related: true,
                    ..Self::default()
                }
            }
            Work::Images { targets } => Self {
                modules: snapshot.newest().into_iter().cloned().collect(),
                targets: targets.clone(),
                lenient: true,
                ..Self::default()
            },
            Work::KernelPreinst { target } | Work::KernelPrerm { target } => Self {
                modules: snapshot.built_on(target).cloned().collect(),
                targets: vec![target.clone()],
                lenient: true,
                ..Self::default()
            },
        }
    }

    /// The kernels that modules may be taken out of, and that stay.
    pub(super) fn left_by<'a>(&'a self, work: &'a Work) -> BTreeSet<&'a Target> {
        match work {
            Work::Uninstall { targets, .. }
            | Work::Unbuild { targets, .. }
            | Work::Remove { targets, .. } => targets.iter().collect(),
            Work::Batch(batch) => {
                let taken_out = self.taken_out.iter().map(|(_, target)| target);
                taken_out.filter(|target| !batch.leaving_kernels.contains(*target)).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    fn to_put_in(id: &ModuleId, source: Option<&NewSource>, targets: &[Target], snapshot: &Snapshot) -> Self {
        let is_sound = snapshot.get(id).is_some_and(|found| !found.is_broken());
        Self {
            asked: Some(id.clone()),
            to_add: (!is_sound).then(|| id.clone()).into_iter().collect(),
            new_source: source.filter(|_| !is_sound).map(|new| new.folder.clone()),
            modules: if targets.is_empty() { Vec::new() } else { vec![id.clone()] },
            targets: targets.to_vec(),
            related: true,
            ..Self::default()
        }
    }
}
