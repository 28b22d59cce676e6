//! Kernels that come before their modules can be built: what makes their initramfs makes it without them, and
//! that is noted until a batch has made up for it. The same for every package manager.

use std::collections::BTreeSet;

use super::Initramfs;
use dkms_base::id::Target;
use dkms_base::layout::Layout;
use dkms_core::engine::Outcome;
use dkms_core::event::Happening;
use dkms_core::install;
use dkms_core::plan::Action;
use dkms_core::tree::{Snapshot, images};
use dkms_kernel::has_headers;

/// Before a batch: the image of a kernel that has come is there already, and nobody makes it after us.
pub(super) fn before(told: &[Happening], initramfs: &Initramfs, layout: &Layout) {
    let ours = arrived(told).filter(|target| !initramfs.is_others(target));
    let with_image = ours.filter(|target| install::has_image(&target.kernel, layout));
    with_image.for_each(|target| drop(images::note(layout, &target.kernel)));
}

/// After it: what makes the image of a kernel that has come finds all modules there, or does not.
pub(super) fn after(told: &[Happening], initramfs: &Initramfs, outcome: &Outcome, layout: &Layout) {
    let on = |actions: &mut dyn Iterator<Item = &Action>| -> BTreeSet<Target> {
        actions.filter_map(Action::target).cloned().collect()
    };
    let failed = outcome.failures.iter().map(|failed| &failed.action).chain(&outcome.pruned);
    let failed = on(&mut failed.into_iter());
    let installed = on(&mut outcome.done.iter().filter(|action| matches!(action, Action::Install { .. })));
    let has_modules = || Snapshot::take(layout).is_ok_and(|snapshot| !snapshot.modules.is_empty());
    for target in arrived(told) {
        let is_incomplete =
            !has_headers(&target.kernel, layout) || failed.contains(target) || outcome.is_interrupted();
        match is_incomplete && has_modules() {
            true => drop(images::note(layout, &target.kernel)),
            // Where that was ours to do, and something was installed, it was done or has failed.
            false if initramfs.is_others(target) || !installed.contains(target) => {
                images::settle(layout, &target.kernel);
            }
            false => {}
        }
    }
    let leaving = told.iter().filter_map(|happening| match happening {
        Happening::KernelLeaving(target) => Some(target),
        _ => None,
    });
    let stays: BTreeSet<_> = arrived(told).collect();
    leaving
        .filter(|target| !stays.contains(target))
        .for_each(|target| images::settle(layout, &target.kernel));
}

fn arrived(told: &[Happening]) -> impl Iterator<Item = &Target> {
    told.iter().filter_map(|happening| match happening {
        Happening::KernelArrived(target) => Some(target),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::host::fs;
    use dkms_base::id::ModuleId;

    #[test]
    fn a_kernel_without_all_its_modules_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        fs::create_dir_all(&layout.source_dir(&id)).unwrap();
        fs::create_dir_all(&layout.version_dir(&id)).unwrap();
        fs::create_dir_all(&layout.at("/boot")).unwrap();
        fs::write_whole(&layout.at("/boot/initrd.img-6.1.0-1"), b"", 0o644).unwrap();
        fs::symlink(&layout.source_dir(&id), &layout.version_dir(&id).join("source")).unwrap();
        let target = Target::parse("6.1.0-1", "x86_64").unwrap();
        let come = [Happening::KernelArrived(target.clone())];
        let is_noted = |told: &[Happening], initramfs: Initramfs, outcome: &Outcome| {
            before(told, &initramfs, &layout);
            after(told, &initramfs, outcome, &layout);
            images::is_noted(&layout, &target.kernel)
        };
        // Without headers it is, however the image is made; with them all modules are there.
        assert!(is_noted(&come, Initramfs::Others, &Outcome::default()));
        fs::create_dir_all(&layout.headers_dir(&target.kernel).join("include")).unwrap();
        assert!(!is_noted(&come, Initramfs::Others, &Outcome::default()));
        let pruned = vec![Action::Install { id: id.clone(), target: target.clone() }];
        let failed = Outcome { pruned: pruned.clone(), ..Outcome::default() };
        assert!(is_noted(&come, Initramfs::Others, &failed));
        // Only the making of the image itself settles what was ours to make.
        let done = Outcome { done: pruned, ..Outcome::default() };
        assert!(is_noted(&come, Initramfs::Ours, &done));
        let of = |release: &str| Initramfs::OthersFor([Target::parse(release, "x86_64").unwrap()].into());
        assert!(!is_noted(&come, of("6.1.0-1"), &done));
        assert!(is_noted(&come, of("6.1.0-2"), &done));
        assert!(!is_noted(&[Happening::KernelLeaving(target.clone())], Initramfs::Others, &done));
        assert!(!is_noted(&[Happening::HeadersArrived(target.clone())], Initramfs::Ours, &done));
    }
}
