//! Real apt in real roots: kernels come and go. Modules are in place before the initramfs is made,
//! nothing is built twice, and a kernel without headers is reported before anything has changed.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use dkms_tests::apt::{Machine, Package, batches};
use dkms_tests::fixture::Module;
use dkms_tests::tier::{is_full, taken, turn};

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

/// Where apt has the packages of the newer kernel.
const IMAGE: &str = "/var/cache/apt/archives/linux-image-${NEW}_*.deb";
const HEADERS: &str = "/var/cache/apt/archives/linux-headers-${NEW}_*.deb /var/cache/apt/archives/linux-headers-${NEW%%-cloud*}-common_*.deb";

/// A machine with the older kernel, and two modules in use on it, of which one needs the other.
fn machine() -> Machine {
    let machine = Machine::new(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    machine.must("rm -r /lib/modules/$NEW").unwrap();
    let a = Package::of(machine.ready("a", "1.0").unwrap()).pack(&machine.root).unwrap();
    let b = machine.ready("b", "1.0").unwrap().with("BUILD_DEPENDS[0]=\"a\"");
    let b = Package::of(b).pack(&machine.root).unwrap();
    machine.install(&format!("linux-headers-$OLD {a} {b}")).unwrap();
    assert_eq!(machine.states().unwrap(), ["a/1.0, OLD: installed", "b/1.0, OLD: installed"]);
    for noted in ["depmods", "makes", "initramfs"] {
        machine.noted(noted).unwrap();
    }
    machine
}

fn installed_on_both(machine: &Machine, said: &str) {
    let states = machine.states().unwrap();
    let all =
        ["a/1.0, OLD: installed", "a/1.0, NEW: installed", "b/1.0, OLD: installed", "b/1.0, NEW: installed"];
    assert_eq!(states, all, "{said}");
}

// guide 2
#[test]
fn a_new_kernels_initramfs_finds_its_modules() {
    // By apt, and in both orders in which packages that are unpacked together may be configured.
    let by_apt = "apt-get -y --no-install-recommends install linux-image-$NEW linux-headers-$NEW";
    let unpacked = format!("dpkg --unpack {IMAGE} {HEADERS}");
    let image_first = format!("{unpacked}; dpkg --configure linux-image-$NEW; dpkg --configure -a");
    let headers_first = format!(
        "{unpacked}; dpkg --configure linux-headers-$NEW linux-headers-${{NEW%%-cloud*}}-common; dpkg --configure -a"
    );
    for line in [by_apt, &image_first, &headers_first] {
        let machine = machine();
        let said = machine.must(line).unwrap();
        installed_on_both(&machine, &said);
        // Made once, by the kernel's own hook after ours.
        assert_eq!(machine.noted("initramfs").unwrap(), ["NEW (-c): a b"], "{line}: {said}");
        assert_eq!(machine.makes().unwrap().0, 2, "{line}: nothing is built twice: {said}");
        assert_eq!(batches(&said).len(), 1, "{line}: {said}");
        // Where the kernel isn't configured yet it has no index: its own package makes the first
        // one, of our modules too.
        let depmods = machine.depmods().unwrap();
        assert!(depmods.len() <= 1 && depmods.iter().all(|kernel| kernel == "NEW"), "{line}: {depmods:?}");
        assert_eq!(
            machine.must("grep -c '/[ab].ko:' /lib/modules/$NEW/modules.dep").unwrap(),
            "2\n",
            "{line}"
        );
        assert_eq!(machine.must("dpkg --audit").unwrap(), "");
    }
}

/// As `make bindeb-pkg` packs them.
#[test]
fn headers_whose_package_calls_nobody_get_modules_too() {
    let machine = machine();
    let bad = Module::new("bad", "1.0").with("MAKE[0]=\"echo foo.c:1: error: no such thing; false\"");
    let bad = Package::of(bad).pack(&machine.root).unwrap();
    machine.must(&format!("dpkg -i {bad}")).unwrap();
    let pack =
        "cd /var/cache/apt/archives; dpkg-deb -R linux-headers-${NEW}_*.deb /own; rm -f /own/DEBIAN/p[or]*
                dpkg-deb -b /own /debs/own.deb; dpkg -i linux-headers-${NEW%%-cloud*}-common_*.deb";
    machine.must(pack).unwrap();
    let said = machine.must("dpkg -i /debs/own.deb").unwrap();
    let states = machine.states().unwrap();
    assert!(["a/1.0", "b/1.0"].iter().all(|id| states.contains(&format!("{id}, NEW: installed"))), "{said}");
    let said = said.replace(&machine.new, "NEW");
    assert!(said.contains("dkms: kernel NEW (x86_64): installed: a/1.0, b/1.0"), "{said}");
    assert!(said.contains("error: cannot build bad/1.0"), "{said}");
    // Nothing has come that wasn't there.
    let said = machine.must("dpkg -i /debs/own.deb").unwrap();
    assert!(!said.contains("dkms: "), "{said}");
}

// guide 3, guide 4, guide 6
#[test]
fn who_comes_without_headers_is_told_before_and_gets_modules_when_they_come() {
    let machine = machine();
    let before = machine.must("dpkg-query -W; dkms status; find /lib/modules /boot | sort").unwrap();
    machine.root.write("/etc/dkms/framework.conf.d/preflight.conf", "preflight=block\n", 0o644).unwrap();
    let blocked = machine.apt("install linux-image-$NEW").unwrap();
    assert_eq!(blocked.code, 100, "{}", blocked.stdout);
    let after = machine.must("dpkg-query -W; dkms status; find /lib/modules /boot | sort").unwrap();
    assert_eq!(before, after, "nothing has changed");
    // With the headers it has nothing against it; without, it only says so.
    machine.root.write("/etc/dkms/framework.conf.d/preflight.conf", "preflight=warn\n", 0o644).unwrap();
    let said = machine.install("linux-image-$NEW").unwrap();
    for said in [&blocked.stdout, &said] {
        let said = said.split("Unpacking").next().unwrap();
        for module in ["a/1.0", "b/1.0"] {
            let told = said.lines().find(|line| line.contains(&format!("warning: {module}, "))).unwrap();
            assert!(told.contains(&format!("linux-headers-{}", machine.new)) || module == "b/1.0", "{told}");
        }
    }
    assert_eq!(machine.noted("initramfs").unwrap(), ["NEW (-c):"]);
    assert_eq!(machine.states().unwrap(), ["a/1.0, OLD: installed", "b/1.0, OLD: installed"]);
    // The debt is paid: modules, and the initramfs that was made without them.
    machine.root.write("/etc/dkms/framework.conf.d/preflight.conf", "preflight=block\n", 0o644).unwrap();
    let said = machine.install("linux-headers-$NEW").unwrap();
    installed_on_both(&machine, &said);
    assert_eq!(machine.noted("initramfs").unwrap(), ["NEW (-u): a b"], "{said}");
    assert!(!said.contains("warning: a/1.0"), "{said}");
    // The kernel goes; its headers stay, and then they go as well.
    machine.depmods().unwrap();
    let said = machine.must("apt-get -y purge linux-image-$NEW").unwrap();
    assert_eq!(machine.states().unwrap(), ["a/1.0, OLD: installed", "b/1.0, OLD: installed"], "{said}");
    let left = machine
        .must("ls -A /lib/modules/$NEW; find /var/lib/dkms -name \"*$NEW*\" -not -path '*/.state/*'")
        .unwrap();
    assert_eq!(left, "build\nsource\n", "{said}");
    assert!(machine.depmods().unwrap().len() <= 1, "{said}");
    let said = machine.must("apt-get -y purge linux-headers-$NEW").unwrap();
    assert_eq!(machine.must("ls /lib/modules").unwrap().trim(), machine.old, "{said}");
    assert_eq!(machine.depmods().unwrap(), Vec::<String>::new(), "{said}");
    assert_eq!(machine.must("find /var/lib/dkms/.state/pending -type f").unwrap(), "", "{said}");
}

// guide 3
#[test]
fn a_version_that_no_kernel_in_use_can_have_is_told_before() {
    let machine = machine();
    machine.must("dpkg --purge --force-depends linux-headers-$OLD").unwrap();
    let newer = Package::of(machine.ready("a", "2.0").unwrap()).pack(&machine.root).unwrap();
    let other = Package::of(machine.ready("c", "1.0").unwrap()).pack(&machine.root).unwrap();
    let before = machine.must("dpkg-query -W; dkms status; find /lib/modules | sort").unwrap();
    machine.root.write("/etc/dkms/framework.conf.d/preflight.conf", "preflight=block\n", 0o644).unwrap();
    let blocked = machine.apt(&format!("install {newer}")).unwrap();
    assert_eq!(blocked.code, 100, "{}", blocked.stdout);
    let told = format!("warning: a/1.0, {}, x86_64: will not be there: the headers", machine.old);
    assert!(blocked.stdout.contains(&told), "{}", blocked.stdout);
    assert!(!blocked.stdout.contains("warning: b/1.0"), "it stays: {}", blocked.stdout);
    assert_eq!(machine.must("dpkg-query -W; dkms status; find /lib/modules | sort").unwrap(), before);
    // A module that is not there yet is not missed, nor one that goes.
    machine.install(&other).unwrap();
    machine.must("apt-get -y purge c-dkms").unwrap();
    // What the warning said happens.
    machine.root.write("/etc/dkms/framework.conf.d/preflight.conf", "preflight=warn\n", 0o644).unwrap();
    let said = machine.install(&newer).unwrap();
    assert!(said.contains(&told), "{said}");
    assert_eq!(machine.states().unwrap(), ["a/2.0: added", "b/1.0, OLD: installed"], "{said}");
}

#[test]
fn a_module_that_comes_ready_built_with_the_kernel_is_left_to_its_package() {
    let machine = Machine::new(DKMS).unwrap();
    machine.index_kernels().unwrap();
    machine.must("rm -r /lib/modules/$NEW").unwrap();
    let foo = Package::of(machine.ready("foo", "1.0").unwrap()).pack(&machine.root).unwrap();
    machine.install(&format!("linux-headers-$OLD {foo}")).unwrap();
    // As Ubuntu's: the package has the module in parts, and its postinst makes it.
    let folder = format!("/lib/modules/{}/kernel/foo-1", machine.new);
    let built = format!("/lib/modules/{}/updates/dkms/foo.ko", machine.old);
    let package = format!("linux-modules-foo-1-{}", machine.new);
    let deb = Package::new(&package, "6.1.1-1")
        .file(&format!("{folder}/bits/foo.ko.sig"), "/etc/hostname")
        .file(&format!("{folder}/bits/foo.o"), &built)
        .script("postinst", &format!("cp {folder}/bits/foo.o {folder}/foo.ko"))
        .script("prerm", &format!("rm -f {folder}/foo.ko"))
        .pack(&machine.root)
        .unwrap();
    machine.root.write("/etc/dkms/framework.conf.d/preflight.conf", "preflight=block\n", 0o644).unwrap();
    let said = machine.install(&format!("linux-image-$NEW {deb}")).unwrap();
    assert!(!said.contains("warning: foo/1.0"), "{said}");
    let said = machine.install("linux-headers-$NEW").unwrap();
    assert!(said.contains(&format!("package `{package}` brings it (version 1.0)")), "{said}");
    assert_eq!(machine.states().unwrap(), ["foo/1.0, OLD: installed"], "{said}");
}

#[test]
fn a_kernel_that_is_replaced_by_the_same_release_gets_its_modules_anew() {
    let machine = machine();
    machine.install("linux-image-$NEW linux-headers-$NEW").unwrap();
    for noted in ["depmods", "makes", "initramfs"] {
        machine.noted(noted).unwrap();
    }
    let said = machine.install("--reinstall linux-image-$NEW").unwrap();
    installed_on_both(&machine, &said);
    assert_eq!(machine.noted("initramfs").unwrap(), ["NEW (-c): a b"], "{said}");
    assert_eq!(machine.makes().unwrap().0, 2, "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("dkms: kernel ") && last.ends_with("installed: a/1.0, b/1.0"), "{said}");
}

#[test]
fn hooks_are_called_by_others_too() {
    let machine = machine();
    let unpack = "dpkg-deb --fsys-tarfile $deb | tar -x -C / --keep-directory-symlink";
    let image = format!("for deb in {IMAGE} {HEADERS}; do {unpack}; done; depmod $NEW");
    machine.must(&image).unwrap();
    let said =
        machine.must("/usr/lib/kernel/install.d/40-dkms.install add $NEW /tmp /boot/vmlinuz-$NEW").unwrap();
    installed_on_both(&machine, &said);
    machine
        .must("KERNEL_INSTALL_ROOT=/elsewhere /usr/lib/kernel/install.d/40-dkms.install remove $NEW")
        .unwrap();
    installed_on_both(&machine, "");
    machine.must("/usr/lib/kernel/install.d/40-dkms.install remove $NEW /tmp").unwrap();
    assert_eq!(machine.states().unwrap(), ["a/1.0, OLD: installed", "b/1.0, OLD: installed"]);
    machine.must("run-parts --arg=$NEW /etc/kernel/header_postinst.d").unwrap();
    installed_on_both(&machine, "");
    // A package of kernel.org's calls it whatever happens to it.
    machine.must("DPKG_MAINTSCRIPT_PACKAGE=x DEB_MAINT_PARAMS=\"'upgrade' '2'\" run-parts --arg=$NEW /etc/kernel/prerm.d").unwrap();
    installed_on_both(&machine, "");
    machine.must("dkms unbuild a/1.0 -k $NEW && /usr/lib/dkms/dkms_autoinstaller start $NEW").unwrap();
    installed_on_both(&machine, "");
    let said = machine
        .must("/usr/lib/dkms/dkms_autoinstaller start; /usr/lib/dkms/dkms_autoinstaller stop")
        .unwrap();
    assert!(said.contains("is not installed here"), "{said}");
    let usage = machine.run("/usr/lib/dkms/dkms_autoinstaller").unwrap();
    assert_eq!(usage.code, 2, "{}", usage.stdout);
    for hook in ["postinst", "prerm", "header_postinst", "preinst"] {
        let said = machine.must(&format!("/etc/kernel/{hook}.d/dkms ../..")).unwrap();
        assert!(said.contains("error: "), "{hook}: {said}");
    }
    // A module whose source is gone keeps no kernel from going.
    machine.must("dkms autoinstall -k $NEW; rm -r /usr/src/b-1.0").unwrap();
    let said = machine.must("run-parts --arg=$NEW /etc/kernel/prerm.d").unwrap();
    assert!(
        machine.must("find /lib/modules/$NEW -name 'a.ko*' -o -name 'b.ko*'").unwrap().is_empty(),
        "{said}"
    );
}

/// Ubuntu's `linux-modules-nvidia-550-K` links its modules when it is configured; the headers may be
/// configured before. What is then in place counts: an older version than the tree's is built after all.
#[test]
fn what_a_package_will_link_is_left_to_it() {
    let all = vec![("1.0", false), ("0.9", true)];
    for (linked, is_built) in if is_full() { all } else { taken(all, turn(), 2) } {
        let machine = machine();
        // The module, as the package's maintainer has built it.
        let package = Package::of(machine.ready("foo", linked).unwrap()).pack(&machine.root).unwrap();
        machine.install(&format!("{package} linux-image-$NEW linux-headers-$NEW")).unwrap();
        machine
            .must(
                "cp /lib/modules/$NEW/updates/dkms/foo.ko /srv/
                 apt-get -y purge foo-dkms linux-headers-$NEW linux-headers-${NEW%%-cloud*}-common",
            )
            .unwrap();
        let bits = format!("/lib/modules/{}/kernel/foo-1/bits", machine.new);
        let objects = format!("linux-objects-foo-1-{}", machine.new);
        let objects_file = Package::new(&objects, "1")
            .file(&format!("{bits}/foo.o"), "/srv/foo.ko")
            .file(&format!("{bits}/foo.mod.o"), "/srv/foo.ko")
            .pack(&machine.root)
            .unwrap();
        let link = format!("cd {bits}; cp foo.o ../foo.ko; depmod {}", machine.new);
        let modules = Package::new(&format!("linux-modules-foo-1-{}", machine.new), "1")
            .with(&format!("Depends: {objects}"))
            .script("postinst", &link)
            .pack(&machine.root)
            .unwrap();
        let foo = Package::of(machine.ready("foo", "1.0").unwrap()).pack(&machine.root).unwrap();
        machine.noted("makes").unwrap();
        let said = machine
            .must(&format!(
                "dpkg --unpack {HEADERS} {objects_file} {modules} {foo}
                 dpkg --configure linux-headers-$NEW linux-headers-${{NEW%%-cloud*}}-common
                 grep -q foo /lib/modules/$NEW/modules.dep && exit 9
                 dpkg --configure -a; /usr/libexec/dkms/hooks-apt finish"
            ))
            .unwrap();
        assert!(said.contains("will bring it"), "{said}");
        let states = machine.states().unwrap();
        let has = states.iter().any(|state| state.starts_with("foo/1.0, NEW: installed"));
        assert_eq!(has, is_built, "{linked}: {states:?} {said}");
        assert_eq!(machine.must("dpkg --audit").unwrap(), "");
        let waiting = "find /var/lib/dkms/.state/pending -type f 2>/dev/null || :";
        assert_eq!(machine.must(waiting).unwrap(), "", "{said}");
    }
}
