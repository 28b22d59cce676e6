//! The boot guard killed at each change of a name, on full and read-only boot partitions, and purged.

use dkms_tests::crash::tripwire::{self, Calls, Fate};
use dkms_tests::{debs, tier};

use super::*;

/// Ends a command at each call that changes a name: then both kernels still have an entry, the next command
/// finishes the work, and a release leaves every byte as it was.
fn no_death_leaves_anything_half_done(root: &Root, is_offered: &str, is_held: &str) {
    tripwire::put_into(root).unwrap();
    let before = boot_files(root);
    // The folders of the state are made once, and are no part of what is counted.
    root.must("dkms boot hold $K2; dkms boot release all").unwrap();
    let turn = (!tier::is_full()).then(tier::turn);
    let both = format!("for k in $K $K2; do {is_offered}; done");
    let hold_again = format!("dkms boot hold $K2; {is_held}");
    for (state, words, then) in
        [("true", "boot hold $K2", &*hold_again), ("dkms boot hold $K2", "boot release $K2", "true")]
    {
        let count = {
            root.must(state).unwrap();
            let whole = tripwire::run(root, "true", words, Calls::Names, 0, Fate::KilledBefore).unwrap();
            root.must("dkms boot release all").unwrap();
            assert_eq!((whole.output.code, boot_files(root)), (0, before.clone()), "{words}");
            whole.calls.len()
        };
        assert!(count > 5, "{words} makes {count} calls");
        let points =
            (1..=count).flat_map(|number| [(number, Fate::KilledBefore), (number, Fate::KilledAfter)]);
        let points: Vec<_> = points.collect();
        let points = turn.map_or(points.clone(), |turn| tier::taken(points, turn, 8));
        for (number, fate) in points {
            root.must(state).unwrap();
            let killed = tripwire::run(root, "true", words, Calls::Names, number, fate).unwrap();
            let place = format!("{words}, {fate:?} {number}: {:?}", killed.at(number));
            assert_eq!(killed.output.code, 137, "{place}");
            root.must(&both).expect(&place);
            root.must(&format!("dkms boot >/dev/null; {then}")).expect(&place);
            root.must("dkms boot release all").expect(&place);
            assert_eq!(boot_files(root), before, "{place}");
            assert_eq!(
                root.must(
                    "find /boot /etc/default /var/lib/dkms/.state/boot -name '.tmp*' -o -name '*.json'"
                )
                .unwrap(),
                "",
                "{place}"
            );
        }
    }
}

#[test]
fn no_death_leaves_the_boot_configuration_half_changed() {
    no_death_leaves_anything_half_done(
        &root(),
        "ls /boot/loader/entries/token-$k*.conf >/dev/null",
        "test -e /boot/loader/entries/token-$K2+0.conf",
    );
}

#[test]
fn no_death_leaves_the_saved_entry_of_grub_half_changed() {
    no_death_leaves_anything_half_done(
        &under_grub("saved"),
        "grep -q gnulinux-$k-advanced /boot/grub/grub.cfg",
        "grep -q saved_entry=gnulinux-$K-advanced /boot/grub/grubenv",
    );
}

#[test]
#[ignore = "full tier"]
fn no_death_leaves_the_file_for_grub_half_changed() {
    no_death_leaves_anything_half_done(
        &under_grub("0"),
        "grep -q gnulinux-$k-advanced /boot/grub/grub.cfg",
        "grep -q vmlinuz-$K /etc/default/grub.d/zz-dkms-boot-guard.cfg",
    );
}

