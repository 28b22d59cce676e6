//! Whether another hook that comes after us in a transaction makes the initramfs again: then we don't.

use std::collections::{BTreeMap, BTreeSet};

use dkms_base::host::fs;
use dkms_base::id::{KernelRelease, Target};
use dkms_base::layout::Layout;
use dkms_hooks::{Adapter, Initramfs};

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
pub fn maker(adapter: &Adapter, brought: &BTreeSet<Thing>) -> Initramfs {
    let target = |kernel: &KernelRelease| adapter.target(kernel).ok();
    maker_in(&adapter.settings.layout, brought, &target)
}

fn maker_in(
    layout: &Layout,
    brought: &BTreeSet<Thing>,
    target: &dyn Fn(&KernelRelease) -> Option<Target>,
) -> Initramfs {
    let mut hooks = BTreeMap::new();
    for folder in FOLDERS.map(|folder| layout.at(folder)) {
        for entry in fs::list(&folder).unwrap_or_default() {
            if let Some(name) = entry.name.to_str().filter(|name| name.ends_with(".hook")) {
                let text = fs::read_lossy(&folder.join(name)).unwrap_or_default();
                hooks.insert(name.to_owned(), text);
            }
        }
    }
    let later = hooks.iter().filter(|(name, _)| name.as_str() > OURS);
    let made = later.map(|(name, text)| made_by(name, text, brought)).fold(Made::default(), Made::and);
    match made {
        Made::All => Initramfs::Others,
        Made::Of(kernels) if kernels.is_empty() => Initramfs::Ours,
        Made::Of(kernels) => Initramfs::OthersFor(kernels.iter().filter_map(target).collect()),
    }
}

/// Of which kernels a hook makes it.
enum Made {
    /// Of each that is there, as mkinitcpio's does where anything comes but kernels.
    All,
    /// Of these.
    Of(BTreeSet<KernelRelease>),
}

impl Default for Made {
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

impl Made {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(mut some), Self::Of(others)) => {
                some.extend(others);
                Self::Of(some)
            }
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }
}

/// What a hook makes when these things come.
fn made_by(name: &str, text: &str, brought: &BTreeSet<Thing>) -> Made {
    let is_maker = |text: &str| MAKERS.iter().any(|maker| text.contains(maker));
    let is_after = values(text, "When").any(|when| when == "PostTransaction");
    if !is_after || !(is_maker(name) || values(text, "Exec").any(is_maker)) {
        return Made::default();
    }
    // What stands before the first one is none; the last one ends with the action.
    let triggers = text.split("[Trigger]").skip(1).map(|part| part.split("[Action]").next().unwrap_or(part));
    let of_trigger = |trigger| {
        let operations: Vec<&str> = values(trigger, "Operation").collect();
        if !operations.is_empty() && operations.iter().all(|operation| *operation == "Remove") {
            return Made::default();
        }
        values(trigger, "Target").map(|target| made_for(target, brought)).fold(Made::default(), Made::and)
    };
    triggers.map(of_trigger).fold(Made::default(), Made::and)
}

/// What is made where one of these things is a target.
fn made_for(target: &str, brought: &BTreeSet<Thing>) -> Made {
    match target {
        "usr/src/*/dkms.conf" if brought.iter().any(|thing| matches!(thing, Thing::Module(_))) => Made::All,
        "usr/lib/modules/*/vmlinuz"
        | "usr/lib/modules/*/pkgbase"
        | "usr/lib/modules/*"
        | "usr/lib/modules/*/" => Made::Of(
            brought
                .iter()
                .filter_map(|thing| match thing {
                    Thing::Kernel(kernel) => Some(kernel.clone()),
                    Thing::Module(_) | Thing::Headers(_) => None,
                })
                .collect(),
        ),
        _ => Made::default(),
    }
}

/// The values of a key, in the order of the file.
fn values<'t>(text: &'t str, key: &'static str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MKINITCPIO: &str = "[Trigger]\nType = Path\nOperation = Install\nOperation = Upgrade\nTarget = usr/lib/initcpio/*\n\
        Target = usr/src/*/dkms.conf\n\n[Trigger]\nType = Path\nTarget = usr/lib/modules/*/vmlinuz\n\n[Action]\n\
        Description = Updating linux initcpios...\nWhen = PostTransaction\nExec = /usr/share/libalpm/scripts/mkinitcpio install\nNeedsTargets\n";

    #[test]
    fn a_later_hook_counts_where_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let target = |kernel: &KernelRelease| Target::parse(kernel.as_str(), "x86_64").ok();
        let maker = |brought: &BTreeSet<Thing>| maker_in(&layout, brought, &target);
        let module: BTreeSet<_> = [Thing::Module("foo-1".to_owned())].into();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        let headers: BTreeSet<_> = [Thing::Headers(kernel.clone())].into();
        let both: BTreeSet<_> = [Thing::Headers(kernel.clone()), Thing::Kernel(kernel.clone())].into();
        let all: BTreeSet<_> = module.union(&both).cloned().collect();
        let of_it = Initramfs::OthersFor([target(&kernel).unwrap()].into());
        assert_eq!(maker(&module), Initramfs::Ours);
        let shipped = layout.at(FOLDERS[0]);
        fs::create_dir_all(&shipped).unwrap();
        fs::write_whole(&shipped.join("60-mkinitcpio-remove.hook"), MKINITCPIO.as_bytes(), 0o644).unwrap();
        assert_eq!(maker(&module), Initramfs::Ours);
        fs::write_whole(&shipped.join("90-mkinitcpio-install.hook"), MKINITCPIO.as_bytes(), 0o644).unwrap();
        assert_eq!(maker(&module), Initramfs::Others);
        assert_eq!(maker(&all), Initramfs::Others);
        assert_eq!(maker(&both), of_it);
        assert_eq!(maker(&headers), Initramfs::Ours);
        let own = layout.at(FOLDERS[1]);
        fs::create_dir_all(&own).unwrap();
        fs::symlink(std::path::Path::new("/dev/null"), &own.join("90-mkinitcpio-install.hook")).unwrap();
        assert_eq!(maker(&module), Initramfs::Ours);
        // dracut's knows kernels by another file, and nothing of modules.
        let hook = |operation: &str| {
            let text = MKINITCPIO.replace("Target = usr/src/*/dkms.conf\n", "");
            let text = text.replace("/vmlinuz", "/pkgbase").replace("Type = Path\nTarget", operation);
            fs::write_whole(&own.join("90-dracut-install.hook"), text.as_bytes(), 0o644).unwrap();
        };
        hook("Operation = Upgrade\nTarget");
        assert_eq!((maker(&module), maker(&all), maker(&both)), (Initramfs::Ours, of_it.clone(), of_it));
        hook("Operation = Remove\nTarget");
        assert_eq!(maker(&all), Initramfs::Ours);
    }
}
