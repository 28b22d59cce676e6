//! Builds that come from the cache, and those that must not.

use std::path::PathBuf;

use super::testing::{World, world};
use super::*;
use crate::kernel::Compression;
use crate::sign::{SignError, Signer};

/// Counts its runs in `$dkms_tree/count`; the module carries the count, so that two real builds differ.
const COUNTING: &str = "echo x >> $dkms_tree/count; { cat whole.bin; wc -l < $dkms_tree/count; } > foo.ko; echo 0x1 > Module.symvers";

/// A world with a cache.
fn cached() -> World {
    let mut world = world();
    world.conf.make = Some(COUNTING.to_owned());
    world.write("lib/modules/6.1.0-1-amd64/build/include/a.h", "1\n", 0o644);
    fs::create_dir_all(&world.path("cache")).unwrap();
    world.settings.build_cache = Some(world.path("cache"));
    // They count in the tree.
    world.settings.sandbox = crate::conf::settings::SandboxMode::Off;
    world
}

impl World {
    fn runs(&self) -> usize {
        fs::read_lossy(&self.path("var/lib/dkms/count")).unwrap_or_default().lines().count()
    }

    fn entries(&self) -> Vec<PathBuf> {
        let walk = walkdir::WalkDir::new(self.path("cache")).min_depth(2).max_depth(2).sort_by_file_name();
        walk.into_iter().map(|entry| entry.unwrap().into_path()).collect()
    }

    fn result(&self, built: &Built) -> Vec<Vec<u8>> {
        let symbols = built.dir.join("module/Module.symvers");
        built.modules.iter().chain([&symbols]).map(|path| fs::read(path).unwrap()).collect()
    }
}

#[derive(Debug)]
struct Appending;

impl Signer for Appending {
    fn sign(&self, module: &std::path::Path, _: &[(&str, &str)]) -> Result<(), SignError> {
        let signed = [fs::read(module)?, b"signed".to_vec()].concat();
        Ok(fs::write_whole(module, &signed, 0o644)?)
    }

    fn describe(&self) -> String {
        "by a test".to_owned()
    }
}

#[test]
fn the_second_build_runs_nothing_and_gives_the_same_bytes() {
    for compression in [Compression::None, Compression::Xz, Compression::Zstd] {
        let mut world = cached();
        world.kernel.compression = compression;
        let first = world.build_signed(Some(&Appending)).unwrap();
        let bytes = world.result(&first);
        let second = world.build_signed(Some(&Appending)).unwrap();
        assert!(!first.cached && second.cached && first.key == second.key && first.key.is_some());
        assert_eq!((world.runs(), world.result(&second)), (1, bytes.clone()));
        let log = fs::read_lossy(&second.log).unwrap();
        assert!(log.starts_with("# taken from the build cache, where it is since "), "{log}");
        assert!(log.contains("# command: echo x >>") && log.matches("# signed ").count() == 1, "{log}");
        assert!(!fs::exists(&world.path("var/lib/dkms/foo/1.0/build/make.log")), "cleaned as after a build");
        // Signing is done again, so that another key, or none, asks for no make.
        let unsigned = world.build().unwrap();
        assert_eq!(world.runs(), 1);
        assert_ne!(world.result(&unsigned)[0], bytes[0]);
        let notes = world.recorder.events();
        let told = notes.iter().filter(
            |event| matches!(event, Event::Note { text } if text.ends_with("is taken from the build cache")),
        );
        assert_eq!(told.count(), 2);
    }
}

#[test]
fn what_a_script_adds_to_the_result_is_made_each_time() {
    let mut world = cached();
    world.write("usr/src/foo-1.0/post", "#!/bin/sh\necho y > ../6.1.0-1-amd64/x86_64/added\n", 0o755);
    world.conf.scripts.post_build = Some("post".to_owned());
    for runs in 1..3 {
        let built = world.build().unwrap();
        assert!(!built.cached && fs::exists(&built.dir.join("added")));
        assert_eq!(world.runs(), runs);
    }
    assert!(world.entries().is_empty());
}

#[test]
fn force_builds_and_the_cache_gets_the_new_result() {
    let mut world = cached();
    world.build().unwrap();
    world.reuse = Reuse::Never;
    let forced = world.build().unwrap();
    assert_eq!((world.runs(), forced.cached, world.entries().len()), (2, false, 1));
    world.reuse = Reuse::Allowed;
    let third = world.build().unwrap();
    assert!(world.result(&third)[0].ends_with(b"2\n"));
}

