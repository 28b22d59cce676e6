//! Packages of modules as they are found in the field: a %post that registers, that goes on to use its
//! module, no %preun at all.

use dkms_tests::rpm::{MKRPM, Package, Suite};

use super::{dnf, run, status, world};

/// Both kernels with their headers, neither of which runs.
const KERNELS: &str = "install kernel-core-6.1.0 kernel-devel-6.1.0 kernel-core-6.2.0 kernel-devel-6.2.0";
const ON_BOTH: &str = "one/1.0, K1: installed\none/1.0, K2: installed";

#[test]
fn what_its_script_uses_is_there_when_the_call_returns() {
    let used = format!(
        "{}\nfor k in /lib/modules/*; do modinfo -k ${{k##*/}} -F version NAME; done >/srv/seen 2>&1",
        MKRPM.0
    );
    let package = Package { scripts: (&used, MKRPM.1), ..Package::ready("one", "1.0") };
    let world = world(Suite::Bookworm, &[package]);
    dnf(&world, KERNELS);
    for install in ["rpm -U /srv/repo/one-dkms-1.0.rpm", "dnf -y reinstall one-dkms"] {
        run(&world, "rm -f /srv/seen");
        let said = run(&world, install);
        assert_eq!(world.must("cat /srv/seen").unwrap(), "1.0\n1.0\n", "{install}: {said}");
        assert_eq!(status(&world), ON_BOTH, "{install}: {said}");
    }
}

#[test]
fn what_the_end_of_its_package_uses_is_there() {
    let at_the_end = format!(
        "{}\n%posttrans\nfor k in /lib/modules/*; do modinfo -k ${{k##*/}} -F version NAME; done >/srv/seen 2>&1",
        MKRPM.1
    );
    let package = |version| Package { scripts: (MKRPM.0, &at_the_end), ..Package::ready("one", version) };
    let world = world(Suite::Bookworm, &[package("1.0"), package("2.0")]);
    dnf(&world, KERNELS);
    // On the way back the %preun of the newer version, which is in place until then, comes after the %post.
    for (version, install) in [
        ("1.0", "rpm -U /srv/repo/one-dkms-1.0.rpm"),
        ("1.0", "dnf -y reinstall one-dkms"),
        ("2.0", "dnf -y upgrade one-dkms"),
        ("1.0", "dnf -y downgrade one-dkms"),
    ] {
        run(&world, "rm -f /srv/seen");
        let said = run(&world, install);
        let seen = format!("{version}\n{version}\n");
        assert_eq!(world.must("cat /srv/seen").unwrap(), seen, "{install}: {said}");
        assert_eq!(status(&world), ON_BOTH.replace("1.0", version), "{install}: {said}");
    }
}

// guide 5
#[test]
fn in_an_image_a_first_installation_is_for_all_kernels() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0"), Package::ready("one", "2.0")]);
    dnf(&world, KERNELS);
    let said = run(&world, "rpm -U /srv/repo/one-dkms-1.0.rpm");
    assert_eq!(status(&world), ON_BOTH, "{said}");
    let said = run(&world, "rpm -U --replacepkgs /srv/repo/one-dkms-1.0.rpm");
    assert_eq!(status(&world), ON_BOTH, "{said}");
    let said = run(&world, "rpm -U /srv/repo/one-dkms-2.0.rpm");
    assert_eq!(status(&world), ON_BOTH.replace("1.0", "2.0"), "{said}");
}

#[test]
fn kernel_install_in_another_root_leaves_this_one_alone() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0")]);
    dnf(&world, KERNELS);
    dnf(&world, "install one-dkms");
    run(&world, &format!("mkdir -p /srv/other; dkms uninstall one/1.0 -k {}", world.kernels[0]));
    let before = status(&world);
    let plugin = "/usr/lib/kernel/install.d/40-dkms.install add $k /boot/x /boot/vmlinuz";
    let said = run(&world, &format!("k={}; KERNEL_INSTALL_ROOT=/srv/other {plugin}", world.kernels[0]));
    assert_eq!(status(&world), before, "{said}");
    run(&world, &format!("k={}; KERNEL_INSTALL_ROOT=/ {plugin}", world.kernels[0]));
    assert_eq!(status(&world), ON_BOTH);
}
