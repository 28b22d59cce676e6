//! Modules that a package brings prebuilt for a kernel, as Ubuntu's `linux-modules-nvidia-*` do: they are
//! not built a second time, and everything that lists modules names the package.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;
use serde_json::Value;

const PACKAGE: &str = "linux-modules-foo-1";

/// A root with foo/1.0 registered, and its module in `$K2` below this folder; nothing is built by dkms.
fn root(tool: &Tool, folder: &str) -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let root = Root::new(&cache, &kernels, &[tool]).unwrap();
    Ready::compile(&cache, &kernels).unwrap().put_into(&root).unwrap();
    root.must(&format!(
        "dkms build foo/1.0 -k $K2
         mkdir -p /lib/modules/$K2/{folder}
         cp /var/lib/dkms/foo/1.0/$K2/x86_64/module/foo.ko* /lib/modules/$K2/{folder}/
         dkms unbuild foo/1.0 -k $K2
         depmod $K2"
    ))
    .unwrap();
    root
}

fn ours() -> Tool {
    Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))
}

/// dpkg's list of a package, as Ubuntu's are: the module is linked from `bits` when the
/// package is configured.
fn list(root: &Root, file: &str) {
    let kernel = &root.kernels().second;
    let text = format!("/.\n/lib/modules/{kernel}/{file}\n");
    root.write(&format!("/var/lib/dpkg/info/{PACKAGE}-{kernel}.list"), &text, 0o644).unwrap();
}

fn json(root: &Root, words: &str) -> Value {
    let output = root.dkms(words).unwrap();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn what_a_package_brings_is_not_built_again() {
    let root = root(&ours(), "kernel/foo-1");
    list(&root, "kernel/foo-1/bits/foo.ko.sig");
    let kernel = root.kernels().second.clone();
    let package = format!("{PACKAGE}-{kernel}");

    let output = root.dkms("autoinstall -k $K2").unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(all.contains(&format!("package `{package}` brings it (version 1.0)")), "{all}");
    assert_eq!(root.must("dkms status").unwrap().trim(), "foo/1.0: added");
    let document = json(&root, "status --json");
    let found = &document["prebuilt"][0];
    assert_eq!(
        (&found["module"], &found["kernel"], &found["package"], &found["package_module_version"]),
        (&"foo".into(), &kernel.as_str().into(), &package.as_str().into(), &"1.0".into()),
        "{document}"
    );
    // One kernel has it in use through dkms; the other is served by the package.
    root.must("dkms install foo/1.0 -k $K").unwrap();
    let output = root.dkms("preflight -k $K2").unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains(&format!("will be there, brought by package `{package}`")), "{output:?}");
    assert_eq!(json(&root, "preflight -k $K2 --json")["modules"][0]["brought_by"], package.as_str());
    assert!(!root.dkms("doctor").unwrap().stdout.contains(&format!("not installed on kernel {kernel}")));

    // Who asks for it by name gets the build, and the version check as ever, which names the package.
    let output = root.dkms("install foo/1.0 -k $K2").unwrap();
    assert_eq!(output.code, 6, "{output:?}");
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(all.contains(&format!("version 1.0, of package `{package}`")), "{all}");
    root.must("dkms autoinstall -k $K2 --force").unwrap();
    assert!(root.must("dkms status -k $K2").unwrap().contains("installed"));
    // Where the package comes after the build it is there twice.
    root.must("cp $(find /var/lib/dkms/foo/original_module -name 'foo.ko') /lib/modules/$K2/kernel/foo-1/")
        .unwrap();
    assert_eq!(json(&root, "status --json")["prebuilt"][0]["built_twice"], true);
    let document = json(&root, "doctor --json");
    let findings = document["findings"].as_array().unwrap();
    let twice = findings.iter().find(|finding| finding["kind"] == "built-twice").unwrap();
    assert!(twice["command"].as_str().unwrap().starts_with("dkms unbuild foo/1.0 -k"), "{twice}");
    root.must("dkms unbuild foo/1.0 -k $K2; dkms autoinstall -k $K2").unwrap();
    assert!(!root.must("dkms status -k $K2").unwrap().contains("installed"));
    assert_eq!(json(&root, "status --json")["prebuilt"][0]["built_twice"], false);
    assert!(!root.must("dkms doctor --json || :").unwrap().contains("built-twice"));
}

#[test]
fn an_older_module_of_a_package_and_one_of_no_package_are_no_reason() {
    let root = root(&ours(), "kernel/foo-1");
    // No package has it: built, and the version check of 3.x decides.
    let output = root.dkms("autoinstall -k $K2").unwrap();
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(all.contains("is the same (version 1.0)"), "{all}");
    assert!(root.must("dkms status -k $K2").unwrap().contains("built"));
    // A package has it, in an older version than the tree.
    list(&root, "kernel/foo-1/foo.ko");
    Module::new("foo", "2.0").write_to(&root).unwrap();
    root.must("dkms add foo/2.0; dkms autoinstall -k $K2").unwrap();
    assert!(root.must("dkms status foo/2.0 -k $K2").unwrap().contains("installed"));
}

#[test]
fn in_the_kernels_own_folders_the_rule_is_the_originals() {
    let cache = Cache::open().unwrap();
    let original = Tool::original(&cache, Oracle::Trixie).unwrap();
    let run = |tool: &Tool| {
        let root = root(tool, "kernel/drivers/misc");
        list(&root, "kernel/drivers/misc/foo.ko");
        let code = root.dkms("autoinstall -k $K2").unwrap().code;
        (code, root.must("dkms status").unwrap())
    };
    assert_eq!(run(&ours()), run(&original));
}
