//! `dkms plan` and `dkms preflight` on real roots: what they say, how they end, and that nothing is changed.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::capture::capture;
use dkms_tests::fixture::Module;
use dkms_tests::ready::Ready;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::verdict;

/// A fresh root with foo/1.0 installed on `$K`.
fn root() -> Root {
    Ready::installed(env!("CARGO_BIN_EXE_dkms-under-test")).unwrap()
}

/// Asks as nobody, with the tree as it is afterwards compared with the one before.
fn asks(root: &Root, words: &str) -> Output {
    let before = capture(root).unwrap();
    let output = root.shell(&format!("exec \"$DKMS\" {words}"), User::Nobody, "/").unwrap();
    assert_eq!(verdict::changes(&before, &capture(root).unwrap(), &[]), Vec::<String>::new(), "{words}");
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    output
}

fn fails(output: &Output, says: &str) {
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains(says), "{output:?}");
}

#[test]
fn a_kernel_that_comes() {
    let root = root();
    let well = asks(&root, "preflight -k $K -k $K2");
    assert_eq!(well.code, 0, "{well:?}");
    assert_eq!(well.stdout.matches("is installed").count(), 1, "{}", well.stdout);
    assert_eq!(well.stdout.matches("nothing is known that prevents it").count(), 1, "{}", well.stdout);

    let coming = "preflight -k 6.99.0-1-amd64 --kernel-coming";
    fails(&asks(&root, coming), "apt-get install linux-headers-6.99.0-1-amd64");
    assert_eq!(asks(&root, &format!("{coming} --headers-coming")).code, 0);
    fails(&asks(&root, "preflight -k 6.99.0-1-amd64 --headers-coming"), "the kernel is not there");

    let conf = Ready::module().with("BUILD_EXCLUSIVE_KERNEL_MAX=6.50").conf();
    root.write("/usr/src/foo-1.0/dkms.conf", &conf, 0o644).unwrap();
    fails(&asks(&root, &format!("{coming} --headers-coming")), "BUILD_EXCLUSIVE_KERNEL_MAX");

    let conf = Ready::module().with("BUILD_EXCLUSIVE_CONFIG=CONFIG_NEVER_HEARD_OF").conf();
    root.write("/usr/src/foo-1.0/dkms.conf", &conf, 0o644).unwrap();
    assert_eq!(asks(&root, &format!("{coming} --headers-coming")).code, 0, "its configuration is not known");
    root.write("/boot/config-6.99.0-1-amd64", "CONFIG_X=y\n", 0o644).unwrap();
    fails(&asks(&root, &format!("{coming} --headers-coming")), "BUILD_EXCLUSIVE_CONFIG");

    root.must("echo '(' >>/usr/src/foo-1.0/dkms.conf").unwrap();
    fails(&asks(&root, &format!("{coming} --headers-coming")), "not valid");
    root.must("rm -r /usr/src/foo-1.0").unwrap();
    fails(&asks(&root, &format!("{coming} --headers-coming")), "broken");
    let document = asks(&root, &format!("{coming} --json"));
    let document: serde_json::Value = serde_json::from_str(&document.stdout).unwrap();
    let module = &document["modules"][0];
    assert_eq!((&module["there"], &module["reason"]), (&false.into(), &"broken".into()), "{document}");
}

#[test]
fn a_plan_is_shown_and_nothing_done() {
    let root = root();
    Module::new("bar", "1.0").write_to(&root).unwrap();
    root.must("dkms add bar/1.0").unwrap();
    let kernels = root.kernels();
    let both = asks(&root, "plan -k $K -k $K2");
    assert_eq!(both.code, 0, "{both:?}");
    for line in [
        format!("build    bar/1.0  {}/x86_64", kernels.first),
        format!("install  foo/1.0  {}/x86_64", kernels.second),
    ] {
        assert!(both.stdout.contains(&line), "{}", both.stdout);
    }
    assert!(both.stdout.contains(&format!("`foo/1.0` is already installed on kernel {}", kernels.first)));
    assert_eq!(both.stdout.matches(" depmod ").count(), 2, "{}", both.stdout);

    let one = asks(&root, "plan install foo/1.0 -k $K2");
    assert_eq!((one.code, &one), (0, &asks(&root, "install foo/1.0 -k $K2 --dry-run")));
    assert_eq!(asks(&root, "plan build foo/1.0 -k $K --quiet").code, 0);
    assert_eq!(asks(&root, "plan build gone/1.0 -k $K").code, 3);
    assert_eq!(asks(&root, "plan install foo/1.0 -k 9.9.9").code, 21);
    assert_eq!(asks(&root, "plan foo/1.0").code, 2);
    let document: serde_json::Value =
        serde_json::from_str(&asks(&root, "plan -k $K2 --json").stdout).unwrap();
    assert_eq!(document["steps"].as_array().unwrap().len(), 5, "{document}");
}

#[test]
fn settings_that_can_not_be_meant() {
    let root = root();
    root.must("echo 'parallel_jobs=many preflight=always' >>/etc/dkms/framework.conf").unwrap();
    let output = asks(&root, "status");
    assert_eq!(output.code, 0);
    for warning in ["`parallel_jobs=many`", "`preflight=always`"] {
        assert_eq!(output.stderr.matches(&format!("Warning: {warning}")).count(), 1, "{}", output.stderr);
    }
}
