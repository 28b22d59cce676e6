//! Real apt in chroots as images are made in: no `/proc`, no kernel that runs, no systemd.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

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
    let one = Package::of(machine.ready("one", "1.0").unwrap()).pack(&machine.root).unwrap();
    let two = Package::of(machine.ready("one", "2.0").unwrap()).pack(&machine.root).unwrap();
    // Debian's packages of dkms want all kernels; here the rules for a system that doesn't run are looked at.
    machine.root.write("/etc/dkms/framework.conf.d/zz.conf", "autoinstall_all_kernels=no\n", 0o644).unwrap();
    machine.must("umount -l /proc && test ! -e /proc/self").unwrap();
    let said =
        machine.install(&format!("/debs/dkms.deb {one} linux-headers-$OLD linux-headers-$NEW")).unwrap();
    // The first time for all that have headers, later for the newest and where it is in use.
    assert_eq!(machine.states().unwrap(), ["one/1.0, OLD: installed", "one/1.0, NEW: installed"], "{said}");
    // Nobody is seen above us, so it is reported at once.
    assert!(said.contains("installed: one/1.0"), "{said}");
    machine.install(&two).unwrap();
    assert_eq!(machine.states().unwrap(), ["one/2.0, OLD: installed", "one/2.0, NEW: installed"]);
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
    let ours = said.lines().rfind(|line| line.starts_with("dkms: "));
    assert!(ours.unwrap().ends_with("installed: one/1.0"), "{said}");
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

