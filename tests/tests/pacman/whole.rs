//! Whole transactions: what pacman is asked to do, and what is there afterwards.

use super::*;

// guide 1, guide 2
#[test]
fn everything_at_once_is_one_batch() {
    everything_at_once_is_one_batch_in(Pacman::V6_0);
}

#[test]
#[ignore = "full tier"]
fn everything_at_once_is_one_batch_in_newer_ones() {
    everything_at_once_is_one_batch_in(Pacman::V7_0);
    everything_at_once_is_one_batch_in(Pacman::V7_1);
}

fn everything_at_once_is_one_batch_in(release: Pacman) {
    let world = world(release);
    let (first, lts) = (world.kernels[0].as_str(), world.kernels[2].as_str());
    let said = pacman(&world, "-S linux linux-headers linux-lts linux-lts-headers aa-dkms bb-dkms cc-dkms");
    assert_eq!(status(&world), installed(&["aa/1.0", "bb/1.0", "cc/1.0"], &[first, lts]), "{said}");
    assert_eq!(depmods(&world), sorted(&[first, lts]), "{said}");
    assert_eq!(at_90(&world), "aa aa bb bb cc cc");
    assert_eq!(said.matches("dkms: building").count(), 1, "{said}");
    let builds = builds(&world);
    assert!(builds.lines().count() == 6 && builds.lines().all(|line| line.ends_with(" 1")), "{builds}");
    for kernel in [first, lts] {
        let line = format!("dkms: kernel {kernel} (x86_64): installed: aa/1.0, bb/1.0, cc/1.0");
        assert!(said.contains(&line), "{line}: {said}");
    }
    // Asked again there is nothing to do, and nothing is done.
    let said = pacman(&world, "-S linux linux-headers aa-dkms bb-dkms cc-dkms");
    assert_eq!((depmods(&world), super::builds(&world)), (vec![], builds), "{said}");
    let said = pacman(&world, "-R linux linux-headers linux-lts linux-lts-headers aa-dkms bb-dkms cc-dkms");
    assert_eq!(left(&world), "", "{said}");
    assert_eq!(depmods(&world), Vec::<String>::new(), "{said}");
    assert_eq!(must(&world, "ls /lib/modules"), "", "{said}");
}

// guide 5
#[test]
fn a_system_upgrade_swaps_kernel_and_modules() {
    a_system_upgrade_swaps_kernel_and_modules_in(Pacman::V6_0);
}

#[test]
#[ignore = "full tier"]
fn a_system_upgrade_swaps_kernel_and_modules_in_newer_ones() {
    a_system_upgrade_swaps_kernel_and_modules_in(Pacman::V7_0);
    a_system_upgrade_swaps_kernel_and_modules_in(Pacman::V7_1);
}

fn a_system_upgrade_swaps_kernel_and_modules_in(release: Pacman) {
    let world = world(release);
    let [first, second, lts] = world.kernels.as_slice() else { panic!("three kernels") };
    pacman(&world, "-S linux linux-headers linux-lts linux-lts-headers bb-dkms cc-dkms");
    let before = status(&world);
    assert_eq!(before, installed(&["aa/1.0", "bb/1.0", "cc/1.0"], &[first, lts]));
    depmods(&world);
    world.repository("two").expect("pacman takes it");
    let said = pacman(&world, "-Su");
    // cc/3.0 can't be built: the old one stays where it is in use, and its kernel stays.
    let mut expected = installed(&["aa/2.0", "bb/2.0"], &[second, lts]);
    expected.push("cc/3.0: added".to_owned());
    let now = status(&world);
    // Its source has gone, which is what `broken` means.
    expected.insert(4, "cc/1.0: broken".to_owned());
    assert_eq!(now, expected, "{said}");
    must(&world, &format!("ls /lib/modules/{lts}/updates/dkms/cc.ko && ! ls -d /lib/modules/{first}"));
    assert!(said.contains("error: cannot build cc/3.0"), "{said}");
    // What is there when mkinitcpio's turn comes: all of the new, and the old cc.
    assert_eq!(at_90(&world), "aa aa bb bb cc", "{said}");
    let lines = depmods(&world);
    assert_eq!(lines.iter().filter(|kernel| *kernel == second).count(), 1, "{lines:?}");
    let builds = builds(&world);
    assert!(builds.lines().all(|line| line.ends_with(" 1")), "{builds}");
    // It still does when something else comes, and is not tried in vain.
    let said = pacman(&world, "-S onlycloud-dkms");
    expected.push("onlycloud/1.0: added".to_owned());
    assert_eq!((status(&world), super::builds(&world)), (expected, builds), "{said}");
    must(&world, &format!("ls /lib/modules/{lts}/updates/dkms/cc.ko"));
    pacman(&world, "-R onlycloud-dkms");
    // A version that can be built again: it comes where the module is in use, and to the newest kernel. Of
    // the others nothing is left.
    let said = pacman(&world, "-U cc-dkms-1.0-2-any.pkg.tar.zst");
    let mut expected = installed(&["aa/2.0", "bb/2.0"], &[second, lts]);
    expected.extend(installed(&["cc/1.0"], &[lts]));
    assert_eq!(status(&world), expected, "{said}");
    assert_eq!(must(&world, "ls /var/lib/dkms/cc"), format!("1.0\nkernel-{lts}-x86_64\n"));
    let said = pacman(&world, "-R cc-dkms");
    assert_eq!(status(&world), installed(&["aa/2.0", "bb/2.0"], &[second, lts]), "{said}");
    depmods(&world);
    // aa came as what bb needs, and goes with it.
    let said = pacman(&world, "-Rs bb-dkms");
    assert_eq!(left(&world), "", "{said}");
    assert_eq!(depmods(&world), sorted(&[second, lts]), "{said}");
}

