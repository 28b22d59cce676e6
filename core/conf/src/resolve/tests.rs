//! Tests of what confs mean.

use super::*;
use crate::module::ModuleRecord;

fn raw(values: &[(&str, usize, &str)]) -> RawConf {
    let mut raw = RawConf::default();
    for (name, index, value) in values {
        raw.set(name.parse().expect("a directive"), *index, *value);
    }
    raw
}

const FOO: &[(&str, usize, &str)] = &[
    ("PACKAGE_NAME", 0, "foo"),
    ("PACKAGE_VERSION", 0, "1.0"),
    ("BUILT_MODULE_NAME", 0, "foo"),
    ("DEST_MODULE_LOCATION", 0, "/kernel/drivers/misc/"),
];

fn with(more: &[(&str, usize, &str)]) -> RawConf {
    raw(&[FOO, more].concat())
}

fn target() -> Target {
    Target::parse("6.1.0-47-amd64", "x86_64").expect("a target")
}

fn config() -> KernelConfig {
    let options = [("CONFIG_MODULES", "y"), ("CONFIG_I2C", "m")];
    KernelConfig {
        path: Some("/boot/config".into()),
        options: options.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

fn conf(more: &[(&str, usize, &str)]) -> ModuleConf {
    resolve(&with(more), &target(), &config(), Check::Whole).unwrap()
}

fn problems(raw: &RawConf) -> Vec<String> {
    let error = resolve(raw, &target(), &config(), Check::Whole).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_plain_case() {
    let conf = conf(&[("AUTOINSTALL", 0, "YES"), ("BUILT_MODULE_LOCATION", 0, "src")]);
    assert_eq!(conf.id.to_string(), "foo/1.0");
    let expected = ModuleRecord {
        index: 0,
        built_name: "foo".into(),
        built_location: "src/".into(),
        dest_name: "foo".into(),
        dest_location: "/kernel/drivers/misc".into(),
        strip: true,
        excluded: None,
    };
    assert_eq!(conf.modules, [expected]);
    assert!(conf.autoinstall && conf.excluded.is_none() && conf.make.is_none());
}

#[test]
fn one_module_needs_no_name() {
    let mut values = FOO.to_vec();
    values.remove(2);
    let conf = resolve(&raw(&values), &target(), &config(), Check::Whole).unwrap();
    assert_eq!(conf.modules[0].built_name, "foo");
}

#[test]
fn no_modules_are_fine() {
    let conf = resolve(&raw(&FOO[..2]), &target(), &config(), Check::Whole).unwrap();
    assert!(conf.modules.is_empty() && conf.excluded.is_none());
}

#[test]
fn all_faults_come_at_once() {
    let bad = raw(&[
        ("PACKAGE_NAME", 0, "../foo"),
        ("BUILT_MODULE_NAME", 0, "foo.ko"),
        ("DEST_MODULE_LOCATION", 0, "/lib"),
        ("BUILT_MODULE_NAME", 2, "a/b"),
        ("BUILT_MODULE_LOCATION", 2, "../.."),
        ("DEST_MODULE_LOCATION", 2, "/kernel/../../etc"),
        ("AUTOINSTALL", 0, "maybe"),
        ("BUILD_DEPENDS", 1, "good -bad"),
    ]);
    assert_eq!(
        problems(&bad),
        [
            "`PACKAGE_VERSION` is missing",
            "`PACKAGE_NAME` module name `../foo` begins with `-` or `.`",
            "`BUILT_MODULE_NAME[0]` ends in `.o` or `.ko`, which is added to it",
            "`DEST_MODULE_LOCATION[0]` does not begin with `/kernel`, `/updates` or `/extra`",
            "`BUILT_MODULE_NAME[1]` is missing",
            "`DEST_MODULE_LOCATION[1]` is missing",
            "`BUILT_MODULE_NAME[2]` holds a `/`: folders belong into `BUILT_MODULE_LOCATION`",
            "`BUILT_MODULE_LOCATION[2]` leads out of the source by `..`",
            "`DEST_MODULE_LOCATION[2]` leads out of the kernel's folder by `..`",
            "`AUTOINSTALL` is neither `yes` nor `no`, but `maybe`",
            "`BUILD_DEPENDS[1]` module name `-bad` begins with `-` or `.`",
        ]
    );
}

#[test]
fn a_location_may_step_up_inside_its_folder() {
    let conf =
        with(&[("DEST_MODULE_LOCATION", 0, "/kernel/../misc/"), ("BUILT_MODULE_LOCATION", 0, "a/../b")]);
    let conf = resolve(&conf, &target(), &config(), Check::Whole).unwrap();
    let record = &conf.modules[0];
    assert_eq!((&*record.dest_location, &*record.built_location), ("/misc", "b/"));
}

#[test]
fn a_name_that_no_file_can_have_is_a_fault() {
    let long = "x".repeat(121);
    let bad = with(&[("DEST_MODULE_NAME", 0, &long)]);
    assert_eq!(problems(&bad), ["`DEST_MODULE_NAME[0]` is longer than 120 bytes"]);
    let longest = with(&[("DEST_MODULE_NAME", 0, &long[1..])]);
    assert!(resolve(&longest, &target(), &config(), Check::Whole).is_ok());
}

#[test]
fn a_huge_index_is_one_fault() {
    let bad = with(&[("DEST_MODULE_NAME", 999_999_999, "x")]);
    assert_eq!(
        problems(&bad),
        ["`DEST_MODULE_NAME[999999999]` is beyond the 1000 modules that a package may have"]
    );
}

#[test]
fn doubles_count_only_where_they_matter() {
    let double = with(&[("BUILT_MODULE_NAME", 1, "foo"), ("DEST_MODULE_LOCATION", 1, "/extra")]);
    assert_eq!(
        problems(&double),
        ["`BUILT_MODULE_NAME[1]` names `foo` once more", "`DEST_MODULE_NAME[1]` installs `foo` once more"]
    );
    assert!(resolve(&double, &target(), &config(), Check::Basic).is_ok());
    let either = conf(&[
        ("BUILT_MODULE_NAME", 1, "foo-old"),
        ("DEST_MODULE_NAME", 1, "foo"),
        ("DEST_MODULE_LOCATION", 1, "/extra"),
        ("BUILD_EXCLUSIVE_KERNEL_MAX", 1, "5.99"),
    ]);
    assert_eq!(either.included().count(), 1);
}

#[test]
fn the_last_make_that_matches_is_taken() {
    let make = |more: &[_]| conf(more).make;
    assert_eq!(make(&[("MAKE", 0, "a"), ("MAKE", 1, "b")]).as_deref(), Some("a"));
    assert_eq!(make(&[("MAKE", 0, "a"), ("MAKE", 1, "b"), ("MAKE_MATCH", 1, "")]).as_deref(), Some("a"));
    let both = [("MAKE", 0, "a"), ("MAKE", 1, "b"), ("MAKE_MATCH", 1, "^6\\.1")];
    assert_eq!(make(&both).as_deref(), Some("b"));
    assert_eq!(
        make(&[&both[..], &[("MAKE", 2, "c"), ("MAKE_MATCH", 2, "^5")]].concat()).as_deref(),
        Some("b")
    );
    assert_eq!(make(&[("MAKE", 0, "a"), ("MAKE_MATCH", 0, "^5")]), None);
    assert_eq!(make(&[("MAKE", 0, "a"), ("MAKE_MATCH", 0, "^6")]).as_deref(), Some("a"));
    assert_eq!(make(&[("MAKE", 0, "a"), ("MAKE_MATCH", 0, "^(6")]), None);
    assert_eq!(make(&[("MAKE", 0, "")]), None);
}

#[test]
fn patches_apply_by_match() {
    let conf = conf(&[
        ("PATCH", 0, "all.patch"),
        ("PATCH", 3, "six.patch"),
        ("PATCH_MATCH", 3, "^6"),
        ("PATCH", 1, "five.patch"),
        ("PATCH_MATCH", 1, "^5"),
        ("PATCH", 2, ""),
    ]);
    assert_eq!(conf.patches, ["all.patch", "six.patch"]);
}

#[test]
fn strip_is_inherited_from_the_first() {
    let two = [("BUILT_MODULE_NAME", 1, "bar"), ("DEST_MODULE_LOCATION", 1, "/extra")];
    let strip = |more: &[_]| {
        conf(&[&two[..], more].concat()).modules.iter().map(|module| module.strip).collect::<Vec<_>>()
    };
    assert_eq!(strip(&[]), [true, true]);
    assert_eq!(strip(&[("STRIP", 0, "no")]), [false, false]);
    assert_eq!(strip(&[("STRIP", 0, "No"), ("STRIP", 1, "YES")]), [false, true]);
    assert_eq!(strip(&[("STRIP", 1, "n")]), [true, false]);
    assert_eq!(strip(&[("STRIP", 0, "n"), ("STRIP", 1, "")]), [false, false]);
    assert_eq!(strip(&[("STRIP", 0, "debug")]), [true, true]);
}

#[test]
fn rules_at_zero_are_for_all_and_others_for_one() {
    let two = [("BUILT_MODULE_NAME", 1, "bar"), ("DEST_MODULE_LOCATION", 1, "/extra")];
    let excluded = |more: &[_]| {
        let conf = conf(&[&two[..], more].concat());
        (
            conf.modules.iter().map(|module| module.excluded.is_some()).collect::<Vec<_>>(),
            conf.excluded.is_some(),
        )
    };
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL", 0, "^6")]), (vec![false, false], false));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL", 0, "^5")]), (vec![true, true], true));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL", 1, "^5")]), (vec![false, true], false));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL", 0, "^(6")]), (vec![true, true], true));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_ARCH", 0, "aarch64|x86_64")]), (vec![false, false], false));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_ARCH", 1, "aarch64")]), (vec![false, true], false));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL_MIN", 0, "6.1.0-47-amd64")]), (vec![false, false], false));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL_MIN", 0, "6.1.0-48")]), (vec![true, true], true));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL_MAX", 0, "6.1.0-47-amd64")]), (vec![false, false], false));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_KERNEL_MAX", 0, "6.1")]), (vec![true, true], true));
    assert_eq!(excluded(&[("OBSOLETE_BY", 0, "6.1")]), (vec![true, true], true));
    let both = [("OBSOLETE_BY", 0, "5.0"), ("BUILD_EXCLUSIVE_KERNEL_MAX", 0, "7.0")];
    assert_eq!(excluded(&both), (vec![false, false], false));
    assert_eq!(
        excluded(&[("BUILD_EXCLUSIVE_CONFIG", 0, "CONFIG_I2C !CONFIG_PCI")]),
        (vec![false, false], false)
    );
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_CONFIG", 0, "!CONFIG_I2C")]), (vec![true, true], true));
    assert_eq!(excluded(&[("BUILD_EXCLUSIVE_CONFIG", 1, "CONFIG_PCI")]), (vec![false, true], false));
}

