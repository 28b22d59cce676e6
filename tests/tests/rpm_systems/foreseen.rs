//! `dkms forecast` and `preflight=build` with dnf: what the next upgrade brings is built before it comes.

use dkms_tests::rpm::{Package, Suite};

use super::{dnf, run, world};

/// The next build of a module with this in its dkms.conf fails.
const FAILS: &str = "MAKE=\"echo foo.c:1: error: no such thing; false\"";

fn foreseen(suite: Suite) {
    let world = world(suite, &[Package::ready("one", "1.0"), Package::ready("two", "1.0")]);
    world.must("echo build_cache=/srv/cache >>/etc/dkms/framework.conf").unwrap();
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms two-dkms");
    world.must(&format!("echo '{FAILS}' >>/usr/src/two-1.0/dkms.conf")).unwrap();
    let before = run(&world, "ls -R /usr/src /lib/modules");
    let output = world.root.shell("dkms forecast --fetch --json", dkms_tests::root::User::Root, "/").unwrap();
    assert_eq!(output.code, 30, "{output:?}");
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(told["kernel"], world.kernels[1], "{told}");
    let results: Vec<_> =
        told["modules"].as_array().unwrap().iter().map(|one| one["result"].clone()).collect();
    assert_eq!(results, ["builds", "fails"], "{told}");
    assert_eq!(run(&world, "ls -R /usr/src /lib/modules"), before);
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert!(said.contains("two/1.0, K2, x86_64: will not be there: it was tried on"), "{said}");
    let log = world
        .must(&format!("head -n 1 /var/lib/dkms/one/1.0/{}/x86_64/log/make.log", world.kernels[1]))
        .unwrap();
    assert!(log.starts_with("# taken from the build cache"), "{log} {said}");
}

#[test]
#[ignore = "full tier"]
fn what_dnf_would_bring_is_built_before() {
    [Suite::Bookworm, Suite::Forky].into_iter().for_each(foreseen);
}

fn critical(suite: Suite) {
    let world = world(suite, &[Package::ready("one", "1.0")]);
    world
        .must(
            "printf 'preflight=build\\ncritical=one\\nbuild_cache=/srv/cache\\n' >>/etc/dkms/framework.conf",
        )
        .unwrap();
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms");
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert!(said.contains("building one for kernel K2 before it is installed"), "{said}");
    let log = world
        .must(&format!("head -n 1 /var/lib/dkms/one/1.0/{}/x86_64/log/make.log", world.kernels[1]))
        .unwrap();
    assert!(log.starts_with("# taken from the build cache"), "{log} {said}");
}

#[test]
#[ignore = "full tier"]
fn critical_modules_are_built_before_a_transaction() {
    [Suite::Bookworm, Suite::Forky].into_iter().for_each(critical);
}
