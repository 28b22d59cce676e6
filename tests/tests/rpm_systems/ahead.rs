//! What is foreseen before a transaction, and what a failure is to dnf.

use dkms_tests::rpm::{Build, Package, Suite, World};

use super::{dnf, run, status, world};

const CAPPED: &str = "BUILD_EXCLUSIVE_KERNEL_MAX=\"5.0\"";

/// Installs a kernel with dnf (`$1`); what had been said while nothing of it was there yet is in `/srv/then`.
const WATCHED: &str = "export PYTHONUNBUFFERED=1
there() { ls /lib/modules /usr/src/kernels; }
before=$(there); : >/srv/said
$1 -y install kernel-core-6.2.0 kernel-devel-6.2.0 >/srv/said 2>&1 & dnf=$!
while kill -0 $dnf; do
    said=$(cat /srv/said)
    [ \"$(there)\" = \"$before\" ] || break
    echo \"$said\" >/srv/then
done 2>/dev/null
wait $dnf; code=$?
cat /srv/said
exit $code
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
    // depmod of the newest kmod leaves a file that these kernels' script doesn't know.
    run(&world, &format!("rm -rf /lib/modules/{}", world.kernels[1]));

    // A kernel that it isn't for.
    world.must(&format!("echo '{CAPPED}' >>/usr/src/one-1.0/dkms.conf")).unwrap();
    let output = world.dnf("install kernel-core-6.2.0 kernel-devel-6.2.0").unwrap();
    let said = world.short(&output.stdout);
    assert_ne!(output.code, 0, "{said}");
    assert!(said.contains("BUILD_EXCLUSIVE_KERNEL_MAX") && said.contains("preflight=block"), "{said}");
    assert_eq!(world.must("rpm -qa | sort").unwrap(), before, "{said}");
    assert_eq!(world.must("ls /lib/modules").unwrap().trim(), world.kernels[0], "{said}");

    world.must("sed -i s/preflight=block/preflight=warn/ /etc/dkms/framework.conf").unwrap();
    world.root.write("/srv/watched.sh", WATCHED, 0o644).unwrap();
    let said = run(&world, &format!("sh /srv/watched.sh {}", suite.dnf()));
    let then = world.short(&world.must("cat /srv/then").unwrap());
    assert!(
        then.contains("BUILD_EXCLUSIVE_KERNEL_MAX") && then.contains("will not be there"),
        "{then}\n{said}"
    );
    assert_eq!(status(&world), "one/1.0, K1: installed");
}

// guide 3
#[test]
fn by_dnf_4() {
    foreseen(Suite::Bookworm);
}

#[test]
fn by_dnf_5() {
    foreseen(Suite::Forky);
}

fn replaced(suite: Suite) {
    let world = in_use(suite);
    world.add(&Package::ready("one", "2.0")).unwrap();
    world.index().unwrap();
    world
        .must("rpm -e --nodeps kernel-devel-6.1.0; echo preflight=block >>/etc/dkms/framework.conf")
        .unwrap();
    let output = world.dnf("upgrade one-dkms").unwrap();
    let said = world.short(&output.stdout);
    assert_ne!(output.code, 0, "{said}");
    assert!(said.contains("dkms: warning: one/1.0, K1, x86_64: will not be there: the headers"), "{said}");
    assert_eq!(status(&world), "one/1.0, K1: installed", "{said}");
    world.must("sed -i s/preflight=block/preflight=warn/ /etc/dkms/framework.conf").unwrap();
    let said = dnf(&world, "upgrade one-dkms");
    assert!(said.contains("dkms: warning: one/1.0, K1, x86_64: will not be there: the headers"), "{said}");
    assert_eq!(status(&world), "one/2.0: added", "as the warning said: {said}");
}

#[test]
fn a_version_that_no_kernel_can_have_is_told_before_by_dnf_4() {
    replaced(Suite::Bookworm);
}

#[test]
fn a_version_that_no_kernel_can_have_is_told_before_by_dnf_5() {
    replaced(Suite::Forky);
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

fn prepared(suite: Suite, how: &str) {
    let world = in_use(suite);
    let before = world.must("rpm -qa | sort").unwrap();
    let said = dnf(&world, &format!("install {how} kernel-core-6.2.0"));
    assert!(said.contains("dkms: warning: one/1.0"), "{said}");
    assert!(said.contains("will not be there"), "{said}");
    assert_eq!(world.must("rpm -qa | sort").unwrap(), before, "{said}");
    world.must("echo preflight=block >>/etc/dkms/framework.conf").unwrap();
    let output = world.dnf(&format!("install {how} kernel-core-6.2.0")).unwrap();
    assert!(output.code != 0 && output.stdout.contains("preflight=block"), "{}", output.stdout);
}

#[test]
fn what_is_only_downloaded_is_judged_now_by_dnf_4() {
    prepared(Suite::Bookworm, "--downloadonly");
}

#[test]
#[ignore = "full tier"]
fn what_is_only_tested_is_judged_now_by_dnf_4() {
    prepared(Suite::Bookworm, "--setopt=tsflags=test");
}

// guide 9
#[test]
fn what_is_prepared_for_the_next_boot_is_judged_now_by_dnf_5() {
    prepared(Suite::Forky, "--offline");
}

/// As `login` and `sshd` have it: what is in `/etc/motd.d` is shown by PAM.
const PAM: &str = "auth sufficient pam_rootok.so\naccount required pam_permit.so\n\
                   session optional pam_motd.so\nsession required pam_permit.so\n";

// guide 9
#[test]
fn what_failed_in_an_offline_upgrade_is_told_at_the_next_login_until_it_is_done() {
    let bad = Package { build: Build::Failing, ..Package::ready("one", "1.0") };
    let world = world(Suite::Forky, &[bad]);
    world.root.write("/etc/pam.d/su-l", PAM, 0o644).unwrap();
    let login = || run(&world, "echo 'echo here' | su -l root 2>&1");
    assert!(!login().contains("dkms:"));
    // systemd boots into the upgrade because of this link, and dnf takes it away afterwards.
    run(&world, "ln -s /var/lib/dnf /system-update");
    let said = dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms");
    run(&world, "rm -f /system-update");
    let shown = login();
    assert!(shown.contains("dkms: the offline upgrade has left kernel modules behind"), "{shown}\n{said}");
    assert!(shown.contains("cannot build one/1.0") && shown.ends_with("here\n"), "{shown}");
    // After the fix it is not reported again.
    let again = Package::ready("one", "2.0");
    world.add(&again).unwrap();
    world.index().unwrap();
    let said = dnf(&world, "upgrade one-dkms");
    let shown = login();
    assert!(!shown.contains("dkms:"), "{shown}\n{said}");
}
