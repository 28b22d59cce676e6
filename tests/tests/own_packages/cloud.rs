//! dkms.service in systems that boot with cloud-init, which starts the network early: systemd drops no job
//! to break an ordering cycle.

use std::path::Path;

use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::debs;
use dkms_tests::setup::{Base, base};

const INCLUDE: &[&str] = &[
    "gcc",
    "make",
    "kmod",
    "systemd",
    "systemd-sysv",
    "systemd-resolved",
    "dbus",
    "cloud-init",
    "netbase",
    "lsb-release",
];

const SYSTEMS: [Base; 2] = [
    Base { name: "cloud-bookworm", suite: "bookworm", include: INCLUDE, script: "" },
    Base { name: "cloud-trixie", suite: "trixie", include: INCLUDE, script: "" },
];

/// The output of a check of such a system, and its console while it boots.
fn booted(system: &Base, line: &str) -> String {
    let cache = Cache::open().unwrap();
    let layers = base(&cache, system).unwrap();
    let debs = debs::ours(&cache, env!("CARGO_BIN_EXE_dkms-under-test")).unwrap();
    let layers = layers.to_string_lossy();
    let deb = debs.dkms.to_string_lossy();
    let words =
        ["--mount", "--propagation=private", "sh", "-c", include_str!("cloud.sh"), "sh", &layers, &deb, line];
    must("unshare", &words, Path::new("/")).unwrap()
}

#[test]
#[ignore = "full tier"]
fn a_system_with_cloud_init_boots_whole() {
    for system in &SYSTEMS {
        let said = booted(system, "");
        for cycle in ["rdering cycle", "deleted to break"] {
            assert!(!said.contains(cycle), "{}: {said}", system.name);
        }
        assert!(said.ends_with("units: active active \n"), "{}: {said}", system.name);
        // The check sees a cycle if there is one.
        let cyclic = booted(system, "Before=network-pre.target");
        assert!(cyclic.contains("deleted to break ordering cycle"), "{}: {cyclic}", system.name);
    }
}
