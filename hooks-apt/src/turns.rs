//! What packages have begun with modules and ended otherwise than it looked like then: seen to when dpkg
//! processes triggers, and at the end of apt's run.
//!
//! - a module was removed by the prerm of a package which dpkg then went back to, since its new version
//!   can't be unpacked: it is registered and installed again
//! - a module was removed in favour of another version, which isn't installed on a kernel without headers:
//!   that is reported
//! - a module was built before its package was configured, which then went away, or made way for another
//!   version, or didn't ask for it: it is taken out

use std::collections::BTreeSet;

use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_core::event::{Arrival, Happening};
use dkms_core::plan::Work;
use dkms_core::tree::turns::{self, PackageRemoval};
use dkms_core::tree::{Snapshot, images};
use dkms_hooks::Summary;
use dkms_kernel::{HeadersPackage, Owner, has_headers};

use crate::dpkg::{self, Status};
use crate::session::Session;
use crate::unpacked;

/// What there is to see to.
#[derive(Debug, Default)]
pub struct Unended {
    /// What a batch gets for it.
    pub told: Vec<Happening>,
    removals: Vec<PackageRemoval>,
    /// Those of them that are to be as they were.
    back: Vec<PackageRemoval>,
    lacking: Vec<PackageRemoval>,
    early: Vec<ModuleId>,
}

/// Whether anything is noted.
#[must_use]
pub fn is_any(session: &Session<'_>) -> bool {
    !PackageRemoval::all(session.layout()).is_empty() || !turns::early(session.layout()).is_empty()
}

/// Removals that are noted, each with what dpkg says of its package, and the modules that packages bring
/// which are still to be configured.
struct Noted {
    removals: Vec<(PackageRemoval, Option<Status>)>,
    coming: BTreeSet<ModuleId>,
}

impl Noted {
    /// Looks, and forgets removals by packages that went for good, with nothing of the same module still to
    /// come.
    fn look(session: &Session<'_>) -> Self {
        let removals = PackageRemoval::all(session.layout());
        let mut found = Self { removals: Vec::new(), coming: BTreeSet::new() };
        if removals.is_empty() && turns::early(session.layout()).is_empty() {
            return found;
        }
        found.coming = still_to_come(session);
        for removal in removals {
            let status = dpkg::status(&removal.package, session.environment());
            let is_there = status.as_ref().is_some_and(|status| status.is_at_work() || status.is_installed());
            if is_there || found.is_coming(&removal) {
                found.removals.push((removal, status));
            } else {
                PackageRemoval::settle(session.layout(), &removal.id);
            }
        }
        found
    }

    fn is_coming(&self, removal: &PackageRemoval) -> bool {
        self.coming.iter().any(|id| id.name == removal.id.name)
    }
}

/// Forgets removals by packages that went for good: no image is kept for those.
pub fn forget_gone(session: &Session<'_>) {
    Noted::look(session);
}

/// Looks at what was noted; what dpkg is still working on isn't due.
#[must_use]
pub fn look(session: &Session<'_>, snapshot: &Snapshot) -> Unended {
    let layout = session.layout();
    let mut found = Unended::default();
    let noted = Noted::look(session);
    for (removal, status) in &noted.removals {
        if status.as_ref().is_some_and(Status::is_at_work) || noted.is_coming(removal) {
            continue;
        }
        let has_gone_back = status.as_ref().is_some_and(|status| status.version == removal.package_version);
        let is_known = snapshot.modules.keys().any(|id| id.name == removal.id.name);
        if has_gone_back && !is_known {
            if !fs::is_file(&layout.source_dir(&removal.id).join("dkms.conf")) {
                // Its source is made by its package's postinst: that has to run again, and the note stays.
                found.lacking.push(removal.clone());
                continue;
            }
            if !removal.kernels.is_empty() {
                found.told.push(Happening::ModuleArrived(removal.id.clone(), Arrival::Upgrade));
                found.told.extend(was_in_use(removal, layout));
            }
            found.back.push(removal.clone());
        }
        found.removals.push(removal.clone());
    }
    found.early = turns::early(layout).into_iter().filter(|id| !noted.coming.contains(id)).collect();
    let known = found.early.iter().filter(|id| snapshot.get(id).is_some());
    found.told.extend(known.cloned().map(Happening::ModuleLeaving));
    found
}