type Harm = (&'static str, fn(&std::path::Path));

#[test]
fn a_damaged_entry_is_told_removed_and_stored_again() {
    let harm: [Harm; 5] = [
        ("another byte", |entry| fs::write_whole(&entry.join("module/foo.ko"), b"7\n", 0o644).unwrap()),
        ("a file is gone", |entry| fs::remove_file(&entry.join("make.log")).unwrap()),
        ("no manifest", |entry| fs::remove_file(&entry.join("manifest.json")).unwrap()),
        ("half a manifest", |entry| fs::write_whole(&entry.join("manifest.json"), b"{", 0o644).unwrap()),
        ("a file, no entry", |entry| {
            fs::remove_any(entry).unwrap();
            fs::write_whole(entry, b"", 0o644).unwrap();
        }),
    ];
    for (what, harm) in harm {
        let world = cached();
        world.build().unwrap();
        harm(&world.entries()[0]);
        assert!(!world.build().unwrap().cached, "{what}");
        assert!(world.warnings()[0].contains("of the build cache is damaged, removed"), "{what}");
        assert!(world.build().unwrap().cached, "{what}");
        assert_eq!(world.runs(), 2, "{what}");
    }
}

#[test]
fn a_folder_that_others_could_write_to_is_not_used() {
    let world = cached();
    fs::set_mode(&world.path("cache"), 0o777).unwrap();
    world.build().unwrap();
    world.build().unwrap();
    assert_eq!((world.runs(), world.entries().len(), world.warnings().len()), (2, 0, 1));
    assert!(world.warnings()[0].contains("others may write to it"));
    let world = cached();
    let nobody = rustix::fs::Uid::from_raw(65534);
    rustix::fs::chown(world.path("cache"), Some(nobody), None).expect("the tests run as root");
    world.build().unwrap();
    assert_eq!(world.entries().len(), 0);
    assert!(world.warnings()[0].contains("belongs to another user"));
}

#[test]
fn what_changes_while_it_is_built_is_not_kept() {
    let mut world = cached();
    world.conf.make = Some(format!("{COUNTING}; echo >> $source_tree/foo-1.0/foo.c"));
    world.build().unwrap();
    assert_eq!(world.entries().len(), 0);
}

#[test]
fn what_the_sandbox_may_have_changed_is_not_kept() {
    let mut world = cached();
    world.settings.sandbox = crate::conf::settings::SandboxMode::Auto;
    world.conf.make = Some("echo 'mknod: x: Operation not permitted' >&2; cp whole.bin foo.ko".to_owned());
    world.build().unwrap();
    assert_eq!(world.entries().len(), 0);
    world.conf.make = Some("cp whole.bin foo.ko".to_owned());
    world.build().unwrap();
    assert_eq!(world.entries().len(), 1);
    world.settings.sandbox_exempt = vec!["foo".to_owned()];
    fs::give_to(&world.path("usr/src/foo-1.0"), 12345, 12345);
    assert!(world.build().unwrap().cached, "another user may write it, so it is not exempt");
    fs::give_to(&world.path("usr/src/foo-1.0"), 0, 0);
    assert!(!world.build().unwrap().cached, "an exempt module may come out otherwise");
}

#[test]
fn failed_builds_leave_nothing_in_it() {
    let mut world = cached();
    world.conf.make = Some("cp whole.bin foo.ko; exit 1".to_owned());
    world.build().unwrap_err();
    world.conf.make = Some(COUNTING.to_owned());
    world.write("usr/src/foo-1.0/post", "#!/bin/sh\nexit 1\n", 0o755);
    world.conf.scripts.post_build = Some("post".to_owned());
    world.build().unwrap_err();
    assert_eq!(world.entries().len(), 0);
}

#[test]
fn what_was_used_longest_ago_makes_room() {
    let mut world = cached();
    let build = |world: &mut World, number: u32| {
        world.conf.make = Some(format!("{COUNTING}; truncate -s 3000 foo.ko; : {number}"));
        world.build().unwrap().cached
    };
    build(&mut world, 1);
    let first = world.entries()[0].clone();
    // The size of an entry, log and manifest included, is some 5,000 bytes: there is room for two.
    world.settings.build_cache_max = 12_000;
    world.memory = Memory::default();
    build(&mut world, 2);
    for entry in world.entries() {
        fs::set_mtime(&entry, (if entry == first { 1 } else { 2 }, 0)).unwrap();
    }
    assert!(build(&mut world, 1), "used, and so the younger one");
    assert!(!build(&mut world, 3));
    assert_eq!(world.entries().len(), 2);
    assert!(fs::exists(&first));
    world.settings.build_cache_max = 2_000;
    world.memory = Memory::default();
    assert!(!build(&mut world, 4));
    assert!(!build(&mut world, 4), "larger than all that may be");
    assert!(world.warnings().is_empty());
}

#[test]
fn users_of_one_cache_do_not_disturb_each_other() {
    let world = cached();
    let place = Place::new(&world.spec(None), None, |_, _| true).unwrap();
    let products = Products::new(&place).unwrap();
    let module = products.path(&world.conf.modules[0]);
    fs::create_dir_all(module.parent().unwrap()).unwrap();
    fs::write_whole(&module, b"module", 0o644).unwrap();
    let key = InputsKey::parse(&"ab".repeat(32)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let cache = Cache::open(&world.settings, &world.recorder).unwrap();
                for _ in 0..10 {
                    let staged = cache.stage(&key, &world.spec(None), &products, "log").unwrap();
                    staged.publish().unwrap();
                    assert!(cache.find(&key, &world.spec(None), &world.recorder).is_some());
                }
            });
        }
    });
    assert_eq!((world.entries().len(), world.warnings().len()), (1, 0));
}
