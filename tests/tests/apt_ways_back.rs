//! Real apt and dpkg in real roots: a run that ends otherwise than it began. What dpkg goes back to has its
//! modules again; what it never configures leaves none.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use dkms_tests::apt::{Machine, Package};
use dkms_tests::fixture::Module;

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

fn machine() -> Machine {
    let machine = Machine::new(DKMS).unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    machine
}

fn pack(machine: &Machine, name: &str, version: &str) -> String {
    Package::of(machine.ready(name, version).unwrap()).pack(&machine.root).unwrap()
}

/// Modules below `updates`, and those of them in modules.dep.
fn on_disk(machine: &Machine) -> String {
    let line = "cd /lib/modules/$NEW; find updates -name '*.ko*' 2>/dev/null; grep -so '^updates[^:]*' modules.dep || :";
    machine.must(line).unwrap()
}

#[test]
fn an_upgrade_that_is_not_unpacked_leaves_the_old_version_installed() {
    for by in ["apt-get -y install", "dpkg -i"] {
        let machine = machine();
        let one = pack(&machine, "one", "1.0");
        let fails = Package::of(Module::new("one", "2.0")).script("preinst", "exit 1");
        let fails = fails.pack(&machine.root).unwrap();
        machine.install(&one).unwrap();
        let output = machine.run(&format!("{by} {fails} 2>&1")).unwrap();
        assert_ne!(output.code, 0, "{}", output.stdout);
        // Without apt dpkg leaves triggers to its next run, and doctor knows.
        if by == "dpkg -i" {
            let doctor = machine.run("dkms doctor").unwrap().stdout;
            let states = machine.states().unwrap();
            let is_told = doctor.contains("one/1.0 was removed for an upgrade of package one-dkms");
            assert!(is_told && doctor.contains("dpkg --configure -a") || !states.is_empty(), "{doctor}");
            machine.must("dpkg --configure -a").unwrap();
        }
        assert_eq!(machine.states().unwrap(), ["one/1.0, NEW: installed"], "{by}: {}", output.stdout);
        assert_eq!(machine.run("dkms doctor").unwrap().code, 0);
        // A person who removes it means it.
        machine.must("dkms remove one/1.0 --all").unwrap();
        let said = machine.install(&Package::new("plain", "1.0").pack(&machine.root).unwrap()).unwrap();
        assert!(machine.states().unwrap().is_empty(), "{said}");
    }
}

/// Packages that build by themselves, and modules that dkms does not install by itself.
#[test]
fn what_dpkg_goes_back_to_is_as_it_was() {
    let machine = machine();
    let by_hand = "case $1 in configure) dkms add vendor/1.0; dkms install vendor/1.0 -k $(ls /lib/modules | grep cloud | sort -V | tail -n 1) ;; esac";
    let vendor =
        |version: &str| Package::of(machine.ready("vendor", version).unwrap()).script("postinst", by_hand);
    let first = vendor("1.0").pack(&machine.root).unwrap();
    let fails = vendor("2.0").script("preinst", "exit 1").pack(&machine.root).unwrap();
    let manual =
        |version: &str| Package::of(machine.ready("manual", version).unwrap().with("AUTOINSTALL=\"no\""));
    let manuals = (
        manual("1.0").pack(&machine.root).unwrap(),
        manual("2.0").script("preinst", "exit 1").pack(&machine.root).unwrap(),
    );
    machine.install(&format!("{first} {}", manuals.0)).unwrap();
    for made in ["manual/1.0: added", "manual/1.0, NEW: installed"] {
        let before = machine.states().unwrap();
        assert!(
            before.contains(&made.to_owned()) && before.contains(&"vendor/1.0, NEW: installed".to_owned()),
            "{before:?}"
        );
        for package in [&fails, &manuals.1] {
            let output = machine.apt(&format!("install {package}")).unwrap();
            assert_eq!(output.code, 100, "{}", output.stdout);
            assert_eq!(machine.states().unwrap(), before, "{}", output.stdout);
        }
        machine.must("dkms install manual/1.0 -k $NEW").unwrap();
    }
    // The note of an upgrade that took two runs of dpkg does not bring back what a person removes later.
    let one = pack(&machine, "one", "1.0");
    machine.install(&one).unwrap();
    machine.must(&format!("dpkg --unpack {one}; dpkg --configure -a; dkms remove one/1.0 --all")).unwrap();
    assert!(!machine.run("dkms doctor").unwrap().stdout.contains("one/1.0"));
    let said = machine.install(&Package::new("plain", "1.0").pack(&machine.root).unwrap()).unwrap();
    assert!(!machine.states().unwrap().iter().any(|state| state.starts_with("one/")), "{said}");
}

