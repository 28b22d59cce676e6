//! Preflight over made-up worlds.

use super::*;
use crate::event::{Arrival, Happening, Kernel, Kernels};
use crate::plan::preflight::{Absent, Prospect, Question, Standing, preflight};

/// `foo/1.0` and `user/1.0`, which needs it, are in use on 6.1.0; 6.2.0 is not there yet.
fn in_use() -> (World, Kernels) {
    let mut world = world(&["6.1.0", "6.2.0"]);
    add(&mut world, "foo/1.0", &[]);
    add(&mut world, "user/1.0", &["foo"]);
    for module in ["foo/1.0", "user/1.0"] {
        let first = plan(&install(module, &["6.1.0"]), &world);
        apply(&mut world, &first);
    }
    let facts = world.kernels.get_mut(&target("6.2.0")).unwrap();
    (facts.headers_usable, facts.module_dir_exists) = (false, false);
    world.headers_remedy.insert(target("6.2.0"), "install them".to_owned());
    let there = [(target("6.1.0"), Kernel { headers: true, running: true })];
    (world, Kernels { installed: there.into(), all: false })
}

fn coming() -> [Happening; 2] {
    [Happening::KernelArrived(target("6.2.0")), Happening::HeadersArrived(target("6.2.0"))]
}

fn told(question: &Question, world: &World) -> Vec<String> {
    let line = |prospect: &crate::plan::preflight::Prospect| {
        let word = prospect.absent.as_ref().map_or("there", Absent::word);
        format!("{} {}: {word}", prospect.id, prospect.target.kernel)
    };
    preflight(question, world).iter().map(line).collect()
}

fn ask_about(world: &World, kernels: &Kernels, events: &[Happening]) -> Vec<String> {
    told(&Question::of(events, &world.snapshot, kernels), world)
}

#[test]
fn a_kernel_that_comes_with_its_headers_is_well() {
    let (world, kernels) = in_use();
    assert_eq!(ask_about(&world, &kernels, &coming()), ["foo/1.0 6.2.0: there", "user/1.0 6.2.0: there"]);
}

#[test]
fn no_more_is_promised_than_is_known() {
    let (mut world, kernels) = in_use();
    let question = Question::of(&coming(), &world.snapshot, &kernels).also_about(&[target("6.1.0")]);
    let line = |world: &World, at: usize| preflight(&question, world)[at].to_string();
    assert_eq!(line(&world, 0), "foo/1.0, 6.1.0, x86_64: is installed");
    let untried = "nothing is known that prevents it; `dkms forecast foo/1.0 -k 6.2.0` tries the build";
    assert_eq!(line(&world, 2), format!("foo/1.0, 6.2.0, x86_64: {untried}"));
    let found = world.snapshot.modules.get_mut(&id("foo/1.0")).unwrap();
    let build = found.built[&target("6.1.0")].clone();
    found.built.insert(target("6.2.0"), build);
    assert_eq!(line(&world, 2), "foo/1.0, 6.2.0, x86_64: is built, and will be installed");
}

#[test]
fn without_its_headers_it_is_not() {
    let (world, kernels) = in_use();
    let question = Question::of(&coming()[..1], &world.snapshot, &kernels);
    assert_eq!(told(&question, &world), ["foo/1.0 6.2.0: no-headers", "user/1.0 6.2.0: no-headers"]);
    assert_eq!(preflight(&question, &world)[0].remedy().as_deref(), Some("install them"));
    let nobody = Question::of(&[], &world.snapshot, &kernels).also_about(&[target("6.2.0"), target("6.1.0")]);
    let lines = told(&nobody, &world);
    assert_eq!(lines[..2], ["foo/1.0 6.1.0: there", "user/1.0 6.1.0: there"]);
    let mut world = world;
    world.kernels.get_mut(&target("6.2.0")).unwrap().headers_usable = true;
    assert_eq!(told(&nobody, &world)[2..], ["foo/1.0 6.2.0: no-kernel", "user/1.0 6.2.0: dependency"]);
}

