//! What goes wrong: pacman's transaction stands or isn't begun, and what is to be known is printed.

use super::*;

#[test]
fn what_is_not_for_a_kernel_is_skipped_and_said() {
    let world = world(Pacman::V6_0);
    let (first, second) = (world.kernels[0].as_str(), world.kernels[1].as_str());
    let said = pacman(&world, "-S linux linux-headers ex-dkms aa-dkms onlycloud-dkms");
    let mut expected = installed(&["aa/1.0", "onlycloud/1.0"], &[first]);
    for name in ["arch", "config", "kernel", "max", "min"] {
        expected.push(format!("ex-{name}/1.0: added"));
        let skipped = format!("dkms: module `ex-{name}/1.0` is not for kernel {first}: ");
        assert_eq!(said.matches(&skipped).count(), 1, "{skipped}: {said}");
    }
    expected.sort();
    assert_eq!(status(&world), expected);
    assert!(!said.contains("error"), "{said}");
    let said = pacman(&world, "-U linux-2.0-1-any.pkg.tar.zst linux-headers-2.0-1-any.pkg.tar.zst");
    assert!(said.contains(&format!("onlycloud/1.0, {second}, x86_64: will not be there: ")), "{said}");
    assert!(status(&world).contains(&"onlycloud/1.0: added".to_owned()));
}

#[test]
fn a_module_that_fails_does_not_fail_the_transaction() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].as_str();
    let said = pacman(&world, "-S linux linux-headers bad-dkms aa-dkms");
    assert_eq!(
        status(&world),
        [installed(&["aa/1.0"], &[first]), vec!["bad/1.0: added".to_owned()]].concat()
    );
    let last = said.find("dkms: error: cannot build bad/1.0").expect("it is printed");
    assert!(last > said.find("installed: aa/1.0").expect("so is that"), "failures come last: {said}");
    assert!(said[last..].contains("not for this kernel") && said[last..].contains(".log"), "{said}");
    assert!(!said.contains("command failed"), "{said}");
    must(&world, "pacman -Q bad-dkms");
    // With `fail` pacman says so, and that is all it can do after a transaction.
    must(&world, "echo on_build_failure=fail >>/etc/dkms/framework.conf");
    let said = pacman(&world, "-S bad-dkms cc-dkms");
    assert!(said.contains("error: command failed to execute correctly"), "{said}");
    // It is not tried again in vain.
    assert!(builds(&world).contains(&format!("bad/1.0/{first} 1\n")), "{}", builds(&world));
    assert!(status(&world).contains(&installed(&["cc/1.0"], &[first])[0]), "{said}");
}

// guide 3
#[test]
fn with_block_nothing_is_changed() {
    let world = world(Pacman::V6_0);
    let (first, second) = (world.kernels[0].as_str(), world.kernels[1].as_str());
    pacman(&world, "-S linux linux-headers aa-dkms onlycloud-dkms");
    must(
        &world,
        "echo preflight=block >>/etc/dkms/framework.conf; find / -xdev -newermt now >/dev/null; pacman -Q >/srv/before",
    );
    let refused = |words: &str, why: &str| {
        let output = world.pacman(words).expect("it runs");
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stdout.contains(why), "{why}: {output:?}");
        assert!(output.stdout.contains("failed to commit transaction"), "{output:?}");
        must(&world, "pacman -Q | cmp - /srv/before");
        assert_eq!(status(&world), installed(&["aa/1.0", "onlycloud/1.0"], &[first]));
        assert_eq!(must(&world, "ls /lib/modules"), format!("{first}\n"));
    };
    // Without its headers; with them, ruled out.
    refused(
        "-U linux-2.0-1-any.pkg.tar.zst",
        &format!("aa/1.0, {second}, x86_64: will not be there: the headers"),
    );
    refused(
        "-U linux-2.0-1-any.pkg.tar.zst linux-headers-2.0-1-any.pkg.tar.zst",
        &format!("onlycloud/1.0, {second}, x86_64: will not be there: "),
    );
    // Nothing stands in the way of the rest, nor of a module's own new version, which may be another.
    pacman(&world, "-S cc-dkms");
    let said = pacman(&world, "-R onlycloud-dkms");
    let both = "linux-2.0-1-any.pkg.tar.zst linux-headers-2.0-1-any.pkg.tar.zst";
    assert!(!status(&world).iter().any(|line| line.contains("onlycloud")), "{said}");
    let said = pacman(&world, &format!("-U {both}"));
    assert_eq!(status(&world), installed(&["aa/1.0", "cc/1.0"], &[second]), "{said}");
}

#[test]
fn a_version_that_can_not_be_replaced_stays() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].as_str();
    pacman(&world, "-S linux linux-headers aa-dkms");
    pacman(&world, "-Rdd linux-headers");
    must(&world, "echo preflight=block >>/etc/dkms/framework.conf");
    let said = pacman(&world, "-U aa-dkms-2.0-1-any.pkg.tar.zst");
    assert!(said.contains(&format!("warning: module `aa/1.0` stays installed on kernel {first}")), "{said}");
    must(&world, "find /lib/modules -name 'aa.ko*' | grep -q .");
}

#[test]
fn another_hook_that_aborts_loses_nothing() {
    let world = world(Pacman::V6_0);
    let (first, lts) = (world.kernels[0].as_str(), world.kernels[2].as_str());
    pacman(&world, "-S linux linux-headers linux-lts linux-lts-headers aa-dkms cc-dkms");
    let hook = "[Trigger]\nType = Package\nOperation = Remove\nTarget = *\n[Action]\nWhen = PreTransaction\nExec = /bin/false\nAbortOnFail\n";
    world.root.write("/etc/pacman.d/hooks/80-abort.hook", hook, 0o644).expect("writable");
    let output = world.pacman("-R aa-dkms").expect("it runs");
    assert_eq!(output.code, 1, "{output:?}");
    must(&world, "pacman -Q aa-dkms; rm /etc/pacman.d/hooks/80-abort.hook");
    let (code, said) = helper_with(&world, "finish", "");
    assert_eq!((code, status(&world)), (0, installed(&["aa/1.0", "cc/1.0"], &[first, lts])), "{said}");
    assert_eq!(helper_with(&world, "finish", ""), (0, String::new()));
}

