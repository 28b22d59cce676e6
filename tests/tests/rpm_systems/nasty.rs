//! Other roots, interruptions, full disks, rubbish: no transaction breaks, and what happened is reported.

use dkms_tests::rpm::{Build, Package, Suite, World};

use super::{PROGRAM, dnf, ends_with_summary, run, status, world};

const HOOKS: &str = "/usr/libexec/dkms/hooks-dnf";

/// A second system below `/srv/r`: the first, bound there, with a database and a tree of its own.
fn with_inner(world: &World) {
    world
        .must(
            "mkdir -p /srv/r /srv/inner/rpm /srv/inner/dkms /srv/inner/modules /srv/inner/src /srv/inner/boot
             mount --bind / /srv/r
             cp -r /var/lib/rpm/. /srv/inner/rpm/; cp -r /usr/src/. /srv/inner/src/
             mount --bind /srv/inner/rpm /srv/r/var/lib/rpm; mount --bind /srv/inner/dkms /srv/r/var/lib/dkms
             mount --bind /srv/inner/modules /srv/r/lib/modules; mount --bind /srv/inner/src /srv/r/usr/src
             mount --bind /srv/inner/boot /srv/r/boot",
        )
        .unwrap();
}

fn outer(world: &World) -> String {
    world.must("find /var/lib/dkms /lib/modules /usr/src -maxdepth 2 -not -path '*/linux-*' | sort; rpm -qa | sort").unwrap()
}

fn another_root(suite: Suite) {
    let world = world(suite, &[Package::ready("one", "1.0")]);
    world.must("mkdir -p /lib/modules").unwrap();
    with_inner(&world);
    let before = outer(&world);
    let releasever = if suite == Suite::Forky { "--use-host-config" } else { "" };
    let said = dnf(
        &world,
        &format!(
            "--installroot=/srv/r {releasever} --releasever=1 install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms"
        ),
    );
    let inner = world.short(&world.must("dkms --root /srv/r status").unwrap());
    assert!(inner.contains("one/1.0, K1, x86_64: installed"), "{inner}\n{said}");
    assert!(said.contains("dkms: kernel K1 (x86_64): installed: one/1.0"), "{said}");
    assert_eq!(outer(&world), before, "{said}");
    let said = run(&world, "rpm --root /srv/r -e one-dkms");
    assert_eq!(world.must("dkms --root /srv/r status").unwrap(), "", "{said}");
    let said = run(&world, "rpm --root /srv/r -ivh /srv/repo/one-dkms-1.0.rpm");
    let inner = world.short(&world.must("dkms --root /srv/r status").unwrap());
    assert!(inner.contains("one/1.0, K1, x86_64: installed") && ends_with_summary(&said), "{inner}\n{said}");
    assert_eq!(outer(&world), before, "{said}");
}

#[test]
fn installroot_of_dnf_4_and_root_of_rpm() {
    another_root(Suite::Bookworm);
}

#[test]
fn installroot_of_dnf_5() {
    another_root(Suite::Forky);
}

#[test]
fn killed_in_the_middle() {
    let slow = Package { build: Build::Slow, ..Package::ready("one", "1.0") };
    let world = world(Suite::Bookworm, &[slow, Package::ready("three", "1.0")]);
    let output = world
        .shell(
            "dnf -y install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms & pid=$!
             until pgrep -x sleep >/dev/null; do :; done
             kill -9 $(pgrep hooks-dnf) $pid; wait $pid; echo ended",
        )
        .unwrap();
    assert!(!status(&world).contains("installed"), "{}", output.stdout);
    // The next transaction, whatever it brings, goes on.
    let said = dnf(&world, "install three-dkms");
    assert_eq!(
        status(&world),
        "one/1.0, K1: installed\nthree/1.0, K1: installed",
        "{said}\n{}",
        output.stdout
    );
}

#[test]
fn one_right_after_the_other() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0"), Package::ready("three", "1.0")]);
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0");
    let said =
        run(&world, "dnf -y install one-dkms >/tmp/a 2>&1 & dnf -y install three-dkms; wait; cat /tmp/a");
    assert_eq!(status(&world), "one/1.0, K1: installed\nthree/1.0, K1: installed", "{said}");
    let said =
        dnf(&world, "remove one-dkms") + &dnf(&world, "install one-dkms") + &dnf(&world, "remove three-dkms");
    assert_eq!(status(&world), "one/1.0, K1: installed", "{said}");
}

