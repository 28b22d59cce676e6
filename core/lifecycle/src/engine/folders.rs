//! Where builds run. Every build sees `M/V/build`, which its conf and Makefile may name, and has a folder of
//! its own that is shown to it under that path. If several builds of a module run at once, the folder in the
//! tree is empty until the last of them has ended. What a failed build leaves stays at `M/V/build`, for
//! people and bug tools.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::context::Context;
use crate::build;
use crate::host::fs::{self, FsError};
use crate::host::process;
use crate::id::ModuleId;
use crate::layout::Layout;
use crate::plan::{Action, Plan, Step, StepId};

/// The modules that several steps of a plan build.
pub(super) fn crowded(plan: &Plan) -> BTreeSet<ModuleId> {
    let mut seen = BTreeSet::new();
    let builds = plan.steps.iter().filter_map(built);
    builds.filter(|id| !seen.insert(*id)).cloned().collect()
}

/// Whether the system lets each build see a folder of its own as `M/V/build`.
pub(super) fn can_be_private(context: &Context<'_>) -> bool {
    process::can_see_privately(&context.settings.layout.dkms_tree, context.environment)
}

/// The plan with the builds of each module one after the other.
pub(super) fn one_by_one(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let mut last: BTreeMap<ModuleId, StepId> = BTreeMap::new();
    for (place, step) in plan.steps.iter_mut().enumerate() {
        let Some(id) = built(step).cloned() else { continue };
        step.after.extend(last.insert(id, StepId(place)));
    }
    plan
}

fn built(step: &Step) -> Option<&ModuleId> {
    match &step.action {
        Action::Build { id, .. } => Some(id),
        _ => None,
    }
}

/// The folders of a run's builds.
pub(super) struct Folders<'a> {
    layout: &'a Layout,
    modules: Mutex<BTreeMap<ModuleId, InUse>>,
}

/// Builds of one module that run now.
#[derive(Default)]
struct InUse {
    count: usize,
    /// What the last one that failed left.
    failed: Option<PathBuf>,
}

impl<'a> Folders<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, modules: Mutex::default() }
    }

    /// For a build that runs alone.
    pub(super) fn alone(&self, id: &ModuleId) -> PathBuf {
        fs::temporary_beside(&self.layout.build_dir(id))
    }

    /// The build that was alone has ended, and nobody wants to see it.
    pub(super) fn empty(&self, id: &ModuleId) -> Result<(), FsError> {
        let folder = self.layout.build_dir(id);
        fs::remove_any(&folder)?;
        fs::create_dir_all(&folder)
    }

    /// A folder for one of several builds, not yet made.
    pub(super) fn begin(&self, id: &ModuleId) -> Result<PathBuf, FsError> {
        let place = self.layout.build_dir(id);
        let mut modules = self.modules();
        let in_use = modules.entry(id.clone()).or_default();
        if in_use.count == 0 {
            fs::remove_any(&place)?;
            fs::create_dir_all(&place)?;
        }
        in_use.count += 1;
        Ok(fs::temporary_beside(&place))
    }

    /// The build that had this folder has ended. Nobody may touch `M/V/build` before the last one has: where
    /// a folder is shown to a process in its place, removing it takes it away from there too.
    pub(super) fn end(&self, id: &ModuleId, folder: PathBuf, failed: bool) -> Result<(), FsError> {
        let mut modules = self.modules();
        let Some(in_use) = modules.get_mut(id) else { return Ok(()) };
        let superseded = if failed { in_use.failed.replace(folder) } else { Some(folder) };
        in_use.count -= 1;
        let last = if in_use.count == 0 { modules.remove(id) } else { None };
        if let Some(superseded) = superseded {
            fs::remove_any(&superseded)?;
        }
        let Some(last) = last else { return Ok(()) };
        let place = self.layout.build_dir(id);
        match last.failed {
            Some(folder) if fs::exists(&folder) => build::keep_left(&folder, &place),
            _ => fs::remove_any(&place),
        }
    }

    fn modules(&self) -> MutexGuard<'_, BTreeMap<ModuleId, InUse>> {
        // Each change of it is whole.
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_a_module_can_be_put_one_after_the_other() {
        let build = |name: &str, kernel: &str| Step {
            action: Action::Build {
                id: ModuleId::parse(name, "1").unwrap(),
                target: crate::id::Target::parse(kernel, "x86_64").unwrap(),
            },
            why: String::new(),
            needs: Vec::new(),
            after: Vec::new(),
            lands: Vec::new(),
        };
        let steps = vec![build("a", "6.1"), build("b", "6.1"), build("a", "6.2"), build("a", "6.3")];
        let plan = Plan { steps, remarks: Vec::new() };
        assert_eq!(crowded(&plan).len(), 1);
        let after: Vec<_> = one_by_one(&plan).steps.into_iter().map(|step| step.after).collect();
        assert_eq!(after, [vec![], vec![], vec![StepId(0)], vec![StepId(2)]]);
    }

    #[test]
    fn the_folder_of_the_last_failure_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let place = layout.build_dir(&id);
        fs::create_dir_all(&place.join("old")).unwrap();
        let folders = Folders::new(&layout);
        let begun = ["a", "b", "c"].map(|name| {
            let folder = folders.begin(&id).unwrap();
            fs::create_dir_all(&folder.join("build").join(name)).unwrap();
            fs::write_whole(&folder.join("make.log"), name.as_bytes(), 0o644).unwrap();
            folder
        });
        let names =
            |path: &PathBuf| fs::list(path).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        let [a, b, c] = begun;
        folders.end(&id, a, true).unwrap();
        assert!(names(&place).is_empty());
        folders.end(&id, b, true).unwrap();
        folders.end(&id, c, false).unwrap();
        assert_eq!(names(&place), ["b", "make.log"]);
        assert_eq!(fs::read(&place.join("make.log")).unwrap(), b"b");
        assert_eq!(names(&layout.version_dir(&id)), ["build"]);
        let folder = folders.begin(&id).unwrap();
        folders.end(&id, folder, false).unwrap();
        assert!(names(&layout.version_dir(&id)).is_empty());
    }
}
