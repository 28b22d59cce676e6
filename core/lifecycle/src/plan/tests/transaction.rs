//! Transactions over made-up worlds: what was reported becomes a plan, a small interpreter runs it with steps
//! that fail as they like, and what is left must be what was asked.

use std::collections::BTreeSet;

use super::*;
use crate::event::{self, Arrival, Batch, Happening, Kernel, Kernels};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Idle,
    Failed,
    Pruned,
}

/// Runs a plan on a snapshot as the engine does: a step that needs what failed is pruned, and a depmod that
/// fails takes the installs of its kernel back. Every step's own precondition is asserted.
fn run(snapshot: &mut Snapshot, plan: &Plan, fails: impl Fn(usize) -> bool) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    let mut before = BTreeMap::new();
    for (place, step) in plan.steps.iter().enumerate() {
        let failed = |id: &StepId| matches!(ends[id.0], End::Failed | End::Pruned);
        let finishing = matches!(step.action, Action::Depmod { .. } | Action::SweepKernel { .. });
        let end = if step.needs.iter().any(failed) {
            End::Pruned
        } else if finishing && !step.after.iter().any(|id| ends[id.0] == End::Done) {
            End::Idle
        } else if fails(place) || matches!(step.action, Action::Refuse(_)) {
            End::Failed
        } else {
            execute(snapshot, &step.action, &mut before);
            End::Done
        };
        ends.push(end);
        if let (End::Failed, Action::Depmod { target }) = (end, &step.action) {
            for (other, end) in plan.steps.iter().zip(&mut ends).rev() {
                if let Action::Install { id, target: on } = &other.action
                    && on == target
                    && *end == End::Done
                {
                    *end = End::Failed;
                    take_back(snapshot, id, on, &before);
                }
            }
        }
    }
    ends
}

type Before = BTreeMap<(ModuleName, Target), Option<crate::id::ModuleVersion>>;

fn execute(snapshot: &mut Snapshot, action: &Action, before: &mut Before) {
    if let Action::Install { id, target } = action {
        let key = (id.name.clone(), target.clone());
        before.insert(key.clone(), snapshot.installed.get(&key).cloned());
    }
    if let Action::Unbuild { id, target } = action {
        assert!(!snapshot.is_installed(id, target), "{id} is dropped while it is in use on {target}");
    }
    if let Action::Forget { id } = action {
        assert!(snapshot.modules[id].built.is_empty(), "{id} is forgotten while it is built");
    }
    let plan = Plan {
        steps: vec![Step {
            action: action.clone(),
            why: String::new(),
            needs: vec![],
            after: vec![],
            lands: vec![],
        }],
        remarks: vec![],
    };
    let mut world = world(&[]);
    world.snapshot = std::mem::take(snapshot);
    apply(&mut world, &plan);
    *snapshot = world.snapshot;
}

fn take_back(snapshot: &mut Snapshot, id: &ModuleId, on: &Target, before: &Before) {
    let key = (id.name.clone(), on.clone());
    match before.get(&key).cloned().flatten() {
        Some(version) => {
            let old = ModuleId::new(id.name.clone(), version.clone());
            assert!(snapshot.is_built(&old, on), "{old} can't be put back on {on}: its build is gone");
            snapshot.installed.insert(key, version);
        }
        None => {
            snapshot.installed.remove(&key);
        }
    }
}

const KERNELS: [&str; 3] = ["6.1.0", "6.2.0", "6.10.0"];
const MODULES: [&str; 6] = ["a/1.0", "a/2.0", "b/1.0", "b/2.0", "c/1.0", "d/1.0"];

/// A made-up system.
#[derive(Debug, Clone)]
struct Case {
    world: World,
    kernels: Kernels,
    told: Vec<Happening>,
}

impl Case {
    fn request(&self, told: &[Happening]) -> (Batch, Request) {
        let batch = event::batch(told, &self.world.snapshot, &self.kernels);
        (batch.clone(), ask(Work::Batch(batch)))
    }
}

/// For each module: registered, `AUTOINSTALL`, what is on each kernel (0: nothing, 1: built, 2:
/// installed), excluded from.
type ModuleCase = (bool, bool, [u8; 3], [bool; 3]);

