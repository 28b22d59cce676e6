//! Package transactions through survey, planner and engine, on a made-up system: real files, real
//! depmod, `MAKE` copies.

use std::collections::BTreeSet;

use super::{Context, Outcome, Survey, Task, carry_out};
use crate::conf::Settings;
use crate::event::{self, Arrival, Happening};
use crate::host::Environment;
use crate::host::fs;
use crate::id::{ModuleId, Target};
use crate::install::testing::module;
use crate::kernel::Distribution;
use crate::layout::Layout;
use crate::plan::{Options, Work};
use crate::report::Recorder;
use crate::tree::Snapshot;

const KERNELS: [&str; 2] = ["6.1.0", "6.2.0"];

fn target(kernel: &str) -> Target {
    Target::parse(kernel, "x86_64").unwrap()
}

fn id(version: &str) -> ModuleId {
    ModuleId::parse("foo", version).unwrap()
}

struct System {
    dir: tempfile::TempDir,
    settings: Settings,
    distribution: Distribution,
    environment: Environment,
}

impl System {
    /// Two kernels with headers, `foo/1.0` arrived and installed on both.
    fn with_foo() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::defaults(Layout::under(dir.path()));
        let system = Self {
            settings,
            distribution: Distribution::parse("ID=debian"),
            environment: [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")].into_iter().collect(),
            dir,
        };
        fs::create_dir_all(&system.layout().dkms_tree).unwrap();
        fs::create_dir_all(&dir_of(&system, "tmp")).unwrap();
        for kernel in KERNELS {
            let folder = format!("lib/modules/{kernel}");
            fs::create_dir_all(&dir_of(&system, &format!("{folder}/build/include"))).unwrap();
            for file in ["modules.dep", "modules.order", "modules.builtin"] {
                system.write(&format!("{folder}/{file}"), b"x:\n");
            }
        }
        system.unpack("1.0", "");
        let outcome = system.tell(&[Happening::ModuleArrived(id("1.0"), Arrival::First)]);
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(system.in_use(), ["6.1.0 1.0", "6.2.0 1.0"], "an image: all with headers");
        system
    }

