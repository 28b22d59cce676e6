//! Installs and uninstalls on real files, the way that the 3.x line leaves them (measured on 3.2.2)
//! unless said otherwise.

use std::path::Path;

use super::testing::{KERNEL, World, id, module, record};
use super::{
    CompareBy, Force, InstallError, InstalledState, Options, Put, SkippedBecause, Uninstalled, VersionCheck,
    compare_installed, install, originals_exist, uninstall,
};
use crate::host::fs;
use crate::kernel::Family;

fn compared(world: &World, conf: &crate::conf::ModuleConf) -> InstalledState {
    let built = world.layout.built_dir(&conf.id, &world.kernel.target);
    let compare = |by| compare_installed(&built, &world.kernel.module_dir, conf, world.module_folder, by);
    let found = compare(CompareBy::Times);
    assert_eq!(found, compare(CompareBy::Bytes));
    found
}

#[test]
fn a_file_changed_in_place_differs_in_its_time_and_one_with_a_set_time_in_its_bytes() {
    let world = World::new();
    let conf = world.build("1.0", &["foo"]);
    world.install(&conf);
    let built = world.layout.built_dir(&conf.id, &world.kernel.target).join("foo.ko");
    let installed = world.in_kernel("updates/dkms/foo.ko");
    let compare = |by| {
        let built = world.layout.built_dir(&conf.id, &world.kernel.target);
        compare_installed(&built, &world.kernel.module_dir, &conf, world.module_folder, by)
    };
    let mut bytes = fs::read(&installed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write_whole(&installed, &bytes, 0o644).unwrap();
    assert_eq!(compare(CompareBy::Times), InstalledState::Different);
    // An image whose files all have one time.
    for path in [&built, &installed] {
        fs::set_mtime(path, (1_700_000_000, 0)).unwrap();
    }
    assert_eq!(compare(CompareBy::Times), InstalledState::Different);
    // Who sets the very nanosecond is believed, but where bytes are compared.
    for path in [&built, &installed] {
        fs::set_mtime(path, (1_700_000_000, 5)).unwrap();
    }
    assert_eq!(compare(CompareBy::Times), InstalledState::Same);
    assert_eq!(compare(CompareBy::Bytes), InstalledState::Different);
}

#[test]
fn installed_and_taken_out_again() {
    let world = World::new();
    let conf = world.build("1.0", &["foo", "bar"]);
    let before = world.state();
    world.install(&conf);
    let link = fs::link_target(&world.in_tree("kernel-6.1.0-t-x86_64")).unwrap().unwrap();
    assert_eq!(link, Path::new("1.0/6.1.0-t/x86_64"));
    assert_eq!(compared(&world, &conf), InstalledState::Same);
    let names: Vec<_> =
        fs::list(&world.in_kernel("updates/dkms")).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["bar.ko", "foo.ko"]);
    assert!(matches!(world.uninstall(&conf), Uninstalled::Done { removed, .. } if removed.len() == 2));
    assert_eq!(world.state(), before);
    assert_eq!(world.uninstall(&conf), Uninstalled::NotInstalled);
}

#[test]
fn what_was_built_again_takes_the_place_of_what_was_installed() {
    let world = World::new();
    let conf = world.build("1.0", &["foo"]);
    world.install(&conf);
    let built = world.layout.built_dir(&conf.id, &world.kernel.target).join("foo.ko");
    world.write(&built, &module("1.1", KERNEL));
    world.install(&conf);
    assert_eq!(fs::read(&world.in_kernel("updates/dkms/foo.ko")).unwrap(), module("1.1", KERNEL));
    assert!(!originals_exist(&world.layout, &conf.id.name, &world.kernel.target));
}

