//! Whether a script of a package runs this command, in a transaction at whose end a hook of ours looks
//! at images.

use dkms_base::host::process::Process;
use dkms_base::host::{Environment, ancestry, fs};
use dkms_base::layout::Layout;
use dkms_core::install::is_inside_dpkg;
use dkms_core::tree::images;

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
pub(crate) fn ask_to_look_at_images(environment: &Environment, layout: &Layout) {
    if is_inside_dpkg(environment) && !images::pending(layout).is_empty() {
        // If dpkg doesn't take it, the end of apt's run looks, and doctor tells.
        drop(Process::new("dpkg-trigger", ["--no-await", TRIGGER], environment).capture());
    }
}
