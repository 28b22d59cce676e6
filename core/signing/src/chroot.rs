//! Whether we are in a chroot, decided as Debian's ischroot(1) does; and whether this is the image of a
//! system and not one that runs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dkms_base::host::fs::FsError;
use dkms_base::host::{Environment, fs, root};
use dkms_base::layout::Layout;

/// A folder's identity: device and inode.
type Identity = (u64, u64);

/// What can be learned of the root of process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InitsRoot {
    /// It is this.
    Known(Identity),
    /// We may not look: we aren't root.
    Forbidden,
    /// There is no `/proc`, which every booted system has.
    NoProc,
}

impl InitsRoot {
    fn look() -> Self {
        match identity("/proc/1/root") {
            Ok(Some(found)) => Self::Known(found),
            Ok(None) => Self::NoProc,
            Err(_) => Self::Forbidden,
        }
    }
}

fn identity(path: &str) -> Result<Option<Identity>, FsError> {
    fs::stat(Path::new(path)).map(|meta| meta.map(|meta| (meta.dev(), meta.ino())))
}

/// Whether this process is in a chroot: its root isn't that of process 1 (in a container it is), or it is
/// below `--root`.
#[must_use]
pub fn in_chroot(environment: &Environment) -> bool {
    let own = identity("/").ok().flatten();
    root::is_entered() || is_fake(environment) || decide(own, InitsRoot::look())
}

/// By what one sees that this is an image, or a container: a key that is made here would be in every copy of
/// it, and nobody would enrol it. `None`: it is a system that runs.
#[must_use]
pub fn image(layout: &Layout, environment: &Environment) -> Option<String> {
    if root::is_entered() {
        return Some("it is below `--root`".to_owned());
    }
    let of_init = || {
        let text = fs::read_lossy(Path::new("/proc/1/environ")).ok()?;
        text.split('\0').find_map(|pair| pair.strip_prefix("container=")).map(str::to_owned)
    };
    let named = environment.get_filled("container").map(str::to_owned).or_else(of_init);
    if let Some(container) = named.filter(|container| !container.is_empty()) {
        return Some(format!("it is a container (`container={container}`)"));
    }
    for mark in ["/run/.containerenv", "/.dockerenv", "/run/systemd/container", "/run/host/container-manager"]
    {
        if fs::exists(&layout.at(mark)) {
            return Some(format!("it is a container (`{mark}`)"));
        }
    }
    // A machine in which a chroot is repaired has that kernel too.
    let running = dkms_kernel::running_kernel().ok()?;
    let is_foreign = !fs::is_dir(&layout.kernel_dir(&running));
    // Root that may not look at process 1 has been given fewer rights, as in a container.
    let is_restricted = || rustix::process::geteuid().is_root() && InitsRoot::look() == InitsRoot::Forbidden;
    (is_foreign && (in_chroot(environment) || is_restricted()))
        .then(|| format!("the kernel that runs, {running}, is not one of this system's"))
}

/// fakechroot(1) shows itself in the environment alone.
fn is_fake(environment: &Environment) -> bool {
    environment.get("FAKECHROOT") == Some("true")
        && environment.get("LD_PRELOAD").is_some_and(|libraries| libraries.contains("libfakechroot.so"))
}

fn decide(own: Option<Identity>, inits: InitsRoot) -> bool {
    match inits {
        InitsRoot::Known(inits) => own.is_some_and(|own| own != inits),
        InitsRoot::Forbidden => false,
        InitsRoot::NoProc => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_root_than_inits_is_a_chroot() {
        assert!(!decide(Some((1, 2)), InitsRoot::Known((1, 2))));
        assert!(decide(Some((1, 2)), InitsRoot::Known((1, 3))));
        assert!(decide(Some((1, 2)), InitsRoot::NoProc));
        assert!(!decide(Some((1, 2)), InitsRoot::Forbidden));
    }

    #[test]
    fn fakechroot_is_one() {
        let mut environment: Environment = [("FAKECHROOT", "true")].into_iter().collect();
        assert!(!is_fake(&environment));
        environment.set("LD_PRELOAD", "libfakechroot.so libfakeroot.so");
        assert!(is_fake(&environment) && in_chroot(&environment));
    }
}
