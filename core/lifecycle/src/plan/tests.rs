//! The planner over made-up worlds: no disk, no kernel.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::conf::module::{Exclusion, ModuleConf, ModuleRecord};
use crate::id::{ModuleId, ModuleName, Target};
use crate::kernel::{KernelFacts, Prebuilt};
use crate::layout::Layout;
use crate::tree::{Built, Mode, Registration, Snapshot, Source};

mod places;
mod preflight;
mod remedies;
mod transaction;

fn id(text: &str) -> ModuleId {
    let (name, version) = text.split_once('/').unwrap();
    ModuleId::parse(name, version).unwrap()
}

fn target(kernel: &str) -> Target {
    Target::parse(kernel, "x86_64").unwrap()
}

fn conf(id: &ModuleId, depends: &[&str]) -> ModuleConf {
    let record = ModuleRecord {
        index: 0,
        built_name: id.name.to_string(),
        built_location: String::new(),
        dest_name: id.name.to_string(),
        dest_location: "/kernel/extra".to_owned(),
        strip: true,
        excluded: None,
    };
    ModuleConf {
        modules: vec![record],
        autoinstall: true,
        build_depends: depends.iter().map(|name| ModuleName::new(*name).unwrap()).collect(),
        ..ModuleConf::empty(id)
    }
}

fn world(kernels: &[&str]) -> World {
    let layout = Layout::under("/");
    let facts = |kernel: &&str| (target(kernel), KernelFacts::usual(target(kernel), &layout));
    World {
        source_tree: "/usr/src".into(),
        kernels: kernels.iter().map(facts).collect(),
        private_folders: true,
        ..World::default()
    }
}

fn add(world: &mut World, module: &str, depends: &[&str]) {
    let id = id(module);
    for target in world.kernels.keys() {
        world.confs.insert((id.clone(), target.clone()), Ok(conf(&id, depends)));
    }
    world.plain_confs.insert(id.clone(), Ok(conf(&id, depends)));
    world.sources.insert(id.clone(), "/usr/src/x".into());
    let source = Source::Present("/usr/src/x".into());
    world.snapshot.modules.insert(id, Registration { source, built: BTreeMap::new() });
}

/// What the engine's success would make of the world.
fn apply(world: &mut World, plan: &Plan) {
    let snapshot = &mut world.snapshot;
    for step in &plan.steps {
        match &step.action {
            Action::Add { id, .. } => {
                let source = Source::Present("/usr/src/x".into());
                snapshot.modules.insert(id.clone(), Registration { source, built: BTreeMap::new() });
            }
            Action::Build { id, target } => {
                let found = snapshot.modules.get_mut(id).unwrap();
                found.built.insert(target.clone(), Built::default());
            }
            Action::Install { id, target } => {
                assert!(snapshot.is_built(id, target), "installs what is not built");
                snapshot.installed.insert((id.name.clone(), target.clone()), id.version.clone());
            }
            Action::Uninstall { id, target } => {
                assert!(snapshot.installed.remove(&(id.name.clone(), target.clone())).is_some());
            }
            Action::Unbuild { id, target } => {
                assert!(!snapshot.is_installed(id, target), "unbuilds what is installed");
                assert!(snapshot.modules.get_mut(id).unwrap().built.remove(target).is_some());
            }
            Action::Forget { id } => {
                assert!(snapshot.modules.remove(id).unwrap().built.is_empty());
            }
            Action::Depmod { .. }
            | Action::Initramfs { .. }
            | Action::Load { .. }
            | Action::SweepKernel { .. }
            | Action::PostTransaction { .. }
            | Action::Refuse(_) => {}
        }
    }
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.action.to_string()).collect()
}

fn ask(work: Work) -> Request {
    Request { work, options: Options { continue_on_error: true, ..Options::default() } }
}

fn install(module: &str, kernels: &[&str]) -> Request {
    let targets = kernels.iter().map(|kernel| target(kernel)).collect();
    ask(Work::Install { id: id(module), targets, source: None })
}

fn refusals(plan: &Plan) -> Vec<u8> {
    let refused = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Refuse(refusal) => Some(refusal.exit_code().0),
        _ => None,
    });
    refused.collect()
}

