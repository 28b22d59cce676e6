//! Builds on real files below a temporary root; `make` is the real one, or a shell line that stands for it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::testing::{MAKE, World, behind, world};
use super::*;
use crate::conf::module::ModuleRecord;
use crate::conf::settings::SandboxMode;
use crate::id::{Arch, KernelRelease, ModuleName, ModuleVersion, Target};
use crate::kernel::{Compression, Toolchain};
use crate::modfile::testing::Fabricated;
use crate::sign::{SignError, Signer};

#[test]
fn a_build_leaves_the_files_and_modes_of_the_3_x_line() {
    let mut world = world();
    let make = "umask 077; cat whole.bin > foo.real; echo x >> foo.real; ln -s foo.real foo.ko; touch -d 2001-01-01 foo.real; touch Module.symvers";
    world.conf.make = Some(make.to_owned());
    world.conf.build_depends_rebuild = true;
    world.dependencies = vec![(ModuleName::new("bar").unwrap(), ModuleVersion::new("2.0").unwrap())];
    let built = world.build().unwrap();
    insta::assert_snapshot!(world.tree().join("\n"), @r"
    40755 6.1.0-1-amd64
    40755 6.1.0-1-amd64/x86_64
    100644 6.1.0-1-amd64/x86_64/.dep_bar
    40755 6.1.0-1-amd64/x86_64/log
    100644 6.1.0-1-amd64/x86_64/log/make.log
    40755 6.1.0-1-amd64/x86_64/module
    100644 6.1.0-1-amd64/x86_64/module/Module.symvers
    100644 6.1.0-1-amd64/x86_64/module/foo.ko
    120777 source
    ");
    assert_eq!(behind(&built.modules[0]), "x\n");
    assert!(
        fs::lstat(&built.modules[0]).unwrap().unwrap().mtime() > 1_500_000_000,
        "the time of make is not kept"
    );
    assert_eq!(fs::read_lossy(&built.dir.join(".dep_bar")).unwrap(), "2.0\n");
    assert!(fs::read_lossy(&built.log).unwrap().contains("# exit code: 0\n"));
}

#[test]
fn the_build_runs_in_the_path_that_confs_name() {
    let world = world();
    let built = world.build().unwrap();
    let expected = format!("<{}>", world.path("var/lib/dkms/foo/1.0/build").display());
    assert_eq!(behind(&built.modules[0]), expected);
}

#[test]
fn names_places_and_excluded_modules_are_those_of_the_conf() {
    let mut world = world();
    world.conf.make = Some("mkdir d; cp whole.bin d/bar.ko".to_owned());
    let record = &mut world.conf.modules[0];
    (record.built_name, record.built_location, record.dest_name) = ("bar".into(), "d/".into(), "baz".into());
    let exclusion = crate::conf::module::Exclusion { directive: "X".into(), value: "x".into() };
    let excluded = ModuleRecord { excluded: Some(exclusion), built_name: "nix".into(), ..record.clone() };
    world.conf.modules.push(excluded);
    let built = world.build().unwrap();
    assert_eq!(built.modules, [world.path("var/lib/dkms/foo/1.0/6.1.0-1-amd64/x86_64/module/baz.ko")]);
}

#[test]
fn a_failed_build_leaves_what_was_there_and_its_log() {
    let mut world = world();
    let first = world.build().unwrap();
    let before = world.tree();
    let failing: [(&str, &str); 4] = [
        ("echo oops; exit 3", "MakeFailed"),
        ("true", "ModuleNotBuilt"),
        ("cp whole.bin foo.ko", "ScriptFailed"),
        ("rm -rf * ; exit 1", "MakeFailed"),
    ];
    world.write("usr/src/foo-1.0/post", "#!/bin/sh\nexit 42\n", 0o755);
    world.conf.scripts.post_build = Some("post".to_owned());
    for (make, kind) in failing {
        world.conf.make = Some(make.to_owned());
        let error = world.build().unwrap_err();
        assert!(format!("{:?}", error.failure).starts_with(kind), "{error:?}");
        let mut after = world.tree();
        after.retain(|line| line != "40755 build");
        assert_eq!(after, before);
        assert_eq!(
            error.attempt.log.as_deref(),
            Some(world.path("var/lib/dkms/foo/1.0/build/make.log").as_path())
        );
        assert!(world.log().contains(make));
        let text = error.to_string();
        assert!(text.starts_with("cannot build foo/1.0 for kernel 6.1.0-1-amd64 (x86_64): "), "{text}");
        assert!(error.hints().iter().any(|hint| hint.contains("/foo/1.0/build/make.log`")));
    }
    assert!(behind(&first.modules[0]).starts_with('<'));
    world.conf.scripts.post_build = None;
    world.conf.make = Some("{ cat whole.bin; echo newer; } > foo.ko".to_owned());
    world.build().unwrap();
    assert_eq!(world.tree(), before);
    assert_eq!(behind(&first.modules[0]), "newer\n");
}

#[test]
fn scripts_run_in_the_build_folder_and_pass_their_code_on() {
    let mut world = world();
    world.write("usr/src/foo-1.0/pre", "#!/bin/sh\necho \"$1 $kernelver\" > said; exit $2\n", 0o755);
    world.conf.scripts.pre_build = Some("pre hello 0".to_owned());
    world.conf.make = Some("cat whole.bin said > foo.ko".to_owned());
    let built = world.build().unwrap();
    assert_eq!(behind(&built.modules[0]), "hello 6.1.0-1-amd64\n");
    world.conf.scripts.pre_build = Some("pre hello 42".to_owned());
    assert!(matches!(world.failure(), Failure::ScriptFailed { hook: Hook::PreBuild, code: 42, .. }));
    fs::set_mode(&world.path("usr/src/foo-1.0/pre"), 0o644).unwrap();
    world.conf.make = Some(MAKE.to_owned());
    world.build().unwrap();
    assert_eq!(world.warnings().len(), 1);
    world.write("etc/dkms/foo/pre", "#!/bin/sh\npwd; exit 7\n", 0o755);
    assert!(matches!(world.failure(), Failure::ScriptFailed { code: 7, .. }));
    let build = world.path("var/lib/dkms/foo/1.0/build");
    assert!(world.log().contains(&format!("\n{}\n", build.display())), "an override, too");
}

#[test]
fn patches_apply_in_order_and_the_admins_win() {
    let mut world = world();
    let patch =
        |from: &str, to: &str| format!("--- a/foo.c\n+++ b/foo.c\n@@ -1,2 +1,2 @@\n-{from}\n+{to}\n two\n");
    world.write("usr/src/foo-1.0/patches/a b.patch", &patch("one", "ein"), 0o644);
    world.write("usr/src/foo-1.0/patches/sub/c.patch", "garbage", 0o644);
    world.write("etc/dkms/foo/patches/sub/c.patch", &patch("ein", "un"), 0o644);
    world.conf.patches = vec!["a b.patch".to_owned(), "sub/c.patch".to_owned()];
    world.conf.make = Some("cat whole.bin foo.c > foo.ko".to_owned());
    let built = world.build().unwrap();
    assert_eq!(behind(&built.modules[0]), "un\ntwo\nthree\n");
    world.conf.patches.reverse();
    assert!(matches!(world.failure(), Failure::PatchFailed { code: 1, .. }));
    assert!(fs::exists(&world.path("var/lib/dkms/foo/1.0/build/foo.c.rej")));
    for (patch, expected) in [
        ("nix", PatchFault::Missing),
        ("../foo.c", PatchFault::Leaves),
        ("/etc/passwd", PatchFault::Absolute),
    ] {
        world.conf.patches = vec![patch.to_owned()];
        assert!(matches!(world.failure(), Failure::PatchMissing { fault, .. } if fault == expected));
    }
}

#[test]
fn a_source_without_source_is_refused_before_anything_is_touched() {
    let world = world();
    for file in ["foo.c", "whole.bin"] {
        fs::remove_file(&world.path("usr/src/foo-1.0").join(file)).unwrap();
    }
    world.write("usr/src/foo-1.0/.hidden", "", 0o644);
    let before = world.tree();
    assert!(matches!(world.failure(), Failure::NoSource(_)));
    fs::remove_tree(&world.path("usr/src/foo-1.0")).unwrap();
    assert!(matches!(world.failure(), Failure::NoSource(_)));
    assert_eq!(world.tree(), before);
}

#[test]
fn make_sees_the_kernels_compiler_and_what_build_environment_exports() {
    let mut world = world();
    world.write("etc/env-6.1.0-1-amd64", "export EXTRA=e HIDDEN\nCC=mine\n", 0o644);
    world.settings.build_environment = Some(format!("{}-$kernelver", world.path("etc/env").display()));
    world.toolchain = Toolchain { cc: Some("clang".to_owned()), clang: true, ..Toolchain::default() };
    world.environment.set("CFLAGS", "-O9");
    world.conf.make =
        Some("{ cat whole.bin; echo $CC $KERNEL_CC $EXTRA $CFLAGS $LLVM; } > foo.ko && true".to_owned());
    let built = world.build().unwrap();
    assert_eq!(behind(&built.modules[0]), "mine clang e 1\n");
    assert!(fs::read_lossy(&built.log).unwrap().contains("CC=clang KERNEL_CC=clang LLVM=1\n"));
}

/// Appends a word, or refuses.
#[derive(Debug)]
struct TestSigner(bool);

impl Signer for TestSigner {
    fn sign(&self, module: &Path, _: &[(&str, &str)]) -> Result<(), SignError> {
        if !self.0 {
            return Err(SignError::Program { line: "x".into(), code: 1, output: "no".into() });
        }
        let signed = [fs::read(module)?, b"signed".to_vec()].concat();
        Ok(fs::write_whole(module, &signed, 0o644)?)
    }

    fn describe(&self) -> String {
        "by a test".to_owned()
    }
}

#[test]
fn post_build_finds_the_finished_modules_in_the_build_folder() {
    let mut world = world();
    world.kernel.compression = Compression::Xz;
    world.write("usr/src/foo-1.0/post", "#!/bin/sh\nls foo.ko*; echo changed > foo.ko.xz\n", 0o755);
    world.conf.scripts.post_build = Some("post".to_owned());
    let built = world.build_signed(Some(&TestSigner(true))).unwrap();
    assert!(fs::read_lossy(&built.log).unwrap().contains("\nfoo.ko.xz\n"));
    let unpacked = crate::modfile::content(&built.modules[0]).unwrap();
    assert!(unpacked.ends_with(b">signed"), "{}", String::from_utf8_lossy(&unpacked));
    world.build_signed(Some(&TestSigner(false))).unwrap();
    assert!(world.warnings()[0].contains("is not signed"), "{:?}", world.warnings());
}

#[test]
fn off_does_not_hold_for_what_another_user_may_write() {
    let mut world = world();
    world.settings.sandbox = SandboxMode::Off;
    let log = |world: &World| {
        world.build().unwrap();
        fs::read_lossy(&world.path("var/lib/dkms/foo/1.0/6.1.0-1-amd64/x86_64/log/make.log")).unwrap()
    };
    assert!(log(&world).contains("# not in a sandbox: `sandbox=off`"));
    fs::give_to(&world.path("usr/src/foo-1.0"), 12345, 12345);
    let walled = log(&world);
    assert!(walled.contains("in a sandbox anyway") && walled.contains("user 12345"), "{walled}");
}

#[test]
fn a_link_of_another_user_to_what_is_not_theirs_is_no_source() {
    let world = world();
    let (source, checkout) = (world.path("usr/src/foo-1.0"), world.path("home/bob/foo"));
    fs::create_dir_all(checkout.parent().unwrap()).unwrap();
    fs::rename(&source, &world.path("home/bob/real")).unwrap();
    fs::symlink(&checkout, &source).unwrap();
    fs::symlink(std::path::Path::new("real"), &checkout).unwrap();
    world.build().unwrap();
    fs::give_to(&checkout, 12345, 12345);
    let failure = world.failure().to_string();
    assert!(failure.contains("home/bob/foo` leads to a file of another owner"), "{failure}");
}

#[test]
fn post_build_changes_the_result_under_its_path() {
    for (sandbox, is_there) in [
        (SandboxMode::Auto, false),
        (SandboxMode::Auto, true),
        (SandboxMode::Off, false),
        (SandboxMode::Off, true),
    ] {
        let mut world = world();
        world.settings.sandbox = sandbox;
        if is_there {
            world.build().unwrap();
        }
        world.conf.make = Some(format!("{MAKE}; touch Module.symvers"));
        let post = "#!/bin/sh -e\ncd ../6.1.0-1-amd64/x86_64\n[ -f log/make.log ]; [ -f module/Module.symvers ]\nmkdir sub; echo x > sub/config.h\n\
                    printf more >> module/foo.ko; chmod 6777 module/foo.ko || chmod 777 module/foo.ko; ln -s /etc/shadow out; ln -s foo.ko module/link\n";
        world.write("usr/src/foo-1.0/post", post, 0o755);
        world.conf.scripts.post_build = Some("post".to_owned());
        let built = world.build().unwrap();
        assert!(fs::read_lossy(&built.modules[0]).unwrap().ends_with(">more"));
        let kept: Vec<String> = world.tree().into_iter().filter(|line| line.contains("x86_64/")).collect();
        let kept: Vec<&str> = kept.iter().map(|line| line.split("x86_64/").nth(1).unwrap()).collect();
        let mut expected = vec![
            "log",
            "log/make.log",
            "module",
            "module/Module.symvers",
            "module/foo.ko",
            "module/link",
            "sub",
            "sub/config.h",
        ];
        if sandbox == SandboxMode::Off {
            expected.insert(6, "out");
        }
        assert_eq!(kept, expected);
        assert_eq!(fs::lstat(&built.modules[0]).unwrap().unwrap().mode() & 0o7022, 0);
        // A script that breaks a module, or takes one away, has failed.
        let before = world.tree();
        for broken in [
            "echo garbage > module/foo.ko",
            "rm module/foo.ko; ln -s ../x module/foo.ko",
            "rm -r module",
            "exit 3",
        ] {
            let post = format!("#!/bin/sh\ncd ../6.1.0-1-amd64/x86_64\n{broken}\n");
            world.write("usr/src/foo-1.0/post", &post, 0o755);
            assert!(world.build().is_err(), "{broken}");
            let mut after = world.tree();
            after.retain(|line| line != "40755 build");
            assert_eq!(after, before, "{broken}");
        }
    }
}

#[test]
fn the_admins_scripts_are_not_confined() {
    let mut world = world();
    let note = world.path("var/lib/dkms/note");
    let script =
        format!("#!/bin/sh -e\npwd; id -u > {0}; ls ../6.1.0-1-amd64/x86_64/module >> {0}\n", note.display());
    world.write("srv/tool", &script, 0o755);
    let out = format!("{}{}/srv/tool", "../".repeat(20).trim_end_matches('/'), world.root.path().display());
    world.conf.scripts.post_build = Some(out);
    assert!(matches!(world.failure(), Failure::ScriptFailed { .. }), "the module's conf names it");
    world.write("etc/dkms/foo.conf", "POST_BUILD=\"...\"\n", 0o644);
    let built = world.build().unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(fs::read_lossy(&note).unwrap(), format!("{uid}\nfoo.ko\n"));
    let build = format!("\n{}\n", world.path("var/lib/dkms/foo/1.0/build").display());
    assert!(fs::read_lossy(&built.log).unwrap().contains(&build), "it runs in the build folder");
}

#[test]
fn a_strip_that_fails_halfway_costs_nothing() {
    let mut world = world();
    world.write("bin/strip", "#!/bin/sh\n: > \"$2\"; echo broken; exit 1\n", 0o755);
    world.environment.set("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    world.conf.modules[0].strip = true;
    let built = world.build().unwrap();
    assert!(behind(&built.modules[0]).starts_with('<'));
    assert!(world.warnings()[0].contains("is not stripped"), "{:?}", world.warnings());
}

/// A program that a hostile module has taken over does not decide what is installed.
#[test]
fn what_strip_and_compressors_leave_is_looked_at() {
    let mut world = world();
    world.environment.set("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    world.conf.modules[0].strip = true;
    world.write("bin/strip", "#!/bin/sh\necho garbage > \"$2\"\n", 0o755);
    let built = world.build().unwrap();
    assert!(behind(&built.modules[0]).starts_with('<'));
    assert!(world.warnings()[0].contains("it left no whole module"), "{:?}", world.warnings());
    world.conf.modules[0].strip = false;
    world.kernel.compression = Compression::Gzip;
    world.write("bin/gzip", "#!/bin/sh\necho garbage | /usr/bin/gzip -c > \"$2.gz\"\n", 0o755);
    let error = world.build().unwrap_err().to_string();
    assert!(error.contains("is not the module"), "{error}");
}

#[test]
fn a_real_module_is_built_for_a_real_kernel() {
    let mut world = world();
    let kernels = fs::list(Path::new("/lib/modules")).unwrap();
    let with_headers = |name: &str| fs::is_dir(&Path::new("/lib/modules").join(name).join("build/include"));
    let kernel = kernels.iter().filter_map(|entry| entry.name.to_str()).rfind(|name| with_headers(name));
    let kernel = kernel.expect("a kernel's headers, `apt-get install linux-headers-amd64`, are needed here");
    world.target = Target::new(KernelRelease::new(kernel).unwrap(), Arch::new("x86_64").unwrap());
    world.kernel.headers = Path::new("/lib/modules").join(kernel).join("build");
    world.write("usr/src/foo-1.0/Makefile", "obj-m := foo.o\n", 0o644);
    let source = "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n";
    world.write("usr/src/foo-1.0/foo.c", source, 0o644);
    world.conf.make = None;
    world.conf.modules[0].strip = true;
    let built = world.build().unwrap();
    let module = fs::read(&built.modules[0]).unwrap();
    let vermagic = format!("vermagic={kernel} ");
    assert!(module.windows(vermagic.len()).any(|bytes| bytes == vermagic.as_bytes()));
    assert!(!module.windows(11).any(|bytes| bytes == b".debug_info"), "it was stripped");
    world.write("usr/src/foo-1.0/foo.c", &format!("{source}int f(void) {{ return nix; }}\n"), 0o644);
    let error = world.build().unwrap_err();
    assert!(matches!(error.failure, Failure::MakeFailed { code: 2, .. }));
    let hints = error.hints();
    let place = world.path("var/lib/dkms/foo/1.0/build/foo.c");
    assert!(
        hints[0].starts_with(&format!("first error: {}:3: ‘nix’ undeclared", place.display())),
        "{hints:?}"
    );
    assert!(hints[1].contains("interface"), "{hints:?}");
}

#[test]
fn a_build_that_leaves_a_bottomless_folder_fails_by_name_and_nothing_of_it_stays() {
    let mut world = world();
    world.conf.make = Some("cp whole.bin foo.ko; for i in {1..300}; do mkdir d; cd d; done".to_owned());
    let failure = world.failure();
    assert!(failure.to_string().contains("more than 200"), "{failure}");
    assert!(world.log().contains("for i in {1..300}"));
    assert_eq!(fs::list(&world.path("var/lib/dkms/foo/1.0/build")).unwrap().len(), 1);
}

#[test]
fn what_is_no_module_of_this_machine_is_a_failed_build() {
    let mut world = world();
    let arm = Fabricated::for_kernel("foo", "6.1.0-1-amd64").machine("aarch64").bytes();
    fs::write_whole(&world.path("usr/src/foo-1.0/arm.bin"), &arm, 0o644).unwrap();
    let file = world.path("var/lib/dkms/foo/1.0/build/foo.ko");
    for (make, why) in [
        (": > foo.ko", "is empty"),
        ("printf garbage > foo.ko", "is a text file, not a module"),
        ("head -c 100 whole.bin > foo.ko", "is cut: the section table lies beyond its end"),
        ("head -c 3000 /bin/true > foo.ko", "is cut: the section table lies beyond its end"),
        ("cp /bin/true foo.ko", "is a program or a library, not a module"),
        ("cp arm.bin foo.ko", "is for aarch64, the kernel is x86_64"),
    ] {
        world.conf.make = Some(make.to_owned());
        let error = world.build().unwrap_err();
        assert!(matches!(error.failure, Failure::NoModule(_)), "{make}: {error}");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot build foo/1.0 for kernel 6.1.0-1-amd64 (x86_64): what make built cannot be loaded: \
                 `{}` {why}",
                file.display()
            )
        );
        assert!(error.hints().last().unwrap().starts_with("the log is `"), "{:?}", error.hints());
        assert!(!fs::exists(&world.path("var/lib/dkms/foo/1.0/6.1.0-1-amd64")), "{make}");
    }
}

#[test]
fn what_the_kernel_may_refuse_is_built_with_a_warning() {
    let mut world = world();
    world.write(
        "lib/modules/6.1.0-1-amd64/build/Module.symvers",
        "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\n",
        0o644,
    );
    let other = Fabricated::for_kernel("foo", "5.10.0-9-amd64").needs(&["printk", "no_such_symbol"]);
    fs::write_whole(&world.path("usr/src/foo-1.0/whole.bin"), &other.bytes(), 0o644).unwrap();
    world.conf.make = Some("cp whole.bin foo.ko".to_owned());
    let built = world.build().unwrap();
    let expected = [
        "`foo.ko` of foo/1.0 is built for kernel 5.10.0-9-amd64 (vermagic), not for 6.1.0-1-amd64; \
         the kernel may refuse to load it",
        "`foo.ko` of foo/1.0 needs symbols that nothing exports on kernel 6.1.0-1-amd64: `no_such_symbol`; \
         it cannot be loaded",
    ];
    assert_eq!(world.warnings(), expected);
    let log = fs::read_lossy(&built.log).unwrap();
    assert!(expected.iter().all(|line| log.contains(line)), "{log}");
}
