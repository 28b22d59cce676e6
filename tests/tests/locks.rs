//! Two commands at once: the second waits and says for whom, reading waits for nobody, and
//! nobody waits for ever.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use dkms_tests::cache::Cache;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::{PLACE, Ready};
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;

/// A root whose `foo/1.0` is being built by an autoinstall that goes on until `/srv/go` is there.
fn building() -> Root {
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let ready = Ready::compile(&cache, &kernels).unwrap();
    let root = Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap();
    let root = root.without_sandbox().unwrap();
    ready.put_into(&root).unwrap();
    let make = format!("touch /srv/there; until [ -e /srv/go ]; do sleep 0.05; done; cp {PLACE} .\n");
    root.write("/srv/slow", &make, 0o755).unwrap();
    root.write("/usr/src/foo-1.0/dkms.conf", &Ready::module().with("MAKE=\"sh /srv/slow\"").conf(), 0o644)
        .unwrap();
    root.must(
        "\"$DKMS\" add foo/1.0
         \"$DKMS\" autoinstall -k $K >/srv/first 2>&1 &
         until [ -e /srv/there ]; do sleep 0.05; done",
    )
    .unwrap();
    root
}

#[test]
fn who_comes_second_waits_and_says_for_whom() {
    let root = building();
    // Reading waits for nobody.
    let seen =
        root.must("timeout 3 \"$DKMS\" status; timeout 3 \"$DKMS\" remove foo/1.0 --all --dry-run").unwrap();
    assert!(seen.starts_with("foo/1.0: added\n"), "{seen}");
    let said = root
        .must(
            "\"$DKMS\" remove foo/1.0 --all >/srv/second 2>&1 & second=$!
             until grep -q Waiting /srv/second; do sleep 0.05; done
             \"$DKMS\" install foo/1.0 -k $K >/srv/third 2>&1 & third=$!
             until grep -q Waiting /srv/third; do sleep 0.05; done
             timeout 3 \"$DKMS\" status >/dev/null
             touch /srv/go; wait $second; wait $third; cat /srv/second",
        )
        .unwrap();
    let wait = said.lines().next().unwrap();
    assert!(wait.starts_with("Waiting for module `foo`: process "), "{said}");
    assert!(wait.contains("autoinstall -k") && wait.contains("running for"), "{said}");
    // It took out what the first one had installed meanwhile; the third installed again, or was before it.
    assert!(said.contains("Uninstalling foo/1.0"), "{said}");
    let status = root.dkms("status").unwrap();
    assert_eq!(status.code, 0);
    let left = root.must("cd /var/lib/dkms/.state; find locks running journal owed -type f").unwrap();
    assert_eq!(left, "", "nothing is remembered of commands that ended well");
}

#[test]
fn nobody_waits_for_ever() {
    let root = building();
    root.must("mkdir -p /etc/dkms; echo lock_timeout=1 >>/etc/dkms/framework.conf").unwrap();
    let output = root.dkms("remove foo/1.0 --all").unwrap();
    assert_eq!(output.code, 1, "{}", output.stderr);
    let error = output.stderr.lines().next().unwrap();
    assert!(error.starts_with("Error! module `foo` is locked: process "), "{error}");
    assert!(error.contains("autoinstall -k"), "{error}");
    assert!(output.stderr.contains("lock_timeout"), "{}", output.stderr);
    // Another module of another kernel is nobody's business.
    root.must(
        "timeout 5 \"$DKMS\" status; touch /srv/go; until grep -q 'depmod' /srv/first; do sleep 0.05; done",
    )
    .unwrap();
}

#[test]
fn a_signal_ends_the_waiting() {
    let root = building();
    let output = root
        .dkms(
            "remove foo/1.0 --all >/srv/second 2>&1 & second=$!
               until grep -q Waiting /srv/second; do sleep 0.05; done
               kill -TERM $second; wait $second",
        )
        .unwrap();
    assert_eq!(output.code, 130);
    root.must("grep -q interrupted /srv/second; touch /srv/go").unwrap();
}

#[test]
fn a_script_of_ours_may_call_us() {
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let ready = Ready::compile(&cache, &kernels).unwrap();
    let root = Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap();
    ready.put_into(&root).unwrap();
    root.must("cp -a /usr/src/foo-1.0 /usr/src/bar-1.0; sed -i s/foo/bar/g /usr/src/bar-1.0/dkms.conf")
        .unwrap();
    root.must(&format!("sed -i 's|MAKE=.*|MAKE=\"cp {PLACE} bar.ko\"|' /usr/src/bar-1.0/dkms.conf")).unwrap();
    let dkms = root.must("echo $DKMS").unwrap();
    let script = format!("#!/bin/sh\n{} install bar/1.0 -k $kernelver >/srv/inner 2>&1\n", dkms.trim());
    root.write("/usr/src/foo-1.0/after", &script, 0o755).unwrap();
    let conf = Ready::module().with("POST_INSTALL=after").conf();
    root.write("/usr/src/foo-1.0/dkms.conf", &conf, 0o644).unwrap();
    let output = root.dkms("install foo/1.0 -k $K").unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let status = root.dkms("status").unwrap().stdout;
    let inner = root.read("/srv/inner").unwrap();
    assert_eq!(status.matches(": installed").count(), 2, "{status}{inner}");
    assert!(!inner.contains("Waiting"), "{inner}");
}
