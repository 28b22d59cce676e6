//! Places of prebuilt modules, over made-up worlds.

use super::*;
use crate::bundles::Listing;
use crate::conf::PrebuiltPlace;
use crate::plan::world::RememberedFailure;

/// foo/1.0 and bar/1.0 on a kernel without headers; a place has foo for it.
fn without_headers() -> World {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "foo/1.0", &[]);
    add(&mut world, "bar/1.0", &[]);
    world.kernels.get_mut(&target("6.1.0")).unwrap().headers_usable = false;
    let place = PrebuiltPlace::parse("file:/srv").unwrap();
    world.places = vec![Listing {
        place,
        files: Ok(vec!["foo-1.0-kernel6.1.0-x86_64.dkms.tar.gz".to_owned()]),
        lacks: None,
    }];
    world
}

fn autoinstall() -> Request {
    ask(Work::Autoinstall { targets: vec![target("6.1.0")] })
}

#[test]
fn what_a_place_may_have_needs_no_headers() {
    let world = without_headers();
    assert_eq!(refusals(&plan(&install("foo/1.0", &["6.1.0"]), &world)), [] as [u8; 0]);
    assert_eq!(refusals(&plan(&install("bar/1.0", &["6.1.0"]), &world)), [21]);
    let batch = plan(&autoinstall(), &world);
    let builds = batch.steps.iter().filter(|step| matches!(step.action, Action::Build { .. })).count();
    assert_eq!((builds, refusals(&batch)), (1, vec![21]));
    let mut forced = install("foo/1.0", &["6.1.0"]);
    forced.options.force = true;
    assert_eq!(refusals(&plan(&forced, &world)), [21], "--force builds");
}

#[test]
fn where_nothing_is_built_what_is_not_there_is_a_failure() {
    let mut world = without_headers();
    world.only_taken_from = Some("`file:/srv`".to_owned());
    world.kernels.get_mut(&target("6.1.0")).unwrap().headers_usable = true;
    assert_eq!(refusals(&plan(&install("bar/1.0", &["6.1.0"]), &world)), [7]);
    assert_eq!(refusals(&plan(&autoinstall(), &world)), [7]);
    let mut forced = install("foo/1.0", &["6.1.0"]);
    forced.options.force = true;
    assert_eq!(refusals(&plan(&forced, &world)), [] as [u8; 0]);
}

#[test]
fn a_failed_build_does_not_keep_a_module_from_being_taken() {
    let mut world = without_headers();
    let failure = RememberedFailure { when: "x".to_owned(), what: "y".to_owned(), log: None };
    for module in ["foo/1.0", "bar/1.0"] {
        world.failed_before.insert((id(module), target("6.1.0")), failure.clone());
    }
    world.kernels.get_mut(&target("6.1.0")).unwrap().headers_usable = true;
    let of = |module: &str| {
        let mut request = install(module, &["6.1.0"]);
        request.options.respect_failures = true;
        refusals(&plan(&request, &world))
    };
    assert_eq!((of("foo/1.0"), of("bar/1.0")), (Vec::new(), vec![10]));
}

#[test]
fn a_place_that_does_not_answer_is_told_once() {
    let mut world = without_headers();
    world.places[0].files = Err("no answer".to_owned());
    let plan = plan(&install("foo/1.0", &["6.1.0"]), &world);
    assert_eq!(refusals(&plan), [21]);
    let expected = "the place `file:/srv` of prebuilt modules cannot be used: no answer".to_owned();
    assert_eq!(plan.remarks, [Remark::Warning(expected)]);
}
