//! A module package has come: `common.postinst NAME VERSION TARBALL_ROOT ARCH UPGRADE`, called by its postinst.

use dkms_core::adapter::{Initramfs, ModulePackage};
use dkms_core::event::Arrival;
use dkms_core::exit::ExitCode;
use dkms_core::host::fs;
use dkms_core::id::{Arch, ModuleId};
use dkms_core::kernel;
use dkms_core::layout::Layout;
use dkms_core::plan::Work;
use dkms_core::report::Silent;
use dkms_core::tree::Snapshot;

use crate::dpkg::Awaits;
use crate::pending::Pending;
use crate::session::{self, Session};
use crate::trigger;

/// Registers it. It is built when dpkg processes triggers, or now where nobody will call again.
pub fn postinst(session: &Session<'_>, words: &[&str]) -> ExitCode {
    let Some(package) = ModulePackage::from_words(words, session.out) else {
        return ExitCode::USAGE_OR_RIGHTS;
    };
    if !package.load(session.environment(), session.out) {
        return session.failed();
    }
    let ModulePackage { id, arch, is_upgrade, .. } = package;
    let arrival = if is_upgrade { Arrival::Upgrade } else { Arrival::First };
    let snapshot = match session.adapter.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => {
            session::say_error(session.out, &error);
            return session.failed();
        }
    };
    let known = snapshot.get(&id);
    if known.is_some() && has_only_conf(session.layout(), &id) {
        return install_built(session, &id, &snapshot);
    }
    if known.is_none() {
        // So that the packages after this one find it. Where this fails the batch fails as well, and says why.
        let add = |_: &Snapshot| Work::Add { id: id.clone(), source: None };
        drop(session.adapter.carry_out(&add, Initramfs::Others, &Silent));
    }
    let pending = Pending::module(&id, arrival, !snapshot.targets(&id).is_empty());
    if arch.is_empty() && trigger::defer(session, &pending, Awaits::Trigger) {
        return ExitCode::SUCCESS;
    }
    let told = pending.arrived().map(|(_, told)| told).unwrap_or_default();
    match Arch::new(arch).ok().map(|arch| session.on(arch)) {
        None => trigger::batch(session, &told).code,
        Some(Ok(session)) => trigger::batch(&session, &told).code,
        Some(Err(_)) => session.failed(),
    }
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
