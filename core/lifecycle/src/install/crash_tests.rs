//! Installs and uninstalls that die before each single change that they make to the disk, and what the next
//! command makes of it.

use super::testing::{KERNEL, World, id, module};
use super::{Force, Options, Put, Recovery, Uninstalled, VersionCheck, install, recover, uninstall};
use crate::conf::ModuleConf;
use crate::host::fs::{self, death};
use crate::tree::{Key, Keys, Mode, lock, sweep};

/// What stands before an install, by turns.
fn worlds() -> Vec<(World, ModuleConf)> {
    let plain = || {
        let world = World::new();
        let mut conf = world.build("2.0", &["foo", "bar"]);
        conf.modules_conf = vec!["options foo a=1".to_owned()];
        (world, conf)
    };
    let with = |files: &[(&str, &str)]| {
        let (world, conf) = plain();
        for (path, version) in files {
            world.write(&world.in_kernel(path), &module(version, KERNEL));
        }
        (world, conf)
    };
    let mut all = vec![
        plain(),
        with(&[("kernel/a/foo.ko", "1.0"), ("updates/dkms/bar.ko", "1.0")]),
        with(&[("kernel/a/foo.ko", "1.0"), ("kernel/b/foo.ko", "1.0"), ("kernel/c/foo.ko", "0.1")]),
    ];
    // An older version of the package, which had an original to archive.
    let (world, conf) = with(&[("kernel/a/foo.ko", "0.1")]);
    let older = world.build("1.0", &["foo", "bar"]);
    world.install(&older);
    all.push((world, conf));
    all
}

fn next_command(world: &World) {
    let recovery =
        Recovery { layout: &world.layout, family: world.family, environment: &world.environment, held: None };
    recover(&recovery, &world.said).unwrap();
    sweep::sweep(&world.layout, None, &crate::report::Silent);
    assert!(fs::list(&world.layout.journal_dir()).unwrap().is_empty(), "{}", world.lines());
}

fn try_install(world: &World, conf: &ModuleConf) {
    let options = Options { force: Force::Yes, version_check: VersionCheck::Enforced, put: Put::Copied };
    install(&world.place(&conf.id), conf, options, &world.said).unwrap().keep();
}

fn try_uninstall(world: &World, conf: &ModuleConf) {
    let done = uninstall(&world.place(&conf.id), Some(conf), &world.said).unwrap();
    assert!(matches!(done, Uninstalled::Done { .. }));
}

/// Lets an action die everywhere, in each world again; returns how many places there were.
fn die_everywhere(prepare: impl Fn(&World, &ModuleConf), act: impl Fn(&World, &ModuleConf)) -> u32 {
    let mut tried = 0;
    for number in 0..worlds().len() {
        let fresh = || {
            let (world, conf) = worlds().swap_remove(number);
            prepare(&world, &conf);
            (world, conf)
        };
        let (world, conf) = fresh();
        let names = |world: &World| world.state();
        let before = names(&world);
        act(&world, &conf);
        let after = names(&world);
        assert_ne!(before, after);
        let relative = |state: Vec<String>, world: &World| {
            let root = world.root().display().to_string();
            state.into_iter().map(|line| line.replace(&root, "ROOT")).collect::<Vec<_>>()
        };
        let (before, after) = (relative(before, &world), relative(after, &world));
        for changes in 0.. {
            let (world, conf) = fresh();
            let ended = death::after(changes, || act(&world, &conf));
            let was_visible = relative(world.state(), &world) != before;
            next_command(&world);
            let now = relative(world.state(), &world);
            assert!(now == before || now == after, "world {number}, died after {changes} changes: {now:#?}");
            if was_visible {
                assert!(fs::exists(&world.layout.owed_depmod(&world.kernel.target.kernel)) || now == before);
            }
            if ended.is_some() {
                assert_eq!(now, after);
                break;
            }
            tried += 1;
            if now == before {
                act(&world, &conf);
                assert_eq!(relative(world.state(), &world), after, "the same once more");
            }
        }
    }
    tried
}