#[test]
fn the_same_again_is_built_only_where_it_is_another() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].clone();
    pacman(&world, "-S linux linux-headers aa-dkms");
    pacman(&world, "-U cc-dkms-1.0-1-any.pkg.tar.zst");
    let count = |module: &str| {
        let builds = builds(&world);
        let line = builds.lines().find(|line| line.starts_with(module)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next().map(str::to_owned)).unwrap_or_default()
    };
    depmods(&world);
    // Reinstalled: a module, a kernel, its headers.
    for words in ["-S aa-dkms", "-S linux", "-S linux-headers", "-U cc-dkms-1.0-1-any.pkg.tar.zst"] {
        let said = pacman(&world, words);
        assert_eq!(status(&world), installed(&["aa/1.0", "cc/1.0"], &[&first]), "{words}: {said}");
        assert_eq!(
            (count("aa"), count("cc"), depmods(&world)),
            ("1".to_owned(), "1".to_owned(), vec![]),
            "{words}: {said}"
        );
    }
    // The same version with another source.
    let said = pacman(&world, "-U cc-dkms-1.0-2-any.pkg.tar.zst");
    assert_eq!((count("cc"), depmods(&world)), ("2".to_owned(), vec![first.clone()]), "{said}");
    assert_eq!(status(&world), installed(&["aa/1.0", "cc/1.0"], &[&first]));
    assert_eq!(must(&world, "grep -c cc_more /usr/src/cc-1.0/cc.c"), "1\n");
    // Up, and down again.
    for (version, package) in [("aa/2.0", "aa-dkms-2.0-1"), ("aa/1.0", "aa-dkms-1.0-1")] {
        let said = pacman(&world, &format!("-U {package}-any.pkg.tar.zst"));
        assert_eq!(status(&world), installed(&[version, "cc/1.0"], &[&first]), "{said}");
        assert_eq!(depmods(&world), [first.as_str()], "{said}");
    }
    assert_eq!(must(&world, "ls -A /var/lib/dkms/aa"), format!("1.0\nkernel-{first}-x86_64\n"));
}

#[test]
fn what_goes_and_what_comes_share_a_depmod() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].clone();
    pacman(&world, "-S linux linux-headers aa-dkms");
    pacman(&world, "-U cc-dkms-1.0-1-any.pkg.tar.zst");
    depmods(&world);
    // `--ask 4`: what is in conflict goes.
    let said = pacman(&world, "--ask 4 -U dd-dkms-1.0-1-any.pkg.tar.zst");
    assert_eq!(status(&world), installed(&["aa/1.0", "dd/1.0"], &[&first]), "{said}");
    assert_eq!(depmods(&world), [first.as_str()], "{said}");
    assert_eq!(at_90(&world), "aa dd", "{said}");
    let said = pacman(&world, "-R dd-dkms");
    assert_eq!((depmods(&world), at_90(&world)), (vec![first.clone()], String::new()), "{said}");
    let known = must(&world, &format!("grep -c updates/dkms /lib/modules/{first}/modules.dep"));
    assert_eq!(known, "1\n", "{said}");
}