#[test]
fn an_original_is_archived_and_comes_back() {
    for place in
        ["kernel/a/foo.ko", "extra/foo.ko", "updates/foo.ko", "updates/dkms/foo.ko", "updates/sub/foo.ko"]
    {
        let world = World::new();
        let conf = world.build("2.0", &["foo"]);
        world.write(&world.in_kernel(place), &module("1.0", KERNEL));
        let before = world.state();
        world.install(&conf);
        assert!(originals_exist(&world.layout, &conf.id.name, &world.kernel.target));
        let archive = world.in_tree("original_module/6.1.0-t/x86_64");
        assert_eq!(fs::read(&archive.join("foo.ko")).unwrap(), module("1.0", KERNEL));
        let origin = fs::read_lossy(&archive.join("foo.ko.origin")).unwrap();
        assert_eq!(origin, format!("{}\n", world.in_kernel(place).display()));
        assert_eq!(fs::read(&world.in_kernel("updates/dkms/foo.ko")).unwrap(), module("2.0", KERNEL));
        assert_eq!(fs::exists(&world.in_kernel(place)), place == "updates/dkms/foo.ko");

        // Once more by force: the archive stays.
        world.try_install(&conf, Force::Yes).unwrap().keep();
        assert_eq!(fs::read(&archive.join("foo.ko")).unwrap(), module("1.0", KERNEL));
        world.uninstall(&conf);
        assert_eq!(world.state(), before, "{place}");
    }
}

#[test]
fn an_undone_install_leaves_no_trace() {
    let world = World::new();
    let one = world.build("1.0", &["foo"]);
    let two = world.build("2.0", &["foo", "bar"]);
    world.write(&world.in_kernel("kernel/a/foo.ko"), &module("0.1", KERNEL));
    let before = world.state();
    world.try_install(&one, Force::No).unwrap().undo(&world.place(&one.id), &one, &world.said).unwrap();
    assert_eq!(world.state(), before);
    world.install(&one);
    let before = world.state();
    world.try_install(&two, Force::No).unwrap().undo(&world.place(&two.id), &two, &world.said).unwrap();
    assert_eq!(world.state(), before);
}

#[test]
fn an_install_that_fails_in_the_middle_leaves_the_state_before() {
    let world = World::new();
    world.write(&world.in_kernel("kernel/a/foo.ko"), &module("0.1", KERNEL));
    let mut conf = world.build("1.0", &["foo", "bar", "baz"]);
    // While staging: a folder that can't be made.
    world.write(&world.in_kernel("updates/dkms"), b"a file");
    let before = world.state();
    assert!(matches!(world.try_install(&conf, Force::No), Err(InstallError::Files { .. })));
    assert_eq!(world.state(), before);
    fs::remove_file(&world.in_kernel("updates/dkms")).unwrap();
    // While publishing: the last module can't take its place, then the link can't.
    fs::create_dir_all(&world.in_kernel("updates/dkms/baz.ko")).unwrap();
    let before = world.state();
    assert!(matches!(world.try_install(&conf, Force::No), Err(InstallError::Files { .. })));
    assert_eq!(world.state(), before);
    fs::remove_tree(&world.in_kernel("updates")).unwrap();
    fs::create_dir_all(&world.in_tree("kernel-6.1.0-t-x86_64")).unwrap();
    conf.modules_conf = vec!["options foo a=1".to_owned()];
    let before = world.state();
    assert!(matches!(world.try_install(&conf, Force::No), Err(InstallError::Files { .. })));
    assert_eq!(world.state(), before);
}

#[test]
fn the_kernels_own_version_is_respected_unless_forced() {
    let world = World::new();
    let conf = world.build("2.0", &["foo", "bar"]);
    let older = world.in_kernel("kernel/a/foo.ko");
    world.write(&older, &module("9.0", KERNEL));
    let installed = world.try_install(&conf, Force::No).unwrap();
    assert_eq!((installed.files.len(), installed.skipped.len()), (1, 1));
    assert_eq!(installed.skipped[0].because, SkippedBecause::Older);
    assert_eq!(installed.skipped[0].present, older);
    installed.keep();
    assert!(world.lines().contains("version 9.0"), "{}", world.lines());
    assert_eq!(compared(&world, &conf), InstalledState::Different);
    world.uninstall(&conf);

    world.write(&world.in_kernel("kernel/a/bar.ko"), &module("2.0", KERNEL));
    let before = world.state();
    assert!(matches!(world.try_install(&conf, Force::No), Err(InstallError::NothingInstalled { .. })));
    assert_eq!(world.state(), before);
    let options = Options { force: Force::No, version_check: VersionCheck::Overridden, put: Put::Copied };
    install(&world.place(&conf.id), &conf, options, &world.said).unwrap().keep();
    world.uninstall(&conf);
    assert_eq!(world.state(), before);
    world.write(&world.layout.force_install_dir().join("x"), b"foo\n");
    world.install(&conf);
}

