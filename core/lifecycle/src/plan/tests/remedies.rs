//! Hints for what is missing: dependencies, headers, an initramfs.

use super::*;

#[test]
fn what_a_module_is_built_against_is_had_from_somewhere() {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "b9/1.0", &["spl"]);
    let hints = |world: &World| match &plan(&install("b9/1.0", &["6.1.0"]), world).steps[0].action {
        Action::Refuse(refusal) => refusal.hints(),
        other => panic!("{other}"),
    };
    assert_eq!(
        hints(&world),
        ["dkms does not know `spl` yet: get its source, and install it with `dkms install FOLDER -k 6.1.0`"]
    );
    world.sources.insert(id("spl/2.0"), "/usr/src/spl-2.0".into());
    assert_eq!(hints(&world), ["`dkms install spl/2.0 -k 6.1.0` installs `spl`"]);
    add(&mut world, "spl/3.0", &[]);
    assert_eq!(hints(&world), ["`dkms install spl/3.0 -k 6.1.0` installs `spl`"]);
}

#[test]
fn headers_that_are_missing_are_told_once_for_each_kernel() {
    let mut world = world(&["6.1.0", "6.2.0"]);
    for module in ["a/1", "b/1", "c/1"] {
        add(&mut world, module, &[]);
    }
    let lack = |kernel: &str, world: &mut World| {
        world.kernels.get_mut(&target(kernel)).unwrap().headers_usable = false;
    };
    lack("6.1.0", &mut world);
    lack("6.2.0", &mut world);
    world.headers_remedy.insert(target("6.1.0"), "install them".to_owned());
    let targets = vec![target("6.1.0"), target("6.2.0")];
    let refused = |world: &World| {
        let plan = plan(&ask(Work::Autoinstall { targets: targets.clone() }), world);
        let refusals = plan.steps.into_iter().filter_map(|step| match step.action {
            Action::Refuse(refusal) => Some(refusal),
            _ => None,
        });
        Refusal::once_per_kernel(refusals.collect())
    };
    let told: Vec<String> = refused(&world).iter().map(ToString::to_string).collect();
    let expected = |kernel: &str| {
        format!(
            "the headers of kernel {kernel} (x86_64) are not at `/lib/modules/{kernel}/build`; modules `a/1`, `b/1`, `c/1` need them"
        )
    };
    assert_eq!(told, [expected("6.1.0"), expected("6.2.0")]);
    assert_eq!(refused(&world)[0].hints()[0], "install them");
    world.reading.overrides.source_dir = Some("/nope".into());
    let hints = refused(&world)[0].hints();
    assert!(hints.len() == 1 && hints[0].starts_with("`--kernelsourcedir` names no folder"), "{hints:?}");
}

#[test]
fn an_initramfs_is_looked_at_only_where_there_is_one() {
    let mut world = world(&["6.1.0"]);
    add(&mut world, "foo/1.0", &[]);
    let initramfs = Some(ImageWork::Remake);
    let options = Options { initramfs, held_initramfs: true, ..Options::default() };
    let work = Work::Autoinstall { targets: vec![target("6.1.0")] };
    let request = Request { work, options };
    let last = |world: &World| {
        let plan = plan(&request, world);
        let last = plan.steps.last().unwrap();
        (format!("{} ({})", last.action, last.why), plan.remarks)
    };
    assert_eq!(last(&world), ("depmod for 6.1.0 (x86_64) (its modules change)".to_owned(), vec![]));
    world.with_image_to_remake.insert(target("6.1.0"));
    let expected = "remake the initramfs of 6.1.0 (x86_64) (if it holds a module that is installed)";
    assert_eq!(last(&world), (expected.to_owned(), vec![]));
    let key = (id("foo/1.0"), target("6.1.0"));
    world.confs.get_mut(&key).unwrap().as_mut().unwrap().remake_initrd = true;
    let expected = "remake the initramfs of 6.1.0 (x86_64) (a module with `REMAKE_INITRD` is installed)";
    assert_eq!(last(&world), (expected.to_owned(), vec![]));
    world.with_image_to_remake.clear();
    let note = Remark::Note("kernel 6.1.0 has no initramfs yet, so none is remade".to_owned());
    assert_eq!(last(&world), ("depmod for 6.1.0 (x86_64) (its modules change)".to_owned(), vec![note]));
}