#[test]
fn a_kernel_that_is_not_unpacked_keeps_its_modules() {
    let machine = machine();
    machine.note_makes().unwrap();
    let one = pack(&machine, "one", "1.0");
    machine.index_kernels().unwrap();
    machine.install(&format!("linux-image-$NEW {one}")).unwrap();
    // The same release once more: with a file of another package, and without.
    let image = "cd /srv; dpkg-deb -R /var/cache/apt/archives/linux-image-${NEW}_*.deb image
         sed -i 's/^Version: .*/&+again/' image/DEBIAN/control; dpkg-deb -Znone -b image /debs/again.deb
         mkdir -p image/usr/share/dpkg; echo x >image/usr/share/dpkg/cputable; dpkg-deb -Znone -b image /debs/clash.deb";
    machine.must(image).unwrap();
    machine.makes().unwrap();
    let output = machine.run("dpkg -i /debs/clash.deb 2>&1").unwrap();
    assert_ne!(output.code, 0, "{}", output.stdout);
    assert_eq!(machine.states().unwrap(), ["one/1.0, NEW: installed"], "{}", output.stdout);
    assert_eq!(on_disk(&machine), "updates/dkms/one.ko\nupdates/dkms/one.ko\n", "{}", output.stdout);
    machine.must("dpkg --configure -a").unwrap();
    assert_eq!(on_disk(&machine), "updates/dkms/one.ko\nupdates/dkms/one.ko\n");
    let noted = "find /var/lib/dkms/.state/pending -type f 2>/dev/null || :";
    assert_eq!(machine.must(noted).unwrap(), "");
    assert_eq!(machine.makes().unwrap().0, 0, "nothing has changed");
    let said = machine.must("dpkg -i /debs/again.deb").unwrap();
    assert_eq!(machine.states().unwrap(), ["one/1.0, NEW: installed"], "{said}");
    assert_eq!(machine.makes().unwrap().0, 1, "it is built for the new build, once: {said}");
    assert_eq!(machine.must(noted).unwrap(), "");
}

#[test]
fn what_is_never_configured_leaves_nothing() {
    let machine = machine();
    machine.index_kernels().unwrap();
    let lacks = |version: &str| {
        let package = pack(&machine, "lacks", version);
        let depends = format!(
            "rm -rf /srv/lacks; dpkg-deb -R {package} /srv/lacks; sed -i 's/^Depends: /&not-there-at-all, /' /srv/lacks/DEBIAN/control
             dpkg-deb -Znone -b /srv/lacks {package}"
        );
        machine.must(&depends).unwrap();
        package
    };
    let (first, second) = (lacks("1.0"), lacks("2.0"));
    let other = pack(&machine, "other", "1.0");
    let asks_not = Package::of(machine.ready("asks-not", "1.0").unwrap())
        .script("postinst", "[ ! -e /wanted ] || /usr/lib/dkms/common.postinst asks-not 1.0 /x \"\" \"$2\"");
    let asks_not = asks_not.pack(&machine.root).unwrap();
    for away in ["apt-get -y -f install", "dpkg -P lacks-dkms"] {
        machine.run(&format!("dpkg -i {first} {other}")).unwrap();
        assert!(machine.states().unwrap().contains(&"other/1.0, NEW: installed".to_owned()));
        // Another version is unpacked over it, and built ahead by the next package.
        machine.run(&format!("dpkg -i {second} {asks_not} {other}")).unwrap();
        let states = machine.states().unwrap();
        assert!(!states.iter().any(|state| state.starts_with("lacks/1.0")), "{states:?}");
        let said = machine.must(away).unwrap();
        assert_eq!(machine.states().unwrap(), ["other/1.0, NEW: installed"], "{away}: {said}");
        assert!(!on_disk(&machine).contains("lacks"), "{away}: {said}");
        assert_eq!(machine.run("dkms doctor").unwrap().code, 0);
        machine.must("apt-get -y purge other-dkms asks-not-dkms").unwrap();
        assert_eq!(on_disk(&machine), "");
    }
}