#[test]
fn what_is_replaced_is_built_anew_wherever_it_is() {
    let (mut world, kernels) = in_use();
    let about = |world: &World, events: &[Happening], leaves: &str| {
        let question = Question::of(events, &world.snapshot, &kernels);
        told(&question.replacing(|found| *found == id(leaves), &world.snapshot), world)
    };
    assert_eq!(about(&world, &[], "foo/1.0"), ["foo/1.0 6.1.0: there"], "with headers nothing prevents it");
    world.kernels.get_mut(&target("6.1.0")).unwrap().headers_usable = false;
    assert_eq!(about(&world, &[], "foo/1.0"), ["foo/1.0 6.1.0: no-headers"]);
    assert_eq!(about(&world, &[], "foo/0.9"), Vec::<String>::new(), "what is installed stays");
    let goes = [Happening::KernelLeaving(target("6.1.0"))];
    assert_eq!(about(&world, &goes, "foo/1.0"), Vec::<String>::new(), "with its kernel");
    // Only this one is asked about there, and each on the kernel that comes.
    let three = ["foo/1.0 6.1.0: no-headers", "foo/1.0 6.2.0: there", "user/1.0 6.2.0: there"];
    assert_eq!(about(&world, &coming(), "foo/1.0"), three);
}

#[test]
fn so_may_a_place_and_where_nothing_is_built_it_must() {
    let (mut world, kernels) = in_use();
    let place = crate::conf::PrebuiltPlace::parse("file:/srv").unwrap();
    let files = Ok(vec!["foo-1.0-kernel6.2.0-x86_64.dkms.tar.gz".to_owned()]);
    world.places = vec![crate::bundles::Listing { place, files, lacks: None }];
    let events = &coming()[..1];
    let told = |world: &World| ask_about(world, &kernels, events);
    assert_eq!(told(&world), ["foo/1.0 6.2.0: there", "user/1.0 6.2.0: no-headers"]);
    world.only_taken_from = Some("`file:/srv`".to_owned());
    assert_eq!(told(&world), ["foo/1.0 6.2.0: there", "user/1.0 6.2.0: not-prebuilt"]);
    assert_eq!(ask_about(&world, &kernels, &coming())[1], "user/1.0 6.2.0: not-prebuilt");
}

#[test]
fn a_package_may_bring_it_ready_built() {
    let (mut world, kernels) = in_use();
    let mut question = Question::of(&coming()[..1], &world.snapshot, &kernels);
    let brought =
        |module: &str| ((target("6.2.0").kernel, module.to_owned()), "linux-modules-foo".to_owned());
    question.prebuilt_coming.extend([brought("foo")]);
    let prospects = preflight(&question, &world);
    assert_eq!(
        prospects[0].to_string(),
        "foo/1.0, 6.2.0, x86_64: will be there, brought by package `linux-modules-foo`"
    );
    assert_eq!(told(&question, &world)[1], "user/1.0 6.2.0: no-headers");
    // One that is there already.
    question.prebuilt_coming.clear();
    let there = Prebuilt { package: "linux-modules-foo".to_owned(), version: "1.0".to_owned() };
    world.prebuilt.insert((id("foo/1.0"), target("6.2.0")), there);
    assert_eq!(preflight(&question, &world)[0].brought_by.as_deref(), Some("linux-modules-foo"));
    // The tree's own is there anyway.
    question.kernels = [target("6.1.0")].into();
    assert_eq!(preflight(&question, &world)[0].brought_by, None);
}

#[test]
fn rules_are_judged_as_far_as_they_can_be() {
    let (mut world, kernels) = in_use();
    let key = (id("foo/1.0"), target("6.2.0"));
    let mut rule = |directive: &str, known: bool| {
        let conf = world.confs.get_mut(&key).unwrap().as_mut().unwrap();
        conf.excluded = Some(Exclusion { directive: directive.to_owned(), value: "x".to_owned() });
        world.kernels.get_mut(&key.1).unwrap().config.path = known.then(|| "/boot/config".into());
        ask_about(&world, &kernels, &coming())
    };
    // As for autoinstall, what is ruled out holds up nobody.
    let excluded = ["foo/1.0 6.2.0: excluded", "user/1.0 6.2.0: there"];
    assert_eq!(rule("BUILD_EXCLUSIVE_KERNEL_MAX[0]", false), excluded);
    assert_eq!(rule("BUILD_EXCLUSIVE_CONFIG[0]", true), excluded);
    assert_eq!(rule("BUILD_EXCLUSIVE_CONFIG[0]", false), ["foo/1.0 6.2.0: there", "user/1.0 6.2.0: there"]);
}

