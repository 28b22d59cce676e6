//! One command, many builds: side by side, within the jobs that were asked for, each failure its own.

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::{self, copying};
use dkms_tests::root::{Root, User};
use dkms_tests::tool::Tool;

/// Stands for the kernel's compiler: notes when it begins and when it ends.
const COMPILER: &str = "#!/bin/sh
echo + >>/tmp/compilers
/opt/real-cc \"$@\"; code=$?
echo - >>/tmp/compilers
exit $code
";

fn batch() -> Tool {
    Tool::batch(env!("CARGO_BIN_EXE_batch-under-test"))
}

/// Builds in it can leave marks anywhere.
fn root() -> Root {
    let root = confined();
    root.without_sandbox().expect("the root is ours")
}

fn confined() -> Root {
    let cache = Cache::open().expect("setup has made the cache");
    let kernels = Kernels::find().expect("setup has installed the kernels");
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    Root::new(&cache, &kernels, &[&ours, &batch()]).expect("tests run as root")
}

/// A module of several files, so that its make has use for several jobs.
fn wide(root: &Root, name: &str, lines: &[&str]) {
    let mut module = Module::new(name, "1.0");
    for line in lines {
        module = module.with(line);
    }
    module.also = (0..5).map(|n| (format!("{name}_{n}"), "1.0".to_owned())).collect();
    module.write_to(root).expect("the root can be written to");
    must(root, &format!("dkms add {name}/1.0"));
}

/// A module that needs no compiler.
fn ready(root: &Root, name: &str, lines: &[&str]) {
    let mut module = ready::module(root, name, "1.0").expect("the root can be written to");
    for line in lines {
        module = module.with(line);
    }
    module.write_to(root).expect("the root can be written to");
    must(root, &format!("dkms add {name}/1.0"));
}

fn must(root: &Root, line: &str) -> String {
    root.must(line).expect("the command succeeds")
}

