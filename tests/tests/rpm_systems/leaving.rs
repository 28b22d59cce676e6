//! What is there when dkms itself has gone, and images that were made before their modules.

use dkms_tests::rpm::{Package, Suite};

use super::{dnf, run, status, world};

const KERNELS: &str = "install kernel-core-6.1.0 kernel-devel-6.1.0 kernel-core-6.2.0 kernel-devel-6.2.0";

/// Nobody of ours is left to run depmod afterwards.
// guide 8
#[test]
fn a_module_leaves_with_dkms() {
    let own = Package { head: "Requires: dkms\n", ..Package::ready("one", "2.0") };
    let without_preun = Package { scripts: (own.scripts.0, ""), ..own };
    // rpm may take it away after dkms, without its having said that it needs that.
    let stranger = Package { head: "", ..without_preun };
    for (package, remove) in [
        (stranger, "rpm -e dkms one-dkms"),
        (stranger, "dnf -y remove one-dkms dkms"),
        (own, "rpm -e one-dkms dkms"),
        (own, "dnf -y remove dkms"),
        (without_preun, "rpm -e one-dkms dkms"),
        (without_preun, "dnf -y remove one-dkms dkms"),
    ] {
        let world = world(Suite::Bookworm, &[package]);
        dnf(&world, KERNELS);
        // The kernels have a module of that name, which is older.
        world
            .must(
                "for k in /lib/modules/*; do mkdir -p $k/kernel/drivers/misc
                 cp /srv/ready/${k##*/}/1.0/one.ko $k/kernel/drivers/misc/; depmod ${k##*/}; done",
            )
            .unwrap();
        dnf(&world, "install one-dkms");
        let versions = "for k in /lib/modules/*; do modinfo -k ${k##*/} -F version one; done";
        assert_eq!(world.must(versions).unwrap(), "2.0\n2.0\n", "{}", status(&world));
        let said = run(&world, remove);
        assert_eq!(world.must(versions).unwrap(), "1.0\n1.0\n", "{remove}: {said}");
        let left = "grep -l extra/one /lib/modules/*/modules.dep || find /lib/modules -path '*extra/*'";
        assert_eq!(world.must(left).unwrap(), "", "{remove}: {said}");
        assert_eq!(world.must("ls /usr/sbin/dkms 2>/dev/null || :").unwrap(), "", "{remove}: {said}");
    }
}

/// kernel-install makes the image of a kernel whose headers are not there; they come later.
// guide 4
#[test]
fn an_image_that_was_made_before_its_modules_is_made_again() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0")]);
    world
        .must(
            "mv /usr/bin/kernel-install.off /usr/bin/kernel-install
             printf '#!/bin/sh\\necho \"$*\" >>/srv/dracut\\n' >/usr/bin/dracut; chmod 755 /usr/bin/dracut
             printf '#!/bin/sh\\n[ $1 != add ] || : >/boot/initramfs-$2.img\\n' >/usr/lib/kernel/install.d/50-dracut.install
             chmod 755 /usr/lib/kernel/install.d/50-dracut.install; : >/srv/dracut",
        )
        .unwrap();
    dnf(&world, "install kernel-core-6.1.0 one-dkms");
    assert_eq!(world.must("cat /srv/dracut").unwrap(), "");
    let said = dnf(&world, "install kernel-devel-6.1.0");
    assert_eq!(status(&world), "one/1.0, K1: installed", "{said}");
    let made = world.must("cat /srv/dracut; : >/srv/dracut").unwrap();
    assert_eq!(world.short(&made), "--force /boot/initramfs-K1.img K1\n", "{said}");
    // A kernel that comes with its headers gets its image after its modules: nothing is made up for.
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert_eq!(status(&world), "one/1.0, K1: installed\none/1.0, K2: installed", "{said}");
    dnf(&world, "reinstall one-dkms");
    assert_eq!(world.must("cat /srv/dracut").unwrap(), "", "{said}");
}

/// By a %preun that runs `dkms remove`, in an upgrade and a removal.
#[test]
fn an_image_is_made_once_when_a_module_that_it_holds_changes_or_goes() {
    let world = world(Suite::Bookworm, &[Package::ready("one", "1.0"), Package::ready("one", "2.0")]);
    world.root.write("/usr/sbin/make-image", include_str!("../../image.sh"), 0o755).unwrap();
    let dracut = "printf '#!/bin/sh\\nexec /usr/sbin/make-image \"$2\" \"$3\"\\n' >/usr/bin/dracut; chmod 755 /usr/bin/dracut";
    world.must(dracut).unwrap();
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms-1.0");
    let by_hand = format!("dracut --force /boot/initramfs-{k}.img {k}", k = world.kernels[0]);
    let made = || world.short(&world.must("cat /srv/images; : >/srv/images").unwrap());
    world.must(&by_hand).unwrap();
    let there = world.must("dkms status; find /lib/modules /srv/images").unwrap();
    assert_eq!(made(), "K1: 1.0\n", "{there}");
    for (line, held) in [
        ("dnf -y upgrade one-dkms", "K1: 2.0\n"),
        ("rpm -U --oldpackage /srv/repo/one-dkms-1.0.rpm", "K1: 1.0\n"),
        ("dnf -y remove one-dkms", "K1:\n"),
        ("dnf -y install one-dkms-1.0", ""),
        ("rpm -e one-dkms", ""),
    ] {
        let said = run(&world, line);
        assert_eq!(made(), held, "{line}: {said}");
    }
    let noted = "find /var/lib/dkms/.state/initramfs -type f 2>/dev/null || :";
    assert_eq!(world.must(noted).unwrap(), "");
}