#[test]
fn no_space() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0")]);
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0");
    run(
        &world,
        "mount -t tmpfs -o size=16k t /var/lib/dkms; dd if=/dev/zero of=/var/lib/dkms/full bs=1k 2>/dev/null || :",
    );
    let said = dnf(&world, "install one-dkms");
    assert!(said.contains("No space left on device"), "{said}");
    run(&world, "umount /var/lib/dkms");
    let said = dnf(&world, "reinstall one-dkms");
    assert_eq!(status(&world), "one/1.0, K1: installed", "{said}");
}

#[test]
fn rubbish() {
    let world = world(Suite::Bookworm, &[]);
    for (words, input, says) in [
        ("dnf4 before", "{\"packages\": [", "isn't understood"),
        ("dnf4 before", "", "isn't understood"),
        ("dnf4 noon", "{}", "no event that is known"),
        ("dnf5 before", "\\000\\377\\n", "isn't understood"),
        ("dnf5 after", "", "isn't understood"),
        ("dnf5 noon", "{\"status\":\"OK\"}\\n", "no event that is known"),
        ("kernel-install add ../../etc", "", "error"),
        ("kernel-install noon 6.1", "", ""),
        ("trigger after", "/usr/lib/modules/../../../etc\\n\\377", ""),
    ] {
        let said = run(
            &world,
            &format!("printf '{input}' | {HOOKS} {words} >/tmp/out 2>&1; echo code $?; cat /tmp/out"),
        );
        assert!(
            said.contains("code 0") && said.contains(says) && !said.contains("panicked"),
            "{words}: {said}"
        );
    }
    let said = run(&world, &format!("{HOOKS} noon; echo code $?"));
    assert!(said.contains("code 2"), "{said}");
    // What we keep is rubbish, too.
    run(
        &world,
        "mkdir -p /var/lib/dkms/.state; echo '{' >/var/lib/dkms/.state/rpm-view.json; echo 7 >/var/lib/dkms/.state/rpm-front.json",
    );
    world.add(&Package::ready("one", "1.0")).unwrap();
    let said = run(&world, "cd /srv/repo; rpm -ivh kernel-*6.1.0*.rpm one-dkms-1.0.rpm");
    assert_eq!(status(&world), "one/1.0, K1: installed", "{said}");
}

/// Written by another program than rpmbuild, which refuses such names; those with worse
/// characters no writer makes.
#[test]
fn a_hostile_name() {
    let world = World::new(Suite::Bookworm, PROGRAM).unwrap();
    let conf =
        b"PACKAGE_NAME=\"../../../tmp/x\"\nPACKAGE_VERSION=\"1\"\nBUILT_MODULE_NAME[0]=\"x\"\n".to_vec();
    let mut builder = rpm::PackageBuilder::new("a%{nil}-%{x}", "1", "GPL", "noarch", "x");
    builder
        .release("1")
        .with_file_contents(conf, rpm::FileOptions::new("/usr/src/x $(touch owned)-1/dkms.conf"))
        .unwrap();
    let mut bytes = Vec::new();
    builder.build().unwrap().write(&mut bytes).unwrap();
    dkms_base::host::fs::write_whole(&world.root.view("/srv/repo/hostile.rpm"), &bytes, 0o644).unwrap();
    world.add(&Package::ready("one", "1.0")).unwrap();
    world.index().unwrap();
    let said = run(
        &world,
        "dnf -y install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms /srv/repo/hostile.rpm ||
         { dnf -y install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms; rpm -i /srv/repo/hostile.rpm; }",
    );
    assert_eq!(status(&world), "one/1.0, K1: installed", "{said}");
    assert_eq!(world.must("find / -xdev -name owned").unwrap(), "", "{said}");
    assert!(said.contains("is not valid"), "{said}");
}

/// The real script is not available on Debian: one that writes down its arguments stands in its place.
#[test]
fn weak_modules_is_told_the_files() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0"), Package::ready("three", "1.0")]);
    world.must("printf 'ID=centos\\nID_LIKE=\"rhel fedora\"\\n' >/etc/os-release").unwrap();
    let recorder = "#!/bin/sh\n{ echo \"$*\"; cat; } >>/srv/weak\n";
    world.root.write("/usr/sbin/weak-modules", recorder, 0o755).unwrap();
    let said = dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms three-dkms");
    let told = world.short(&world.must("cat /srv/weak").unwrap());
    for name in ["one", "three"] {
        let call = format!("--no-initramfs --add-modules\n/lib/modules/K1/extra/{name}.ko");
        assert!(told.contains(&call), "{told}\n{said}");
    }
    dnf(&world, "remove one-dkms");
    let told = world.short(&world.must("cat /srv/weak").unwrap());
    assert!(told.contains("--no-initramfs --remove-modules\n/lib/modules/K1/extra/one.ko"), "{told}");
}
