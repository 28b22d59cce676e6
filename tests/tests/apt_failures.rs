//! Real apt in real roots: what goes wrong with a module breaks nobody's package manager; it is the last
//! thing said, and known afterwards.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use dkms_tests::apt::{Machine, Package};
use dkms_tests::fixture::Module;

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

fn machine() -> Machine {
    let machine = Machine::new(DKMS).unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    machine
}

fn pack(machine: &Machine, module: Module) -> String {
    Package::of(module).pack(&machine.root).unwrap()
}

fn broken() -> Module {
    Module::new("broken", "1.0").with("MAKE[0]=\"echo 'broken.c:3:1: error: no such thing'; exit 2\"")
}

/// Takes its time, as long as its script says so.
fn slow(machine: &Machine) -> String {
    let package = Package::of(Module::new("slow", "1.0").with("PRE_BUILD=\"slowly.sh\""))
        .script("preinst", "mkdir -p /usr/src/slow-1.0; printf '#!/bin/sh\\nsleep 100\\n' >/usr/src/slow-1.0/slowly.sh; chmod 755 /usr/src/slow-1.0/slowly.sh");
    package.pack(&machine.root).unwrap()
}

/// Installs that in the background; sends a signal while it is being built; waits, and says how apt ended.
fn installed_and(machine: &Machine, package: &str, signal: &str) -> (i32, String) {
    let line = format!(
        "setsid apt-get -y -o Dpkg::Use-Pty=0 install {package} >/tmp/said 2>&1 &
         until grep -qs '^slowly.sh' /proc/[0-9]*/comm; do sleep 0.1; done
         {signal}
         code=0; wait $! || code=$?
         cat /tmp/said; exit $code"
    );
    let output = machine.run(&line).unwrap();
    (output.code, output.stdout)
}

/// What stands in a line of its own among the last ones.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

fn nothing_is_half_configured(machine: &Machine, said: &str) {
    assert_eq!(machine.must("dpkg --audit; dpkg -C").unwrap(), "", "{said}");
}

#[test]
fn a_module_that_cannot_be_built_breaks_nobody() {
    let machine = machine();
    let packages =
        [broken(), machine.ready("good", "1.0").unwrap()].map(|module| pack(&machine, module)).join(" ");
    let needy = Package::new("needy", "1.0").with("Depends: broken-dkms").pack(&machine.root).unwrap();
    let said = machine.install(&format!("{packages} {needy}")).unwrap();
    assert_eq!(machine.states().unwrap(), ["broken/1.0: added", "good/1.0, NEW: installed"]);
    let last = last_lines(&said);
    assert!(last.contains("error: broken/1.0") || last.contains("broken/1.0"), "{said}");
    assert!(last.contains("no such thing") && last.contains("make.log"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("dkms: "), "{said}");
    let doctor = machine.run("dkms doctor").unwrap();
    assert!(doctor.code != 0 && doctor.stdout.contains("broken/1.0"), "{}", doctor.stdout);
    // It is not tried again, and said again, with every package that comes.
    let said = machine.install(&pack(&machine, machine.ready("other", "1.0").unwrap())).unwrap();
    assert!(!said.contains("building broken"), "{said}");
    assert!(machine.states().unwrap().contains(&"other/1.0, NEW: installed".to_owned()), "{said}");
    machine.must("apt-get -y purge broken-dkms").unwrap();
    assert_eq!(machine.run("dkms status broken").unwrap().stdout, "");
}

#[test]
fn who_wants_it_so_gets_a_failure() {
    let machine = machine();
    machine.root.write("/etc/dkms/framework.conf.d/fail.conf", "on_build_failure=fail\n", 0o644).unwrap();
    let packages =
        [broken(), machine.ready("good", "1.0").unwrap()].map(|module| pack(&machine, module)).join(" ");
    let output = machine.apt(&format!("install {packages}")).unwrap();
    assert_eq!(output.code, 100, "{}", output.stdout);
    assert!(output.stdout.contains("no such thing"), "{}", output.stdout);
    let again = machine.run("dpkg --configure -a").unwrap();
    assert_ne!(again.code, 0, "it is still so: {}", again.stdout);
    // Fixed, it goes on.
    machine.must("sed -i /^MAKE/d /usr/src/broken-1.0/dkms.conf && dpkg --configure -a").unwrap();
    nothing_is_half_configured(&machine, "");
    assert_eq!(machine.states().unwrap(), ["broken/1.0, NEW: installed", "good/1.0, NEW: installed"]);
}

#[test]
fn no_compiler_and_no_space_are_told_and_tried_again() {
    let machine = machine();
    machine.must("mv /usr/bin/gcc-12 /gone").unwrap();
    let said = machine.install(&pack(&machine, Module::new("a", "1.0"))).unwrap();
    assert!(last_lines(&said).contains("gcc-12"), "{said}");
    assert_eq!(machine.states().unwrap(), ["a/1.0: added"]);
    let doctor = machine.run("dkms doctor").unwrap();
    assert!(doctor.stdout.contains("a/1.0"), "{}", doctor.stdout);
    machine.must("mv /gone /usr/bin/gcc-12").unwrap();
    machine
        .must("mkdir /tmp/kept && cp -a /var/lib/dkms/. /tmp/kept && mount -t tmpfs -o size=200k tmpfs /var/lib/dkms && cp -a /tmp/kept/. /var/lib/dkms")
        .unwrap();
    let output = machine.apt(&format!("install {}", pack(&machine, Module::new("b", "1.0")))).unwrap();
    assert_eq!(output.code, 0, "{}", output.stdout);
    nothing_is_half_configured(&machine, &output.stdout);
    assert!(last_lines(&output.stdout).contains("pace"), "{}", output.stdout);
    let said = machine.must("mount -o remount,size=50m /var/lib/dkms && dkms autoinstall -k $NEW").unwrap();
    assert_eq!(machine.states().unwrap(), ["a/1.0, NEW: installed", "b/1.0, NEW: installed"], "{said}");
}

#[test]
fn who_is_killed_in_the_middle_is_finished_by_dpkg() {
    let machine = machine();
    let package = slow(&machine);
    // What apt calls at the end builds it once more, and finds the quick script.
    let kill = "printf '#!/bin/sh\\n' >/usr/src/slow-1.0/slowly.sh
         for p in /proc/[0-9]*; do if grep -qs '^hooks-apt' $p/comm; then kill -KILL ${p#/proc/}; fi; done";
    let (code, said) = installed_and(&machine, &package, kill);
    assert_eq!(code, 100, "{said}");
    let said = machine.must("dpkg --configure -a").unwrap();
    nothing_is_half_configured(&machine, &said);
    assert_eq!(machine.states().unwrap(), ["slow/1.0, NEW: installed"], "{said}");
}

#[test]
fn who_presses_ctrl_c_stops_building_and_dpkg_goes_on_later() {
    let machine = machine();
    let package = slow(&machine);
    let (code, said) = installed_and(&machine, &package, "kill -INT -$!");
    // The signal ends the script of the package as well.
    assert_eq!(code, 100, "{said}");
    assert!(said.contains("dkms: error: interrupted"), "{said}");
    assert_eq!(machine.states().unwrap(), ["slow/1.0: added"], "{said}");
    machine.must("printf '#!/bin/sh\\n' >/usr/src/slow-1.0/slowly.sh; dpkg --configure -a").unwrap();
    nothing_is_half_configured(&machine, &said);
    assert_eq!(machine.states().unwrap(), ["slow/1.0, NEW: installed"]);
}
