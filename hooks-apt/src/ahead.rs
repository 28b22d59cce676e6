//! What a hook's batch takes on besides what it was called for: everything that dpkg has unpacked
//! and not configured yet.
//!
//! The first hook of a dpkg run builds all of it. Later ones find their work done, and leave alone what
//! fails before its turn.

use std::collections::BTreeSet;

use dkms_base::host::fs;
use dkms_base::id::{KernelRelease, ModuleId};
use dkms_core::event::{Arrival, Happening, LookAhead};
use dkms_core::install;
use dkms_core::tree::{Snapshot, ahead};
use dkms_kernel::has_headers;

use crate::dpkg;
use crate::frontend;
use crate::pending;
use crate::prebuilt;
use crate::session::Session;
use crate::turns;
use crate::unpacked;

/// What comes besides, and how.
#[derive(Debug, Default)]
pub struct Ahead {
    /// What the batch gets besides.
    pub told: Vec<Happening>,
    /// What it gets about these modules.
    pub look: LookAhead,
    kernels: BTreeSet<KernelRelease>,
}

/// Begins a hook within dpkg's run: what another run has noted is forgotten. Whether there is looking
/// ahead at all: not outside of dpkg's run, not with `batch=no`, and not where runs can't be distinguished
/// apart, as without `/proc`.
fn begins(session: &Session<'_>) -> bool {
    if !session.adapter.settings.batch || !dpkg::is_above(session.environment()) {
        return false;
    }
    frontend::run(session.layout()).is_some_and(|run| ahead::enter(session.layout(), &run).is_ok())
}

/// Looks at what dpkg has unpacked; `own` is the module whose package calls.
#[must_use]
pub fn look(session: &Session<'_>, own: Option<&ModuleId>, snapshot: &Snapshot) -> Ahead {
    let mut found = Ahead::default();
    if !begins(session) {
        return found;
    }
    let layout = session.layout();
    let mut modules = Vec::new();
    let packages = unpacked::packages(session.environment());
    found.look.prebuilt = prebuilt::coming(&packages, layout);
    for package in packages {
        let contents = package.contents(layout);
        found.kernels.extend(contents.kernels);
        found.look.unready.extend(contents.headers);
        let arrival = if package.is_upgrade { Arrival::Upgrade } else { Arrival::First };
        modules.extend(contents.modules.into_iter().map(|folder| (folder, arrival)));
    }
    let done = ahead::modules_done(layout);
    for (folder, arrival) in modules {
        let known = done.iter().find(|id| id.dir_name() == folder).cloned();
        let Some(id) = known.or_else(|| identify(session, &folder)) else { continue };
        found.look.noted.insert(id.clone());
        if Some(&id) == own {
            continue;
        }
        if done.contains(&id) {
            found.look.later.insert(id.name);
            continue;
        }
        found.told.extend(arrived(session, &id, arrival, snapshot));
        found.look.ahead.insert(id);
    }
    let has_headers = |kernel: &&KernelRelease| has_headers(kernel, layout);
    // What failed on one whose headers are not configured waits for that.
    let looked_at = ahead::kernels_looked_at(layout);
    let new = found.kernels.iter().filter(|kernel| !looked_at.contains(*kernel)).filter(has_headers);
    for kernel in &found.kernels {
        // What can't be written here is depmod's to say.
        drop(install::begin_index(kernel, layout));
    }
    let target = |kernel: &KernelRelease| session.adapter.target(kernel).ok();
    found.told.extend(new.filter_map(target).map(Happening::HeadersArrived));
    // What was built for a kernel that is unpacked again is of the build before.
    let replaced = pending::replaced(layout);
    let replaced = found.kernels.iter().filter(|kernel| replaced.contains(*kernel)).filter(has_headers);
    found.told.extend(replaced.filter_map(target).map(Happening::KernelReplaced));
    drop(ahead::sweep(layout, &found.look.noted, !found.kernels.is_empty()));
    if let Some(id) = own {
        // Where it failed ahead it is tried again now, and nobody else will for a kernel
        // that has been worked on.
        let of_run = |target| Happening::ModuleWasInUse(id.name.clone(), target);
        found.told.extend(looked_at.iter().filter_map(target).map(of_run));
    }
    found
}

/// The module of a folder below `/usr/src`. One whose conf can't be read is its own package's to tell.
fn identify(session: &Session<'_>, folder: &str) -> Option<ModuleId> {
    session.adapter.module_in(folder).ok()?.ok()
}

/// What is reported of a module that arrives: what is built of it is stale, unless it was built ahead
/// of what is there now.
#[must_use]
pub fn arrived(
    session: &Session<'_>,
    id: &ModuleId,
    arrival: Arrival,
    snapshot: &Snapshot,
) -> Vec<Happening> {
    let is_current = || begins(session) && session.adapter.is_as_built_ahead(id, snapshot).unwrap_or(false);
    let is_stale = !snapshot.targets(id).is_empty() && !is_current();
    let left = is_stale.then(|| Happening::ModuleLeaving(id.clone()));
    let arrived = std::iter::once(Happening::ModuleArrived(id.clone(), arrival)).chain(left);
    arrived.chain(turns::in_place_of(id, session.layout())).collect()
}

impl Ahead {
    /// Only what packages that are still unpacked will bring prebuilt, and which
    /// headers they will complete.
    #[must_use]
    pub fn of_trigger(session: &Session<'_>) -> Self {
        let mut found = Self::default();
        let packages = unpacked::packages(session.environment());
        found.look.prebuilt = prebuilt::coming(&packages, session.layout());
        let headers = packages.iter().flat_map(|package| package.contents(session.layout()).headers);
        found.look.unready = headers.collect();
        found
    }

    /// Notes that the batch has ended, with these happenings; something failed on the kernels that
    /// are `waiting` for their headers. Where that can't be noted the next one looks at the same once more.
    pub fn done(&self, session: &Session<'_>, told: &[Happening], waiting: &BTreeSet<KernelRelease>) {
        if self.look.noted.is_empty() && self.kernels.is_empty() {
            return;
        }
        let kernels = told.iter().filter_map(|happening| match happening {
            Happening::HeadersArrived(target) => Some(target.kernel.clone()),
            _ => None,
        });
        drop(ahead::mark(session.layout(), &self.look.ahead, &kernels.collect(), waiting));
    }
}

/// Whether a batch of this run has worked on a kernel.
#[must_use]
pub fn is_kernel_done(session: &Session<'_>, kernel: &KernelRelease) -> bool {
    begins(session) && ahead::is_kernel_done(session.layout(), kernel)
}

/// Forgets what was noted of packages that are configured by now. At the end of apt's run that is all of it,
/// but where a package's script has failed: dpkg will configure that one in another run.
pub fn sweep(session: &Session<'_>) {
    if !fs::exists(&session.layout().ahead_dir()) {
        return;
    }
    if dpkg::is_above(session.environment()) {
        let _ = look(session, None, &Snapshot::default());
        return;
    }
    let packages = unpacked::packages(session.environment()).into_iter();
    let folders = packages.flat_map(|package| package.contents(session.layout()).modules);
    let to_come = folders.filter_map(|folder| identify(session, &folder)).collect();
    drop(ahead::sweep(session.layout(), &to_come, false));
}