fn case(modules: Vec<ModuleCase>, headers: [bool; 3], running: usize, told: &[(u8, u8)]) -> Case {
    let mut world = world(&KERNELS);
    let depends: [&[&str]; 6] = [&["b"], &["b"], &[], &[], &["a"], &["unknown"]];
    for ((name, depends), (registered, autoinstall, states, excluded)) in
        MODULES.iter().zip(depends).zip(modules)
    {
        add(&mut world, name, depends);
        let id = id(name);
        for (place, kernel) in KERNELS.iter().enumerate() {
            let target = target(kernel);
            let conf = world.confs.get_mut(&(id.clone(), target.clone())).unwrap().as_mut().unwrap();
            conf.autoinstall = autoinstall;
            conf.build_depends_rebuild = true;
            if excluded[place] {
                conf.excluded = Some(Exclusion { directive: "X".to_owned(), value: "y".to_owned() });
            }
            if registered && states[place] > 0 {
                let found = world.snapshot.modules.get_mut(&id).unwrap();
                let mut built = Built::default();
                for depend in depends {
                    let depend = ModuleId::parse(depend, "1.0").unwrap();
                    built.dependencies.insert(depend.name, depend.version);
                }
                found.built.insert(target.clone(), built);
                if states[place] > 1 {
                    world.snapshot.installed.insert((id.name.clone(), target), id.version.clone());
                }
            }
        }
        if !registered {
            world.snapshot.modules.remove(&id);
        }
    }
    let mut kernels = Kernels::default();
    for (place, kernel) in KERNELS.iter().enumerate() {
        let facts = world.kernels.get_mut(&target(kernel)).unwrap();
        facts.headers_usable = headers[place];
        facts.running = place == running;
        let kernel = Kernel { headers: headers[place], running: facts.running };
        kernels.installed.insert(facts.target.clone(), kernel);
    }
    let told = told.iter().map(|(what, which)| {
        let kernel = target(KERNELS[usize::from(*which) % 3]);
        let module = id(MODULES[usize::from(*which) % 6]);
        match what {
            0 => Happening::KernelArrived(kernel),
            1 => Happening::HeadersArrived(kernel),
            2 => Happening::KernelLeaving(kernel),
            3 => Happening::ModuleArrived(module, Arrival::First),
            4 => Happening::ModuleArrived(module, Arrival::Upgrade),
            _ => Happening::ModuleLeaving(module),
        }
    });
    Case { told: told.collect(), world, kernels }
}

fn cases() -> impl Strategy<Value = Case> {
    let module = (
        any::<bool>(),
        proptest::bool::weighted(0.8),
        [0_u8..3, 0..3, 0..3],
        [proptest::bool::weighted(0.15), proptest::bool::weighted(0.15), proptest::bool::weighted(0.15)],
    );
    let headers =
        [proptest::bool::weighted(0.8), proptest::bool::weighted(0.8), proptest::bool::weighted(0.8)];
    (
        proptest::collection::vec(module, 6),
        headers,
        0_usize..4,
        proptest::collection::vec((0_u8..6, 0_u8..6), 1..7),
    )
        .prop_map(|(modules, headers, running, told)| case(modules, headers, running, &told))
}

