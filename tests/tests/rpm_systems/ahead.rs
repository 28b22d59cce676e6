//! What is foreseen before a transaction, and what a failure is to dnf.

use dkms_tests::rpm::{Build, Package, Suite, World};

use super::{dnf, run, status, world};

const CAPPED: &str = "BUILD_EXCLUSIVE_KERNEL_MAX=\"5.0\"";

/// What was said, and what was there, when it was called.
const WITNESS: &str =
    "#!/bin/sh\nsleep 0.5\n{ cat /srv/said; echo kernels: $(ls /lib/modules); } >/srv/then\n";

/// Has dnf 4 call it before a transaction, after our plugin: its name sorts behind.
const WITNESS_PLUGIN: &str = "import dnf, subprocess, sys
class Witness(dnf.Plugin):
    name = 'zz'
    def pre_transaction(self):
        sys.stdout.flush()
        subprocess.run(['/srv/witness.sh'])
";

/// `one` is in use on K1.
fn in_use(suite: Suite) -> World {
    let world = world(suite, &[Package::ready("one", "1.0")]);
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms");
    world
}

fn foreseen(suite: Suite) {
    let world = in_use(suite);
    let before = world.must("rpm -qa | sort").unwrap();
    world.must("echo preflight=block >>/etc/dkms/framework.conf").unwrap();
    let output = world.dnf("install kernel-core-6.2.0").unwrap();
    let said = world.short(&output.stdout);
    assert_ne!(output.code, 0, "{said}");
    assert!(said.contains("dkms: warning: one/1.0, K2, x86_64: will not be there"), "{said}");
    assert!(said.contains("preflight=block"), "{said}");
    assert_eq!(world.must("rpm -qa | sort").unwrap(), before, "{said}");
    assert_eq!(world.must("ls /lib/modules").unwrap().trim(), world.kernels[0], "{said}");
    // With its headers all is well.
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert!(!said.contains("will not be there"), "{said}");
    assert_eq!(status(&world), "one/1.0, K1: installed\none/1.0, K2: installed", "{said}");
    dnf(&world, "remove kernel-core-6.2.0 kernel-devel-6.2.0");

    // A kernel that it isn't for.
    world.must(&format!("echo '{CAPPED}' >>/usr/src/one-1.0/dkms.conf")).unwrap();
    let output = world.dnf("install kernel-core-6.2.0 kernel-devel-6.2.0").unwrap();
    let said = world.short(&output.stdout);
    assert_ne!(output.code, 0, "{said}");
    assert!(said.contains("BUILD_EXCLUSIVE_KERNEL_MAX") && said.contains("preflight=block"), "{said}");
    assert_eq!(world.must("rpm -qa | sort").unwrap(), before, "{said}");
    assert_eq!(world.must("ls /lib/modules").unwrap().trim(), world.kernels[0], "{said}");

    world.must("sed -i s/preflight=block/preflight=warn/ /etc/dkms/framework.conf").unwrap();
    world.root.write("/srv/witness.sh", WITNESS, 0o755).unwrap();
    if suite == Suite::Forky {
        // Actions of one event run in the order of the files' names; rpm hasn't begun.
        let action = "pre_transaction::::/srv/witness.sh\n";
        world.root.write("/etc/dnf/libdnf5-plugins/actions.d/zz.actions", action, 0o644).unwrap();
    } else {
        world.root.write("/srv/zz.py", WITNESS_PLUGIN, 0o644).unwrap();
        run(&world, "for d in /usr/lib/python3*/*-packages/dnf-plugins; do cp /srv/zz.py $d; done");
    }
    let said = run(
        &world,
        &format!(
            "{} -y install kernel-core-6.2.0 kernel-devel-6.2.0 2>&1 | tee /srv/said; exit ${{PIPESTATUS[0]}}",
            suite.dnf()
        ),
    );
    let then = world.short(&world.must("cat /srv/then").unwrap());
    assert!(
        then.contains("BUILD_EXCLUSIVE_KERNEL_MAX") && then.contains("will not be there"),
        "{then}\n{said}"
    );
    assert!(then.ends_with("kernels: K1\n"), "{then}\n{said}");
    assert_eq!(status(&world), "one/1.0, K1: installed");
}

#[test]
fn by_dnf_4() {
    foreseen(Suite::Bookworm);
}

#[test]
fn by_dnf_5() {
    foreseen(Suite::Forky);
}

fn failing(suite: Suite) {
    let bad = Package { name: "bad", build: Build::Failing, ..Package::ready("bad", "1.0") };
    let world = world(suite, &[Package::ready("one", "1.0"), bad]);
    let said = dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms bad-dkms");
    assert!(said.contains("dkms: error: cannot build bad/1.0 for kernel K1"), "{said}");
    assert_eq!(status(&world), "bad/1.0: added\none/1.0, K1: installed", "{said}");
    let doctor = world.shell("dkms doctor").unwrap();
    assert!(doctor.code != 0 && doctor.stdout.contains("bad/1.0 is not installed"), "{}", doctor.stdout);
    world.must("echo on_build_failure=fail >>/etc/dkms/framework.conf").unwrap();
    let output = world.dnf("reinstall bad-dkms").unwrap();
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert!(output.stdout.contains("on_build_failure=fail"), "{}", output.stdout);
    run(&world, "rpm -q bad-dkms");
}

#[test]
fn a_failure_in_dnf_4() {
    failing(Suite::Bookworm);
}

#[test]
fn a_failure_in_dnf_5() {
    failing(Suite::Forky);
}
