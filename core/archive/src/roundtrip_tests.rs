//! What is written is read back, published, and the same; written twice it is the same file;
//! failures leave nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::hostile_tests::memory_folder;
use super::*;
use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Recorder};
use dkms_kernel::modfile::testing::Fabricated;

/// A private root with a module in it, built for two kernels.
struct World {
    dir: tempfile::TempDir,
    layout: Layout,
    id: ModuleId,
    targets: Vec<Target>,
}

fn put(path: &Path, contents: impl AsRef<[u8]>, mode: u32, mtime: i64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write_whole(path, contents.as_ref(), mode).unwrap();
    fs::set_mtime(path, (mtime, 0)).unwrap();
}

impl World {
    fn empty() -> Self {
        let dir = memory_folder();
        let layout = Layout::under(dir.path());
        let targets =
            ["6.1.0-2-amd64", "6.1.0-1-amd64"].map(|kernel| Target::parse(kernel, "x86_64").unwrap());
        Self { dir, layout, id: ModuleId::parse("foo", "1.0~rc1").unwrap(), targets: targets.to_vec() }
    }

    fn built() -> Self {
        let world = Self::empty();
        let source = world.layout.source_dir(&world.id);
        put(&source.join("dkms.conf"), "PACKAGE_NAME=foo\n", 0o644, 1_600_000_000);
        put(&source.join("foo.c"), "int x;\n", 0o600, 1_500_000_000);
        put(&source.join("sub/prepare.sh"), "#!/bin/sh\n", 0o755, 1_400_000_000);
        put(&source.join(format!("sub/{}", "long".repeat(40))), "x", 0o644, 1_400_000_000);
        fs::symlink(Path::new("./sub/../foo.c"), &source.join("link.c")).unwrap();
        fs::set_mtime(&source.join("link.c"), (1_400_000_000, 0)).unwrap();
        fs::create_dir_all(&world.layout.version_dir(&world.id)).unwrap();
        fs::symlink(&source, &world.layout.source_link(&world.id)).unwrap();
        for target in &world.targets {
            let built = world.layout.target_dir(&world.id, target);
            let module = Fabricated::for_kernel("foo", target.kernel.as_str()).bytes();
            put(&built.join("module/foo.ko"), module, 0o644, 1_700_000_000);
            put(&built.join("module/Module.symvers"), "", 0o644, 1_700_000_000);
            put(&built.join("log/make.log"), "log", 0o644, 1_700_000_000);
            put(&built.join(".dep_bar"), "2.0\n", 0o644, 1_700_000_000);
        }
        world
    }

    fn spec(&self, contents: Contents) -> TarballSpec<'_> {
        TarballSpec {
            layout: &self.layout,
            id: &self.id,
            source: None,
            folder: None,
            contents,
            targets: &self.targets,
            file: None,
            about: Default::default(),
            source_date: None,
        }
    }
}

/// Every path below a folder with mode and contents.
fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for found in walkdir::WalkDir::new(root).sort_by_file_name() {
        let found = found.unwrap();
        let meta = found.metadata().unwrap();
        let contents = if meta.is_symlink() {
            fs::link_target(found.path()).unwrap().unwrap().display().to_string()
        } else if meta.is_file() {
            fs::read_lossy(found.path()).unwrap()
        } else {
            String::new()
        };
        let name = found.path().strip_prefix(root).unwrap().display().to_string();
        lines.push(format!("{name} {:o} {contents}", meta.mode()));
    }
    lines
}

fn staged(archive: &Path) -> (tempfile::TempDir, Result<Staged, ArchiveError>) {
    let into = memory_folder();
    let result = stage(archive, into.path(), &Limits::default());
    (into, result)
}

#[test]
fn every_kind_in_every_compression_comes_back_equal() {
    let world = World::built();
    for suffix in ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"] {
        for (contents, kind) in [
            (Contents::SourceOnly, Kind::SourceOnly),
            (Contents::SourceAndBinaries, Kind::SourceAndBinaries),
            (Contents::BinariesOnly, Kind::BinariesOnly),
        ] {
            let label = format!("{contents:?} {suffix}");
            let file = world.dir.path().join(format!("out.{suffix}"));
            let path = write(&TarballSpec { file: Some(&file), ..world.spec(contents) }).unwrap();
            assert_eq!(path, file);
            let (_into, staged) = staged(&path);
            let staged = staged.unwrap();
            assert_eq!(staged.kind, kind, "{label}");
            let other = World::empty();
            let recorder = Recorder::default();
            publish_source(&staged, &other.layout, &world.id, Existing::Kept).unwrap();
            let published =
                publish_builds(&staged, &other.layout, &world.id, Existing::Kept, &recorder).unwrap();
            assert_eq!(recorder.events(), []);
            let source =
                (tree(&world.layout.source_dir(&world.id)), tree(&other.layout.source_dir(&world.id)));
            if contents == Contents::BinariesOnly {
                assert_eq!(staged.id.as_ref(), Some(&world.id));
                assert_eq!(source.1.len(), 2, "{label}: {:?}", source.1);
            } else {
                assert_eq!(source.0, source.1, "{label}");
            }
            if contents == Contents::SourceOnly {
                assert_eq!(published, []);
                continue;
            }
            let mut sorted = world.targets.clone();
            sorted.sort();
            assert_eq!(published, sorted, "{label}");
            for target in &world.targets {
                let built = |world: &World| tree(&world.layout.target_dir(&world.id, target));
                assert_eq!(built(&world), built(&other), "{label}");
            }
        }
    }
}

