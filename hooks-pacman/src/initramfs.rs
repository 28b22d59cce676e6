//! Whether somebody who comes after us in a transaction makes the initramfs anew: then we don't.

use std::collections::{BTreeMap, BTreeSet};

use dkms_core::adapter::Initramfs;
use dkms_core::host::fs;
use dkms_core::layout::Layout;

use crate::targets::Thing;

/// Folders of hooks. A hook in a later one hides one of the same name in an earlier one; nobody can turn that
/// off but with a file of the same name.
const FOLDERS: [&str; 2] = ["/usr/share/libalpm/hooks", "/etc/pacman.d/hooks"];

/// Ours, which the others must come after.
const OURS: &str = "70-dkms-install.hook";

/// Words in the names of hooks, and of the programs that they run, which make one.
const MAKERS: [&str; 6] = ["mkinitcpio", "dracut", "booster", "kernel-install", "initramfs", "initrd"];

/// Who makes it after a transaction that brings these things.
#[must_use]
pub fn maker(layout: &Layout, brought: &BTreeSet<Thing>) -> Initramfs {
    let mut hooks = BTreeMap::new();
    for folder in FOLDERS.map(|folder| layout.at(folder)) {
        for entry in fs::list(&folder).unwrap_or_default() {
            if let Some(name) = entry.name.to_str().filter(|name| name.ends_with(".hook")) {
                let text = fs::read_lossy(&folder.join(name)).unwrap_or_default();
                hooks.insert(name.to_owned(), text);
            }
        }
    }
    let is_made = hooks.iter().any(|(name, text)| name.as_str() > OURS && makes(name, text, brought));
    if is_made { Initramfs::Others } else { Initramfs::Ours }
}

/// Whether a hook makes an initramfs when these things come.
fn makes(name: &str, text: &str, brought: &BTreeSet<Thing>) -> bool {
    let values = |key: &'static str| {
        text.lines().filter_map(move |line| {
            let (found, value) = line.split_once('=')?;
            (found.trim() == key).then(|| value.trim())
        })
    };
    let is_maker = |text: &str| MAKERS.iter().any(|maker| text.contains(maker));
    let comes = |target: &str| match target {
        "usr/src/*/dkms.conf" => brought.iter().any(|thing| matches!(thing, Thing::Module(_))),
        "usr/lib/modules/*/vmlinuz" | "usr/lib/modules/*" | "usr/lib/modules/*/" => {
            brought.iter().any(|thing| matches!(thing, Thing::Kernel(_)))
        }
        _ => false,
    };
    values("When").any(|when| when == "PostTransaction")
        && (is_maker(name) || values("Exec").any(is_maker))
        && values("Target").any(comes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_core::id::KernelRelease;

    const MKINITCPIO: &str = "[Trigger]\nType = Path\nOperation = Install\nOperation = Upgrade\nTarget = usr/lib/initcpio/*\n\
        Target = usr/src/*/dkms.conf\n\n[Trigger]\nType = Path\nTarget = usr/lib/modules/*/vmlinuz\n\n[Action]\n\
        Description = Updating linux initcpios...\nWhen = PostTransaction\nExec = /usr/share/libalpm/scripts/mkinitcpio install\nNeedsTargets\n";

    #[test]
    fn a_later_hook_counts_where_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let module: BTreeSet<_> = [Thing::Module("foo-1".to_owned())].into();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        let headers: BTreeSet<_> = [Thing::Headers(kernel.clone())].into();
        let both: BTreeSet<_> = [Thing::Headers(kernel.clone()), Thing::Kernel(kernel)].into();
        assert_eq!(maker(&layout, &module), Initramfs::Ours);
        let shipped = layout.at(FOLDERS[0]);
        fs::create_dir_all(&shipped).unwrap();
        fs::write_whole(&shipped.join("60-mkinitcpio-remove.hook"), MKINITCPIO.as_bytes(), 0o644).unwrap();
        assert_eq!(maker(&layout, &module), Initramfs::Ours);
        fs::write_whole(&shipped.join("90-mkinitcpio-install.hook"), MKINITCPIO.as_bytes(), 0o644).unwrap();
        assert_eq!(maker(&layout, &module), Initramfs::Others);
        assert_eq!(maker(&layout, &both), Initramfs::Others);
        assert_eq!(maker(&layout, &headers), Initramfs::Ours);
        let own = layout.at(FOLDERS[1]);
        fs::create_dir_all(&own).unwrap();
        fs::symlink(std::path::Path::new("/dev/null"), &own.join("90-mkinitcpio-install.hook")).unwrap();
        assert_eq!(maker(&layout, &module), Initramfs::Ours);
    }
}