#[test]
fn an_older_version_of_the_package_is_replaced_and_the_newer_is_not() {
    let world = World::new();
    world.write(&world.in_kernel("kernel/a/foo.ko"), &module("0.1", KERNEL));
    let one = world.build("1.0", &["foo"]);
    let two = world.build("2.0", &["foo"]);
    let before = world.state();
    world.install(&one);
    world.install(&two);
    assert_eq!(compared(&world, &two), InstalledState::Same);
    assert_eq!(world.uninstall(&one), Uninstalled::NotInstalled);
    assert!(matches!(world.try_install(&one, Force::No), Err(InstallError::NothingInstalled { .. })));
    world.try_install(&one, Force::Yes).unwrap().keep();
    assert_eq!(compared(&world, &one), InstalledState::Same);
    world.uninstall(&one);
    assert_eq!(world.state(), before);
}

#[test]
fn several_of_one_name_and_cut_modules_are_kept_aside() {
    let world = World::new();
    let conf = world.build("2.0", &["foo", "bar"]);
    for place in ["kernel/a/foo.ko", "kernel/b/foo.ko"] {
        world.write(&world.in_kernel(place), &module("1.0", KERNEL));
    }
    world.write(&world.in_kernel("updates/dkms/bar.ko"), &module("1.0", KERNEL)[..100]);
    world.install(&conf);
    let archive = world.in_tree("original_module/6.1.0-t/x86_64");
    let names: Vec<_> = fs::list(&archive.join("collisions")).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["bar.ko", "foo.ko", "foo.ko.1"]);
    assert_eq!(fs::list(&archive).unwrap().len(), 1);
    assert!(world.lines().contains("bar.ko` is not a readable module"), "{}", world.lines());
    world.uninstall(&conf);
    assert_eq!(fs::list(&archive.join("collisions")).unwrap().len(), 3, "nothing of the kernel's is deleted");
    assert!(!fs::exists(&world.in_kernel("updates")));
}

#[test]
fn an_install_that_was_killed_before_its_link_is_completed() {
    let world = World::new();
    let conf = world.build("1.0", &["foo"]);
    world.write(&world.in_kernel("updates/dkms/foo.ko"), &module("1.0", KERNEL));
    world.install(&conf);
    assert!(!fs::exists(&world.in_tree("original_module")));
}

#[test]
fn a_damaged_built_module_does_not_take_the_place_of_a_whole_one() {
    let world = World::new();
    let conf = world.build("1.0", &["foo"]);
    world.install(&conf);
    let built = world.layout.built_dir(&conf.id, &world.kernel.target).join("foo.ko");
    let whole = fs::read(&built).unwrap();
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"#!/bin/sh\n"] {
        world.write(&built, damaged);
        let error = world.try_install(&conf, Force::Yes).unwrap_err();
        assert!(matches!(&error, InstallError::BuiltDamaged { path, .. } if *path == built), "{error}");
        assert_eq!(fs::read(&world.in_kernel("updates/dkms/foo.ko")).unwrap(), whole);
    }
}

#[test]
fn what_is_installed_goes_where_the_built_module_is_gone() {
    let world = World::new();
    let conf = world.build("1.0", &["foo"]);
    world.install(&conf);
    fs::remove_file(&world.layout.built_dir(&conf.id, &world.kernel.target).join("foo.ko")).unwrap();
    let installed = world.in_kernel("updates/dkms/foo.ko");
    assert!(fs::exists(&installed));
    world.uninstall(&conf);
    assert!(!fs::exists(&installed));
}