/// Everything that a step waits for, however far away.
fn ancestors(plan: &Plan, place: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut pending = plan.steps[place].needs.clone();
    while let Some(StepId(next)) = pending.pop() {
        if all.insert(next) {
            pending.extend(plan.steps[next].needs.iter().copied());
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_order_in_which_it_is_told_does_not_matter(case in cases(), turn in 0_usize..7) {
        let mut told = case.told.clone();
        let middle = turn % told.len();
        told.rotate_left(middle);
        told.extend(case.told.iter().take(2).cloned());
        let (_, request) = case.request(&case.told);
        let (_, again) = case.request(&told);
        prop_assert_eq!(plan(&request, &case.world), plan(&again, &case.world));
    }

    #[test]
    fn edges_lead_backwards_and_nothing_is_done_twice(case in cases()) {
        let (batch, request) = case.request(&case.told);
        let plan = plan(&request, &case.world);
        let mut seen = BTreeSet::new();
        for (place, step) in plan.steps.iter().enumerate() {
            prop_assert!(step.waits_for().all(|before| before.0 < place));
            if !matches!(step.action, Action::Refuse(_)) {
                prop_assert!(seen.insert(step.action.to_string()), "twice: {}", step.action);
            }
            // What is built against a module is built after it.
            if let Action::Build { id, target } = &step.action {
                let conf = case.world.confs[&(id.clone(), target.clone())].as_ref().unwrap();
                let before = ancestors(&plan, place);
                for (other, step) in plan.steps.iter().enumerate() {
                    if let Action::Install { id: on, target: at } = &step.action
                        && at == target && conf.build_depends.contains(&on.name)
                    {
                        prop_assert!(before.contains(&other), "{id} does not wait for {on}");
                    }
                }
            }
            // Nothing is done where nothing was reported.
            if let Some(target) = step.action.target() {
                let of_leaving = batch.leaving.keys().any(|id| case.world.snapshot.is_built(id, target));
                prop_assert!(
                    batch.targets().contains(target) || batch.leaving_kernels.contains(target) || of_leaving,
                    "{}", step.action
                );
            }
        }
    }

    #[test]
    fn what_was_asked_is_so_afterwards(case in cases()) {
        let (batch, request) = case.request(&case.told);
        let first = plan(&request, &case.world);
        let mut after = case.clone();
        let ends = run(&mut after.world.snapshot, &first, |_| false);
        let snapshot = &after.world.snapshot;
        for target in &batch.leaving_kernels {
            prop_assert_eq!(snapshot.built_on(target).count(), 0);
        }
        for (id, successor) in &batch.leaving {
            prop_assert!(successor.is_some() || snapshot.get(id).is_none());
        }
        for id in batch.arriving.keys() {
            prop_assert!(snapshot.get(id).is_some());
        }
        let candidates = batch.candidates(&case.world.snapshot);
        for target in batch.targets() {
            for id in &candidates {
                let conf = case.world.confs[&(id.clone(), target.clone())].as_ref().unwrap();
                let is_asked = batch.kernels.contains(&target)
                    || batch.arriving.get(id).is_some_and(|targets| targets.contains(&target));
                let can_be = conf.autoinstall && conf.excluded.is_none() && conf.build_depends.is_empty()
                    && case.kernels.installed[&target].headers;
                prop_assert!(!(is_asked && can_be) || snapshot.is_installed(id, &target), "{id} on {target}");
            }
        }
        // If the same is reported again, only what was installed again is left to do.
        if batch.anew.is_empty() && batch.rebuilt_kernels.is_empty() {
            let (_, request) = after.request(&case.told);
            let second = plan(&request, &after.world);
            let left: Vec<_> =
                second.steps.iter().filter(|step| !matches!(step.action, Action::Refuse(_))).collect();
            prop_assert!(left.is_empty(), "{left:?} after {first:?} {ends:?}");
        }
    }

    #[test]
    fn a_failure_takes_only_what_needs_it_and_no_module_that_was_in_use(
        case in cases(), failing in proptest::collection::btree_set(0_usize..24, 0..4),
    ) {
        let (batch, request) = case.request(&case.told);
        let plan = plan(&request, &case.world);
        let mut snapshot = case.world.snapshot.clone();
        let ends = run(&mut snapshot, &plan, |place| failing.contains(&place));
        for (place, end) in ends.iter().enumerate() {
            if *end == End::Pruned {
                let before = ancestors(&plan, place);
                prop_assert!(before.iter().any(|other| ends[*other] == End::Failed), "pruned for nothing");
            }
        }
        for (name, target) in case.world.snapshot.installed.keys() {
            let goes = batch.leaving_kernels.contains(target)
                || batch.rebuilt_kernels.contains(target)
                || batch.leaving.iter().any(|(id, successor)| id.name == *name && successor.is_none());
            prop_assert!(goes || snapshot.installed_version(name, target).is_some(), "{name} is lost on {target}");
        }
    }
}

fn told(world: &World, kernels: &Kernels, told: &[Happening]) -> Plan {
    plan(&ask(Work::Batch(event::batch(told, &world.snapshot, kernels))), world)
}

/// Two kernels with headers, the first of them running, `foo/1.0` installed on both, `foo/2.0` in `/usr/src`.
fn upgrade() -> (World, Kernels) {
    let mut world = world(&["6.1.0", "6.2.0"]);
    add(&mut world, "foo/1.0", &[]);
    let first = plan(&install("foo/1.0", &["6.1.0", "6.2.0"]), &world);
    apply(&mut world, &first);
    add(&mut world, "foo/2.0", &[]);
    world.snapshot.modules.remove(&id("foo/2.0"));
    let kernel = |running| Kernel { headers: true, running };
    let installed = [(target("6.1.0"), kernel(true)), (target("6.2.0"), kernel(false))];
    (world, Kernels { installed: installed.into(), all: false })
}

#[test]
fn an_upgrade_keeps_the_old_version_until_the_new_one_is_in_place() {
    let (world, kernels) = upgrade();
    let events =
        [Happening::ModuleLeaving(id("foo/1.0")), Happening::ModuleArrived(id("foo/2.0"), Arrival::Upgrade)];
    let plan = told(&world, &kernels, &events);
    insta::assert_snapshot!(shown(&plan).join("\n"), @r"
    add foo/2.0
    build foo/2.0 for 6.1.0 (x86_64)
    install foo/2.0 on 6.1.0 (x86_64)
    build foo/2.0 for 6.2.0 (x86_64)
    install foo/2.0 on 6.2.0 (x86_64)
    depmod for 6.1.0 (x86_64)
    depmod for 6.2.0 (x86_64)
    unbuild foo/1.0 for 6.1.0 (x86_64)
    unbuild foo/1.0 for 6.2.0 (x86_64)
    remove foo/1.0 from the tree
    ");
    // The build for one kernel fails: there the old one stays, on the other the new one takes its place.
    let mut snapshot = world.snapshot.clone();
    run(&mut snapshot, &plan, |place| place == 1);
    assert!(snapshot.is_installed(&id("foo/1.0"), &target("6.1.0")));
    assert!(snapshot.is_installed(&id("foo/2.0"), &target("6.2.0")));
    assert!(!snapshot.is_built(&id("foo/1.0"), &target("6.2.0")));
    // depmod fails for both: as before.
    let mut snapshot = world.snapshot.clone();
    run(&mut snapshot, &plan, |place| place == 5 || place == 6);
    assert_eq!(snapshot.installed, world.snapshot.installed);
}

#[test]
fn an_old_version_stays_where_the_new_one_is_ruled_out() {
    let (mut world, kernels) = upgrade();
    let key = (id("foo/2.0"), target("6.2.0"));
    world.confs.get_mut(&key).unwrap().as_mut().unwrap().excluded =
        Some(Exclusion { directive: "BUILD_EXCLUSIVE_KERNEL[0]".to_owned(), value: "^6.1".to_owned() });
    let events =
        [Happening::ModuleLeaving(id("foo/1.0")), Happening::ModuleArrived(id("foo/2.0"), Arrival::Upgrade)];
    let plan = told(&world, &kernels, &events);
    insta::assert_snapshot!(shown(&plan).join("\n"), @r"
    add foo/2.0
    build foo/2.0 for 6.1.0 (x86_64)
    install foo/2.0 on 6.1.0 (x86_64)
    depmod for 6.1.0 (x86_64)
    unbuild foo/1.0 for 6.1.0 (x86_64)
    ");
    let warned = |remark: &Remark| matches!(remark, Remark::Warning(text) if text.contains("stays installed on kernel 6.2.0"));
    assert!(plan.remarks.iter().any(warned), "{:?}", plan.remarks);
}

#[test]
fn a_kernel_that_is_replaced_is_built_for_anew() {
    let (world, kernels) = upgrade();
    let on = target("6.2.0");
    let plan = told(&world, &kernels, &[Happening::KernelLeaving(on.clone()), Happening::KernelArrived(on)]);
    insta::assert_snapshot!(shown(&plan).join("\n"), @r"
    uninstall foo/1.0 from 6.2.0 (x86_64)
    unbuild foo/1.0 for 6.2.0 (x86_64)
    build foo/1.0 for 6.2.0 (x86_64)
    install foo/1.0 on 6.2.0 (x86_64)
    depmod for 6.2.0 (x86_64)
    ");
    assert_eq!(plan.steps[2].needs, [StepId(1)]);
}

#[test]
fn a_kernel_goes_with_its_modules_and_without_depmod_where_its_folder_is_gone() {
    let (mut world, kernels) = upgrade();
    let events = [Happening::KernelLeaving(target("6.2.0"))];
    insta::assert_snapshot!(shown(&told(&world, &kernels, &events)).join("\n"), @r"
    uninstall foo/1.0 from 6.2.0 (x86_64)
    unbuild foo/1.0 for 6.2.0 (x86_64)
    depmod for 6.2.0 (x86_64)
    remove empty folders of 6.2.0 (x86_64)
    ");
    world.kernels.get_mut(&target("6.2.0")).unwrap().module_dir_exists = false;
    insta::assert_snapshot!(shown(&told(&world, &kernels, &events)).join("\n"), @r"
    uninstall foo/1.0 from 6.2.0 (x86_64)
    unbuild foo/1.0 for 6.2.0 (x86_64)
    ");
}

#[test]
fn a_kernel_without_headers_waits_for_them_and_that_is_no_failure() {
    let (mut world, kernels) = upgrade();
    add(&mut world, "bar/1.0", &[]);
    world.kernels.get_mut(&target("6.2.0")).unwrap().headers_usable = false;
    let plan = told(&world, &kernels, &[Happening::KernelArrived(target("6.2.0"))]);
    assert!(plan.is_empty(), "{:?}", shown(&plan));
    assert!(matches!(&plan.remarks[..], [Remark::Note(text)] if text.contains("`bar/1.0`")));
}

#[test]
fn a_source_that_is_put_in_place_anew_is_built_again() {
    let (world, kernels) = upgrade();
    let module = id("foo/1.0");
    let events = [Happening::ModuleArrived(module.clone(), Arrival::First), Happening::ModuleLeaving(module)];
    let plan = told(&world, &kernels, &events);
    assert_eq!(shown(&plan).len(), 6, "{:?}", shown(&plan));
    assert_eq!(plan.steps[0].why, "its source was replaced");
}

#[test]
fn a_module_goes_from_everywhere_though_its_source_is_gone() {
    let (mut world, kernels) = upgrade();
    world.snapshot.modules.get_mut(&id("foo/1.0")).unwrap().source = Source::Dangling("/x".into());
    let plan = told(&world, &kernels, &[Happening::ModuleLeaving(id("foo/1.0"))]);
    let mut snapshot = world.snapshot.clone();
    run(&mut snapshot, &plan, |_| false);
    assert_eq!(snapshot, Snapshot::default());
}

#[test]
fn a_module_that_has_waited_for_another_comes_with_it() {
    let (mut world, mut kernels) = upgrade();
    kernels.all = true;
    add(&mut world, "user/1.0", &["lib"]);
    add(&mut world, "lib/1.0", &[]);
    world.snapshot.modules.remove(&id("lib/1.0"));
    let plan = told(&world, &kernels, &[Happening::ModuleArrived(id("lib/1.0"), Arrival::First)]);
    let installs: Vec<String> =
        shown(&plan).into_iter().filter(|step| step.starts_with("install user")).collect();
    assert_eq!(installs, ["install user/1.0 on 6.1.0 (x86_64)", "install user/1.0 on 6.2.0 (x86_64)"]);
    // Also where an older version of it is in use, and goes.
    let mut old = world.clone();
    add(&mut old, "user/0.9", &[]);
    let (name, version) = (ModuleName::new("user").unwrap(), id("user/0.9").version);
    old.snapshot.modules.get_mut(&id("user/0.9")).unwrap().built.insert(target("6.1.0"), Built::default());
    old.snapshot.installed.insert((name, target("6.1.0")), version);
    let happenings =
        [Happening::ModuleArrived(id("lib/1.0"), Arrival::First), Happening::ModuleLeaving(id("user/0.9"))];
    let plan = told(&old, &kernels, &happenings);
    let again = shown(&plan).into_iter().filter(|step| step.starts_with("install user"));
    assert_eq!(again.collect::<Vec<_>>(), installs);
    // Where it is there already, and could have been built long since, nobody asks for it.
    world.snapshot.modules.insert(id("lib/1.0"), world.snapshot.modules[&id("user/1.0")].clone());
    let first = super::plan(&install("lib/1.0", &["6.1.0", "6.2.0"]), &world);
    apply(&mut world, &first);
    let plan = told(&world, &kernels, &[Happening::ModuleArrived(id("lib/1.0"), Arrival::Upgrade)]);
    assert!(plan.is_empty(), "{:?}", shown(&plan));
}

#[test]
fn what_an_unpacked_package_will_bring_is_left_to_it() {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "foo/1.0", &[]);
    add(&mut world, "bar/1.0", &["baz"]);
    add(&mut world, "baz/1.0", &[]);
    let kernel = target("6.1.0");
    let brought = |name: &str| ((kernel.kernel.clone(), name.to_owned()), "linux-modules-x".to_owned());
    let ahead =
        crate::event::LookAhead { prebuilt: [brought("foo"), brought("baz")].into(), ..Default::default() };
    let batch = Batch { kernels: [kernel.clone()].into(), ahead, ..Batch::default() };
    let request = Request { work: Work::Batch(batch), options: Options::default() };
    let planned = plan(&request, &world);
    let built: Vec<String> = planned
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Build { id, .. } => Some(id.to_string()),
            _ => None,
        })
        .collect();
    // What another module is built against is built anyway.
    assert_eq!(built, ["baz/1.0", "bar/1.0"]);
    let said = "module `foo/1.0` is not built for kernel 6.1.0: package `linux-modules-x` will bring it";
    assert!(planned.remarks.contains(&Remark::Note(said.to_owned())), "{:?}", planned.remarks);
}