/// The most compilers that ran at once.
fn most_compilers(root: &Root) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in must(root, "cat /tmp/compilers; rm /tmp/compilers").lines() {
        now = if line == "+" { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}

fn watch_compilers(root: &Root) {
    let place = must(root, "place=$(readlink -f $(command -v gcc-12)); mv $place /opt/real-cc; echo $place");
    root.write(place.trim(), COMPILER, 0o755).expect("the root can be written to");
}

#[test]
fn builds_share_the_jobs() {
    let root = root();
    watch_compilers(&root);
    for (name, lines) in [
        ("aa", &[][..]),
        ("bb", &["MAKE=\"make -j8 -C $kernel_source_dir M=$dkms_tree/bb/1.0/build\""]),
        ("cc", &["MAKE=\"make -j$(nproc) -C $kernel_source_dir M=$dkms_tree/cc/1.0/build\""]),
        ("dd", &["MAKE=\"'make' -C $kernel_source_dir M=$dkms_tree/dd/1.0/build\""]),
        ("ee", &["MAKE=\"make -C $kernel_source_dir M=$dkms_tree/ee/1.0/build modules\""]),
    ] {
        wide(&root, name, lines);
    }
    // Their own `-jN` is theirs to say; what we give all of them together is 3.
    must(&root, "dkms remove bb/1.0 && dkms remove cc/1.0 && dkms autoinstall -k $K -j 3");
    let most = most_compilers(&root);
    assert!((2..=3).contains(&most), "{most} compilers at once, of 3");
    must(&root, "dkms unbuild aa/1.0 -k $K && dkms install aa/1.0 -k $K -k $K2 -k $K3 -j 2");
    let most = most_compilers(&root);
    assert_eq!(most, 2, "compilers at once, of 2");
    must(&root, "dkms add bb/1.0 && dkms add cc/1.0 && dkms autoinstall -k $K2 -j 2");
    let states = must(&root, "dkms status -k $K2");
    assert_eq!(states.matches(": installed").count(), 5, "{states}");
}

#[test]
fn one_module_for_several_kernels_at_once_sees_the_path_it_knows() {
    let root = confined();
    // Each goes on once both have begun: one after the other they would fail.
    let meet = "#!/bin/sh
n=0
until [ -e /srv/go ]; do sleep 0.1; n=$((n + 1)); [ $n -lt 200 ] || exit 9; done
make -C $1 M=/var/lib/dkms/foo/1.0/build
";
    let conf = Module::new("foo", "1.0").with("MAKE=\"sh meet.sh $kernel_source_dir\"");
    conf.with("PRE_BUILD=\"see.sh\"").write_to(&root).expect("writable");
    root.write("/usr/src/foo-1.0/meet.sh", meet, 0o755).expect("writable");
    root.write("/usr/src/foo-1.0/see.sh", "#!/bin/sh\npwd -P; ls\n", 0o755).expect("writable");
    must(
        &root,
        "dkms install foo/1.0 -k $K -k $K2 -j 2 & n=0
         until [ \"$(pgrep -fc '^sh meet.sh')\" = 2 ]; do sleep 0.1; n=$((n + 1)); [ $n -lt 150 ] || break; done
         touch /srv/go; [ $n -lt 150 ] && wait $!",
    );
    for kernel in ["$K", "$K2"] {
        let seen = must(&root, &format!("cat /var/lib/dkms/foo/1.0/{kernel}/$A/log/make.log"));
        assert!(seen.contains("\n/var/lib/dkms/foo/1.0/build\nMakefile\ndkms.conf\n"), "{seen}");
    }
    assert_eq!(must(&root, "dkms status").matches(": installed").count(), 2);
    assert_eq!(must(&root, "ls -A /var/lib/dkms/foo/1.0 | grep -e build -e tmp || true"), "");
    // The same bytes as when it is built alone.
    must(&root, "cp -r /var/lib/dkms/foo/1.0 /tmp/first; dkms build foo/1.0 -k $K --force");
    must(&root, "cmp /tmp/first/$K/$A/module/foo.ko /var/lib/dkms/foo/1.0/$K/$A/module/foo.ko");
}

#[test]
fn a_failure_is_its_modules_own() {
    let root = root();
    for (name, lines) in [
        ("good", &[][..]),
        ("bad", &["MAKE=\"false\""]),
        ("needs-bad", &["BUILD_DEPENDS=bad"]),
        ("needs-good", &["BUILD_DEPENDS=good"]),
    ] {
        ready(&root, name, lines);
    }
    let output = root.dkms("autoinstall -k $K -j 2").expect("it runs");
    assert_eq!(output.code, 11, "{output:?}");
    let last = output.stderr.lines().rev().take(8).collect::<Vec<_>>().join("\n");
    for said in ["autoinstall failed for bad/1.0", "not tried, since they need one of these: needs-bad/1.0"] {
        assert!(last.contains(said), "{said} is not at the end of {}", output.stderr);
    }
    let kernel = must(&root, "printf '%s (%s)' $K $A");
    let summary = format!("kernel {kernel}: installed: good/1.0, needs-good/1.0");
    assert!(output.stdout.lines().any(|line| line == summary), "{summary}: {}", output.stdout);
    let states = must(&root, "dkms status");
    for state in ["bad/1.0: added", "needs-bad/1.0: added"] {
        assert!(states.lines().any(|line| line == state), "{state}: {states}");
    }
    assert!(must(&root, "cat /var/lib/dkms/bad/1.0/build/make.log").contains("# command: false"));
    assert_eq!(must(&root, "grep -c 'updates/dkms/.*good' /lib/modules/$K/modules.dep").trim(), "2");
}

#[test]
fn the_first_failure_ends_a_command_for_several_kernels() {
    let root = root();
    let slow_and_bad = "MAKE=\"[ $kernelver != BAD ] || { sleep 1; exit 3; }; make -C $kernel_source_dir M=$dkms_tree/foo/1.0/build\"";
    let conf = slow_and_bad.replace("BAD", &must(&root, "printf $K"));
    Module::new("foo", "1.0").with(&conf).write_to(&root).expect("writable");
    let output = root.dkms("install foo/1.0 -k $K -k $K2 -j 2").expect("it runs");
    assert_eq!(output.code, 10, "{output:?}");
    // The second build was ready long before the first had failed, and is dropped.
    assert_eq!(must(&root, "dkms status"), "foo/1.0: added\n");
    assert_eq!(must(&root, "ls -A /var/lib/dkms/foo/1.0"), "build\nsource\n");
    let log = must(&root, "cat /var/lib/dkms/foo/1.0/build/make.log");
    assert!(log.contains(&format!("for kernel {} ", must(&root, "printf $K"))), "{log}");
    let output = root.dkms("install foo/1.0 -k $K2 -k $K -j 2").expect("it runs");
    assert_eq!(output.code, 10, "{output:?}");
    assert_eq!(must(&root, "dkms status").matches(": installed").count(), 1);
}

#[test]
fn an_initramfs_is_made_once_after_depmod_where_it_is_asked_for() {
    let root = root();
    root.write(
        "/usr/sbin/update-initramfs",
        "#!/bin/sh\necho \"$@\" >>/tmp/made\ngrep -q one.ko /lib/modules/$3/modules.dep\n",
        0o755,
    )
    .expect("writable");
    must(&root, "touch /boot/initrd.img-$K");
    for (name, lines) in
        [("one", &["REMAKE_INITRD=yes"][..]), ("two", &["REMAKE_INITRD=yes"]), ("three", &[])]
    {
        ready(&root, name, lines);
    }
    let output = root.dkms("install three/1.0 -k $K").expect("it runs");
    assert_eq!((output.code, must(&root, "cat /tmp/made 2>/dev/null || true").as_str()), (0, ""));
    let output = root.dkms("autoinstall -k $K").expect("it runs");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(must(&root, "cat /tmp/made; rm /tmp/made"), must(&root, "echo -u -k $K"));
    must(&root, "echo remake_initrd=no >>/etc/dkms/framework.conf; dkms install one/1.0 --force -k $K");
    assert_eq!(must(&root, "cat /tmp/made 2>/dev/null || true"), "");
    // Where a package manager has noted that the image came too early, that is reported until it is made by
    // hand.
    must(&root, "mkdir -p /var/lib/dkms/.state/initramfs; : >/var/lib/dkms/.state/initramfs/$K");
    let listed = || {
        let document = must(&root, "dkms status --json");
        let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
        document["images_out_of_date"].clone()
    };
    let doctor = root.dkms("doctor").expect("it runs").stdout;
    let command = must(&root, "echo update-initramfs -u -k $K");
    assert!(doctor.contains("was made before") && doctor.contains(command.trim()), "{doctor}");
    assert_eq!(
        (&listed()[0]["reason"], &listed()[0]["command"]),
        (&"made-before".into(), &command.trim().into())
    );
    must(&root, "sleep 0.1; touch /boot/initrd.img-$K");
    assert!(!root.dkms("doctor").expect("it runs").stdout.contains("was made before"));
    assert_eq!(listed(), serde_json::json!([]));
}

/// What an adapter runs for `$K`: its exit code and what it says.
fn adapter(root: &Root) -> (i32, String) {
    let line = format!("{} $K 2>&1", batch().path_in_root());
    let output = root.shell(&line, User::Root, "/").expect("it runs");
    (output.code, output.stdout)
}

#[test]
fn an_adapter_ends_as_the_admin_wants_and_tries_nothing_twice_in_vain() {
    let root = root();
    let count = "echo x >>/tmp/tries; cat broken 2>/dev/null";
    ready(&root, "bad", &[&format!("MAKE=\"sh -c '{count}; exit 2'\"")]);
    ready(&root, "good", &[]);
    let tries = || must(&root, "wc -l </tmp/tries").trim().to_owned();
    let (code, said) = adapter(&root);
    assert_eq!((code, tries().as_str()), (0, "1"), "{said}");
    assert!(said.contains("build bad/1.0"), "{said}");
    assert!(must(&root, "dkms status").contains("good/1.0, "));
    must(&root, "echo on_build_failure=fail >>/etc/dkms/framework.conf");
    let (code, said) = adapter(&root);
    assert_eq!((code, tries().as_str()), (1, "1"), "{said}");
    assert!(said.contains("dkms log bad/1.0") || said.contains("failed"), "{said}");
    // A person tries again whenever he wants; and a change of the source is a reason.
    assert_eq!(root.dkms("autoinstall -k $K").expect("it runs").code, 11);
    assert_eq!(tries(), "2");
    must(&root, "echo changed >/usr/src/bad-1.0/broken");
    assert_eq!((adapter(&root).0, tries().as_str()), (1, "3"));
    must(
        &root,
        "sed -i 's/^MAKE=.*/MAKE=\"make -C $kernel_source_dir M=$dkms_tree\\/bad\\/1.0\\/build\"/' /usr/src/bad-1.0/dkms.conf",
    );
    assert_eq!(adapter(&root), (0, String::new()));
    assert_eq!(must(&root, "dkms status").matches(": installed").count(), 2);
    assert_eq!(adapter(&root), (0, String::new()));
}

#[test]
fn a_signal_ends_all_builds_of_a_batch() {
    let root = root();
    must(&root, "rm /etc/dkms/framework.conf.d/sandbox.conf");
    for name in ["aa", "bb"] {
        ready(&root, name, &["MAKE=\"sleep 1000\""]);
    }
    let line = "env --default-signal=INT dkms autoinstall -k $K -j 2 >/tmp/out 2>&1 & ours=$!
        n=0; until [ $(ps -e -o args= | grep -c '^sleep 1000') = 2 ]; do sleep 0.05; n=$((n + 1)); [ $n -lt 400 ] || exit 99; done
        kill -INT $ours; wait $ours; echo $?; sleep 0.1; ps -e -o args= | grep -c '^sleep 1000'";
    let output = root.shell(line, User::Root, "/").expect("it runs");
    assert_eq!(output.stdout, "130\n0\n", "{output:?}");
    assert_eq!(must(&root, "dkms status"), "aa/1.0: added\nbb/1.0: added\n");
}

#[test]
fn memory_decides_how_many_builds_run() {
    let root = root();
    for name in ["aa", "bb", "cc"] {
        let build = copying(name, "1.0");
        let note = format!("MAKE=\"echo + >>/tmp/compilers; sleep 0.5; echo - >>/tmp/compilers; {build}\"");
        ready(&root, name, &[&note]);
    }
    must(&root, "dkms autoinstall -k $K -j 3");
    assert!(most_compilers(&root) > 1, "nothing is known of their memory yet");
    // As if each had taken a tebibyte.
    let grow = "for f in /var/lib/dkms/.state/attempts/*/*/$K/*/1.json; do sed -i 's/\"memory\": *[a-z0-9]*/\"memory\": 1099511627776/' $f; grep -c 1099511627776 $f; done";
    assert_eq!(must(&root, grow), "1\n1\n1\n");
    must(&root, "dkms autoinstall -k $K2 -j 3");
    assert_eq!(most_compilers(&root), 1);
    assert_eq!(must(&root, "dkms status -k $K2").matches(": installed").count(), 3);
}

#[test]
fn builds_of_a_module_that_could_meet_come_one_after_the_other() {
    let root = root();
    let build = copying("foo", "1.0");
    let note = format!("MAKE=\"echo + >>/tmp/compilers; sleep 0.3; echo - >>/tmp/compilers; {build}\"");
    ready(&root, "foo", &[&note]);
    // Without the right to mount there is one folder for them.
    must(&root, "setpriv --bounding-set=-sys_admin dkms install foo/1.0 -k $K -k $K2 -j 2");
    assert_eq!(most_compilers(&root), 1);
    assert_eq!(must(&root, "dkms status").matches(": installed").count(), 2);
    // Without a sandbox there is one source.
    must(&root, "dkms remove foo/1.0 --all; dkms add foo/1.0; dkms install foo/1.0 -k $K -k $K2 -j 2");
    assert_eq!(most_compilers(&root), 1);
}