#[test]
fn a_default_with_wildcards_a_full_disk_and_a_read_only_partition() {
    let root = root();
    root.must(
        "echo boot_guard=hold >>/etc/dkms/framework.conf; echo 'default token-*' >>/boot/loader/loader.conf",
    )
    .unwrap();
    let before = boot_files(&root);
    // It chooses among several, and what is held comes last among them.
    assert_eq!(kernel(&root, "K2")["next"], true);
    root.must("dkms boot hold $K2").unwrap();
    assert_eq!(kernel(&root, "K")["next"], true, "{}", root.must("dkms boot").unwrap());
    root.must("dkms boot release $K2").unwrap();
    // Where no other one is in its reach it is as good as the name of one.
    root.must("sed -i \"s/^default.*/default token-$K2*/\" /boot/loader/loader.conf").unwrap();
    assert_eq!(run(&root, "exec \"$DKMS\" boot hold $K2").code, 1);
    root.must("sed -i 's/^default.*/default token-*/' /boot/loader/loader.conf").unwrap();
    assert_eq!(boot_files(&root), before);
    // Nothing is left half done where the partition takes no rename, and the message names the reason.
    root.must("mount --bind /boot /boot; mount -o remount,ro,bind /boot").unwrap();
    let refused = run(&root, "exec \"$DKMS\" boot hold $K2");
    assert!(refused.code == 1 && refused.stderr.contains("read-only"), "{refused:?}");
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("Read-only file system"), "{output:?}");
    root.must("test ! -e /var/lib/dkms/.state/boot/$K2.json; umount /boot").unwrap();
    assert_eq!(boot_files(&root), before);
    root.must("dkms boot hold $K2; mount --bind /boot /boot; mount -o remount,ro,bind /boot").unwrap();
    let refused = run(&root, "exec \"$DKMS\" boot release $K2");
    assert!(refused.code == 1 && refused.stderr.contains("read-only"), "{refused:?}");
    root.must("test -e /var/lib/dkms/.state/boot/$K2.json; umount /boot; dkms boot release $K2").unwrap();
    assert_eq!(boot_files(&root), before);
    // So where the journal can't be written.
    root.must(
        "mkdir -p /var/lib/dkms/.state/boot; mount -t tmpfs -o nr_inodes=1 none /var/lib/dkms/.state/boot",
    )
    .unwrap();
    let refused = run(&root, "exec \"$DKMS\" boot hold $K2");
    assert!(refused.code == 1 && refused.stderr.contains("free space"), "{refused:?}");
    root.must("umount /var/lib/dkms/.state/boot").unwrap();
    assert_eq!(boot_files(&root), before);
    // Two at once: one waits for the other, and looking waits for nobody.
    root.must(
        "(umask 077; : >/var/lib/dkms/.state/locks/boot); exec 9>/var/lib/dkms/.state/locks/boot; flock 9; echo lock_timeout=1 >>/etc/dkms/framework.conf
        dkms boot >/dev/null; code=0; dkms boot hold $K2 2>/tmp/error || code=$?
        test $code = 1; grep -q 'the boot configuration is locked' /tmp/error; exec 9>&-; dkms boot hold $K2",
    )
    .unwrap();
}

/// A boot partition without room, as small ones are after a kernel too many: what needs none is done, and
/// what needs some is not half done.
#[test]
fn a_boot_partition_that_is_full() {
    let root = root();
    root.must(
        "cp -r /boot /srv/boot; mount -t tmpfs -o size=256k none /boot; cp -r /srv/boot/. /boot
         echo boot_guard=hold >>/etc/dkms/framework.conf; cat /dev/zero >/boot/initrd.img 2>/dev/null || :",
    )
    .unwrap();
    let before = boot_files(&root);
    // A rename needs no room.
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("does not become the default"), "{output:?}");
    root.must("test -e /boot/loader/entries/token-$K2+0.conf; dkms boot release all").unwrap();
    assert_eq!(boot_files(&root), before);
    // GRUB's block does, to be held and to be released.
    root.must(
        "rm -r /boot/loader /boot/initrd.img; mkdir -p /etc/default /boot/grub; echo GRUB_DEFAULT=saved >/etc/default/grub
         { echo '# GRUB Environment Block'; printf '#%.0s' $(seq 999); } >/boot/grub/grubenv
         for k in $K $K2; do echo \"menuentry 'x' id 'gnulinux-$k-advanced-11' {\" >>/boot/grub/grub.cfg; done
         cat /dev/zero >/boot/more 2>/dev/null || :",
    )
    .unwrap();
    let before = boot_files(&root);
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("No space left on device"), "{output:?}");
    let refused = run(&root, "exec \"$DKMS\" boot hold $K2");
    assert!(refused.code == 1 && refused.stderr.contains("free space"), "{refused:?}");
    root.must("test ! -e /var/lib/dkms/.state/boot/$K2.json").unwrap();
    assert_eq!(boot_files(&root), before);
    root.must("rm /boot/more; dkms boot hold $K2; cat /dev/zero >/boot/more 2>/dev/null || :").unwrap();
    let held = boot_files(&root);
    let refused = run(&root, "exec \"$DKMS\" boot release $K2");
    assert!(refused.code == 1 && refused.stderr.contains("free space"), "{refused:?}");
    root.must("test -e /var/lib/dkms/.state/boot/$K2.json").unwrap();
    assert_eq!(boot_files(&root), held);
    root.must("rm /boot/more; dkms boot release $K2; cat /dev/zero >/boot/more 2>/dev/null || :").unwrap();
    assert_eq!(boot_files(&root), before);
}

/// Our package goes while it holds a kernel: nobody would release that later.
#[test]
fn a_purge_of_our_package_puts_everything_back() {
    let root = root();
    let deb = debs::ours(&Cache::open().unwrap(), env!("CARGO_BIN_EXE_dkms-under-test")).unwrap().dkms;
    fs::copy_file(&deb, &root.view("/srv/dkms.deb")).unwrap();
    let install = "rm -f /usr/sbin/dkms; dpkg -i --force-confold /srv/dkms.deb >/dev/null 2>&1
         echo boot_guard=hold >>/etc/dkms/framework.conf";
    root.must(install).unwrap();
    let before = boot_files(&root);
    root.must("dkms boot hold $K2; test -e /boot/loader/entries/token-$K2+0.conf; dpkg --purge dkms 2>&1")
        .unwrap();
    assert_eq!(boot_files(&root), before);
    root.must("test ! -e /var/lib/dkms").unwrap();
}