#[test]
fn install_adds_and_builds_first() {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "foo/1.0", &[]);
    world.snapshot.modules.clear();
    insta::assert_snapshot!(shown(&plan(&install("foo/1.0", &["6.1.0"]), &world)).join("\n"), @r"
    add foo/1.0
    build foo/1.0 for 6.1.0 (x86_64)
    install foo/1.0 on 6.1.0 (x86_64)
    depmod for 6.1.0 (x86_64)
    ");
}

#[test]
fn builds_of_a_module_that_no_sandbox_holds_do_not_meet() {
    let mut world = world(&["6.1", "6.2"]);
    add(&mut world, "foo/1.0", &[]);
    let after = |world: &World| {
        let plan = plan(&install("foo/1.0", &["6.1", "6.2"]), world);
        let builds = plan.steps.into_iter().filter(|step| matches!(step.action, Action::Build { .. }));
        builds.map(|step| step.after.len()).collect::<Vec<_>>()
    };
    assert_eq!(after(&world), [0, 0]);
    world.unconfined.insert(ModuleName::new("foo").unwrap());
    assert_eq!(after(&world), [0, 1]);
}

#[test]
fn what_is_so_already_gives_an_empty_plan() {
    let mut world = world(&["6.1.0", "6.2.0"]);
    add(&mut world, "foo/1.0", &[]);
    let request = install("foo/1.0", &["6.1.0", "6.2.0"]);
    let first = plan(&request, &world);
    assert_eq!(first.steps.len(), 6);
    apply(&mut world, &first);
    let second = plan(&request, &world);
    assert!(second.is_empty(), "{:?}", shown(&second));
    assert_eq!(second.remarks.len(), 2);
}

#[test]
fn refusals_carry_their_exit_codes() {
    let mut world = world(&["6.1.0", "6.2.0"]);
    add(&mut world, "foo/1.0", &[]);
    add(&mut world, "needs/1.0", &["foo"]);
    assert_eq!(refusals(&plan(&install("gone/1.0", &["6.1.0"]), &world)), [3]);
    assert_eq!(refusals(&plan(&install("needs/1.0", &["6.1.0"]), &world)), [13]);
    assert_eq!(refusals(&plan(&ask(Work::Add { id: id("foo/1.0"), source: None }), &world)), [3]);
    world.kernels.get_mut(&target("6.1.0")).unwrap().headers_usable = false;
    assert_eq!(refusals(&plan(&install("foo/1.0", &["6.1.0"]), &world)), [21]);
    let key = (id("foo/1.0"), target("6.2.0"));
    world.confs.get_mut(&key).unwrap().as_mut().unwrap().excluded =
        Some(Exclusion { directive: "BUILD_EXCLUSIVE_ARCH[0]".to_owned(), value: "arm".to_owned() });
    assert_eq!(refusals(&plan(&install("foo/1.0", &["6.2.0"]), &world)), [77]);
    // A batch doesn't wait for a dependency that is ruled out for the kernel.
    assert_eq!(refusals(&plan(&install("needs/1.0", &["6.2.0"]), &world)), [13]);
    let batch = plan(&ask(Work::Autoinstall { targets: vec![target("6.2.0")] }), &world);
    assert_eq!(refusals(&batch), [] as [u8; 0]);
    assert_eq!(batch.steps.len(), 3);
    world.snapshot.modules.get_mut(&id("foo/1.0")).unwrap().source = Source::Dangling("/x".into());
    assert_eq!(refusals(&plan(&install("foo/1.0", &["6.1.0"]), &world)), [4]);
}

#[test]
fn autoinstall_goes_by_dependencies_with_one_depmod() {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "a/1.0", &["b"]);
    add(&mut world, "b/1.0", &[]);
    add(&mut world, "b/2.0", &[]);
    add(&mut world, "c/1.0", &["unheard-of"]);
    let plan = plan(&ask(Work::Autoinstall { targets: vec![target("6.1.0")] }), &world);
    insta::assert_snapshot!(shown(&plan).join("\n"), @r"
    build b/2.0 for 6.1.0 (x86_64)
    install b/2.0 on 6.1.0 (x86_64)
    build a/1.0 for 6.1.0 (x86_64)
    install a/1.0 on 6.1.0 (x86_64)
    depmod for 6.1.0 (x86_64)
    ");
    assert_eq!(plan.steps[2].needs, [StepId(1)]);
    assert_eq!(plan.remarks.len(), 1, "the unknown dependency is reported");
}

