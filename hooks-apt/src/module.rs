//! A module package has come: `common.postinst NAME VERSION TARBALL_ROOT ARCH UPGRADE`,
//! called by its postinst.

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{Arch, ModuleId};
use dkms_base::layout::Layout;
use dkms_core::event::{Arrival, Happening};
use dkms_core::plan::Work;
use dkms_core::tree::Snapshot;
use dkms_core::tree::turns::{PackageRemoval, settle_early};
use dkms_hooks::ModulePackage;
use dkms_kernel as kernel;

use crate::ahead::{self, Ahead};
use crate::dpkg;
use crate::pending::{self, Pending};
use crate::session::{self, Session};
use crate::trigger;
use crate::turns;

/// Builds and installs it: when this returns its package may use it.
pub fn postinst(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let Some(package) = ModulePackage::from_words(words, session.out) else {
        return ExitCode::USAGE_OR_RIGHTS;
    };
    if !package.load(session.environment(), session.out) {
        return session.failed();
    }
    let ModulePackage { id, arch, is_upgrade, .. } = package;
    settle_early(session.layout(), &id);
    let arrival = if is_upgrade { Arrival::Upgrade } else { Arrival::First };
    let snapshot = match session.adapter.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => {
            session::say_error(session.out, &error);
            return session.failed();
        }
    };
    if snapshot.get(&id).is_some() && has_only_conf(session.layout(), &id) {
        return install_built(session, &id, &snapshot);
    }
    let told = ahead::arrived(session, &id, arrival, &snapshot);
    if arch.is_empty() {
        return bring_up(session, &id, arrival, told, &snapshot);
    }
    match Arch::new(arch).map(|arch| session.on(arch)) {
        Ok(Ok(session)) => trigger::batch(&session, &told, &Ahead::default()).code,
        Ok(Err(_)) | Err(_) => session.failed(),
    }
}

/// Builds it, and all that has been unpacked with it.
fn bring_up(
    session: &Session<'_>,
    id: &ModuleId,
    arrival: Arrival,
    told: Vec<Happening>,
    snapshot: &Snapshot,
) -> ExitCode {
    let is_stale = told.len() > 1;
    let pending = Pending::module(id, arrival, is_stale);
    let is_noted = dpkg::is_above(session.environment()) && pending::add(session.layout(), &pending).is_ok();
    let ahead = ahead::look(session, Some(id), snapshot);
    let ended = trigger::batch(session, &told, &ahead);
    if is_noted {
        trigger::settle(session, &pending, &ended);
    }
    if !ended.is_due {
        // The version that was removed is back.
        PackageRemoval::settle(session.layout(), id);
    }
    if turns::is_any(session) {
        // What another version has left is looked at when all packages are configured.
        let _ = dpkg::activate(session.environment());
    }
    trigger::look_again(session, &ahead, &ended);
    ended.code
}

/// Whether a package has brought built modules and no source.
fn has_only_conf(layout: &Layout, id: &ModuleId) -> bool {
    let entries = fs::list(&layout.source_dir(id)).unwrap_or_default();
    !entries.is_empty() && entries.iter().all(|entry| entry.name == "dkms.conf")
}

/// Installs what came built; nothing can be built for other kernels.
fn install_built(session: &Session<'_>, id: &ModuleId, snapshot: &Snapshot) -> ExitCode {
    let targets = snapshot.targets(id);
    let kernels: Vec<&str> = targets.iter().map(|target| target.kernel.as_str()).collect();
    session.out.say(&format!(
        "the package of {id} has no source: its modules are for {} and can't be built for other kernels",
        kernels.join(", ")
    ));
    let installed = kernel::installed_kernels(session.layout()).unwrap_or_default();
    let targets: Vec<_> = targets.into_iter().filter(|target| installed.contains(&target.kernel)).collect();
    session.carry_out(&|_| Work::Install { id: id.clone(), targets: targets.clone(), source: None }).code
}
