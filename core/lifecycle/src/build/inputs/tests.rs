//! What changes a key, and what doesn't.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::build::testing::{World, world};
use crate::id::{ModuleName, ModuleVersion};
use crate::kernel::KernelConfig;

const HEADERS: &str = "lib/modules/6.1.0-1-amd64/build";

/// A world with headers in two folders, a program as compiler, and a module that this one depends on.
fn whole() -> World {
    let mut world = world();
    let common = world.path("usr/src/common");
    world.write("usr/src/common/Makefile", "all:\n", 0o644);
    world.write("usr/src/common/include/a.h", "#define A 1\n", 0o644);
    world.write(&format!("{HEADERS}/Makefile"), &format!("include {}/Makefile\n", common.display()), 0o644);
    world.write(&format!("{HEADERS}/Module.symvers"), "0x1\n", 0o644);
    world.write("usr/lib/kbuild/scripts/tool", "#!/bin/sh\n", 0o755);
    fs::symlink(&world.path("usr/lib/kbuild/scripts"), &world.path(HEADERS).join("scripts")).unwrap();
    world.write("bin/mycc", "#!/bin/sh\ncase $1 in -print*) echo cc1;; *) echo mycc 1;; esac\n", 0o755);
    world.write("bin/cc1", "one", 0o755);
    world.environment.set("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    world.toolchain.cc = Some("mycc".to_owned());
    world.write("usr/src/foo-1.0/sub/Makefile", "x := $(MINE) $(HOME)\n", 0o644);
    world.write("usr/src/foo-1.0/run", "#!/bin/sh\n", 0o755);
    fs::symlink(Path::new("foo.c"), &world.path("usr/src/foo-1.0/link.c")).unwrap();
    fs::create_dir_all(&world.path("etc/dkms/foo/patches")).unwrap();
    world.write("usr/src/bar-2.0/bar.c", "bar\n", 0o644);
    fs::create_dir_all(&world.path("var/lib/dkms/bar/2.0")).unwrap();
    fs::symlink(&world.path("usr/src/bar-2.0"), &world.path("var/lib/dkms/bar/2.0/source")).unwrap();
    world.write("var/lib/dkms/bar/2.0/6.1.0-1-amd64/x86_64/module/Module.symvers", "0x2\n", 0o644);
    world.dependencies = vec![(ModuleName::new("bar").unwrap(), ModuleVersion::new("2.0").unwrap())];
    world
}

fn key_of(world: &World) -> InputsKey {
    key(&world.spec(None), &Digests::default(), &world.recorder).unwrap()
}

#[test]
fn a_key_by_stat_follows_what_the_file_system_says() {
    let world = whole();
    let now = || key(&world.spec(None), &Digests::by_stat(), &world.recorder).unwrap();
    let before = now();
    assert_eq!(now(), before);
    assert_ne!(key_of(&world), before, "it is no key of contents");
    for (path, text) in [
        (format!("{HEADERS}/Module.symvers"), "0x2\n"),
        ("usr/src/foo-1.0/foo.c".to_owned(), "one\ntwo\nThree\n"),
        ("bin/mycc".to_owned(), "#!/bin/sh\nexit 1\n"),
        ("usr/lib/kbuild/scripts/tool".to_owned(), "#!/bin/sh\nexit 1\n"),
    ] {
        let before = now();
        world.write(&path, text, 0o755);
        assert_ne!(now(), before, "{path}");
    }
}

type Change = (&'static str, fn(&mut World));

#[test]
fn whatever_a_build_depends_on_changes_the_key() {
    let mut world = whole();
    let changes: &[Change] = &[
        ("a byte of the source", |w| w.write("usr/src/foo-1.0/foo.c", "one\ntwo\nThree\n", 0o644)),
        ("a new file", |w| w.write("usr/src/foo-1.0/new.c", "", 0o644)),
        ("its name", |w| {
            fs::rename(&w.path("usr/src/foo-1.0/new.c"), &w.path("usr/src/foo-1.0/neu.c")).unwrap();
        }),
        ("its folder", |w| {
            fs::rename(&w.path("usr/src/foo-1.0/neu.c"), &w.path("usr/src/foo-1.0/sub/neu.c")).unwrap();
        }),
        ("an empty folder", |w| fs::create_dir_all(&w.path("usr/src/foo-1.0/empty")).unwrap()),
        ("an execute bit", |w| fs::set_mode(&w.path("usr/src/foo-1.0/run"), 0o644).unwrap()),
        ("where a link leads", |w| {
            fs::symlink(Path::new("./foo.c"), &w.path("usr/src/foo-1.0/link.c")).unwrap();
        }),
        ("a link that leads out", |w| {
            w.write("opt/shared.h", "1", 0o644);
            fs::symlink(&w.path("opt/shared.h"), &w.path("usr/src/foo-1.0/shared.h")).unwrap();
        }),
        ("what is behind it", |w| w.write("opt/shared.h", "2", 0o644)),
        ("an object that is delivered", |w| w.write("usr/src/foo-1.0/blob.o", "", 0o644)),
        ("its time", |w| fs::set_mtime(&w.path("usr/src/foo-1.0/blob.o"), (1, 0)).unwrap()),
        ("the admin's patch", |w| w.write("etc/dkms/foo/patches/a.patch", "x", 0o644)),
        ("the admin's script", |w| w.write("etc/dkms/foo/pre", "x", 0o755)),
        ("dkms.conf", |w| w.write("usr/src/foo-1.0/dkms.conf", "#\n", 0o644)),
        ("the make command", |w| w.conf.make = Some("make all".to_owned())),
        ("a patch of the conf", |w| w.conf.patches.push("a.patch".to_owned())),
        ("a script of the conf", |w| w.conf.scripts.pre_build = Some("pre".to_owned())),
        ("strip", |w| w.conf.modules[0].strip = true),
        ("a built name", |w| w.conf.modules[0].built_name = "fu".to_owned()),
        ("a destination name", |w| w.conf.modules[0].dest_name = "fu".to_owned()),
        ("a header", |w| w.write("usr/src/common/include/a.h", "#define A 2\n", 0o644)),
        ("the kernel's symbols", |w| w.write(&format!("{HEADERS}/Module.symvers"), "0x3\n", 0o644)),
        ("a tool behind a link of the headers", |w| {
            w.write("usr/lib/kbuild/scripts/tool", "#!/bin/bash\n", 0o755);
        }),
        ("what `source` leads to", |w| {
            w.write("usr/src/other/x.h", "", 0o644);
            fs::symlink(&w.path("usr/src/other"), &w.path("lib/modules/6.1.0-1-amd64/source")).unwrap();
        }),
        ("the kernel configuration", |w| {
            w.kernel.config =
                KernelConfig { path: None, options: [("CONFIG_X".to_owned(), "y".to_owned())].into() };
        }),
        ("the compiler", |w| {
            w.write("bin/mycc", "#!/bin/sh\ncase $1 in -print*) echo cc1;; *) echo mycc 2;; esac\n", 0o755);
        }),
        ("the compiler behind it", |w| w.write("bin/cc1", "two", 0o755)),
        ("another compiler", |w| w.toolchain.cc = Some("gcc".to_owned())),
        ("another make", |w| w.write("bin/make", "#!/bin/sh\nexec /usr/bin/make \"$@\"\n", 0o755)),
        ("a variable of Kbuild", |w| w.environment.set("KCFLAGS", "-O3")),
        ("a variable that the source names", |w| {
            w.settings.pass_environment = vec!["MINE".to_owned()];
            w.environment.set("MINE", "1");
        }),
        ("make's flags", |w| w.environment.set("MAKEFLAGS", "V=1 -j2")),
        ("what build_environment exports", |w| {
            w.write("etc/env", "export ANY=1\n", 0o644);
            w.settings.build_environment = Some(w.path("etc/env").display().to_string());
        }),
        ("its value", |w| w.write("etc/env", "export ANY=2\n", 0o644)),
        ("a dependency's symbols", |w| {
            w.write("var/lib/dkms/bar/2.0/6.1.0-1-amd64/x86_64/module/Module.symvers", "0x4\n", 0o644);
        }),
        ("a dependency's source", |w| w.write("usr/src/bar-2.0/bar.c", "Bar\n", 0o644)),
        ("no dependency", |w| w.dependencies.clear()),
    ];
    let mut seen = vec![("nothing", key_of(&world))];
    for (what, change) in changes {
        change(&mut world);
        let key = key_of(&world);
        if let Some((before, _)) = seen.iter().find(|(_, known)| *known == key) {
            panic!("{what} gives the key that was there after {before}");
        }
        seen.push((what, key));
    }
}

#[test]
fn what_a_build_cannot_see_does_not() {
    let mut world = whole();
    let key = key_of(&world);
    let changes: &[Change] = &[
        ("nothing", |_| ()),
        ("times", |w| fs::set_mtime(&w.path("usr/src/foo-1.0/foo.c"), (1, 0)).unwrap()),
        ("a mode", |w| fs::set_mode(&w.path("usr/src/foo-1.0/foo.c"), 0o600).unwrap()),
        ("a file made again", |w| {
            fs::remove_file(&w.path("usr/src/foo-1.0/foo.c")).unwrap();
            w.write("usr/src/foo-1.0/foo.c", "one\ntwo\nthree\n", 0o644);
        }),
        ("variables of the session", |w| {
            for name in ["HOME", "SSH_TTY", "GITHUB_RUN_ID", "DEBIAN_FRONTEND", "LC_MESSAGES"] {
                w.environment.set(name, "x");
            }
        }),
        ("jobs of make", |w| w.environment.set("MAKEFLAGS", "-j2 --jobserver-auth=3,4")),
        ("where it is installed", |w| w.conf.modules[0].dest_location = "/extra".to_owned()),
        ("an earlier build", |w| w.write("var/lib/dkms/foo/1.0/build/foo.o", "x", 0o644)),
    ];
    for (what, change) in changes {
        change(&mut world);
        assert_eq!(key_of(&world), key, "{what}");
    }
}

#[test]
fn what_cannot_be_read_gives_no_key() {
    let world = whole();
    fs::remove_any(&world.path(HEADERS)).unwrap();
    assert!(key(&world.spec(None), &Digests::default(), &world.recorder).is_err());
}

#[test]
fn links_in_circles_end() {
    let world = whole();
    let to = |target: &str, link: &str| fs::symlink(Path::new(target), &world.path(link)).unwrap();
    to("..", "usr/src/foo-1.0/up");
    to("loop", "usr/src/foo-1.0/loop");
    to("../common", "usr/src/other");
    let key = key_of(&world);
    assert_eq!(key_of(&world), key);
    to("up", "usr/src/foo-1.0/loop");
    assert_ne!(key_of(&world), key, "where a link leads is part of the source");
}

#[test]
fn headers_are_read_once_for_all_builds_of_a_run() {
    let world = whole();
    let digests = Digests::default();
    let first = key(&world.spec(None), &digests, &world.recorder).unwrap();
    world.write("usr/src/common/include/a.h", "#define A 3\n", 0o644);
    assert_eq!(key(&world.spec(None), &digests, &world.recorder).unwrap(), first);
    assert_ne!(key_of(&world), first);
}

#[test]
fn a_real_kernels_headers_are_read_in_no_time() {
    let mut world = world();
    let kernels = fs::list(Path::new("/lib/modules")).unwrap();
    let mut names = kernels.iter().filter_map(|entry| entry.name.to_str());
    let kernel =
        names.rfind(|name| fs::is_dir(&Path::new("/lib/modules").join(name).join("build/include"))).unwrap();
    world.kernel.headers = Path::new("/lib/modules").join(kernel).join("build");
    world.toolchain.cc = Some("gcc-12".to_owned());
    key_of(&world);
    let began = std::time::Instant::now();
    key_of(&world);
    let took = began.elapsed();
    // Generous: this machine is shared, and nothing is optimised here. Alone it is a tenth.
    assert!(took.as_secs() < 10, "{took:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn two_trees_have_one_digest_only_where_they_are_the_same(
        a in prop::collection::btree_map("[ab]{1,2}", "[xy]{0,2}", 0..4),
        b in prop::collection::btree_map("[ab]{1,2}", "[xy]{0,2}", 0..4),
    ) {
        let digest_of = |files: Vec<(&String, &String)>| {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                fs::write_whole(&dir.path().join(name), text.as_bytes(), 0o644).unwrap();
            }
            tree::digest(vec![(String::new(), dir.path().to_owned())], Times::WhereMade).unwrap()
        };
        let digest = digest_of(a.iter().collect());
        prop_assert_eq!(digest, digest_of(a.iter().rev().collect()), "the order of writing");
        prop_assert_eq!(a == b, digest == digest_of(b.iter().collect()));
    }
}
