//! Whether a script of a package runs this command, in a transaction at whose end a hook of ours looks
//! at what became of it.

use dkms_base::host::process::Process;
use dkms_base::host::{Environment, ancestry, fs};
use dkms_base::layout::Layout;
use dkms_core::install::is_inside_dpkg;
use dkms_core::tree::turns::PackageRemoval;
use dkms_core::tree::{Snapshot, images};

use crate::failure::Failure;
use crate::session::Session;

/// dkms's own trigger of dpkg.
const TRIGGER: &str = "dkms-modules";

/// Whether a hook of ours will look at images that are noted: dpkg's trigger, or what rpm and its front
/// ends call.
pub(crate) fn will_look_at_images(environment: &Environment, layout: &Layout) -> bool {
    let has = |hooks: &str| fs::is_file(&layout.at("/usr/libexec/dkms").join(hooks));
    if is_inside_dpkg(environment) {
        return has("hooks-apt");
    }
    has("hooks-dnf")
        && ancestry::ancestors().iter().any(|process| ancestry::uses_library(process.pid, "librpm"))
}

/// Has dpkg call us when its run ends, if there is something to look at. rpm's file triggers come by
/// themselves.
pub(crate) fn ask_to_look(environment: &Environment, layout: &Layout) {
    if !is_inside_dpkg(environment) {
        return;
    }
    let has_images = || {
        let snapshot = Snapshot::take(layout).unwrap_or_default();
        !images::pending(layout, &snapshot, true).is_empty()
    };
    if !PackageRemoval::all(layout).is_empty() || has_images() {
        // If dpkg doesn't take it, the end of apt's run looks, and doctor tells.
        drop(Process::new("dpkg-trigger", ["--no-await", TRIGGER], environment).capture());
    }
}

/// A person adds, installs or removes a module: what packages have begun with it is over.
pub(crate) fn taken_up(session: &Session<'_>) {
    let is_person = session.environment.get_filled("DPKG_MAINTSCRIPT_PACKAGE").is_none();
    if let Some(name) = session.invocation.name.as_ref().filter(|_| is_person && !session.args().dry_run) {
        PackageRemoval::settle_all(&session.settings.layout, name);
    }
}

/// Notes that a script of dpkg's removes a module, for the hook that looks whether the package went or
/// another version of it came.
///
/// # Errors
/// [`Failure`] where the tree can't be read.
pub(crate) fn note_removal(session: &Session<'_>) -> Result<(), Failure> {
    let (environment, layout) = (session.environment, &session.settings.layout);
    let Some(package) = environment.get_filled("DPKG_MAINTSCRIPT_PACKAGE") else {
        taken_up(session);
        return Ok(());
    };
    if !will_look_at_images(environment, layout) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (id, snapshot) = (session.invocation.module()?, session.snapshot()?);
    if snapshot.get(&id).is_none() {
        return Ok(());
    }
    let targets = snapshot.targets(&id).into_iter();
    let kernels = targets.filter(|target| snapshot.is_installed(&id, target)).collect();
    let words = ["--show", "--showformat=${Version}", "--", package];
    let version = Process::new("dpkg-query", words, environment).capture_stdout();
    let package_version = version.map(|ended| ended.text().trim().to_owned()).unwrap_or_default();
    let removal = PackageRemoval { id, package: package.to_owned(), package_version, kernels };
    // What can't be noted can't be written either: the removal itself says so.
    drop(removal.note(layout));
    Ok(())
}