// guide 6
#[test]
fn kernels_and_headers_come_and_go_by_themselves() {
    let world = world(Pacman::V6_0);
    let (first, second) = (world.kernels[0].as_str(), world.kernels[1].as_str());
    pacman(&world, "-S aa-dkms cc-dkms");
    assert_eq!(status(&world), ["aa/1.0: added", "cc/1.0: added"]);
    let said = pacman(&world, "-S linux");
    assert!(
        said.contains(&format!("kernel {first} has no headers yet")) && said.contains("must wait"),
        "{said}"
    );
    assert!(said.contains("install the package `linux-headers`"), "{said}");
    let said = pacman(&world, "-S linux-headers");
    assert_eq!(status(&world), installed(&["aa/1.0", "cc/1.0"], &[first]), "{said}");
    // Nobody asks for an initramfs that none of the modules wants; headers may go.
    let said = pacman(&world, "-R linux-headers");
    assert_eq!(status(&world), installed(&["aa/1.0", "cc/1.0"], &[first]), "{said}");
    // A kernel that is another release now: the old one's modules go with it.
    let said = pacman(&world, "-U linux-2.0-1-any.pkg.tar.zst linux-headers-2.0-1-any.pkg.tar.zst");
    assert_eq!(status(&world), installed(&["aa/1.0", "cc/1.0"], &[second]), "{said}");
    assert_eq!(must(&world, "ls /lib/modules"), format!("{second}\n"), "{said}");
    depmods(&world);
    let said = pacman(&world, "-R linux");
    assert_eq!(status(&world), ["aa/1.0: added", "cc/1.0: added"], "{said}");
    assert_eq!(depmods(&world), Vec::<String>::new(), "not for a kernel that is gone");
    // A folder that nothing but headers is in is no kernel.
    let said = pacman(&world, "-R aa-dkms");
    pacman(&world, "-S aa-dkms");
    assert_eq!(status(&world), ["aa/1.0: added", "cc/1.0: added"], "{said}");
}

/// A line of shell that installs the hook by which mkinitcpio runs at the end of a transaction.
const MKINITCPIOS_HOOK: &str = "sed 's/90-record/mkinitcpio/; s|^Exec = .*|Exec = /usr/bin/mkinitcpio after|' \
     /usr/share/libalpm/hooks/90-record.hook >/usr/share/libalpm/hooks/90-mkinitcpio-install.hook";

/// A mkinitcpio that notes its arguments in `/srv/made`, a preset, and an image of the preset's kernel.
fn with_mkinitcpio(world: &World) {
    let note = "#!/bin/sh\necho \"$@\" >>/srv/made\n";
    world.root.write("/usr/bin/mkinitcpio", note, 0o755).expect("writable");
    must(world, "mkdir -p /etc/mkinitcpio.d; touch /etc/mkinitcpio.d/linux.preset /boot/initramfs-linux.img");
}

#[test]
fn an_initramfs_is_made_where_nobody_else_will() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].as_str();
    with_mkinitcpio(&world);
    pacman(&world, "-S linux linux-headers");
    must(&world, "echo 'REMAKE_INITRD=yes' >/etc/dkms/aa.conf");
    let said = pacman(&world, "-S aa-dkms");
    assert_eq!(must(&world, "cat /srv/made; rm /srv/made"), "-p linux\n", "{said}");
    must(&world, MKINITCPIOS_HOOK);
    let said = pacman(&world, "-U aa-dkms-2.0-1-any.pkg.tar.zst");
    assert_eq!(must(&world, "cat /srv/made"), "after\n", "{said}");
    assert_eq!(status(&world), installed(&["aa/2.0"], &[first]), "{said}");
}

/// The kernel's transaction made the image without the module, and it is unknown whether the image needs it.
// guide 4
#[test]
fn an_image_that_was_made_before_its_modules_is_made_again() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].as_str();
    with_mkinitcpio(&world);
    must(&world, MKINITCPIOS_HOOK);
    let said = pacman(&world, "-S linux aa-dkms");
    assert_eq!(must(&world, "cat /srv/made; rm /srv/made"), "after\n", "{said}");
    let said = pacman(&world, "-S linux-headers");
    assert_eq!(status(&world), installed(&["aa/1.0"], &[first]), "{said}");
    assert_eq!(must(&world, "cat /srv/made; rm /srv/made"), "-p linux\n", "{said}");
    // Once is enough; and where the modules came with the kernel there was nothing to make up for.
    for packages in ["linux-headers", "linux linux-headers aa-dkms"] {
        let said = pacman(&world, &format!("-S {packages}"));
        must(&world, "rm -f /srv/made.other; [ ! -e /srv/made ] || mv /srv/made /srv/made.other");
        let made = must(&world, "[ ! -e /srv/made.other ] || grep -v after /srv/made.other || true");
        assert_eq!(made, "", "{packages}: {said}");
    }
    must(&world, "! ls /var/lib/dkms/.state/initramfs/* 2>/dev/null");
}
