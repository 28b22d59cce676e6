//! Debian's trigger `update-initramfs`: within dpkg's run it makes the image once, at the end,
//! whichever package asks.

use crate::host::fs;
use crate::id::KernelRelease;
use crate::layout::Layout;
use crate::version;

/// Its name.
pub(super) const TRIGGER: &str = "update-initramfs";
/// Which packages have an interest in it.
const INTERESTED: &str = "/var/lib/dpkg/triggers/update-initramfs";
const SETTINGS: &str = "/etc/initramfs-tools/update-initramfs.conf";

/// What the configuration of update-initramfs makes it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Updates {
    /// It makes nothing.
    No,
    /// The image of the newest kernel, where none is named.
    Newest,
    /// Those of all kernels, where none is named.
    All,
}

/// As its configuration says; a shell file, of which the last assignment counts.
pub(super) fn updates(layout: &Layout) -> Updates {
    let text = fs::read_lossy(&layout.at(SETTINGS)).unwrap_or_default();
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix("update_initramfs="));
    match values.next_back().map(|value| value.trim_matches(['"', '\''])) {
        Some("no") => Updates::No,
        Some("all") => Updates::All,
        Some(_) | None => Updates::Newest,
    }
}

/// Whether initramfs-tools makes a kernel's image when its trigger is processed.
pub(super) fn covers(kernel: &KernelRelease, layout: &Layout) -> bool {
    let interested = fs::read_lossy(&layout.at(INTERESTED)).unwrap_or_default();
    if !interested.lines().any(|line| line.split('/').next() == Some("initramfs-tools")) {
        return false;
    }
    match updates(layout) {
        Updates::No => false,
        Updates::All => true,
        Updates::Newest => newest(layout).is_some_and(|newest| newest == kernel.as_str()),
    }
}

/// The newest of the kernels that have both a kernel and an image.
fn newest(layout: &Layout) -> Option<String> {
    let boot = layout.at("/boot");
    let entries = fs::list(&boot).unwrap_or_default().into_iter();
    let releases =
        entries.filter_map(|entry| Some(entry.name.to_str()?.strip_prefix("initrd.img-")?.to_owned()));
    let with_kernel = releases.filter(|release| {
        ["vmlinuz", "vmlinux"].iter().any(|name| fs::exists(&boot.join(format!("{name}-{release}"))))
    });
    with_kernel.max_by(|a, b| version::compare(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trigger_covers_the_newest_kernel_or_all() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let write = |path: &str, text: &str| {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        };
        for release in ["6.1.0-9-amd64", "6.1.0-10-amd64"] {
            write(&format!("/boot/vmlinuz-{release}"), "");
            write(&format!("/boot/initrd.img-{release}"), "");
        }
        write("/boot/initrd.img-6.1.0-11-amd64", "");
        let covered = || {
            let releases = ["6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-11-amd64"];
            releases.map(|release| covers(&KernelRelease::new(release).unwrap(), &layout))
        };
        assert_eq!(covered(), [false; 3], "nobody is interested");
        write(INTERESTED, "dracut/noawait\n");
        assert_eq!(covered(), [false; 3]);
        write(INTERESTED, "initramfs-tools\n");
        assert_eq!(covered(), [false, true, false]);
        write(SETTINGS, "# update_initramfs=no\nupdate_initramfs=all\n");
        assert_eq!(covered(), [true; 3]);
        write(SETTINGS, "update_initramfs=no\n");
        assert_eq!(covered(), [false; 3]);
    }
}