#[test]
fn an_install_that_dies_anywhere_is_undone_or_finished() {
    let tried = die_everywhere(|_, _| (), try_install);
    assert!(tried > 150, "{tried}");
}

#[test]
fn an_uninstall_that_dies_anywhere_is_undone_or_finished() {
    let tried = die_everywhere(try_install, try_uninstall);
    assert!(tried > 120, "{tried}");
}

#[test]
fn taking_an_install_back_may_die_too() {
    let undo = |world: &World, conf: &ModuleConf| {
        let options = Options { force: Force::Yes, version_check: VersionCheck::Enforced, put: Put::Copied };
        let installed = install(&world.place(&conf.id), conf, options, &world.said).unwrap();
        installed.undo(&world.place(&conf.id), conf, &world.said).unwrap();
    };
    for number in 0..worlds().len() {
        let mut changes = 0;
        loop {
            let (world, conf) = worlds().swap_remove(number);
            let before = world.state();
            let ended = death::after(changes, || undo(&world, &conf));
            // Dies while it recovers, too.
            let recovery = Recovery {
                layout: &world.layout,
                family: world.family,
                environment: &world.environment,
                held: None,
            };
            let _ = death::after(changes % 7, || recover(&recovery, &world.said));
            next_command(&world);
            if world.state() != before {
                // It died behind the point where all was to stay, and before it was to be undone.
                assert!(fs::exists(&world.in_tree("kernel-6.1.0-t-x86_64")), "{number} {changes}");
                try_uninstall(&world, &conf);
            }
            if ended.is_some() {
                break;
            }
            changes += 1;
        }
    }
}

#[test]
fn a_journal_whose_owner_works_is_left_alone() {
    let (world, conf) = worlds().swap_remove(1);
    assert!(death::after(40, || try_install(&world, &conf)).is_none());
    let journal = || fs::list(&world.layout.journal_dir()).unwrap().len();
    assert_eq!(journal(), 1);
    let recovery =
        Recovery { layout: &world.layout, family: world.family, environment: &world.environment, held: None };
    let name = id("2.0").name;
    for key in [Key::Module(name), Key::Kernel(world.kernel.target.kernel.clone())] {
        let keys = Keys::default().with(key, Mode::Exclusive);
        let held = lock::try_acquire(&world.layout, &keys).unwrap().unwrap();
        let state = world.state();
        assert!(!recover(&recovery, &world.said).unwrap());
        sweep::sweep(&world.layout, None, &crate::report::Silent);
        assert_eq!(world.state(), state);
        // Unless it is us who hold it.
        drop(held);
    }
    let both = Keys::default()
        .with(Key::Module(id("2.0").name), Mode::Exclusive)
        .with(Key::Kernel(world.kernel.target.kernel.clone()), Mode::Exclusive);
    let held = lock::try_acquire(&world.layout, &both).unwrap().unwrap();
    assert!(recover(&Recovery { held: Some(&held), ..recovery }, &world.said).unwrap());
    assert_eq!(journal(), 0);
}

#[test]
fn a_hostile_journal_changes_nothing() {
    let (world, conf) = worlds().swap_remove(1);
    assert!(death::after(40, || try_install(&world, &conf)).is_none());
    let file = fs::list(&world.layout.journal_dir()).unwrap().remove(0).name;
    let path = world.layout.journal_dir().join(file);
    let good = fs::read_lossy(&path).unwrap();
    let victim = world.root().join("victim");
    world.write(&victim, b"precious");
    let kernel_dir = world.kernel.module_dir.display().to_string();
    for (what, with) in [
        (kernel_dir.as_str(), world.root().to_str().unwrap()),
        ("/updates/dkms/", "/../../../"),
        (".tmp_", "tmp_"),
    ] {
        fs::write_whole(&path, good.replace(what, with).as_bytes(), 0o644).unwrap();
        let state = world.state();
        let recovery = Recovery {
            layout: &world.layout,
            family: world.family,
            environment: &world.environment,
            held: None,
        };
        assert!(!recover(&recovery, &world.said).unwrap(), "{what}");
        assert_eq!(world.state(), state);
    }
}