#[test]
fn what_failed_before_takes_its_dependents_along() {
    let (world, kernels) = in_use();
    let mut question = Question::of(&coming(), &world.snapshot, &kernels);
    question.failed.insert((id("foo/1.0"), target("6.2.0")), "implicit declaration".to_owned());
    assert_eq!(told(&question, &world), ["foo/1.0 6.2.0: failed-before", "user/1.0 6.2.0: dependency"]);
}

#[test]
fn modules_of_the_same_transaction_count() {
    let (mut world, kernels) = in_use();
    let mut events = coming().to_vec();
    events.push(Happening::ModuleLeaving(id("foo/1.0")));
    assert_eq!(ask_about(&world, &kernels, &events), ["user/1.0 6.2.0: dependency"]);
    add(&mut world, "foo/2.0", &[]);
    world.snapshot.modules.remove(&id("foo/2.0"));
    events.push(Happening::ModuleArrived(id("foo/2.0"), Arrival::Upgrade));
    assert_eq!(ask_about(&world, &kernels, &events), ["foo/2.0 6.2.0: there", "user/1.0 6.2.0: there"]);
}

#[test]
fn broken_ones_are_told_and_unwanted_ones_are_not() {
    let (mut world, kernels) = in_use();
    world.snapshot.modules.get_mut(&id("foo/1.0")).unwrap().source = Source::Dangling("/x".into());
    assert_eq!(
        ask_about(&world, &kernels, &coming()),
        ["foo/1.0 6.2.0: broken", "user/1.0 6.2.0: dependency"]
    );
    for conf in world.confs.values_mut() {
        conf.as_mut().unwrap().autoinstall = false;
    }
    world.snapshot.modules.get_mut(&id("foo/1.0")).unwrap().source = Source::Present("/x".into());
    assert_eq!(ask_about(&world, &kernels, &coming()), [] as [&str; 0]);
}

#[test]
fn a_forecast_that_holds_stands_in_for_names() {
    use crate::forecast::{Foreseen, Outlook};
    let (world, kernels) = in_use();
    let with = |outlook, events: &[Happening]| {
        let mut question = Question::of(events, &world.snapshot, &kernels);
        let reason = (outlook != Outlook::Builds).then(|| "because".to_owned());
        let foreseen =
            Foreseen { outlook, reason, when: "Monday".to_owned(), kernel: target("6.2.0").kernel };
        question.foreseen.insert((id("foo/1.0"), target("6.2.0")), foreseen);
        preflight(&question, &world).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        with(Outlook::Builds, &coming()),
        [
            "foo/1.0, 6.2.0, x86_64: will be there: was built for 6.2.0 on Monday",
            "user/1.0, 6.2.0, x86_64: nothing is known that prevents it; `dkms forecast user/1.0 -k 6.2.0` tries the build"
        ]
    );
    assert_eq!(
        with(Outlook::Fails, &coming()),
        [
            "foo/1.0, 6.2.0, x86_64: will not be there: it was tried on Monday, and failed: because; `dkms forecast foo/1.0 -k 6.2.0` tries again",
            "user/1.0, 6.2.0, x86_64: will not be there: it needs `foo`, which will not be there; `dkms status foo` shows what is there of it",
        ]
    );
    // As for autoinstall, what is ruled out holds up nobody.
    assert!(with(Outlook::Excluded, &coming())[1].contains("nothing is known that prevents it"));
    // Headers that do not come are missing, whatever was built with them.
    assert!(with(Outlook::Builds, &coming()[..1])[0].contains("the headers of this kernel are not there"));
}

#[test]
fn what_is_known_of_one_version_means_nothing_for_another() {
    let prospect = |absent| Prospect {
        id: id("foo/1"),
        target: target("6.1"),
        absent,
        brought_by: None,
        critical: None,
        foreseen: None,
        standing: Standing::Untried,
    };
    let needed = || Some(Absent::Dependency(ModuleName::new("bar").unwrap()));
    for (absent, alone, with_foo, with_bar) in [
        (None, false, false, false),
        (Some(Absent::NoKernel), true, true, true),
        (Some(Absent::FailedBefore(String::new())), true, false, true),
        (needed(), true, false, false),
    ] {
        let prospect = prospect(absent);
        assert_eq!(prospect.is_certain(|_| false), alone, "{prospect:?}");
        assert_eq!(prospect.is_certain(|name| name.as_str() == "foo"), with_foo, "{prospect:?}");
        assert_eq!(prospect.is_certain(|name| name.as_str() == "bar"), with_bar, "{prospect:?}");
    }
}