    fn layout(&self) -> &Layout {
        &self.settings.layout
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = dir_of(self, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(&path, bytes, 0o644).unwrap();
    }

    /// Puts a source in place; `more` are further lines of its conf.
    fn unpack(&self, version: &str, more: &str) {
        let folder = format!("usr/src/foo-{version}");
        self.write(&format!("{folder}/ready"), &module(version, "6.1.0"));
        let conf = format!(
            "PACKAGE_NAME=foo\nPACKAGE_VERSION={version}\nBUILT_MODULE_NAME=foo\nDEST_MODULE_LOCATION=/extra\n\
             AUTOINSTALL=yes\nSTRIP=no\nMAKE=\"cp ready foo.ko\"\n{more}"
        );
        self.write(&format!("{folder}/dkms.conf"), conf.as_bytes());
    }

    fn tell(&self, told: &[Happening]) -> Outcome {
        self.tell_with(told, &[])
    }

    /// With these values of `--directive`.
    fn tell_with(&self, told: &[Happening], directives: &[&str]) -> Outcome {
        let there = KERNELS.map(target).into_iter();
        let there: Vec<Target> =
            there.filter(|target| fs::is_dir(&self.layout().kernel_dir(&target.kernel))).collect();
        let survey = || {
            let mut survey = Survey::new(&self.settings, &self.distribution, &self.environment);
            survey.directives = directives.iter().map(ToString::to_string).collect();
            survey
        };
        let kernels = survey().kernels(&there).unwrap();
        let options = Options { continue_on_error: true, ..Options::default() };
        let work = |snapshot: &Snapshot| Work::Batch(event::batch(told, snapshot, &kernels));
        let task = Task { work: &work, options: &options, survey: &survey, held: None };
        let context = Context {
            settings: &self.settings,
            environment: &self.environment,
            distribution: &self.distribution,
            module_folder: None,
            force: false,
            force_version_override: false,
            no_depmod: false,
            jobs: 2,
            given_key: None,
            keeps_images: false,
            ahead: Default::default(),
        };
        carry_out(&task, &context, &Recorder::default(), |_, _| {}).unwrap()
    }

    fn in_use(&self) -> Vec<String> {
        let snapshot = Snapshot::take(self.layout()).unwrap();
        let shown =
            snapshot.installed.iter().map(|((_, target), version)| format!("{} {version}", target.kernel));
        let shown: Vec<String> = shown.collect();
        // What the tree says is what lies in the kernels' folders, and what their index knows.
        for ((_, target), version) in &snapshot.installed {
            let folder = self.layout().kernel_dir(&target.kernel);
            let file = fs::read(&folder.join("extra/foo.ko")).unwrap();
            assert_eq!(file, module(version.as_str(), "6.1.0"));
            assert!(fs::read_lossy(&folder.join("modules.dep")).unwrap().contains("extra/foo.ko"));
        }
        shown
    }

    fn registered(&self) -> BTreeSet<String> {
        Snapshot::take(self.layout()).unwrap().modules.keys().map(ToString::to_string).collect()
    }
}

fn dir_of(system: &System, path: &str) -> std::path::PathBuf {
    system.dir.path().join(path)
}

fn upgrade() -> [Happening; 2] {
    [Happening::ModuleLeaving(id("1.0")), Happening::ModuleArrived(id("2.0"), Arrival::Upgrade)]
}

#[test]
fn an_upgrade_leaves_nothing_of_the_old_version() {
    let system = System::with_foo();
    system.unpack("2.0", "");
    let outcome = system.tell(&upgrade());
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(system.in_use(), ["6.1.0 2.0", "6.2.0 2.0"]);
    assert_eq!(system.registered(), ["foo/2.0".to_owned()].into());
    assert!(system.tell(&upgrade()).failures.is_empty(), "told again");
    assert_eq!(system.in_use(), ["6.1.0 2.0", "6.2.0 2.0"]);
}

#[test]
fn where_the_new_version_fails_the_old_one_stays() {
    let system = System::with_foo();
    system.unpack("2.0", "MAKE=\"[ $kernelver = 6.2.0 ] && cp ready foo.ko\"\n");
    let outcome = system.tell(&upgrade());
    assert_eq!(outcome.failures.len(), 1, "{:?}", outcome.failures);
    assert_eq!(system.in_use(), ["6.1.0 1.0", "6.2.0 2.0"]);
    assert_eq!(system.registered().len(), 2);
    let built = Snapshot::take(system.layout()).unwrap();
    assert!(!built.is_built(&id("1.0"), &target("6.2.0")), "it is kept only where it is in use");
}

#[test]
fn kernels_and_modules_come_and_go_together() {
    let system = System::with_foo();
    system.unpack("2.0", "");
    fs::remove_tree(&system.layout().kernel_dir(&target("6.2.0").kernel)).unwrap();
    let [leaving, arriving] = upgrade();
    let told = [arriving, Happening::KernelLeaving(target("6.2.0")), leaving.clone(), leaving];
    let outcome = system.tell(&told);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(system.in_use(), ["6.1.0 2.0"]);
    assert_eq!(system.registered(), ["foo/2.0".to_owned()].into());
    assert!(!fs::exists(&system.layout().kernel_dir(&target("6.2.0").kernel)), "nobody makes it again");

    fs::remove_tree(&system.layout().source_dir(&id("2.0"))).unwrap();
    assert!(system.tell(&[Happening::ModuleLeaving(id("2.0"))]).failures.is_empty());
    assert!(system.registered().is_empty() && system.in_use().is_empty());
    assert!(!fs::exists(&system.layout().kernel_dir(&target("6.1.0").kernel).join("extra")));
}

#[test]
fn a_kernel_that_is_replaced_gets_its_modules_anew() {
    let system = System::with_foo();
    let on = target("6.2.0");
    let outcome = system.tell(&[Happening::KernelArrived(on.clone()), Happening::KernelLeaving(on)]);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(system.in_use(), ["6.1.0 1.0", "6.2.0 1.0"]);
}

#[test]
fn a_conf_that_is_read_again_keeps_the_command_line() {
    let system = System::with_foo();
    system.unpack("2.0", "");
    system.write("usr/src/bar-1.0/ready", &module("1.0", "6.1.0"));
    let conf = "PACKAGE_NAME=bar\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=bar\nDEST_MODULE_LOCATION=/extra\n\
                AUTOINSTALL=yes\nSTRIP=no\nBUILD_DEPENDS=foo\nMAKE=false";
    system.write("usr/src/bar-1.0/dkms.conf", conf.as_bytes());
    let bar = ModuleId::parse("bar", "1.0").unwrap();
    let told =
        [Happening::ModuleArrived(id("2.0"), Arrival::First), Happening::ModuleArrived(bar, Arrival::First)];
    let outcome = system.tell_with(&told, &["MAKE=cp ready foo.ko; cp ready bar.ko"]);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
}
