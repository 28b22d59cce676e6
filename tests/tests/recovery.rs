//! Killed where it hurts: by its own depmod, by its own POST_INSTALL. The next command puts all in order,
//! whatever it is asked for.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use dkms_tests::cache::Cache;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;

fn root() -> Root {
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let ready = Ready::compile(&cache, &kernels).unwrap();
    let root = Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap();
    ready.put_into(&root).unwrap();
    root.must(
        "mkdir -p /lib/modules/$K/kernel/misc; cp /srv/ready/foo.ko /lib/modules/$K/kernel/misc/; depmod $K
         mkdir /usr/src/bar-1.0; printf 'PACKAGE_NAME=bar\\nPACKAGE_VERSION=1.0\\nBUILT_MODULE_NAME=bar\\nDEST_MODULE_LOCATION=/extra\\n' >/usr/src/bar-1.0/dkms.conf",
    )
    .unwrap();
    root
}

/// Kills the `dkms` that runs it. Between the two stands the process that ends what `dkms` has started.
const KILLER: &str = "#!/bin/sh\nkill -9 $(sed 's/.*) . //; s/ .*//' /proc/$PPID/stat)\n";

/// Where `foo` is for modprobe.
fn known(root: &Root) -> String {
    root.must("sed -n 's/:.*//p' /lib/modules/$K/modules.dep | grep foo").unwrap()
}

fn assert_nothing_is_left(root: &Root) {
    let left = root
        .must("cd /var/lib/dkms/.state; find locks running journal owed loading -type f 2>/dev/null || true; find /lib/modules/ /var/lib/dkms -name '.tmp_*'")
        .unwrap();
    assert_eq!(left, "");
}

#[test]
fn whoever_comes_next_runs_the_depmod_that_is_owed() {
    let root = root();
    // First the install is killed by its depmod, then the uninstall.
    for (words, before, after) in [
        ("install foo/1.0 -k $K --force", "kernel/misc/foo.ko\n", "updates/dkms/foo.ko\n"),
        ("uninstall foo/1.0 -k $K", "updates/dkms/foo.ko\n", "kernel/misc/foo.ko\n"),
    ] {
        root.write("/usr/local/sbin/depmod", KILLER, 0o755).unwrap();
        let killed = root.shell(&format!("\"$DKMS\" {words}"), dkms_tests::root::User::Root, "/").unwrap();
        assert_eq!(killed.code, 137, "{words}: {}", killed.stderr);
        assert_eq!(known(&root), before);
        root.must("rm /usr/local/sbin/depmod").unwrap();
        // `status` and `--dry-run` read, and repair nothing.
        root.must("\"$DKMS\" status; \"$DKMS\" remove bar/1.0 --dry-run || true").unwrap();
        assert_eq!(known(&root), before);
        // It has nothing to do with that kernel, and needn't succeed.
        let next = root.dkms("unbuild foo/1.0 -k 9.9.9").unwrap();
        assert!(next.stdout.contains("Running depmod for"), "{}{}", next.stdout, next.stderr);
        assert_eq!(known(&root), after, "{words}");
        assert_nothing_is_left(&root);
        let again = root.dkms("unbuild foo/1.0 -k 9.9.9").unwrap();
        assert!(!again.stdout.contains("depmod"), "paid once");
    }
}

#[test]
fn without_depmod_none_is_owed() {
    let root = root();
    root.must("\"$DKMS\" install foo/1.0 -k $K --force --no-depmod; \"$DKMS\" add bar/1.0").unwrap();
    assert_eq!(known(&root), "kernel/misc/foo.ko\n");
    assert_nothing_is_left(&root);
}

#[test]
fn an_install_that_its_own_script_killed_is_taken_back() {
    let root = root();
    let conf = Ready::module().with("POST_INSTALL=killer").conf();
    root.write("/usr/src/foo-1.0/dkms.conf", &conf, 0o644).unwrap();
    root.write("/usr/src/foo-1.0/killer", KILLER, 0o755).unwrap();
    root.must("\"$DKMS\" build foo/1.0 -k $K").unwrap();
    let killed =
        root.shell("\"$DKMS\" install foo/1.0 -k $K --force", dkms_tests::root::User::Root, "/").unwrap();
    assert_eq!(killed.code, 137);
    let next = root.dkms("add bar/1.0").unwrap();
    assert!(next.stdout.contains("Undid the interrupted changes"), "{}{}", next.stdout, next.stderr);
    let state =
        root.must("\"$DKMS\" status; find /lib/modules/$K/ -name 'foo.ko*'; ls /var/lib/dkms/foo").unwrap();
    assert!(state.contains(": built\n") && state.contains("kernel/misc/foo.ko\n"), "{state}");
    assert!(!state.contains("updates") && !state.contains("original_module"), "{state}");
    assert_nothing_is_left(&root);
}
