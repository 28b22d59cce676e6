//! What make built and a kernel would not take: failed builds, and modules that are built and installed with
//! a warning which `doctor` and `preflight` repeat.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Output, Root};
use dkms_tests::tool::Tool;

fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap()
}

/// Both kernels' names, as messages have them.
fn said(root: &Root, text: &str) -> String {
    let Kernels { first, second } = root.kernels();
    text.replace("$K2", second).replace("$K", first)
}

fn both(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[test]
fn a_file_that_is_no_module_is_a_failed_build() {
    let root = root();
    for (name, make, why) in [
        ("text", "echo not yet >text.ko", "is a text file, not a module"),
        ("none", ": >none.ko", "is empty"),
        (
            "cut",
            "make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/1.0/build && truncate -s 2000 cut.ko",
            "is cut: the section table lies beyond its end",
        ),
        (
            "object",
            "make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/1.0/build && cp object.o object.ko",
            "is an object file without the section",
        ),
        (
            "packed",
            "make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/1.0/build && xz packed.ko && mv packed.ko.xz packed.ko",
            "is compressed, and make must leave the module itself",
        ),
    ] {
        Module::new(name, "1.0").with(&format!("MAKE=\"{make}\"")).write_to(&root).unwrap();
        let output = root.dkms(&format!("install {name}/1.0 -k $K")).unwrap();
        assert_eq!(output.code, 7, "{name}: {}", both(&output));
        let error = format!(
            "cannot build {name}/1.0 for kernel $K (x86_64): what make built cannot be loaded: `/var/lib/dkms/{name}/1.0/build/{name}.ko` {why}"
        );
        assert!(output.stderr.contains(&said(&root, &error)), "{}", output.stderr);
        assert!(output.stderr.contains(&format!("the log is `/var/lib/dkms/{name}/1.0/build/make.log`")));
        let status = root.dkms(&format!("status {name}")).unwrap().stdout;
        assert_eq!(status, format!("{name}/1.0: added\n"));
    }
}

#[test]
fn a_module_for_another_kernel_is_installed_with_a_warning() {
    let root = root();
    let make = "MAKE=\"make -C /lib/modules/$K2/build M=$dkms_tree/foo/1.0/build\"";
    Module::new("foo", "1.0").with(&said(&root, make)).write_to(&root).unwrap();
    let output = root.dkms("install foo/1.0 -k $K").unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let what = said(&root, "is built for kernel $K2 (vermagic), not for $K");
    // The kernel does not look at the release of a module that has CRCs, but at these.
    let warning = format!("Warning: `foo.ko` of foo/1.0 {what}: the CRCs differ of `");
    let is_said = |line: &str| line.starts_with(&warning) && line.ends_with("; it cannot be loaded");
    assert!(output.stderr.lines().any(is_said), "{}", output.stderr);
    assert!(
        output.stderr.contains("MAKE in dkms.conf must build in `$kernel_source_dir`"),
        "{}",
        output.stderr
    );
    let doctor = root.dkms("doctor").unwrap();
    assert!(doctor.code == 1 && doctor.stdout.contains(&what), "{}", both(&doctor));
    let preflight = root.dkms("preflight -k $K").unwrap();
    assert!(preflight.code == 1 && preflight.stdout.contains(&what), "{}", both(&preflight));
    // A command that takes the build to another machine reports it there.
    root.must("dkms mktarball foo/1.0 -k $K --archive /srv/foo.tar.gz && dkms remove foo/1.0 --all").unwrap();
    let loaded = root.dkms("ldtarball /srv/foo.tar.gz --force").unwrap();
    assert!(loaded.code == 0 && loaded.stderr.contains(&what), "{}", both(&loaded));
}

#[test]
fn a_symbol_that_nothing_exports_is_named() {
    let root = root();
    let conf =
        "MAKE=\"make KBUILD_MODPOST_WARN=1 -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/1.0/build\"";
    for name in ["user", "base"] {
        Module::new(name, "1.0").with(conf).write_to(&root).unwrap();
    }
    root.must(
        "echo 'int shared_answer(void); int asking(void); int asking(void) { return shared_answer(); }' >>/usr/src/user-1.0/user.c
         echo 'int shared_answer(void); int shared_answer(void) { return 1; } EXPORT_SYMBOL(shared_answer);' >>/usr/src/base-1.0/base.c",
    )
    .unwrap();
    let what = |root: &Root| {
        said(root, "`user.ko` of user/1.0 needs symbols that nothing exports on kernel $K: `shared_answer`")
    };
    root.must("dkms install base/1.0 -k $K2").unwrap();
    let output = root.dkms("install user/1.0 -k $K").unwrap();
    assert!(output.code == 0 && output.stderr.contains(&what(&root)), "{}", both(&output));
    let hint = said(&root, "`dkms install base/1.0 -k $K` installs the module that exports `shared_answer`");
    assert!(output.stderr.contains(&hint), "{}", output.stderr);
    // Once it is there nothing is reported.
    root.must("dkms install base/1.0 -k $K").unwrap();
    let output = root.dkms("build user/1.0 -k $K --force").unwrap();
    assert!(output.code == 0 && !output.stderr.contains("symbols"), "{}", both(&output));
}

#[test]
fn a_sound_module_gets_no_warning_on_any_kernel() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    for kernel in ["$K", "$K2", "$K3"] {
        let output = root.dkms(&format!("install foo/1.0 -k {kernel}")).unwrap();
        assert!(output.code == 0 && !output.stderr.contains("Warning"), "{kernel}: {}", both(&output));
    }
}
