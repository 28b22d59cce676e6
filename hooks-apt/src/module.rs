//! A module package has come: `common.postinst NAME VERSION TARBALL_ROOT ARCH UPGRADE`, called by its postinst.

use std::path::Path;

use dkms_core::adapter::Initramfs;
use dkms_core::event::Arrival;
use dkms_core::exit::ExitCode;
use dkms_core::host::fs;
use dkms_core::host::process::Process;
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
    let word = |place: usize| words.get(place).copied().unwrap_or_default();
    let id = match ModuleId::parse(word(0), word(1)) {
        Ok(id) => id,
        Err(error) => {
            session.out.say(&format!("error: {error}"));
            session.out.say("usage: common.postinst NAME VERSION [TARBALL_ROOT [ARCH [UPGRADE]]]");
            return ExitCode::USAGE_OR_RIGHTS;
        }
    };
    let arrival = if word(4).is_empty() { Arrival::First } else { Arrival::Upgrade };
    let tarball = Path::new(word(2)).join(format!("{}.dkms.tar.gz", id.dir_name()));
    if !word(2).is_empty() && fs::is_file(&tarball) && !load(session, &tarball) {
        return session.failed();
    }
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
    if word(3).is_empty() && trigger::defer(session, &pending, Awaits::Trigger) {
        return ExitCode::SUCCESS;
    }
    let told = pending.arrived().map(|(_, told)| told).unwrap_or_default();
    match Arch::new(word(3)).ok().map(|arch| session.on(arch)) {
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

/// Loads a package's tarball, which may have what was built as well.
fn load(session: &Session<'_>, tarball: &Path) -> bool {
    let words = ["ldtarball", "--force", "--archive"].map(std::ffi::OsString::from);
    let words = words.into_iter().chain([tarball.as_os_str().to_owned()]);
    let why = match Process::new("dkms", words, session.environment()).capture() {
        Ok(ended) if ended.code() == 0 => return true,
        Ok(ended) => ended.text(),
        Err(error) => error.to_string(),
    };
    session.out.say(&format!("error: `{}` can't be loaded", tarball.display()));
    why.lines().for_each(|line| session.out.say(line));
    false
}
