//! What a build does to the command that runs it, and to others on the machine: it keeps nobody waiting,
//! fills nobody's memory and terminal, leaves nothing that others stumble over, and ends with the command.

use dkms_tests::fixture::Module;
use dkms_tests::ready::copying;
use dkms_tests::root::{Root, User};
use dkms_tests::tier::combined;

use super::attempt::{ready, root};
use super::degraded::{Mode, REFUSING, prepare_modes};

/// A root with a module `bad` whose PRE_BUILD is this script, added. Neither it nor `honest` needs a
/// compiler.
fn with_bad(script: &str) -> Root {
    let root = root();
    ready(&root, "honest").write_to(&root).unwrap();
    ready(&root, "bad").with("PRE_BUILD=\"pre.sh\"").write_to(&root).unwrap();
    root.write("/usr/src/bad-1.0/pre.sh", &format!("#!/bin/bash\n{script}\n"), 0o755).unwrap();
    prepare_modes(&root);
    root.must("$DKMS add bad/1.0; $DKMS add honest/1.0").unwrap();
    root
}

/// Each mode, and no sandbox at all, which comes last: a setting, and what stands in front of the command.
fn everywhere() -> impl Iterator<Item = (&'static str, String)> {
    Mode::ALL.into_iter().map(|mode| ("", mode.front())).chain([("sandbox=off", String::new())])
}

fn set(root: &Root, setting: &str) {
    let conf = root.read("/etc/dkms/framework.conf").unwrap();
    root.write("/etc/dkms/framework.conf", &format!("{conf}{setting}\n"), 0o644).unwrap();
}

/// The honest module can be built, and everything can be removed.
fn others_go_on(root: &Root) {
    root.must("timeout 120 $DKMS install honest/1.0 -k $K && timeout 60 $DKMS remove honest/1.0 --all")
        .unwrap();
    root.must("timeout 120 $DKMS remove bad/1.0 --all").unwrap();
    assert_eq!(root.must("find /var/lib/dkms -name '.tmp_*' -o -name bad").unwrap(), "");
}

