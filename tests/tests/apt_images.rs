//! Real apt in chroots as images are made in: no `/proc`, no kernel that runs, no systemd.

use std::path::Path;

use dkms_tests::apt::{Machine, Package, TRIXIE, batches};
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::debs;
use dkms_tests::fixture::Module;
use dkms_tests::setup::base;

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

#[test]
fn an_image_gets_modules_for_its_own_kernels() {
    let machine = Machine::bare(DKMS).unwrap();
    machine.index_kernels().unwrap();
    let one = Package::of(Module::new("one", "1.0")).pack(&machine.root).unwrap();
    let two = Package::of(Module::new("one", "2.0")).pack(&machine.root).unwrap();
    // Debian's packages of dkms want all kernels; here the rules for a system that doesn't run are looked at.
    machine.root.write("/etc/dkms/framework.conf.d/zz.conf", "autoinstall_all_kernels=no\n", 0o644).unwrap();
    machine.must("umount -l /proc && test ! -e /proc/self").unwrap();
    let said =
        machine.install(&format!("/debs/dkms.deb {one} linux-headers-$OLD linux-headers-$NEW")).unwrap();
    // The first time for all that have headers, later for the newest and where it is in use.
    assert_eq!(machine.states().unwrap(), ["one/1.0, OLD: installed", "one/1.0, NEW: installed"], "{said}");
    // Nobody is seen above us, so it is said at once.
    assert!(said.contains("installed: one/1.0"), "{said}");
    machine.install(&two).unwrap();
    assert_eq!(machine.states().unwrap(), ["one/2.0, NEW: installed"]);
    let said = machine.must("/usr/lib/dkms/dkms_autoinstaller start").unwrap();
    assert!(said.contains("is not installed here"), "{said}");
    assert_eq!(
        machine
            .must("ls -A /var/lib/dkms/.state/unsaid /var/lib/dkms/.state/pending 2>/dev/null || :")
            .unwrap()
            .matches("json")
            .count(),
        0
    );
}

#[test]
fn plain_dpkg_says_it_at_once_and_apt_says_nothing_again() {
    let machine = Machine::new(DKMS).unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    let one = Package::of(Module::new("one", "1.0")).pack(&machine.root).unwrap();
    let said = machine.must(&format!("dpkg -i {one}")).unwrap();
    assert!(said.lines().last().unwrap().ends_with("installed: one/1.0"), "{said}");
    let other = Package::new("other", "1.0").pack(&machine.root).unwrap();
    assert!(!machine.install(&other).unwrap().contains("dkms: "));
    // What is left of a package that is removed, and not purged, is no harm.
    machine.must("apt-get -y remove dkms").unwrap();
    let last = Package::new("last", "1.0").pack(&machine.root).unwrap();
    let said = machine.install(&last).unwrap();
    assert!(!said.contains("hooks-apt") && !said.contains("dkms"), "{said}");
}

/// In trixie headers depend on their image, and the 3.x line's packages are newer ones.
#[test]
#[ignore = "full tier"]
fn trixie() {
    let machine = Machine::of(&TRIXIE, DKMS).unwrap().noting().unwrap();
    machine.note_makes().unwrap();
    machine.install("/debs/dkms.deb acpi-call-dkms linux-headers-$OLD").unwrap();
    assert_eq!(machine.states().unwrap(), ["acpi-call/1.2.2, OLD: installed"]);
    for noted in ["depmods", "makes", "initramfs"] {
        machine.noted(noted).unwrap();
    }
    let one = Package::of(Module::new("one", "1.0")).pack(&machine.root).unwrap();
    let said = machine.install(&format!("{one} bbswitch-dkms v4l2loopback-dkms linux-headers-$NEW")).unwrap();
    let states = machine.states().unwrap();
    for module in ["acpi-call/1.2.2", "bbswitch/0.8", "one/1.0"] {
        for kernel in ["OLD", "NEW"] {
            assert!(states.contains(&format!("{module}, {kernel}: installed")), "{states:?}\n{said}");
        }
    }
    // The new kernel's own hook had what was there before; what comes with it is built once, for both.
    let initramfs = machine.noted("initramfs").unwrap();
    assert!(
        matches!(&initramfs[..], [first, ..] if first.starts_with("NEW (-c): acpi_call")),
        "{initramfs:?}"
    );
    assert!(batches(&said).len() <= 2, "{said}");
    let (makes, _) = machine.makes().unwrap();
    assert_eq!(makes, 5, "nothing is built twice: {said}");
    let said = machine.must("apt-get -y purge linux-image-$NEW linux-headers-$NEW").unwrap();
    assert!(!machine.states().unwrap().iter().any(|line| line.contains("NEW")), "{said}");
}

/// A system with systemd is booted whose kernel, which is this machine's, has headers and no module yet.
#[test]
#[ignore = "full tier"]
fn at_boot_the_running_kernel_gets_what_it_lacks() {
    let cache = Cache::open().unwrap();
    let system = base(&cache, &TRIXIE).unwrap();
    let dkms = debs::ours(&cache, DKMS).unwrap().dkms;
    let (place, system) = (cache.mount_point().unwrap(), system.to_string_lossy().into_owned());
    let words = [
        "--mount",
        "--fork",
        "--kill-child",
        "--propagation=private",
        "sh",
        "-c",
        include_str!("../boot.sh"),
        "sh",
    ];
    let words: Vec<&str> =
        words.into_iter().chain([place.to_str().unwrap(), &system, dkms.to_str().unwrap()]).collect();
    let said = must("unshare", &words, Path::new("/")).unwrap();
    let report = said.split("REPORT").nth(1).unwrap();
    assert!(
        report.starts_with("\nactive\n") && report.contains("one/1.0, ") && report.contains(": installed"),
        "{said}"
    );
}
