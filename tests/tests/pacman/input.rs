//! What the helper receives, and what it costs.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;

#[test]
fn odd_targets_do_no_harm() {
    let world = world(Pacman::V6_0);
    let nothing = "dkms: no module, kernel or headers among the targets on standard input: nothing is done\n";
    for words in ["coming", "leaving", "done"] {
        assert_eq!(helper_with(&world, words, ""), (0, nothing.to_owned()));
        let closed = format!("/usr/lib/dkms/hooks-pacman {words} <&- 2>&1");
        let output = world.root.shell(&closed, User::Root, "/").expect("it runs");
        assert_eq!((output.code, output.stdout.as_str()), (0, nothing));
        let folder = format!("/usr/lib/dkms/hooks-pacman {words} </srv 2>&1");
        let output = world.root.shell(&folder, User::Root, "/").expect("it runs");
        assert!(output.code == 0 && output.stdout.contains("cannot read standard input"), "{output:?}");
    }
    must(
        &world,
        "mkdir -p '/usr/src/a b-1' /usr/src/x-1; echo 'PACKAGE_NAME=../../etc' >'/usr/src/a b-1/dkms.conf'; echo 'nonsense(' >/usr/src/x-1/dkms.conf",
    );
    let odd = "usr/src/../dkms.conf\nusr/lib/modules/../vmlinuz\nusr/lib/modules/build/vmlinuz\nusr/src/\u{1b}[2J/dkms.conf\n\
        usr/src/a b-1/dkms.conf\nusr/src/x-1/dkms.conf\nusr/src/gone-1/dkms.conf\nusr/lib/modules/6.6.6-gone/vmlinuz\n\
        /etc/passwd\n$(touch /srv/run)\nusr/src/x-1/deep/dkms.conf\n-n\n";
    for words in ["coming", "leaving", "done", "finish"] {
        let (code, said) = helper_with(&world, words, odd);
        assert_eq!(code, 0, "{words}: {said}");
        assert!(!said.contains('\u{1b}') && said.lines().all(|line| line.starts_with("dkms: ")), "{said}");
        assert!(words == "finish" || said.contains("nothing of ours can have that name"), "{said}");
    }
    must(&world, "! ls /srv/run; ! ls -d /var/lib/dkms/x /var/lib/dkms/a*");
    for words in ["", "before", "done now"] {
        let (code, said) = helper_with(&world, words, "");
        assert!(code == 2 && said.starts_with("dkms: usage: hooks-pacman "), "{code} {said}");
    }
}

#[test]
fn ten_thousand_targets_are_read() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].clone();
    pacman(&world, "-S linux linux-headers");
    let mut targets = String::new();
    for number in 0..10_000 {
        writeln!(targets, "usr/src/none-{number}/dkms.conf").expect("strings grow");
    }
    for words in ["coming", "leaving", "done"] {
        let before = Instant::now();
        let (code, said) = helper_with(&world, words, &targets);
        assert_eq!(code, 0, "{said}");
        assert!(before.elapsed().as_secs() < 10, "{words}: {:?}", before.elapsed());
    }
    let said = pacman(&world, "-S aa-dkms");
    assert_eq!(status(&world), installed(&["aa/1.0"], &[&first]), "{said}");
    must(&world, "! ls /var/lib/dkms/.state/pacman.json");
}

#[test]
fn what_is_none_of_ours_costs_nothing() {
    let world = world(Pacman::V6_0);
    must(
        &world,
        "rm /usr/lib/dkms/hooks-pacman; printf '#!/bin/sh\\ntouch /srv/called\\n' >/usr/lib/dkms/hooks-pacman; chmod 755 /usr/lib/dkms/hooks-pacman",
    );
    // The second has files below /usr/src, and is no module.
    for words in ["-S hello", "-U hello-2.0-1-any.pkg.tar.zst", "-R hello"] {
        let said = pacman(&world, words);
        assert!(!said.contains("DKMS"), "{said}");
    }
    must(&world, "! ls /srv/called");
    pacman(&world, "-S aa-dkms");
    must(&world, "ls /srv/called");
}

#[test]
fn orphaned_folders_are_no_kernels() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].clone();
    pacman(&world, "-S linux linux-headers");
    // Folders that kernels have left behind: with headers, or modules of other origin, or what depmod has
    // made.
    must(
        &world,
        &format!(
            "for n in $(seq 14); do
               f=/lib/modules/5.$n.0-gone; mkdir -p $f/updates/dkms; touch $f/modules.dep $f/updates/dkms/old.ko
               ln -s /lib/modules/{first}/build $f/build
             done
             for n in $(seq 20); do
               mkdir /usr/src/m$n-1; cp /usr/src/linux-headers-*/Makefile /usr/src/m$n-1/ 2>/dev/null || true
               printf 'PACKAGE_NAME=m%s\\nPACKAGE_VERSION=1\\nBUILT_MODULE_NAME=m%s\\nDEST_MODULE_LOCATION=/extra\\nAUTOINSTALL=yes\\n' $n $n >/usr/src/m$n-1/dkms.conf
               echo \"obj-m := m$n.o\" >/usr/src/m$n-1/Makefile
               printf '#include <linux/module.h>\\nMODULE_LICENSE(\"GPL\");\\n' >/usr/src/m$n-1/m$n.c
             done"
        ),
    );
    let said = pacman(&world, "-S aa-dkms");
    assert_eq!(status(&world), installed(&["aa/1.0"], &[&first]), "{said}");
    let mut targets = format!("usr/lib/modules/{first}/vmlinuz\n");
    (1..=20).for_each(|n| writeln!(targets, "usr/src/m{n}-1/dkms.conf").expect("strings grow"));
    must(&world, "mkdir /srv/real; for n in $(seq 20); do dkms add m$n/1; done >/dev/null");
    let (code, said) = helper_with(&world, "plan", &targets);
    assert_eq!(code, 0, "{said}");
    // 20 modules for one kernel, and none for those that are gone.
    assert_eq!(said.matches("build m").count(), 20, "{said}");
    assert!(!said.contains("-gone"), "{said}");
    let milliseconds = said
        .lines()
        .filter_map(|line| line.strip_suffix(" ms")?.rsplit(' ').next()?.parse::<f64>().ok())
        .next();
    let milliseconds = milliseconds.expect("it says how long it took");
    dkms_tests::say(&format!("20 modules, 14 orphaned folders: planned in {milliseconds} ms"));
    // Unoptimised, and beside other tests: the helper that is shipped takes a fraction of it.
    assert!(milliseconds < 500.0, "{said}");
}