#[test]
fn what_is_missing_is_an_error_of_its_own() {
    let world = World::new();
    let conf = world.build("1.0", &["foo", "bar"]);
    fs::remove_file(&world.layout.built_dir(&conf.id, &world.kernel.target).join("bar.ko")).unwrap();
    let error = world.try_install(&conf, Force::Yes).unwrap_err();
    assert!(matches!(&error, InstallError::BuiltMissing { module, .. } if module == "bar"), "{error}");
    assert_eq!(compared(&world, &conf), InstalledState::Different, "the first that isn't the same decides");
    world.write(&world.in_kernel("updates/dkms/foo.ko"), &module("1.0", KERNEL));
    assert_eq!(compared(&world, &conf), InstalledState::Missing);
    fs::remove_tree(&world.kernel.module_dir).unwrap();
    assert!(matches!(world.try_install(&conf, Force::Yes), Err(InstallError::NoKernelFolder { .. })));
}

#[test]
fn scripts_run_and_only_pre_install_may_refuse() {
    let world = World::new();
    let mut conf = world.build("1.0", &["foo"]);
    let log = world.root().join("log");
    for name in ["pre_install", "post_install", "post_remove"] {
        world.script(name, &format!("echo {name} \"$@\" >> {}; exit 7", log.display()));
    }
    conf.scripts.pre_install = Some("pre_install a".to_owned());
    conf.scripts.post_install = Some("post_install".to_owned());
    conf.scripts.post_remove = Some("post_remove".to_owned());
    let error = world.try_install(&conf, Force::No).unwrap_err();
    assert!(matches!(error, InstallError::PreInstall { code: 7, .. }), "{error}");
    assert!(!fs::exists(&world.in_kernel("updates")));
    world.try_install(&conf, Force::Yes).unwrap().undo(&world.place(&conf.id), &conf, &world.said).unwrap();
    world.try_install(&conf, Force::Yes).unwrap().keep();
    world.uninstall(&conf);
    let ran =
        "pre_install a\npre_install a\npost_install\npost_remove\npre_install a\npost_install\npost_remove\n";
    assert_eq!(fs::read_lossy(&log).unwrap(), ran);
    assert!(world.lines().contains("POST_INSTALL script of foo/1.0 for 6.1.0-t/x86_64 failed"));
}

#[test]
fn linked_modules_lead_into_the_tree() {
    let world = World::new();
    let conf = world.build("1.0", &["foo", "bar"]);
    let before = world.state();
    let options = Options { force: Force::No, version_check: VersionCheck::Enforced, put: Put::Linked };
    install(&world.place(&conf.id), &conf, options, &world.said).unwrap().keep();
    let built = world.layout.built_dir(&conf.id, &world.kernel.target);
    let link = fs::link_target(&world.in_kernel("updates/dkms/foo.ko")).unwrap();
    assert_eq!(link.unwrap(), built.join("foo.ko"));
    assert_eq!(compared(&world, &conf), InstalledState::Same);
    // A copy takes the place of the link, and the link's target stays.
    world.try_install(&conf, Force::Yes).unwrap().keep();
    assert_eq!(fs::link_target(&world.in_kernel("updates/dkms/foo.ko")).unwrap(), None);
    install(&world.place(&conf.id), &conf, options, &world.said).unwrap().keep();
    fs::remove_file(&built.join("bar.ko")).unwrap();
    world.uninstall(&conf);
    world.build("1.0", &["bar"]);
    assert_eq!(world.state(), before, "a link that leads nowhere goes too");
}

#[test]
fn only_what_is_ours_is_removed() {
    let world = World::new();
    let conf = world.build("3.0", &["foo", "bar", "baz"]);
    world.install(&conf);
    let dir = world.in_kernel("updates/dkms");
    world.write(&dir.join("foo.ko"), &module("1.0", KERNEL));
    let mut signed = module("3.0", KERNEL);
    signed.extend(b"another signature");
    world.write(&dir.join("bar.ko"), &signed);
    fs::remove_file(&dir.join("baz.ko")).unwrap();
    assert!(
        matches!(world.uninstall(&conf), Uninstalled::Done { removed, .. } if removed == [dir.join("bar.ko")])
    );
    assert_eq!(fs::list(&dir).unwrap().len(), 1);
    assert!(!fs::exists(&world.in_tree("kernel-6.1.0-t-x86_64")));
}