#[test]
fn names_follow_the_interface() {
    let world = World::built();
    let name = |spec: &TarballSpec<'_>| {
        let path = spec.path();
        assert_eq!(path.parent().unwrap(), world.layout.version_dir(&world.id).join("tarball"));
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    let both = world.spec(Contents::SourceAndBinaries);
    assert_eq!(name(&world.spec(Contents::SourceOnly)), "foo-1.0~rc1-source-only.dkms.tar.gz");
    assert_eq!(name(&both), "foo-1.0~rc1-kernel6.1.0-2-amd64-x86_64-kernel6.1.0-1-amd64-x86_64.dkms.tar.gz");
    assert_eq!(name(&TarballSpec { file: Some(Path::new("x.tar.xz")), ..both }), "x.tar.xz");
    let both = world.spec(Contents::SourceAndBinaries);
    let elsewhere = TarballSpec { file: Some(Path::new("./x.tar.xz")), ..both };
    assert_eq!(elsewhere.path(), Path::new("./x.tar.xz"));
    // 200 characters of kernels are listed, 201 are too many.
    for (length, many) in [(85, false), (86, true)] {
        let kernel = |first: &str, length: usize| Target::parse(&first.repeat(length), "x86_64").unwrap();
        let targets = [kernel("6", 87), kernel("7", length)];
        let spec = TarballSpec { targets: &targets, ..world.spec(Contents::BinariesOnly) };
        assert_eq!(name(&spec) == "foo-1.0~rc1-manykernels.dkms.tar.gz", many, "{length}");
    }
}

#[test]
fn the_same_input_gives_the_same_file() {
    let write_in = |suffix: &str, disturb: bool| {
        let world = World::built();
        if disturb {
            for target in &world.targets {
                let module = world.layout.built_dir(&world.id, target).join("foo.ko");
                fs::set_mtime(&module, (1_750_000_000, 0)).unwrap();
                fs::set_mode(&module, 0o600).unwrap();
                fs::set_mode(module.parent().unwrap(), 0o700).unwrap();
            }
        }
        let file = PathBuf::from(format!("out.{suffix}"));
        let path =
            write(&TarballSpec { file: Some(&file), ..world.spec(Contents::SourceAndBinaries) }).unwrap();
        fs::read(&path).unwrap()
    };
    for suffix in ["tar", "tgz", "tar.bz2", "tar.xz", "tar.zst"] {
        assert!(write_in(suffix, false) == write_in(suffix, true), "{suffix}");
    }
}

#[test]
fn the_date_is_the_sources_or_the_given_one() {
    let world = World::built();
    for (source_date, newest) in [(None, 1_600_000_000), (Some(1_450_000_000), 1_450_000_000)] {
        let file = Path::new("out.tar");
        let spec = TarballSpec { file: Some(file), source_date, ..world.spec(Contents::SourceAndBinaries) };
        let path = write(&spec).unwrap();
        let mut archive = tar::Archive::new(fs::open(&path).unwrap());
        let times: Vec<u64> =
            archive.entries().unwrap().map(|entry| entry.unwrap().header().mtime().unwrap()).collect();
        assert_eq!(*times.iter().max().unwrap(), newest);
        assert_eq!(*times.iter().min().unwrap(), 1_400_000_000);
    }
}

#[test]
fn failures_leave_nothing_behind() {
    let world = World::built();
    let before = tree(world.dir.path());
    let failing = |spec: &TarballSpec<'_>, code: ExitCode| {
        let error = write(spec).unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert_eq!(tree(world.dir.path()), before, "{error}");
    };
    let absent = [Target::parse("9.9.9", "x86_64").unwrap()];
    failing(
        &TarballSpec { targets: &absent, ..world.spec(Contents::BinariesOnly) },
        ExitCode::CANNOT_INSTALL,
    );
    let below_a_file = world.layout.source_dir(&world.id).join("foo.c/x.tar");
    failing(
        &TarballSpec { file: Some(&below_a_file), ..world.spec(Contents::SourceOnly) },
        ExitCode::CANNOT_INSTALL,
    );
    let a_folder = world.layout.source_dir(&world.id);
    failing(
        &TarballSpec { file: Some(&a_folder), ..world.spec(Contents::SourceOnly) },
        ExitCode::CANNOT_INSTALL,
    );
    let full = Path::new("/dev/full/x.tar");
    failing(&TarballSpec { file: Some(full), ..world.spec(Contents::SourceOnly) }, ExitCode::CANNOT_INSTALL);
}