/// A conf of `aa` that builds slowly.
const SLOW: &str = "echo 'MAKE=\"sleep 60; make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build\"' >/etc/dkms/aa.conf";

/// Kills the helper, and pacman with it if that is wanted, while `aa` is built.
fn killed(world: &World, words: &str, whom: &str, signal: &str) -> String {
    must(world, SLOW);
    // Builds end with the helper where namespaces hold them together; here nobody is to go on in any case.
    let line = format!(
        "cd /srv/packages; pacman --noconfirm {words} >/srv/said 2>&1 & n=0
         until pgrep -x sleep >/dev/null; do sleep 0.1; n=$((n + 1)); [ $n -lt 300 ] || {{ cat /srv/said; exit 9; }}; done
         pkill -{signal} -x '{whom}'; sleep 0.5; pkill -KILL -f '[s]leep 60; mak[e]' || true
         wait; rm -f /var/lib/pacman/db.lck /etc/dkms/aa.conf; cat /srv/said"
    );
    must(world, &line)
}

#[test]
fn who_was_killed_is_finished_by_the_next() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].as_str();
    pacman(&world, "-S linux linux-headers aa-dkms cc-dkms");
    // The swap of aa, and a module that comes with it: pacman and the helper are killed in the middle.
    killed(
        &world,
        "-U aa-dkms-2.0-1-any.pkg.tar.zst bb-dkms-2.0-1-any.pkg.tar.zst",
        "pacman|dkms|hooks-pacman",
        "KILL",
    );
    let now = status(&world);
    assert!(!now.iter().any(|line| line.starts_with("bb/2.0,")), "{now:?}");
    let said = pacman(&world, "-S cc-dkms");
    assert_eq!(status(&world), installed(&["aa/2.0", "bb/2.0", "cc/1.0"], &[first]), "{said}");
    assert_eq!(left_of_records(&world), "");
    // The same, finished at boot.
    killed(&world, "-U aa-dkms-1.0-1-any.pkg.tar.zst", "dkms|hooks-pacman", "KILL");
    let said = world.boot().expect("it comes up");
    assert_eq!(status(&world), installed(&["aa/1.0", "bb/2.0", "cc/1.0"], &[first]), "{said}");
    assert!(said.contains(&format!("dkms: kernel {first} (x86_64): installed: aa/1.0")), "{said}");
    assert_eq!(left_of_records(&world), "");
    // Asked to stop, we say what becomes of the rest.
    let said = killed(&world, "-U aa-dkms-2.0-1-any.pkg.tar.zst", "dkms|hooks-pacman", "TERM");
    assert!(said.contains("dkms: interrupted: the next transaction"), "{said}");
    let said = pacman(&world, "-S cc-dkms");
    assert_eq!(status(&world), installed(&["aa/2.0", "bb/2.0", "cc/1.0"], &[first]), "{said}");
    pacman(&world, "-U aa-dkms-1.0-1-any.pkg.tar.zst");
    // pacman killed after the hooks before a transaction: then nobody comes after it.
    // It is their parent, as the shell is here.
    let said = must(
        &world,
        "printf 'usr/src/aa-2.0/dkms.conf\\nusr/src/cc-1.0/dkms.conf\\n' | /usr/lib/dkms/hooks-pacman coming
         printf 'usr/src/aa-1.0/dkms.conf\\n' | /usr/lib/dkms/hooks-pacman leaving",
    );
    assert_eq!(said, "");
    must(&world, "mv /usr/share/libalpm/hooks /srv/hooks");
    pacman(&world, "-U aa-dkms-2.0-1-any.pkg.tar.zst cc-dkms-1.0-2-any.pkg.tar.zst");
    must(&world, "mv /srv/hooks /usr/share/libalpm/hooks");
    let (code, said) = helper_with(&world, "finish", "");
    assert_eq!((code, status(&world)), (0, installed(&["aa/2.0", "bb/2.0", "cc/1.0"], &[first])), "{said}");
    assert!(builds(&world).contains(&format!("cc/1.0/{first} 2\n")), "{}", builds(&world));
    assert_eq!(left_of_records(&world), "");
}

fn left_of_records(world: &World) -> String {
    must(
        world,
        "cd /var/lib/dkms/.state; ls pacman.json journal/* owed/* 2>/dev/null || true; find /var/lib/dkms -name '.tmp_*'",
    )
}

#[test]
fn a_full_disk_leaves_the_transaction_and_can_be_made_good() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].as_str();
    pacman(&world, "-S linux linux-headers");
    must(
        &world,
        "mount -t tmpfs -o size=64k none /var/lib/dkms; dd if=/dev/zero of=/var/lib/dkms/full bs=1k 2>/dev/null || true",
    );
    let said = pacman(&world, "-S aa-dkms cc-dkms");
    assert!(said.contains("No space left on device") || said.contains("no space"), "{said}");
    must(&world, "pacman -Q aa-dkms cc-dkms; rm /var/lib/dkms/full; mount -o remount,size=64m /var/lib/dkms");
    let said = pacman(&world, "-S aa-dkms");
    assert!(status(&world).contains(&installed(&["aa/1.0"], &[first])[0]), "{said}");
}
