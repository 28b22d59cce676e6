//! What an interrupted install or uninstall began is undone, or finished where all was visible
//! already, by its journal.
//!
//! A journal is believed only as far as its paths are in places that an install of that module on that kernel
//! may change: the tree it lies in may be another user's. One whose locks are held is its owner's.

use std::path::{Component, Path, PathBuf};

use super::changes::{self, Entry, Phase};
use super::journal::{self, Left};
use super::take::is_owned_by_package;
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::kernel::Family;
use crate::layout::{Layout, TEMPORARY_PREFIX};
use crate::report::{Event, Reporter};
use crate::tree::{Held, Key, Keys, Mode, lock, owed};

/// What recovering has to know.
#[derive(Debug, Clone, Copy)]
pub struct Recovery<'a> {
    /// The three trees.
    pub layout: &'a Layout,
    /// Whose rules hold for empty folders.
    pub family: Family,
    /// For the program that knows them.
    pub environment: &'a Environment,
    /// What we have locked already.
    pub held: Option<&'a Held>,
}

/// Goes through all journals that nobody is at work on; says whether anything was done. What can't be undone
/// is warned of, and its journal stays.
///
/// # Errors
/// [`FsError`] where the journals can't be read.
pub fn recover(recovery: &Recovery<'_>, reporter: &dyn Reporter) -> Result<bool, FsError> {
    let mut done = false;
    for (path, module) in journal::unbegun(recovery.layout)? {
        if let Some(_locked) = recovery.claim([Key::Module(module)]) {
            fs::remove_file(&path)?;
        }
    }
    for left in journal::left(recovery.layout)? {
        let keys = [Key::Module(left.id.name.clone()), Key::Kernel(left.target.kernel.clone())];
        let Some(_locked) = recovery.claim(keys) else { continue };
        // Another command may have been faster.
        if !fs::exists(&left.path) {
            continue;
        }
        let on = format!("{} for {}", left.id, left.target);
        match recovery.settle(&left) {
            Ok(None) => continue,
            Ok(Some(Phase::Changing)) => {
                reporter.report(Event::note(format!("Undid the interrupted changes to {on}")));
            }
            Ok(Some(Phase::Keep)) => {
                reporter.report(Event::note(format!("Finished the interrupted changes to {on}")));
            }
            Err(error) => {
                let text = format!("cannot undo or finish the interrupted changes to {on}: {error}");
                let hint = format!("the changes are listed in `{}`", left.path.display());
                reporter.report(Event::warning(text, [hint]));
                continue;
            }
        }
        done = true;
    }
    Ok(done)
}

impl Recovery<'_> {
    /// The locks of a journal, in so far as we don't have them; `None` where another process does.
    fn claim(&self, keys: impl IntoIterator<Item = Key>) -> Option<Held> {
        let mut needed = Keys::default();
        for key in keys {
            match self.held {
                Some(held) if held.is_ours_alone(&key) => {}
                // A process above us has it.
                Some(held) if held.keys().mode(&key).is_some() => return None,
                _ => needed.add(key, Mode::Exclusive),
            }
        }
        // Where no lock can be made, the attempt to take one reports it.
        lock::try_acquire(self.layout, &needed).ok().flatten()
    }

    /// `None` where it is not about this install tree, or means harm.
    fn settle(&self, left: &Left) -> Result<Option<Phase>, FsError> {
        let scope = Scope::of(self.layout, left);
        if !left.entries.iter().all(|entry| scope.allows(entry)) {
            return Ok(None);
        }
        let phase = changes::phase_of(&left.entries);
        let changed = |entry: &Entry| matches!(entry, Entry::Publish { .. } | Entry::Take { .. });
        if left.depmod && left.entries.iter().any(changed) {
            owed::note(self.layout, &left.target)?;
        }
        match phase {
            Phase::Changing => changes::undo(&left.entries)?,
            Phase::Keep => {
                let may_go = |dir: &Path| !is_owned_by_package(self.family, dir, self.environment);
                changes::finish(&left.entries, may_go)?;
            }
        }
        fs::remove_file(&left.path)?;
        Ok(Some(phase))
    }
}

/// Where an install of a module on a kernel may change anything.
struct Scope {
    /// The kernel's folder, the module's; as named, and with all links resolved.
    folders: Vec<(PathBuf, PathBuf)>,
    modprobe_conf: PathBuf,
}

impl Scope {
    fn of(layout: &Layout, left: &Left) -> Self {
        let folders = [layout.kernel_dir(&left.target.kernel), layout.module_dir(&left.id.name)];
        let resolved = |dir: PathBuf| {
            let nearest = dir.ancestors().find(|above| fs::exists(above))?;
            Some((dir.clone(), fs::canonical(nearest).ok()?))
        };
        Self {
            folders: folders.into_iter().filter_map(resolved).collect(),
            modprobe_conf: layout.modprobe_conf(&left.id.name),
        }
    }

    fn allows(&self, entry: &Entry) -> bool {
        let is_pair = |hidden: &Path, path: &Path| {
            is_temporary(hidden)
                && hidden.parent() == path.parent()
                && self.admits(hidden)
                && self.admits(path)
        };
        match entry {
            Entry::Folder { path } => self.admits(path) || self.modprobe_conf.starts_with(path),
            Entry::Staged { path } => is_temporary(path) && self.admits(path),
            Entry::Publish { staged, path, .. } => is_pair(staged, path),
            Entry::Take { path, aside, .. } => is_pair(aside, path),
            Entry::Prune { dir, floor } => {
                self.admits(dir) && self.folders.iter().any(|(named, _)| named == floor)
            }
            Entry::Phase { .. } => true,
        }
    }

    fn admits(&self, path: &Path) -> bool {
        let conf = &self.modprobe_conf;
        let is_conf = path == conf || path.parent() == conf.parent() && is_temporary(path);
        is_conf || self.folders.iter().any(|(named, real)| is_below(path, named, real))
    }
}

/// Whether a path is in a folder, by its name and, as far as it exists, really.
fn is_below(path: &Path, named: &Path, real: &Path) -> bool {
    let plain = |rest: &Path| rest.components().all(|part| matches!(part, Component::Normal(_)));
    let nearest = path.ancestors().skip(1).find(|above| fs::exists(above)).map(fs::canonical);
    path.strip_prefix(named).is_ok_and(plain)
        && matches!(nearest, Some(Ok(nearest)) if nearest.starts_with(real))
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()))
}
