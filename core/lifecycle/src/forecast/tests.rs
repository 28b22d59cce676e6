//! What is kept of forecasts, and how long it holds.

use super::predict::{Verdict, needs, of_failure};
use super::*;
use crate::engine::StepError;
use crate::host::{Environment, fs};
use crate::id::{ModuleName, Target};
use crate::layout::Layout;
use crate::plan::Refusal;
use crate::tree::attempts::{self, Record};

struct World {
    dir: tempfile::TempDir,
    layout: Layout,
    environment: Environment,
    target: Target,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let environment =
            [("PATH", dir.path().join("bin").to_string_lossy().into_owned())].into_iter().collect();
        let world = Self { dir, layout, environment, target: Target::parse("6.1.0-57", "x86_64").unwrap() };
        world.write("usr/src/foo-1.0/dkms.conf", "PACKAGE_NAME=foo\n");
        world.write("bin/gcc-12", "#!/bin/sh\n");
        fs::create_dir_all(&world.layout.version_dir(&id())).unwrap();
        fs::symlink(&world.dir.path().join("usr/src/foo-1.0"), &world.layout.source_link(&id())).unwrap();
        world
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(&path, text.as_bytes(), 0o755).unwrap();
    }

    fn forecast(&self) -> Forecast {
        let prediction = Prediction {
            id: id(),
            outlook: Outlook::Builds,
            reason: None,
            source: identity::source_of(&id(), &self.target, &self.layout),
            compiler: identity::compiler_now("gcc-12", &self.environment),
        };
        Forecast {
            target: self.target.clone(),
            when: 1_700_000_000,
            headers: "linux-headers-6.1.0-57".to_owned(),
            version: "6.1.192-1".to_owned(),
            modules: vec![prediction],
        }
    }

    fn standing(&self, version: Option<&str>) -> Vec<String> {
        let found = standing(&self.target, version, &self.layout, &self.environment);
        found.iter().map(|(id, foreseen)| format!("{id} {foreseen}")).collect()
    }

    fn file(&self) -> std::path::PathBuf {
        self.layout.state_dir().join("forecast/6.1.0-57-x86_64.json")
    }
}

fn id() -> ModuleId {
    ModuleId::parse("foo", "1.0").unwrap()
}

#[test]
fn a_forecast_holds_until_source_headers_or_compiler_change() {
    let changes: [fn(&World); 4] = [
        |world| world.write("usr/src/foo-1.0/foo.c", "int x;\n"),
        |world| world.write("etc/dkms/foo/patches/a.patch", "x\n"),
        |world| world.write("etc/dkms/foo.conf", "MAKE=make\n"),
        |world| world.write("bin/gcc-12", "#!/bin/sh\n# another\n"),
    ];
    for change in changes {
        let world = World::new();
        assert!(world.standing(None).is_empty());
        record::keep(&world.forecast(), &world.layout).unwrap();
        let told = ["foo/1.0 was built for 6.1.0-57 on Tue, 14 Nov 2023 22:13:20 +0000"];
        assert_eq!(
            (world.standing(None), world.standing(Some("6.1.192-1"))),
            (told.map(str::to_owned).into(), told.map(str::to_owned).into())
        );
        assert!(world.standing(Some("6.1.193-1")).is_empty());
        change(&world);
        assert!(world.standing(None).is_empty());
    }
}

#[test]
fn what_is_unknown_or_could_not_be_read_says_nothing() {
    let world = World::new();
    for (outlook, source) in [(Outlook::Unknown, None), (Outlook::Fails, Some(String::new()))] {
        let mut forecast = world.forecast();
        forecast.modules[0].outlook = outlook;
        forecast.modules[0].source = source.unwrap_or(forecast.modules[0].source.clone());
        record::keep(&forecast, &world.layout).unwrap();
        assert!(world.standing(None).is_empty());
    }
    let mut forecast = world.forecast();
    (forecast.modules[0].outlook, forecast.modules[0].reason) =
        (Outlook::Fails, Some("first error: x".to_owned()));
    record::keep(&forecast, &world.layout).unwrap();
    assert!(world.standing(None)[0].ends_with("and failed: first error: x"), "{:?}", world.standing(None));
}

