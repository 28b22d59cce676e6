//! `dkms critical` on real roots, and that critical modules are reported first by what
//! reports missing modules.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::ready::Ready;
use dkms_tests::root::Root;
use serde_json::Value;

/// A fresh root with foo/1.0 installed on `$K` only, and with bar/1.0 in the tree.
fn root() -> Root {
    Ready::installed(env!("CARGO_BIN_EXE_dkms-under-test")).unwrap()
}

fn answer(root: &Root, options: &str) -> Value {
    let text = root.must(&format!("dkms {options} critical --json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let found = document["modules"].as_array().unwrap().iter().find(|one| one["module"] == "foo");
    found.unwrap().clone()
}

#[test]
fn the_admins_word_and_the_tables_of_an_image_decide() {
    let root = root();
    assert_eq!(answer(&root, "")["critical"], Value::Bool(false), "{}", answer(&root, ""));
    root.must("echo critical=foo >>/etc/dkms/framework.conf").unwrap();
    assert_eq!(answer(&root, "")["critical"], Value::Bool(true));
    root.must("echo CRITICAL=no >/etc/dkms/foo.conf").unwrap();
    assert_eq!(answer(&root, "")["critical"], Value::Bool(false));
    root.must("rm /etc/dkms/foo.conf; sed -i /critical/d /etc/dkms/framework.conf").unwrap();
    // Below `--root` the tables decide; without any, nothing is known.
    root.must(
        "mkdir -p /image/proc /image/sys /image/dev /image/tmp /image/etc /image/usr/src /image/var/lib /image/lib/modules
         cp -aL /etc/dkms /etc/os-release /image/etc; cp -a /usr/src/foo-1.0 /image/usr/src; cp -a /var/lib/dkms /image/var/lib",
    )
    .unwrap();
    let unknown = answer(&root, "--root /image");
    assert_eq!(unknown["critical"], Value::Null, "{unknown}");
    assert!(unknown["why"].as_str().unwrap().contains("no fstab"), "{unknown}");
    root.must("echo '/dev/sda1 / foo defaults 0 1' >/image/etc/fstab").unwrap();
    let found = answer(&root, "--root /image");
    assert_eq!((&found["critical"], &found["why"]), (&true.into(), &"root file system".into()));
}

#[test]
fn what_is_missing_of_a_critical_module_is_said_first_and_with_the_reason() {
    let root = root();
    root.must("echo CRITICAL=yes >/etc/dkms/foo.conf").unwrap();
    let k2 = root.kernels().second.clone();
    root.must("rm /srv/ready/foo.ko").unwrap();
    let first = format!("foo/1.0 (CRITICAL=yes in its configuration) is not there for {k2}: ");
    let failed = root.shell("exec \"$DKMS\" autoinstall -k $K2", dkms_tests::root::User::Root, "/").unwrap();
    assert_eq!(failed.code, 11, "{failed:?}");
    let complaint =
        failed.stderr.lines().find(|line| line.starts_with("Warning") || line.starts_with("Error"));
    assert!(complaint.unwrap().contains(&first), "{}", failed.stderr);
    let asked = root.shell("exec \"$DKMS\" preflight -k $K2", dkms_tests::root::User::Root, "/").unwrap();
    assert!(asked.stdout.starts_with(&first), "{asked:?}");
    let found = root.shell("exec \"$DKMS\" doctor", dkms_tests::root::User::Root, "/").unwrap();
    assert!(
        found.stdout.starts_with(&format!("problem: {first}").trim_end_matches(": ").to_owned()),
        "{found:?}"
    );
}