#[test]
fn what_no_reader_takes_is_not_written() {
    for (name, target) in [("out", "../../etc/passwd"), ("abs", "/etc/passwd")] {
        let world = World::built();
        fs::symlink(Path::new(target), &world.layout.source_dir(&world.id).join(name)).unwrap();
        let error = write(&world.spec(Contents::SourceOnly)).unwrap_err();
        assert!(
            matches!(error, ArchiveError::CannotPack { .. }) && error.to_string().contains(name),
            "{error}"
        );
    }
    let world = World::built();
    let setuid = world.layout.source_dir(&world.id).join("su");
    put(&setuid, "x", 0o644, 1);
    fs::set_mode(&setuid, 0o4755).unwrap();
    let (_into, staged) = staged(&write(&world.spec(Contents::SourceOnly)).unwrap());
    let meta = fs::lstat(&staged.unwrap().source.unwrap().join("su")).unwrap().unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755);
}

#[test]
fn the_manifest_states_what_a_build_depended_on() {
    let world = World::built();
    let (into, staged) = staged(&write(&world.spec(Contents::SourceAndBinaries)).unwrap());
    staged.unwrap();
    let text = fs::read_lossy(&into.path().join(manifest::MANIFEST)).unwrap();
    let manifest: manifest::Manifest = serde_json::from_str(&text).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("foo", "1.0~rc1"));
    assert_eq!(manifest.builds[0].depends["bar"], "2.0");
    assert_eq!(manifest.links["dkms_source_tree/link.c"], "./sub/../foo.c");
}

#[test]
fn a_changed_file_contradicts_the_manifest() {
    let world = World::built();
    let file = world.dir.path().join("out.tar");
    write(&TarballSpec { file: Some(&file), ..world.spec(Contents::SourceAndBinaries) }).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"int x;").unwrap();
    bytes[at] = b'u';
    fs::write_whole(&file, &bytes, 0o644).unwrap();
    let error = staged(&file).1.unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Manifest { entry, .. } if entry == "dkms_source_tree/foo.c"),
        "{error}"
    );
}

#[test]
fn a_damaged_module_is_not_packed() {
    let world = World::built();
    let module = world.layout.built_dir(&world.id, &world.targets[0]).join("foo.ko");
    let whole = fs::read(&module).unwrap();
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"#!/bin/sh\n"] {
        put(&module, damaged, 0o644, 1);
        let spec = world.spec(Contents::SourceAndBinaries);
        let error = write(&spec).unwrap_err();
        assert!(matches!(&error, ArchiveError::BuiltDamaged { path, .. } if *path == module), "{error}");
        assert_eq!(error.exit_code(), ExitCode::CANNOT_INSTALL);
        let hint = "build it again: `dkms build --force foo/1.0~rc1 -k 6.1.0-2-amd64/x86_64`";
        assert_eq!(error.hints(), [hint]);
        assert!(!fs::exists(&spec.path()), "nothing was written");
    }
    assert!(write(&world.spec(Contents::SourceOnly)).is_ok(), "the source is whole");
}

#[test]
fn existing_things_stay_unless_replaced() {
    let world = World::built();
    let (_into, staged) = staged(&write(&world.spec(Contents::SourceAndBinaries)).unwrap());
    let staged = staged.unwrap();
    let module = world.layout.built_dir(&world.id, &world.targets[0]).join("foo.ko");
    put(&module, "changed", 0o644, 1);
    let extra = world.layout.source_dir(&world.id).join("extra");
    put(&extra, "", 0o644, 1);
    let recorder = Recorder::default();
    let error = publish_source(&staged, &world.layout, &world.id, Existing::Kept).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::INVALID_CONF);
    let kept = publish_builds(&staged, &world.layout, &world.id, Existing::Kept, &recorder).unwrap();
    assert_eq!(kept, []);
    assert_eq!(recorder.events().iter().filter(|event| matches!(event, Event::Warning { .. })).count(), 2);
    assert_eq!(fs::read(&module).unwrap(), b"changed");
    publish_source(&staged, &world.layout, &world.id, Existing::Replaced).unwrap();
    let all = publish_builds(&staged, &world.layout, &world.id, Existing::Replaced, &recorder).unwrap();
    assert_eq!(all.len(), 2);
    assert_ne!(fs::read(&module).unwrap(), b"changed");
    assert!(!fs::exists(&extra));
    assert!(
        !tree(world.dir.path()).iter().any(|line| line.contains(".tmp_")),
        "{:?}",
        tree(world.dir.path())
    );
}

#[test]
fn only_what_a_built_folder_has_is_published() {
    let world = World::built();
    let (into, staged) = staged(&write(&world.spec(Contents::SourceAndBinaries)).unwrap());
    let staged = staged.unwrap();
    put(&staged.builds[0].dir.join("source"), "x", 0o644, 1);
    put(&staged.builds[0].dir.join(".dep_-x"), "x", 0o644, 1);
    let other = World::empty();
    publish_builds(&staged, &other.layout, &world.id, Existing::Kept, &Recorder::default()).unwrap();
    let built = other.layout.target_dir(&world.id, &staged.builds[0].target);
    let names: Vec<_> = fs::list(&built).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [".dep_bar", "log", "module"]);
    drop(into);
}