#[test]
fn what_nobody_knows_of_a_kernel_rules_nothing_out() {
    let raw = raw(&[("BUILD_EXCLUSIVE_CONFIG", 0, "CONFIG_NIX")]);
    let excluded = |config: &KernelConfig| {
        let target = Target::parse("6.1.0-47-amd64", "x86_64").unwrap();
        leniently(&raw, &ModuleId::parse("foo", "1.0").unwrap(), &target, config).excluded.is_some()
    };
    assert!(excluded(&config()));
    assert!(!excluded(&KernelConfig::default()));
}

#[test]
fn a_rule_for_each_module_rules_the_package_out() {
    let conf = conf(&[
        ("BUILT_MODULE_NAME", 1, "bar"),
        ("DEST_MODULE_LOCATION", 1, "/extra"),
        ("BUILD_EXCLUSIVE_KERNEL", 0, "^5"),
    ]);
    assert_eq!(conf.excluded.unwrap().directive, "BUILD_EXCLUSIVE_KERNEL[0]");
}

#[test]
fn leniency_takes_what_is_sound() {
    let bad = raw(&[
        ("PACKAGE_NAME", 0, "../foo"),
        ("BUILT_MODULE_NAME", 0, "foo"),
        ("DEST_MODULE_LOCATION", 0, "/updates"),
        ("BUILT_MODULE_NAME", 1, "../../etc/passwd"),
        ("DEST_MODULE_LOCATION", 1, "/updates"),
        ("AUTOINSTALL", 0, "maybe"),
        ("POST_REMOVE", 0, "gone.sh now"),
    ]);
    let id = ModuleId::parse("foo", "1.0").unwrap();
    let conf = leniently(&bad, &id, &target(), &config());
    assert_eq!(conf.id, id);
    assert_eq!(conf.modules.iter().map(|module| module.dest_name.as_str()).collect::<Vec<_>>(), ["foo"]);
    assert_eq!(conf.scripts.post_remove.as_deref(), Some("gone.sh now"));
    assert!(leniently(&RawConf::default(), &id, &target(), &config()).modules.is_empty());
}

#[test]
fn clean_is_named_unless_it_does_nothing() {
    assert_eq!(conf(&[("CLEAN", 0, "make clean")]).clean.as_deref(), Some("make clean"));
    for nothing in ["true", "/bin/true", "/usr/bin/true ", ""] {
        assert_eq!(conf(&[("CLEAN", 0, nothing)]).clean, None, "{nothing}");
    }
}
