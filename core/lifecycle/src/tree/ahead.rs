//! Modules and kernels that a batch has worked on before their own package was configured.
//!
//! A package manager that unpacks packages before it configures them lets the first batch build all of them.
//! What was built then counts later only if its inputs are still the same, so each build leaves the key of
//! its inputs: `.state/ahead/modules/M/V/K/A`. `.state/ahead/modules/M/V/looked` and `.state/ahead/kernels/K`
//! say that such a batch has ended. `.state/ahead/waiting/K` says the same of a kernel on which something
//! failed while its headers were not configured. `.state/ahead/run` names the run of the package manager
//! that all of it but the keys belongs to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::state;
use crate::host::fs::{self, FsError};
use crate::host::scratch;
use crate::id::{KernelRelease, ModuleId, Target};
use crate::layout::Layout;

/// Larger than any key.
const LIMIT: u64 = 4096;

fn modules(layout: &Layout) -> PathBuf {
    layout.ahead_dir().join("modules")
}

fn kernels(layout: &Layout) -> PathBuf {
    layout.ahead_dir().join("kernels")
}

fn waiting(layout: &Layout) -> PathBuf {
    layout.ahead_dir().join("waiting")
}

fn folder(layout: &Layout, id: &ModuleId) -> PathBuf {
    modules(layout).join(&id.name).join(&id.version)
}

fn key_file(layout: &Layout, id: &ModuleId, target: &Target) -> PathBuf {
    folder(layout, id).join(&target.kernel).join(&target.arch)
}

fn write(layout: &Layout, file: &std::path::Path, text: &str) -> Result<(), FsError> {
    if let Some(dir) = file.parent() {
        state::create_folder(layout, dir)?;
    }
    scratch::write_note(file, text)
}

/// Notes of which inputs a build was made.
///
/// # Errors
/// [`FsError`]; then the module is built again.
pub fn note_key(layout: &Layout, id: &ModuleId, target: &Target, key: &str) -> Result<(), FsError> {
    write(layout, &key_file(layout, id, target), key)
}

/// The key of the inputs that a build was made of.
#[must_use]
pub fn key(layout: &Layout, id: &ModuleId, target: &Target) -> Option<String> {
    let bytes = fs::read_limited(&key_file(layout, id, target), LIMIT).ok()?;
    String::from_utf8(bytes).ok()
}

/// Forgets what batches of another run of the package manager have worked on than the one that `run` names.
/// What they built still counts if its inputs are the same: a run may have been killed before packages
/// were configured.
///
/// # Errors
/// [`FsError`].
pub fn enter(layout: &Layout, run: &str) -> Result<(), FsError> {
    let note = layout.ahead_dir().join("run");
    if fs::read_limited(&note, LIMIT).is_ok_and(|noted| noted == run.as_bytes()) {
        return Ok(());
    }
    for folder in [kernels(layout), waiting(layout)] {
        fs::remove_any(&folder)?;
    }
    for id in all(layout) {
        fs::optional(fs::remove_file(&folder(layout, &id).join("looked")))?;
    }
    write(layout, &note, run)
}

/// A batch has ended that worked on these modules and kernels. `unfinished`: of the kernels those that have
/// to be worked on again when their headers are configured.
///
/// # Errors
/// [`FsError`]; then they are looked at once more.
pub fn mark(
    layout: &Layout,
    ids: &BTreeSet<ModuleId>,
    releases: &BTreeSet<KernelRelease>,
    unfinished: &BTreeSet<KernelRelease>,
) -> Result<(), FsError> {
    ids.iter().try_for_each(|id| write(layout, &folder(layout, id).join("looked"), ""))?;
    releases.iter().try_for_each(|release| {
        let folder = if unfinished.contains(release) { waiting(layout) } else { kernels(layout) };
        write(layout, &folder.join(release), "")
    })
}

/// The modules that such batches have worked on.
#[must_use]
pub fn modules_done(layout: &Layout) -> BTreeSet<ModuleId> {
    all(layout).into_iter().filter(|id| fs::exists(&folder(layout, id).join("looked"))).collect()
}