#[test]
fn without_a_conf_the_built_modules_say_what_to_remove() {
    for module_folder in [Some("/updates/dkms"), None] {
        let mut world = World::new();
        world.module_folder = module_folder;
        let conf = world.build("2.0", &["foo", "bar"]);
        world.write(&world.in_kernel("kernel/a/foo.ko"), &module("1.0", KERNEL));
        let before = world.state();
        world.install(&conf);
        uninstall(&world.place(&conf.id), None, &world.said).unwrap();
        assert_eq!(world.state(), before, "{module_folder:?}");
    }
}

#[test]
fn a_hostile_origin_is_not_followed() {
    let world = World::new();
    let conf = world.build("2.0", &["foo"]);
    world.write(&world.in_kernel("kernel/a/foo.ko"), &module("1.0", KERNEL));
    world.install(&conf);
    let origin = world.in_tree("original_module/6.1.0-t/x86_64/foo.ko.origin");
    world.write(&origin, format!("{}/evil/foo.ko\n", world.root().display()).as_bytes());
    world.uninstall(&conf);
    assert!(!fs::exists(&world.root().join("evil")));
    assert!(
        fs::exists(&world.in_kernel("kernel/drivers/misc/foo.ko")),
        "the conf's own location, as in the 3.x line"
    );
}

#[test]
fn modprobe_lines_are_there_as_long_as_some_kernel_has_the_module() {
    let world = World::new();
    let mut conf = world.build("1.0", &["foo"]);
    conf.modules_conf = vec!["options foo a=1".to_owned(), "alias b foo".to_owned()];
    world.install(&conf);
    let path = world.layout.modprobe_conf(&conf.id.name);
    assert_eq!(fs::read_lossy(&path).unwrap(), "options foo a=1\nalias b foo\n");
    fs::symlink(Path::new("1.0/6.2/x86_64"), &world.in_tree("kernel-6.2-x86_64")).unwrap();
    world.uninstall(&conf);
    assert!(fs::is_file(&path));
    fs::remove_file(&world.in_tree("kernel-6.2-x86_64")).unwrap();
    world.install(&conf);
    world.uninstall(&conf);
    assert!(!fs::exists(&path));
}

#[test]
fn weak_modules_are_told_the_files() {
    let mut world = World::new();
    (world.family, world.module_folder) = (Family::Rhel, Some("/extra"));
    let mut conf = world.build("1.0", &["foo", "bar"]);
    let log = world.root().join("log");
    let program = world.layout.at("/usr/sbin/weak-modules");
    world.write(&program, format!("#!/bin/sh\n(echo \"$@\"; cat) >> {}\n", log.display()).as_bytes());
    fs::set_mode(&program, 0o755).unwrap();
    world.install(&conf);
    world.uninstall(&conf);
    let file = |name: &str| world.in_kernel("extra").join(name).display().to_string();
    let expected = format!(
        "--no-initramfs --add-modules\n{}\n{}\n--no-initramfs --remove-modules\n{}\n{}\n",
        file("foo.ko"),
        file("bar.ko"),
        file("bar.ko"),
        file("foo.ko"),
    );
    assert_eq!(fs::read_lossy(&log).unwrap(), expected);
    conf.no_weak_modules = true;
    world.install(&conf);
    assert_eq!(fs::read_lossy(&log).unwrap(), expected);
}

#[test]
fn a_dangling_link_of_ours_is_dropped() {
    let world = World::new();
    let conf = world.build("1.0", &["foo"]);
    world.install(&conf);
    fs::remove_tree(&world.layout.target_dir(&id("1.0"), &world.kernel.target)).unwrap();
    assert_eq!(world.uninstall(&conf), Uninstalled::NotInstalled);
    assert!(!fs::exists(&world.in_tree("kernel-6.1.0-t-x86_64")));
}

#[test]
fn modules_go_where_their_conf_says_without_a_rule_of_the_distribution() {
    let mut world = World::new();
    world.module_folder = None;
    let mut conf = world.build("1.0", &["foo", "bar"]);
    conf.modules[1] = record("bar", "/extra/sub");
    let before = world.state();
    world.install(&conf);
    assert!(fs::is_file(&world.in_kernel("kernel/drivers/misc/foo.ko")));
    assert!(fs::is_file(&world.in_kernel("extra/sub/bar.ko")));
    world.uninstall(&conf);
    assert_eq!(world.state(), before);
}