#[test]
fn builds_that_do_not_depend_on_each_other_wait_for_none() {
    let mut world = world(&["6.1"]);
    let depends: [(&str, &[&str]); 5] =
        [("a/1", &[]), ("b/1", &["out"]), ("c/1", &["new"]), ("d/1", &[]), ("out/1", &[])];
    depends.iter().for_each(|(module, depends)| add(&mut world, module, depends));
    let excluded = world.confs.get_mut(&(id("out/1"), target("6.1"))).unwrap();
    excluded.as_mut().unwrap().excluded =
        Some(Exclusion { directive: "BUILD_EXCLUSIVE_KERNEL".to_owned(), value: "^5".to_owned() });
    let request = |continue_on_error| Request {
        work: Work::BuildEach { ids: ["a/1", "b/1", "c/1", "d/1"].map(id).into(), target: target("6.1") },
        options: Options { continue_on_error, ..Options::default() },
    };
    let side_by_side = plan(&request(true), &world);
    let lines = shown(&side_by_side);
    assert_eq!(
        [&lines[0], &lines[1], &lines[3]].map(|line| &line[..9]),
        ["build a/1", "build b/1", "build d/1"]
    );
    assert!(lines[2].starts_with("fail: ") && lines.len() == 4, "{lines:?}");
    assert!(side_by_side.steps.iter().all(|step| step.waits_for().next().is_none()), "{lines:?}");
    assert!(plan(&request(false), &world).steps[3].waits_for().next().is_some());
}