#[test]
fn with_a_killed_dkms_its_build_ends() {
    let root = with_bad("setsid sleep 5151 & sleep 5151");
    let modes = Mode::ALL.map(|mode| ("", mode.front()));
    for (setting, front) in modes.into_iter().chain([("sandbox=off", String::new())]) {
        set(&root, setting);
        let left = root
            .must(&format!(
                "{front} \"$DKMS\" build bad/1.0 -k $K >/dev/null 2>&1 & p=$!; i=0
                 until [ \"$(pgrep -cf '^sleep 5151')\" = 2 ]; do sleep 0.1; i=$((i + 1)); [ $i -lt 300 ] || exit 99; done
                 kill -9 $p; i=0
                 while pgrep -f '^sleep 5151' >/dev/null && [ $i -lt 30 ]; do sleep 0.1; i=$((i + 1)); done
                 pgrep -af '^sleep 5151' || true"
            ))
            .unwrap();
        assert_eq!(left, "", "{setting} {front}");
    }
    root.must("sed -i /PRE_BUILD/d /usr/src/bad-1.0/dkms.conf; timeout 100 $DKMS build bad/1.0 -k $K")
        .unwrap();
}

#[test]
fn a_build_that_floods_its_job_slots_keeps_nobody_waiting() {
    let root = with_bad("true");
    // Who might be kept waiting is a make that takes slots.
    Module::new("honest", "1.0").write_to(&root).unwrap();
    root.must("sed -i '/PRE_BUILD/cMAKE[0]=\"make all\"' /usr/src/bad-1.0/dkms.conf").unwrap();
    let make =
        "obj-m := bad.o\nall:\n\t+bash ./flood.sh\n\t$(MAKE) -C $(kernel_source_dir) M=$(CURDIR) modules\n";
    let make = make.replace("$(kernel_source_dir)", &format!("/lib/modules/{}/build", root.kernels().first));
    root.write("/usr/src/bad-1.0/Makefile", &make, 0o644).unwrap();
    // Its own ends are made not to block, filled, and made to block again.
    let flood = "w=${MAKEFLAGS##*--jobserver-auth=}; w=${w#*,}; w=${w%% *}; [ -n \"$w\" ] || exit 0
        perl -e 'use Fcntl; open(W, \">&=\", $ARGV[0]) or die; fcntl(W, F_SETFL, O_WRONLY | O_NONBLOCK);
            1 while syswrite(W, \"+\" x 4096); fcntl(W, F_SETFL, O_WRONLY)' $w; echo flooded; sleep 3\n";
    root.write("/usr/src/bad-1.0/flood.sh", flood, 0o755).unwrap();
    let output = root.shell("timeout -k 5 120 \"$DKMS\" autoinstall -k $K -j4", User::Root, "/").unwrap();
    assert!(output.code < 124, "{}: {}", output.code, output.stderr);
    root.must("test -e /lib/modules/$K/updates/dkms/honest.ko").unwrap();
    let log = root.must("cat /var/lib/dkms/bad/1.0/$K/*/log/make.log /var/lib/dkms/bad/1.0/build/make.log 2>/dev/null || true");
    let log = log.unwrap();
    assert!(log.contains("flooded"), "{log}{}", output.stderr);
    others_go_on(&root);
}

#[test]
fn a_build_that_hangs_ends_in_time() {
    let root = with_bad("trap '' TERM INT HUP; sleep 5152");
    set(&root, "build_timeout=2");
    for mode in Mode::ALL {
        let line = format!("{} \"$DKMS\" build bad/1.0 -k $K", mode.front());
        let output = root.shell(&line, User::Root, "/").unwrap();
        assert_eq!(output.code, 10, "{mode:?}: {}", output.stderr);
        assert!(
            output.stderr.contains("2 seconds") && output.stderr.contains("build_timeout"),
            "{mode:?}: {}",
            output.stderr
        );
        assert_eq!(root.must("pgrep -f '^sleep 5152' || true").unwrap(), "", "{mode:?}");
    }
    set(&root, "build_timeout=1000");
    others_go_on(&root);
}

/// Runs a command of dkms: the largest memory of its process, in KiB, and its exit code. What it says is in
/// `/tmp/said`.
pub(crate) fn peak_of(root: &Root, words: &str) -> (u64, i32) {
    peak_in(root, "", words)
}

/// The same, with this in front of the command.
fn peak_in(root: &Root, front: &str, words: &str) -> (u64, i32) {
    let text = root
        .must(&format!(
            "{front} \"$DKMS\" {words} >/tmp/said 2>&1 & p=$!; peak=0
             while m=$(sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$p/status 2>/dev/null); [ -n \"$m\" ]; do peak=$m; sleep 0.05; done
             code=0; wait $p || code=$?; echo $peak $code"
        ))
        .unwrap();
    let (peak, code) = text.trim().split_once(' ').unwrap();
    (peak.parse().unwrap(), code.parse().unwrap())
}

/// A root with a module `bad` whose make leaves a real module, and then runs this script in the build folder.
fn with_bad_after_make(script: &str) -> Root {
    let root = with_bad("true");
    let make = format!("MAKE[0]=\"{} && bash ./after.sh\"", copying("bad", "1.0"));
    root.must("sed -i /PRE_BUILD/d /usr/src/bad-1.0/dkms.conf").unwrap();
    let conf = root.read("/usr/src/bad-1.0/dkms.conf").unwrap();
    root.write("/usr/src/bad-1.0/dkms.conf", &format!("{conf}{make}\nSTRIP=no\n"), 0o644).unwrap();
    root.write("/usr/src/bad-1.0/after.sh", &format!("set -e\n{script}\n"), 0o755).unwrap();
    root
}

#[test]
fn a_module_over_a_sane_size_is_refused_by_name() {
    let scripts = [
        ("truncate -s 2G bad.ko", "module_size_max"),
        ("head -c 257M /dev/zero >>bad.ko", "module_size_max"),
        ("truncate -s 200M bad.ko", "sparse"),
        ("mv bad.ko real.ko; truncate -s 2G big; ln -s big bad.ko", "module_size_max"),
    ];
    for ((script, says), (setting, front)) in combined(&scripts, &everywhere().collect::<Vec<_>>(), 4) {
        let root = with_bad_after_make(script);
        set(&root, setting);
        let (peak, code) = peak_in(&root, &front, "install bad/1.0 -k $K");
        let said = root.read("/tmp/said").unwrap();
        assert_eq!(code, 10, "{setting} {front} {script}: {said}");
        assert!(peak < 100_000, "{setting} {front}: {peak} KiB for {script}");
        for part in ["bad/1.0", "bad.ko", says] {
            assert!(said.contains(part), "{setting} {front} {script}: {said}");
        }
        others_go_on(&root);
    }
    // All modules together, and another limit.
    let root =
        with_bad_after_make("for i in 0 1 2 3 4; do cp bad.ko m$i.ko; head -c 880K /dev/zero >>m$i.ko; done");
    set(&root, "module_size_max=1M");
    let more: Vec<String> = (0..5)
        .map(|i| {
            format!("BUILT_MODULE_NAME[{0}]=m{i}\nDEST_MODULE_LOCATION[{0}]=/extra\nSTRIP[{0}]=no\n", i + 1)
        })
        .collect();
    let conf = root.read("/usr/src/bad-1.0/dkms.conf").unwrap();
    root.write("/usr/src/bad-1.0/dkms.conf", &format!("{conf}{}", more.concat()), 0o644).unwrap();
    let output = root.dkms("build bad/1.0 -k $K").unwrap();
    assert_eq!(output.code, 10, "{}", output.stderr);
    assert!(output.stderr.contains("4194304") && output.stderr.contains("m3.ko"), "{}", output.stderr);
    set(&root, "module_size_max=2M");
    root.must("$DKMS build bad/1.0 -k $K").unwrap();
}

#[test]
fn a_module_at_the_limit_takes_little_memory() {
    let root = with_bad_after_make("yes | head -c $((250 * 1024 * 1024)) >>bad.ko");
    set(
        &root,
        "mok_signing_key=/var/lib/dkms/mok2.key\nmok_certificate=/var/lib/dkms/mok2.pub\ntry_sign_modules=true\nbuild_cache=/var/cache/dkms\nbuild_cache_max=2G",
    );
    root.must("$DKMS generate_mok").unwrap();
    for words in [
        "install bad/1.0 -k $K",
        "build bad/1.0 -k $K --force",
        "install bad/1.0 -k $K --force",
        "status",
        "remove bad/1.0 --all",
        "add bad/1.0",
        "build bad/1.0 -k $K",
    ] {
        let (peak, code) = peak_of(&root, words);
        let said = root.read("/tmp/said").unwrap();
        assert_eq!(code, 0, "{words}: {said}");
        assert!(peak < 300_000, "{peak} KiB for {words}");
    }
    root.must(
        "tail -c 28 /var/lib/dkms/bad/1.0/$K/x86_64/module/bad.ko | grep -q 'Module signature appended'",
    )
    .unwrap();
    assert!(root.read("/tmp/said").unwrap().contains("build cache"), "the last build is not from the cache");
}

#[test]
fn what_a_build_writes_takes_little_memory_and_room() {
    let scripts = [
        "perl -e 'truncate(STDOUT, 800 << 20)'; exit 1",
        "yes 'x.c:1:1: warning: again' | head -c 300000000; exit 1",
        "perl -e 'print \"x.c:1:1: error: \", \"A\" x 5000000, \"\\n\"'; exit 1",
        "yes; exit 1",
    ];
    for (script, (setting, front)) in combined(&scripts, &everywhere().collect::<Vec<_>>(), 4) {
        let root = with_bad(script);
        set(&root, setting);
        let (peak, code) = peak_in(&root, &front, "build bad/1.0 -k $K");
        assert_ne!(code, 0, "{setting} {front} {script}");
        assert!(peak < 300_000, "{setting} {front}: {peak} KiB for {script}");
        let sizes = root.must("du -sk /var/lib/dkms | cut -f1; stat -c %s /tmp/said").unwrap();
        let sizes: Vec<u64> = sizes.lines().map(|size| size.parse().unwrap()).collect();
        assert!(sizes[0] < 40_000 && sizes[1] < 20_000, "{setting} {front}: {sizes:?} for {script}");
        // It is remembered, and shown.
        let log = root.dkms("log bad/1.0").unwrap();
        assert!(log.stdout.contains("failed"), "{}", &log.stdout[..log.stdout.len().min(1000)]);
    }
}

#[test]
fn what_a_build_says_is_shown_and_not_obeyed() {
    let root = with_bad(
        r#"printf 'a.c:1:2: error: \033]0;T\007\033[2J\302\233 boo\rHIDDEN \342\200\256\n'; printf 'make: *** [Makefile:3: \033[31mX] Error 1\n'; exit 1"#,
    );
    let commands = [
        "build bad/1.0 -k $K",
        "build bad/1.0 -k $K --verbose",
        "autoinstall -k $K",
        "log bad/1.0",
        "doctor",
    ];
    for (setting, front) in everywhere() {
        set(&root, setting);
        for words in commands {
            let output = root.shell(&format!("{front} \"$DKMS\" {words}"), User::Root, "/").unwrap();
            let said = output.stdout + &output.stderr;
            let hidden = |c: char| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}');
            assert!(!said.is_empty() && !said.contains(hidden), "{setting} {front} {words}: {said:?}");
        }
    }
    let output = root.dkms("log bad/1.0 --json").unwrap();
    assert!(!output.stdout.contains('\u{202e}'), "{}", output.stdout);
    let shown: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(shown.to_string().contains('\u{202e}'), "{shown}");
}

#[test]
fn a_terminal_is_out_of_reach() {
    let attack = "{ printf '\\033]0;T\\007' >/dev/tty; } 2>/dev/null && echo REACHED; true";
    for setting in ["", "sandbox=off"] {
        let root = with_bad(attack);
        set(&root, setting);
        for front in Mode::ALL.map(Mode::front) {
            let line = format!(
                "script -qec '{front} '\"$DKMS\"' build bad/1.0 -k '$K' --force' /dev/null </dev/null"
            );
            let output = root.shell(&line, User::Root, "/").unwrap();
            let log = root.must("cat /var/lib/dkms/bad/1.0/$K/*/log/make.log").unwrap();
            assert!(!log.contains("REACHED") && !output.stdout.contains('\u{7}'), "{setting} {front}: {log}");
        }
    }
}

#[test]
fn a_bottomless_folder_is_removed_and_named() {
    let root = with_bad("perl -e 'for (1..1500) { mkdir \"d\"; chdir \"d\" or last }'");
    let output = root.shell("ulimit -n 256; \"$DKMS\" build bad/1.0 -k $K", User::Root, "/").unwrap();
    assert_eq!(output.code, 10, "{}", output.stderr);
    assert!(output.stderr.contains("more than 200"), "{}", output.stderr);
    // What an earlier version has left is no obstacle either.
    root.must("cd /var/lib/dkms/bad/1.0 && perl -e 'for (\"build\", \".tmp_4999999_0_x\", (\"d\") x 3000) { mkdir $_; chdir $_ or last }'").unwrap();
    root.must("ulimit -n 256; \"$DKMS\" doctor --fix || true").unwrap();
    others_go_on(&root);
}

#[test]
fn what_is_counted_for_root_is_not_used_up() {
    let root =
        with_bad("perl -e 'for (1..4000) { last if syscall(294, 0) < 0 } system(q(sleep 3.25))'; true");
    for front in Mode::ALL.map(Mode::front) {
        let line = format!(
            "{front} \"$DKMS\" build bad/1.0 -k $K --force >/dev/null 2>&1 & i=0
             until pgrep -f '^sleep 3.25' >/dev/null; do sleep 0.1; i=$((i + 1)); [ $i -lt 300 ] || exit 99; done
             perl -e 'exit(syscall(294, 0) < 0)'; code=$?; wait; exit $code"
        );
        root.must(&line).unwrap();
    }
}

#[test]
fn a_socket_that_anybody_may_talk_to_is_out_of_reach() {
    // One for datagrams is connected to nothing for good, even if it is one of a pair.
    let attack = "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un(\"/opt/s\")) && print \"REACHED\\n\";
        socketpair(A, B, PF_UNIX, SOCK_DGRAM, 0) && send(A, \"x\", 0, sockaddr_un(\"/opt/d\")) && print \"REACHED\\n\"'; true";
    let root = with_bad(attack);
    for front in Mode::ALL.map(Mode::front) {
        let line = format!(
            "rm -f /opt/s /opt/d; perl -MSocket -e 'umask 0; socket(D, PF_UNIX, SOCK_DGRAM, 0); bind(D, sockaddr_un(\"/opt/d\")) or die; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"/opt/s\")) or die; listen(S, 5); sleep 100' & s=$!
             until [ -S /opt/s ]; do sleep 0.1; done; bash /usr/src/bad-1.0/pre.sh
             {front} \"$DKMS\" build bad/1.0 -k $K --force >/dev/null; kill $s"
        );
        assert_eq!(root.must(&line).unwrap().matches("REACHED").count(), 2, "there is nothing to reach");
        let log = root.must("cat /var/lib/dkms/bad/1.0/$K/*/log/make.log").unwrap();
        assert!(!log.contains("REACHED"), "{front}: {log}");
    }
}

#[test]
fn who_has_a_key_leaves_no_core() {
    let root = root();
    Module::new("co", "1.0").with("POST_INSTALL=\"post.sh\"").write_to(&root).unwrap();
    let post = "#!/bin/bash\np=$$; while [ $p -gt 1 ]; do [[ $(readlink /proc/$p/exe) != *dkms* ]] || sed -n 's/^Max core file size *//p' /proc/$p/limits
        p=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$p/status); done >/var/tmp/limits; stat -c %u /proc/$PPID >/dev/null; ulimit -c >>/var/tmp/limits\n";
    root.write("/usr/src/co-1.0/post.sh", post, 0o755).unwrap();
    set(
        &root,
        "mok_signing_key=/var/lib/dkms/mok2.key\nmok_certificate=/var/lib/dkms/mok2.pub\ntry_sign_modules=true",
    );
    root.must("ulimit -c unlimited; \"$DKMS\" generate_mok && \"$DKMS\" add co/1.0 && \"$DKMS\" install co/1.0 -k $K").unwrap();
    let limits = root.read("/var/tmp/limits").unwrap();
    let first: Vec<&str> = limits.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(first.len() >= 2 && first.iter().all(|limit| *limit == "0"), "{limits}");
}

#[test]
fn an_abstract_socket_is_out_of_reach_without_a_network_namespace() {
    let attack = "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, pack(\"S a*\", AF_UNIX, \"\\0dkms-open\")) && print \"REACHED\\n\"'; true";
    let root = with_bad(attack);
    root.write("/usr/local/bin/refusing", REFUSING, 0o755).unwrap();
    root.must(
        "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, pack(\"S a*\", AF_UNIX, \"\\0dkms-open\")) or die; listen(S, 5); sleep 1000' >/dev/null 2>&1 &
         until bash /usr/src/bad-1.0/pre.sh | grep -q REACHED; do sleep 0.1; done",
    )
    .unwrap();
    // A network namespace is refused; landlock_create_ruleset too.
    let without_network = "without 0x40000000".to_owned();
    let without_landlock = format!("refusing 444 {without_network}");
    for front in Mode::ALL.map(Mode::front).into_iter().chain([without_network, without_landlock]) {
        root.must(&format!("{front} \"$DKMS\" build bad/1.0 -k $K --force")).unwrap();
        let log = root.must("cat /var/lib/dkms/bad/1.0/$K/*/log/make.log").unwrap();
        assert!(!log.contains("REACHED"), "{front}: {log}");
    }
}

/// A folder that another user owns decides nothing of where root unpacks.
#[test]
fn temporary_files_of_root_lie_where_nobody_exchanges_them() {
    let root = root();
    root.must(
        "$DKMS add honest/1.0; $DKMS mktarball honest/1.0 --source-only --archive /var/tmp/honest.tar.gz
         $DKMS remove honest/1.0 --all; rm -rf /usr/src/honest-1.0
         mkdir -p /home/u/tmp; chown nobody:nogroup /home/u/tmp; chmod 755 /home/u /home",
    )
    .unwrap();
    // Whatever appears there is noted, as its owner would, to exchange it.
    let watch = "import os, sys, time
seen = set()
while not os.path.exists('/srv/stop'):
    seen.update(os.listdir('/home/u/tmp'))
    open('/srv/seen', 'w').write(' '.join(sorted(seen)))
";
    root.write("/srv/watch.py", watch, 0o644).unwrap();
    prepare_modes(&root);
    for front in Mode::ALL.map(Mode::front) {
        root.must("rm -f /srv/stop /srv/seen; python3 /srv/watch.py >/dev/null 2>&1 & until [ -e /srv/seen ]; do sleep 0.05; done")
            .unwrap();
        for words in [
            "ldtarball --archive=/var/tmp/honest.tar.gz",
            "install honest/1.0 -k $K",
            "mktarball honest/1.0 -k $K --archive /var/tmp/two.tar.gz",
        ] {
            let line = format!("TMPDIR=/home/u/tmp {front} \"$DKMS\" {words}");
            let output = root.shell(&line, User::Root, "/").unwrap();
            assert_eq!(output.code, 0, "{front} {words}: {}", output.stderr);
        }
        root.must("sleep 0.1; touch /srv/stop; rm -f /var/tmp/two.tar.gz; $DKMS remove honest/1.0 --all; rm -rf /usr/src/honest-1.0").unwrap();
        assert_eq!(root.read("/srv/seen").unwrap(), "", "{front}");
        assert_eq!(root.must("ls -A /home/u/tmp").unwrap(), "", "{front}");
    }
}