/// Images with what is below `updates`; a package that makes that of the newest kernel when dpkg
/// processes the trigger, as initramfs-tools does.
const MAKER: &str = "
cat >/usr/sbin/update-initramfs <<'X'
#!/bin/sh
while [ $# -gt 0 ]; do [ \"$1\" != -k ] || K=$2; shift; done
[ -n \"$K\" ] || K=$(ls /boot/vmlinuz-* | sort -V | tail -n 1 | cut -d - -f 2-)
exec /usr/sbin/make-image /boot/initrd.img-$K $K
X
mkdir -p /pkg/DEBIAN; cd /pkg/DEBIAN
printf 'Package: initramfs-tools\\nVersion: 1\\nArchitecture: all\\nMaintainer: N <n@example.org>\\nDescription: x\\n' >control
echo 'interest update-initramfs' >triggers
printf '#!/bin/sh\\n[ $1 != triggered ] || exec update-initramfs -u\\n' >postinst
chmod 755 postinst; dpkg-deb -b /pkg /debs/initramfs-tools.deb; dpkg -i /debs/initramfs-tools.deb
for k in $OLD $NEW; do : >/boot/vmlinuz-$k; done";

/// A machine with both kernels' headers, and `one` in two versions.
fn with_images() -> (Machine, [String; 2]) {
    let machine = Machine::new(DKMS).unwrap();
    machine.root.write("/usr/sbin/make-image", include_str!("../image.sh"), 0o755).unwrap();
    machine.index_kernels().unwrap();
    machine.must(MAKER).unwrap();
    machine.install("linux-headers-$OLD linux-headers-$NEW").unwrap();
    let packages = ["1.0", "2.0"].map(|version| machine.ready("one", version).unwrap());
    let packages = packages.map(|module| Package::of(module).pack(&machine.root).unwrap());
    (machine, packages)
}

const BY_HAND: &str = "update-initramfs -u -k $OLD; update-initramfs -u -k $NEW; : >/srv/images";

/// The images that were made, and what they hold.
fn made(machine: &Machine) -> Vec<String> {
    let text = machine.must("cat /srv/images; : >/srv/images").unwrap();
    let mut lines: Vec<String> =
        text.lines().map(|line| line.replace(&machine.new, "NEW").replace(&machine.old, "OLD")).collect();
    lines.sort();
    lines
}

/// Whether doctor, status and the notes have nothing against any image.
fn images_are_right(machine: &Machine, said: &str) {
    let doctor = machine.run("dkms doctor").unwrap().stdout;
    assert!(!doctor.contains("initrd.img"), "{said}\n{doctor}");
    let json = machine.must("dkms status --json").unwrap();
    assert!(json.contains("\"images_out_of_date\":[]"), "{json}");
    let noted = "grep -rs '' /var/lib/dkms/.state/initramfs || :";
    assert_eq!(machine.must(noted).unwrap(), "", "{said}");
}

#[test]
fn an_image_is_made_once_when_a_module_that_it_holds_changes_or_goes() {
    let (machine, [one, two]) = with_images();
    machine.install(&one).unwrap();
    machine.must(BY_HAND).unwrap();
    // dpkg's trigger makes that of the newest kernel, and we the other.
    let said = machine.install(&two).unwrap();
    assert_eq!(made(&machine), ["NEW: 2.0", "OLD: 2.0"], "{said}");
    images_are_right(&machine, &said);
    let said = machine.must("apt-get -y remove one-dkms").unwrap();
    assert_eq!(made(&machine), ["NEW:", "OLD:"], "{said}");
    images_are_right(&machine, &said);
    // Images that don't hold it are left alone.
    machine.install(&one).unwrap();
    let said = machine.must("apt-get -y remove one-dkms").unwrap();
    assert!(made(&machine).is_empty(), "{said}");
    images_are_right(&machine, &said);
    // A person, and dkms that goes with it.
    machine.install(&one).unwrap();
    machine.must(BY_HAND).unwrap();
    let said = machine.must("dkms remove one/1.0 -k $NEW").unwrap();
    assert_eq!(made(&machine), ["NEW:"], "{said}");
    let said = machine.must("dpkg --purge one-dkms dkms").unwrap();
    assert_eq!(made(&machine), ["OLD:"], "{said}");
}

#[test]
fn where_images_are_not_remade_it_is_said_which_are_out_of_date() {
    let (machine, [one, two]) = with_images();
    machine.install(&one).unwrap();
    machine.must(BY_HAND).unwrap();
    machine.root.write("/etc/dkms/framework.conf.d/initrd.conf", "remake_initrd=no\n", 0o644).unwrap();
    for (line, reason, words, finding) in [
        (
            format!("apt-get -y install {two}"),
            "other-build",
            "holds another build of one",
            "initramfs-out-of-date",
        ),
        ("apt-get -y remove one-dkms".to_owned(), "removed", "still holds one", "initramfs-holds-removed"),
    ] {
        let said = machine.must(&line).unwrap().replace(&machine.new, "NEW");
        let expected = format!("warning: `/boot/initrd.img-NEW` {words}");
        let of_images: Vec<_> = said.lines().filter(|line| line.contains("remake_initrd=no")).collect();
        assert!(of_images.len() == 2 && of_images.iter().all(|line| line.contains(words)), "{said}");
        assert!(
            said.contains(&expected) && said.contains("`update-initramfs -u -k NEW` remakes it"),
            "{said}"
        );
        assert!(made(&machine).is_empty(), "{said}");
        let doctor = machine.run("dkms doctor --json").unwrap().stdout;
        assert_eq!(doctor.matches(finding).count(), 2, "{doctor}");
        let json = machine.must("dkms status --json").unwrap();
        assert_eq!(json.matches(&format!("\"reason\":\"{reason}\"")).count(), 2, "{json}");
        machine.must(BY_HAND).unwrap();
        let doctor = machine.run("dkms doctor").unwrap().stdout;
        assert!(!doctor.contains("initrd.img"), "{doctor}");
    }
}

/// Made again, the image would be without the module, and what it is needed for would not come up.
#[test]
fn an_image_keeps_a_module_whose_next_version_is_not_installed() {
    let (machine, [one, _]) = with_images();
    let pack = |module: Module| Package::of(module).pack(&machine.root).unwrap();
    let broken =
        pack(Module::new("one", "2.0").with("MAKE[0]=\"echo one.c:1: error: no such thing; false\""));
    let mended = pack(machine.ready("one", "2.1").unwrap());
    let other = pack(machine.ready("other", "1.0").unwrap().with("REMAKE_INITRD=\"yes\""));
    machine.install(&one).unwrap();
    machine.must(BY_HAND).unwrap();
    machine.must("apt-get -y remove linux-headers-$OLD").unwrap();
    let kept = |said: &str| {
        assert!(made(&machine).is_empty(), "{said}");
        let said = said.replace(&machine.new, "NEW").replace(&machine.old, "OLD");
        for kernel in ["NEW", "OLD"] {
            let missing = if kernel == "OLD" { ", whose headers are not installed" } else { "" };
            let words = format!(
                "warning: `/boot/initrd.img-{kernel}` is kept as it is, since it holds one, and one/2.0 is not \
                 installed on kernel {kernel}{missing}: `dkms install one/2.0 -k {kernel}` tries again"
            );
            assert_eq!(said.matches(&words).count(), 1, "{words}: {said}");
        }
    };
    kept(&machine.install(&broken).unwrap());
    let doctor = machine.run("dkms doctor --json").unwrap().stdout;
    assert_eq!(doctor.matches("initramfs-kept").count(), 2, "{doctor}");
    let json = machine.must("dkms status --json").unwrap();
    assert_eq!(json.matches("\"reason\":\"kept\"").count(), 2, "{json}");
    // What doctor proposes takes nothing out of an image.
    let doctor = machine.run("dkms doctor").unwrap().stdout;
    assert!(
        !doctor.contains("update-initramfs") && doctor.contains("fix: dkms install one/2.0 -k"),
        "{doctor}"
    );
    // One that wants to be in it waits, too; and nothing is printed where nothing changes.
    let said = machine.install(&other).unwrap();
    assert!(made(&machine).is_empty() && said.contains("is kept as it is"), "{said}");
    let said = machine.install(&Package::new("plain", "1.0").pack(&machine.root).unwrap()).unwrap();
    assert!(!said.contains("is kept as it is"), "{said}");
    let doctor = machine.run("dkms doctor").unwrap().stdout;
    assert!(!doctor.contains("update-initramfs"), "{doctor}");
    // Each is made when its kernel has a version that works.
    let said = machine.install(&mended).unwrap();
    assert_eq!(made(&machine), ["NEW: 2.1 1.0"], "{said}");
    let said = machine.install("linux-headers-$OLD").unwrap();
    assert_eq!(made(&machine), ["OLD: 2.1 1.0"], "{said}");
    images_are_right(&machine, &said);
    // It is given up: so is what images hold of it.
    let said = machine.install(&format!("--allow-downgrades {broken}")).unwrap();
    assert!(made(&machine).is_empty(), "{said}");
    let said = machine.must("apt-get -y purge one-dkms").unwrap();
    assert_eq!(made(&machine), ["NEW: 1.0", "OLD: 1.0"], "{said}");
    images_are_right(&machine, &said);
    // Another package takes its place under another name, with the same module: it is waited for as well.
    machine.install(&one).unwrap();
    machine.must(BY_HAND).unwrap();
    let fork = Module::new("fork", "9.0")
        .with("BUILT_MODULE_NAME[0]=\"one\"")
        .with("MAKE[0]=\"echo one.c:1: error: no such thing; false\"");
    let fork = Package::of(fork).with("Conflicts: one-dkms").with("Replaces: one-dkms");
    let said = machine.install(&fork.pack(&machine.root).unwrap()).unwrap();
    assert!(made(&machine).is_empty() && said.contains("since it holds one, and fork/9.0 is not"), "{said}");
    machine.must("apt-get -y purge fork-dkms").unwrap();
    assert_eq!(made(&machine), ["NEW: 1.0", "OLD: 1.0"]);
}