#[test]
fn a_new_version_rebuilds_what_was_built_against_the_old() {
    let mut world = world(&["6.1.0"]);
    let on = target("6.1.0");
    add(&mut world, "lib/1.0", &[]);
    add(&mut world, "lib/2.0", &[]);
    add(&mut world, "user/1.0", &["lib"]);
    let key = (id("user/1.0"), on.clone());
    world.confs.get_mut(&key).unwrap().as_mut().unwrap().build_depends_rebuild = true;
    for module in ["lib/1.0", "user/1.0"] {
        let first = plan(&install(module, &["6.1.0"]), &world);
        apply(&mut world, &first);
    }
    let built = world.snapshot.modules.get_mut(&id("user/1.0")).unwrap().built.get_mut(&on).unwrap();
    built.dependencies.insert(id("lib/1.0").name, id("lib/1.0").version);
    insta::assert_snapshot!(shown(&plan(&install("lib/2.0", &["6.1.0"]), &world)).join("\n"), @r"
    build lib/2.0 for 6.1.0 (x86_64)
    install lib/2.0 on 6.1.0 (x86_64)
    build user/1.0 for 6.1.0 (x86_64)
    install user/1.0 on 6.1.0 (x86_64)
    depmod for 6.1.0 (x86_64)
    ");
}

#[test]
fn remove_of_the_last_kernel_forgets() {
    let mut world = world(&["6.1.0", "6.2.0"]);
    add(&mut world, "foo/1.0", &[]);
    let both = plan(&install("foo/1.0", &["6.1.0", "6.2.0"]), &world);
    apply(&mut world, &both);
    let remove = |kernels: &[&str]| {
        ask(Work::Remove {
            id: id("foo/1.0"),
            targets: kernels.iter().map(|kernel| target(kernel)).collect(),
        })
    };
    let one = plan(&remove(&["6.1.0"]), &world);
    assert!(!one.steps.iter().any(|step| matches!(step.action, Action::Forget { .. })));
    apply(&mut world, &one);
    let other = plan(&remove(&["6.2.0"]), &world);
    insta::assert_snapshot!(shown(&other).join("\n"), @r"
    uninstall foo/1.0 from 6.2.0 (x86_64)
    unbuild foo/1.0 for 6.2.0 (x86_64)
    remove foo/1.0 from the tree
    depmod for 6.2.0 (x86_64)
    ");
    apply(&mut world, &other);
    assert_eq!(world.snapshot, Snapshot::default());
}

proptest! {
    /// Whatever is asked in whatever order: every step's precondition holds when its turn comes
    /// (`apply` asserts it), a plan for what is so already is empty, and what waits comes later
    /// than what it waits for.
    #[test]
    fn random_requests_keep_the_tree_legal(requests in proptest::collection::vec((0_u8..7, 0_u8..3, 0_u8..2), 1..12)) {
        let kernels = ["6.1.0", "6.2.0"];
        let modules = ["a/1.0", "b/1.0", "b/2.0"];
        let mut world = world(&kernels);
        add(&mut world, "a/1.0", &["b"]);
        add(&mut world, "b/1.0", &[]);
        add(&mut world, "b/2.0", &[]);
        for (action, module, kernel) in requests {
            let module = id(modules[usize::from(module)]);
            let on = target(kernels[usize::from(kernel)]);
            let targets = vec![on.clone()];
            let work = match action {
                0 => Work::Build { id: module, targets, source: None },
                1 => Work::Install { id: module, targets, source: None },
                2 => Work::Uninstall { id: module, targets },
                3 => Work::Unbuild { id: module, targets },
                4 => Work::Remove { id: module, targets },
                5 => Work::Autoinstall { targets },
                _ => Work::KernelPrerm { target: on },
            };
            let request = ask(work);
            let first = plan(&request, &world);
            for (place, step) in first.steps.iter().enumerate() {
                prop_assert!(step.waits_for().all(|before| before.0 < place));
            }
            if refusals(&first).is_empty() {
                apply(&mut world, &first);
                let again = plan(&request, &world);
                let repeats = again.steps.iter().filter(|step| !matches!(step.action, Action::Refuse(_)));
                // Removing again asks for a module that may be gone, or forgets what
                // another version still held.
                prop_assert!(repeats.count() == 0 || action == 4);
            }
        }
    }
}

#[test]
fn what_waits_for_a_deferred_module_is_deferred_too() {
    let mut world = world(&["6.1"]);
    add(&mut world, "a/1", &["unknown"]);
    add(&mut world, "b/1", &["a"]);
    add(&mut world, "c/1", &[]);
    let options = Options { continue_on_error: true, ..Options::default() };
    let request = Request { work: Work::Autoinstall { targets: vec![target("6.1")] }, options };
    let plan = plan(&request, &world);
    assert!(!plan.steps.iter().any(|step| matches!(step.action, Action::Refuse(_))), "{plan:?}");
    let deferred = plan
        .remarks
        .iter()
        .filter(|remark| matches!(remark, Remark::Note(text) if text.contains("deferred")));
    assert_eq!(deferred.count(), 2);
}

#[test]
fn a_broken_module_says_what_mends_it() {
    let refusal = |source| Refusal::broken(&id("a/1"), &Registration { source, built: BTreeMap::new() });
    let unlinked = refusal(Source::Unlinked("/src/a-1".into()));
    assert_eq!(unlinked.hints(), ["`dkms add a/1` puts it back"]);
    let dangling = refusal(Source::Dangling("/src/a-1".into()));
    assert!(dangling.to_string().contains("`/src/a-1` is missing"), "{dangling}");
    let hint = "restore that folder; or remove the module: `mkdir -p /src/a-1 && dkms remove a/1 --all`";
    assert_eq!(dangling.hints(), [hint]);
}

#[test]
fn what_failed_before_is_tried_again_by_people_only() {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "foo/1.0", &[]);
    add(&mut world, "bar/1.0", &["foo"]);
    let failure = RememberedFailure {
        when: "Fri, 20 Nov 2026 19:56:20 +0000".to_owned(),
        what: "first error: foo.c:3: no".to_owned(),
        log: Some("/x/1.log".into()),
    };
    world.failed_before.insert((id("foo/1.0"), target("6.1.0")), failure.clone());
    let mut request = install("foo/1.0", &["6.1.0"]);
    assert!(refusals(&plan(&request, &world)).is_empty());
    request.options.respect_failures = true;
    let refused = plan(&request, &world);
    assert_eq!((refusals(&refused), refused.steps.len()), (vec![10], 1));
    let Action::Refuse(refusal) = &refused.steps[0].action else { panic!() };
    let text = refusal.to_string();
    assert!(
        text.contains("foo/1.0") && text.contains("20 Nov 2026") && text.contains("foo.c:3: no"),
        "{text}"
    );
    assert_eq!(refusal.hints(), ["the log is `/x/1.log`", "`dkms install foo/1.0 -k 6.1.0` tries again"]);
    request.options.force = true;
    assert!(refusals(&plan(&request, &world)).is_empty());
    // What it is built against is made again in the same plan.
    world.failed_before = [((id("bar/1.0"), target("6.1.0")), failure)].into();
    let targets = vec![target("6.1.0")];
    let mut request = ask(Work::Autoinstall { targets });
    request.options.respect_failures = true;
    assert!(refusals(&plan(&request, &world)).is_empty());
}

#[test]
fn a_plan_locks_what_it_changes_and_shares_what_it_needs() {
    let mut world = world(&["6.1", "6.2"]);
    add(&mut world, "base/1", &[]);
    add(&mut world, "top/1", &["base"]);
    let first = target("6.1");
    world.snapshot.modules.get_mut(&id("base/1")).unwrap().built.insert(first.clone(), Built::default());
    let base = ModuleName::new("base").unwrap();
    world.snapshot.installed.insert((base, first.clone()), id("base/1").version);
    let needed = |work: Work| locks::needed(&plan(&ask(work), &world), &world).to_string();
    let targets = vec![first];
    let top = || id("top/1");
    assert_eq!(needed(Work::Add { id: top(), source: None }), "", "nothing is done");
    let build = Work::Build { id: top(), targets: targets.clone(), source: None };
    let keys = locks::needed(&plan(&ask(build), &world), &world);
    let modes: Vec<_> = keys.iter().map(|(key, mode)| (key.to_string(), mode)).collect();
    let expected = [("module `base`", Mode::Shared), ("module `top`", Mode::Exclusive)];
    assert_eq!(modes, expected.map(|(key, mode)| (key.to_owned(), mode)));
    let install = Work::Install { id: top(), targets: targets.clone(), source: None };
    assert_eq!(needed(install), "module `base`, module `top`, kernel 6.1");
    assert_eq!(needed(Work::Unbuild { id: id("base/1"), targets }), "module `base`, kernel 6.1");
    let both = Work::Autoinstall { targets: vec![target("6.1"), target("6.2")] };
    assert_eq!(needed(both), "module `base`, module `top`, kernel 6.1, kernel 6.2");
}

#[test]
fn what_an_interrupted_command_owes_is_paid_by_the_next() {
    let mut world = world(&["6.1", "6.2"]);
    add(&mut world, "a/1", &[]);
    world.owed.insert(target("6.2"));
    let nothing = Work::Add { id: id("a/1"), source: None };
    let steps = plan(&ask(nothing), &world).steps;
    let owed = steps.last().unwrap();
    assert_eq!(owed.action, Action::Depmod { target: target("6.2") });
    assert!(owed.needs.is_empty() && owed.after.is_empty(), "whatever else happens");
    // Where the modules change anyhow, once is enough.
    let install = Work::Install { id: id("a/1"), targets: vec![target("6.2")], source: None };
    let depmods =
        |plan: Plan| plan.steps.iter().filter(|step| matches!(step.action, Action::Depmod { .. })).count();
    assert_eq!(depmods(plan(&ask(install.clone()), &world)), 1);
    let mut request = ask(install);
    request.options.no_depmod = true;
    assert_eq!(depmods(plan(&request, &world)), 0);
}

#[test]
fn autoinstall_leaves_to_packages_what_they_bring_ready_built() {
    let mut world = world(&["6.1.0", "6.2.0"]);
    add(&mut world, "foo/1.0", &[]);
    let there = Prebuilt { package: "linux-modules-foo".to_owned(), version: "1.1".to_owned() };
    world.prebuilt.insert((id("foo/1.0"), target("6.1.0")), there);
    let work = Work::Autoinstall { targets: vec![target("6.1.0"), target("6.2.0")] };
    let mut request = Request { work, options: Options::default() };
    let planned = plan(&request, &world);
    let built = |plan: &Plan| {
        let of = |step: &Step| match &step.action {
            Action::Build { target, .. } => Some(target.kernel.to_string()),
            _ => None,
        };
        plan.steps.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(built(&planned), ["6.2.0"]);
    let said =
        "module `foo/1.0` is not built for kernel 6.1.0: package `linux-modules-foo` brings it (version 1.1)";
    assert!(planned.remarks.contains(&Remark::Note(said.to_owned())), "{:?}", planned.remarks);
    request.options.force = true;
    assert_eq!(built(&plan(&request, &world)), ["6.1.0", "6.2.0"]);
}
