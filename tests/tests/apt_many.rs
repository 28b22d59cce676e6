//! Many packages in one run of dpkg: batches and depmods are counted.

use dkms_tests::apt::{Machine, Package, batches};
use dkms_tests::fixture::Module;

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

/// The default tier has nine, with some that change or fail (`apt_transactions`).
#[test]
#[ignore = "full tier"]
fn twelve_packages_find_their_modules_on_both_kernels() {
    let machine = Machine::bare(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    let names: Vec<String> = ('a'..='l').map(|letter| format!("mod{letter}")).collect();
    let mut files = Vec::new();
    for name in &names {
        let check = format!(
            "if [ \"$1\" = configure ]; then
               /usr/lib/dkms/common.postinst {name} 1.0 /usr/share/{name}-dkms \"\" \"$2\"
               for k in $OLD $NEW; do
                 test \"$(modinfo -k $k -F version {name})\" = 1.0
                 modprobe -n -S $k {name}
                 echo {name} >>/var/log/found
               done
             fi"
        );
        let package = Package::of(Module::new(name, "1.0"));
        let package = Package { scripts: Vec::new(), ..package }.script("postinst", &check);
        files.push(package.pack(&machine.root).unwrap());
    }
    let said = machine
        .install(&format!("/debs/dkms.deb {} linux-headers-$OLD linux-headers-$NEW", files.join(" ")))
        .unwrap();
    assert_eq!(machine.noted("found").unwrap().len(), 24, "{said}");
    let states = machine.states().unwrap();
    assert_eq!(states.iter().filter(|line| line.ends_with(": installed")).count(), 24, "{states:#?}\n{said}");
    assert_eq!(batches(&said).len(), 1, "{said}");
    let (makes, at_once) = machine.makes().unwrap();
    assert!(makes == 24 && at_once >= 2, "{makes} makes, {at_once} at once\n{said}");
    let depmods = machine.depmods().unwrap();
    for kernel in ["OLD", "NEW"] {
        let count = depmods.iter().filter(|other| *other == kernel).count();
        assert!((1..=2).contains(&count), "{kernel}: {depmods:?}\n{said}");
    }
}

/// They run depmod in their own scripts, because a later package may load a module. When they are removed,
/// dkms's trigger runs it.
#[test]
fn packages_of_built_modules_come_and_go_with_one_depmod() {
    let machine = Machine::new(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    let names = ["one", "two", "three"];
    for name in names {
        Module::new(name, "1.0").write_to(&machine.root).unwrap();
    }
    machine
        .must(
            "for m in one two three; do dkms build $m/1.0 -k $NEW && dkms mkbmdeb $m/1.0 -k $NEW --archive /debs/$m.deb &&
               dkms remove $m/1.0 --all || exit 1; done; rm -r /usr/src/one-1.0 /usr/src/two-1.0 /usr/src/three-1.0",
        )
        .unwrap();
    let depmods = |line: &str| {
        machine.noted("depmods").unwrap();
        let said = machine.must(line).unwrap();
        (machine.noted("depmods").unwrap().iter().filter(|line| line.contains("NEW")).count(), said)
    };
    let install = "dpkg -i --force-depends /debs/one.deb /debs/two.deb /debs/three.deb";
    let remove = "dpkg -r one-modules-$NEW two-modules-$NEW three-modules-$NEW";
    let is_there = "modinfo -k $NEW -F name one two three";
    let is_gone = "! grep updates/ /lib/modules/$NEW/modules.dep; test -z \"$(dpkg --audit)\"";
    let (count, said) = depmods(&format!("{install}; {is_there}"));
    assert!(count == 1 && said.ends_with("one\ntwo\nthree\n"), "{count}: {said}");
    // Once more, as at an upgrade; what only lost its place in the index is found too.
    let (count, said) = depmods(install);
    assert_eq!(count, 1, "{said}");
    machine.must("sed -i /updates/d /lib/modules/$NEW/modules.dep").unwrap();
    let (count, said) = depmods(&format!("dpkg-reconfigure -f noninteractive two-modules-$NEW; {is_there}"));
    assert_eq!(count, 1, "{said}");
    let (count, said) = depmods(&format!("{remove}; {is_gone}"));
    assert_eq!(count, 1, "{said}");
    // One that goes before dkms does in the same run, and without it each by itself.
    machine.must(install).unwrap();
    machine
        .must("dpkg -r one-modules-$NEW dkms; ! grep updates/dkms/one.ko /lib/modules/$NEW/modules.dep")
        .unwrap();
    let (count, said) = depmods(&format!("dpkg -r two-modules-$NEW three-modules-$NEW; {is_gone}"));
    assert_eq!(count, 2, "{said}");
}