#[test]
fn a_file_that_is_no_forecast_is_none() {
    let world = World::new();
    record::keep(&world.forecast(), &world.layout).unwrap();
    assert_eq!(record::read(&world.target, &world.layout), Some(world.forecast()));
    let good = fs::read_lossy(&world.file()).unwrap();
    let long = format!("{good}{}", " ".repeat(2 << 20));
    let replaced = |from: &str, to: &str| good.replace(from, to);
    for bad in [
        String::new(),
        "[]".to_owned(),
        good[..good.len() / 2].to_owned(),
        long,
        replaced("\"format\": 1", "\"format\": 2"),
        replaced("\"6.1.0-57\"", "\"6.1.0-58\""),
        replaced("\"foo\"", "\"../foo\""),
        replaced("\"builds\"", "\"dances\""),
    ] {
        assert!(bad.is_empty() || bad != good);
        fs::write_whole(&world.file(), bad.as_bytes(), 0o644).unwrap();
        assert_eq!(record::read(&world.target, &world.layout), None, "{}", &bad[..bad.len().min(300)]);
    }
    fs::remove_any(&world.file()).unwrap();
    fs::create_dir_all(&world.file()).unwrap();
    assert_eq!(record::read(&world.target, &world.layout), None);
}

#[test]
fn modules_of_an_earlier_forecast_stay_and_old_kernels_go() {
    let world = World::new();
    record::keep(&world.forecast(), &world.layout).unwrap();
    let mut other = world.forecast();
    other.modules[0].id = ModuleId::parse("bar", "2").unwrap();
    record::keep(&other, &world.layout).unwrap();
    let names = |world: &World| {
        let found = record::read(&world.target, &world.layout).unwrap();
        found.modules.iter().map(|one| one.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&world), ["bar/2", "foo/1.0"]);
    other.version = "6.1.193-1".to_owned();
    record::keep(&other, &world.layout).unwrap();
    assert_eq!(names(&world), ["bar/2"]);
    for number in 0..12 {
        let target = Target::parse(&format!("6.2.{number}"), "x86_64").unwrap();
        record::keep(&Forecast { target, ..world.forecast() }, &world.layout).unwrap();
    }
    assert_eq!(fs::list(&world.layout.state_dir().join("forecast")).unwrap().len(), 8);
}

#[test]
fn a_module_needs_what_it_is_built_against() {
    let name = |text: &str| ModuleName::new(text).unwrap();
    let known = [
        ("good", Outlook::Builds),
        ("left", Outlook::Excluded),
        ("bad", Outlook::Fails),
        ("other", Outlook::Compiler),
    ];
    let known = known.map(|(text, outlook)| (name(text), Verdict { outlook, reason: None })).into();
    let of = |depends: &[&str]| {
        let depends: Vec<_> = depends.iter().map(|text| name(text)).collect();
        needs(&depends, &known)
            .map_err(|verdict| (verdict.outlook.word(), verdict.reason.unwrap_or_default()))
    };
    assert_eq!((of(&[]), of(&["good"]), of(&["good", "left"])), (Ok(()), Ok(()), Ok(())));
    assert_eq!(of(&["good", "bad"]), Err(("fails", "it needs `bad`, which fails".to_owned())));
    assert_eq!(of(&["other"]).unwrap_err().0, "compiler");
    assert_eq!(of(&["new"]), Err(("fails", "it needs `new`, which dkms does not know".to_owned())));
}

#[test]
fn only_what_the_module_or_kernel_is_to_blame_for_is_a_failure() {
    let of = |error: StepError| of_failure(&error).outlook;
    assert_eq!(of(StepError::Bug { what: "x".to_owned() }), Outlook::Unknown);
    assert_eq!(of(Refusal::NotInTree { id: id() }.into()), Outlook::Fails);
}

#[test]
fn a_tree_of_ours_has_the_registrations_and_is_known_as_one() {
    let world = World::new();
    let scratch = tempfile::tempdir().unwrap();
    let snapshot = crate::tree::Snapshot::take(&world.layout).unwrap();
    assert!(!layer::is_in_layer(&world.layout));
    let mut own = world.layout.clone();
    let past = Record::new(1, 600.0, Some(4 << 30));
    attempts::record(&world.layout, &id(), &world.target, &past, None).unwrap();
    let next = Target::parse("6.1.0-58", "x86_64").unwrap();
    own.dkms_tree = layer::make_tree(scratch.path(), &[id()], &next, &snapshot, &world.layout).unwrap();
    let expected = attempts::expected(&own, &id().name).unwrap();
    assert_eq!((expected.seconds, expected.memory), (600.0, Some(4 << 30)));
    assert!(layer::is_in_layer(&own));
    assert_eq!(crate::tree::Snapshot::take(&own).unwrap(), snapshot);
    layer::ask(scratch.path(), &[id()]).unwrap();
    assert_eq!(layer::asked_for(scratch.path()), Some(vec![id()]));
    assert_eq!(layer::answer_in(scratch.path()), None);
    layer::answer(scratch.path(), &world.forecast().modules).unwrap();
    assert_eq!(layer::answer_in(scratch.path()), Some(world.forecast().modules));
}