/// The modules of packages that are unpacked.
fn still_to_come(session: &Session<'_>) -> BTreeSet<ModuleId> {
    let packages = unpacked::packages(session.environment());
    let folders = packages.iter().flat_map(|package| package.contents(session.layout()).modules);
    folders.filter_map(|folder| session.adapter.module_in(&folder).ok()?.ok()).collect()
}

/// The kernels that a removed module was in use on, and can be built for.
fn was_in_use<'a>(removal: &'a PackageRemoval, layout: &'a Layout) -> impl Iterator<Item = Happening> + 'a {
    let usable = removal.kernels.iter().filter(|target| has_headers(&target.kernel, layout));
    usable.map(|target| Happening::ModuleWasInUse(removal.id.name.clone(), target.clone()))
}

/// Where versions of an arriving module were in use that scripts have removed: it takes their place there.
#[must_use]
pub fn in_place_of(id: &ModuleId, layout: &Layout) -> Vec<Happening> {
    let removals = PackageRemoval::all(layout);
    let of_it = removals.iter().filter(|removal| removal.id.name == id.name);
    of_it.flat_map(|removal| was_in_use(removal, layout)).collect()
}

impl Unended {
    /// The batch that this led to has ended, and images have been seen to.
    pub fn settle(&self, session: &Session<'_>) {
        let layout = session.layout();
        self.early.iter().for_each(|id| turns::settle_early(layout, id));
        self.back.iter().for_each(|removal| as_it_was(session, removal));
        let Ok(snapshot) = session.adapter.snapshot() else { return };
        let lost: Vec<String> =
            self.removals.iter().flat_map(|removal| lost(removal, &snapshot, session)).collect();
        self.removals.iter().for_each(|removal| PackageRemoval::settle(layout, &removal.id));
        let lacking = self.lacking.iter().map(|PackageRemoval { id, package, .. }| {
            format!(
                "{id} was removed for an upgrade of package {package} that has failed, and its source is gone: \
                 `apt-get install --reinstall {package}` installs it again"
            )
        });
        let lost: Vec<String> = lost.into_iter().chain(lacking).collect();
        if !lost.is_empty() {
            session.tell(Summary { lost, ..Summary::default() });
        }
    }
}

/// What the batch leaves alone: a module that was only registered, or installed by hand.
fn as_it_was(session: &Session<'_>, removal: &PackageRemoval) {
    let (id, layout) = (&removal.id, session.layout());
    let snapshot = session.adapter.snapshot().unwrap_or_default();
    let is_missing = |target: &&Target| {
        has_headers(&target.kernel, layout) && snapshot.installed_version(&id.name, target).is_none()
    };
    let targets: Vec<Target> = removal.kernels.iter().filter(is_missing).cloned().collect();
    let work = match targets.is_empty() {
        true if snapshot.get(id).is_some() => return,
        true => Work::Add { id: id.clone(), source: None },
        false => Work::Install { id: id.clone(), targets, source: None },
    };
    let _ = session.carry_out(&|_| work.clone());
}

/// A line for each kernel that had a module, and can't get another version since its headers are not there.
/// What fails where they are is reported by its batch; a kept image is reported by itself.
fn lost(removal: &PackageRemoval, snapshot: &Snapshot, session: &Session<'_>) -> Vec<String> {
    let layout = session.layout();
    let PackageRemoval { id, kernels, .. } = removal;
    let newest = snapshot.newest();
    let Some(new) = newest.into_iter().find(|new| new.name == id.name) else { return Vec::new() };
    let is_kept = |target: &Target| {
        let held = images::read(layout, &target.kernel).map(|note| note.held).unwrap_or_default();
        held.values().flatten().any(|of| *of == id.name)
    };
    let is_lost = |target: &&Target| {
        fs::is_dir(&layout.kernel_dir(&target.kernel).join("kernel"))
            && snapshot.installed_version(&id.name, target).is_none()
            && !has_headers(&target.kernel, layout)
            && !is_kept(target)
    };
    let line = |target: &Target| {
        let kernel = &target.kernel;
        let distribution = &session.adapter.distribution;
        let owner = Owner::of(kernel, distribution, layout, session.environment());
        let headers = HeadersPackage::of(kernel, distribution, layout, owner.as_ref());
        format!(
            "kernel {kernel} does not have {} any more: {id} was removed for its upgrade, and {new} can't be built \
             without the kernel's headers: {headers}",
            id.name
        )
    };
    kernels.iter().filter(is_lost).map(line).collect()
}