/// The modules of which something is noted.
fn all(layout: &Layout) -> Vec<ModuleId> {
    state::modules_in(&modules(layout))
}

/// Whether a batch that worked on a kernel has ended, with nothing left for when its headers are configured.
#[must_use]
pub fn is_kernel_done(layout: &Layout, release: &KernelRelease) -> bool {
    fs::exists(&kernels(layout).join(release))
}

/// The kernels that such batches have worked on, finished or not.
#[must_use]
pub fn kernels_looked_at(layout: &Layout) -> BTreeSet<KernelRelease> {
    let folders = [kernels(layout), waiting(layout)].into_iter();
    let names = folders.flat_map(|folder| fs::list(&folder).unwrap_or_default());
    names.filter_map(|entry| KernelRelease::new(entry.name.to_str()?).ok()).collect()
}

/// Forgets all modules but these, whose packages are still to be configured; kernels count as
/// long as there is one.
///
/// # Errors
/// [`FsError`].
pub fn sweep(layout: &Layout, ids: &BTreeSet<ModuleId>, is_kernel_to_come: bool) -> Result<(), FsError> {
    if !fs::exists(&layout.ahead_dir()) {
        return Ok(());
    }
    if ids.is_empty() && !is_kernel_to_come {
        return fs::remove_tree(&layout.ahead_dir());
    }
    let gone = all(layout).into_iter().filter(|id| !ids.contains(id));
    gone.into_iter().try_for_each(|id| fs::remove_tree(&folder(layout, &id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_another_run_count_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1.0-1").unwrap();
        enter(&layout, "100 1").unwrap();
        let (id, target) =
            (ModuleId::parse("a", "1.0").unwrap(), Target::parse("6.1.0-1", "x86_64").unwrap());
        note_key(&layout, &id, &target, "1234").unwrap();
        mark(&layout, &[id.clone()].into(), &[kernel.clone()].into(), &BTreeSet::new()).unwrap();
        enter(&layout, "100 1").unwrap();
        assert!(is_kernel_done(&layout, &kernel) && modules_done(&layout).contains(&id));
        enter(&layout, "100 2").unwrap();
        assert!(!is_kernel_done(&layout, &kernel) && modules_done(&layout).is_empty());
        assert_eq!(key(&layout, &id, &target).as_deref(), Some("1234"), "what was built is still there");
    }

    #[test]
    fn only_what_is_still_to_come_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let [a, b] = ["a", "b"].map(|name| ModuleId::parse(name, "1.0").unwrap());
        let kernel = KernelRelease::new("6.1.0-1").unwrap();
        let target = Target::parse("6.1.0-1", "x86_64").unwrap();
        sweep(&layout, &BTreeSet::new(), false).unwrap();
        note_key(&layout, &a, &target, "1234").unwrap();
        assert_eq!(key(&layout, &a, &target).as_deref(), Some("1234"));
        assert!(!modules_done(&layout).contains(&a) && !is_kernel_done(&layout, &kernel));
        let (modules, kernels) = ([a.clone(), b.clone()].into(), [kernel.clone()].into());
        mark(&layout, &modules, &kernels, &kernels).unwrap();
        assert!(!is_kernel_done(&layout, &kernel), "its headers are to come");
        assert_eq!(kernels_looked_at(&layout), kernels);
        mark(&layout, &modules, &kernels, &BTreeSet::new()).unwrap();
        assert!(modules_done(&layout).contains(&a) && is_kernel_done(&layout, &kernel));
        sweep(&layout, &[b.clone()].into(), false).unwrap();
        assert_eq!(key(&layout, &a, &target), None);
        assert!(!modules_done(&layout).contains(&a) && modules_done(&layout).contains(&b));
        assert_eq!(kernels_looked_at(&layout), [kernel].into());
        sweep(&layout, &BTreeSet::new(), true).unwrap();
        assert!(!modules_done(&layout).contains(&b) && !kernels_looked_at(&layout).is_empty());
        sweep(&layout, &BTreeSet::new(), false).unwrap();
        assert!(!fs::exists(&layout.ahead_dir()));
    }
}
