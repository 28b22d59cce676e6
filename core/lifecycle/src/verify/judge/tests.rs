use std::path::PathBuf;

use super::super::facts::{Facts, File, Holds, Image, Index, State, Trust};
use super::super::{Doubt, Fault, Link, Tried, Verdict};
use super::*;
use crate::id::{ModuleId, ModuleVersion, Target};
use crate::modfile::NotAModule;

fn file(state: State) -> File {
    File {
        path: "/m/foo.ko".into(),
        state,
        faults: Vec::new(),
        doubts: Vec::new(),
        shadowed_by: None,
        is_indexed: true,
        lost: Vec::new(),
    }
}

/// foo/1 is installed on 6.1, and nothing is wrong.
fn facts() -> Facts {
    Facts {
        id: ModuleId::parse("foo", "1").unwrap(),
        target: Target::parse("6.1", "x86_64").unwrap(),
        kernel_is_gone: false,
        conf_fault: None,
        excluded: None,
        asks_for_running: None,
        installed: Some(ModuleVersion::new("1").unwrap()),
        is_weak: false,
        headers_remedy: None,
        files: vec![file(State::Same)],
        trust: Trust::NotAsked,
        index: Index::There,
        images: Vec::new(),
        images_command: Some("update-initramfs -u -k 6.1".to_owned()),
        is_needed_at_boot: false,
        made_without_modules: false,
    }
}

/// The links that are not proven: word, verdict, command.
fn open(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, &'static str, String)> {
    let mut facts = facts();
    change(&mut facts);
    let proof = judge(&facts);
    assert_eq!(proof.links.iter().map(|link| link.link).collect::<Vec<_>>(), Link::ALL);
    let of_open = |link: &LinkProof| {
        assert!(link.reason.is_some(), "{link:?}");
        (link.link.word(), link.verdict.word(), link.remedy.clone().unwrap_or_default())
    };
    proof.open().map(of_open).collect()
}

const INSTALL: &str = "dkms install foo/1 -k 6.1/x86_64";
const REINSTALL: &str = "dkms install foo/1 -k 6.1/x86_64 --force";
const REBUILD: &str = "dkms build foo/1 -k 6.1/x86_64 --force && dkms install foo/1 -k 6.1/x86_64 --force";

fn is(link: &'static str, verdict: &'static str, command: &str) -> (&'static str, &'static str, String) {
    (link, verdict, command.to_owned())
}

#[test]
fn a_sound_module_is_proven() {
    assert_eq!(open(|_| {}), []);
    assert_eq!(judge(&facts()).verdict(), Verdict::Proven);
}

#[test]
fn what_is_not_there_is_refuted_and_the_rest_is_unknown() {
    let missing = |facts: &mut Facts| facts.files = vec![file(State::Missing)];
    let found = open(|facts| {
        missing(facts);
        facts.installed = None;
    });
    assert_eq!(found[0], is("there", "refuted", INSTALL));
    assert_eq!(found.iter().filter(|(_, verdict, _)| *verdict == "unknown").count(), 6);
    assert_eq!(open(missing)[0], is("there", "refuted", REINSTALL));
    let no_headers = open(|facts| {
        missing(facts);
        facts.installed = None;
        facts.headers_remedy = Some("install the package `h`: `apt-get install h`".to_owned());
    });
    assert_eq!(no_headers[0], is("there", "refuted", "apt-get install h"));
    assert_eq!(open(|facts| facts.kernel_is_gone = true), [is("there", "refuted", "")]);
    let other = open(|facts| facts.installed = Some(ModuleVersion::new("2").unwrap()));
    assert_eq!(other, [is("there", "refuted", INSTALL)]);
    assert_eq!(
        open(|facts| facts.files = vec![file(State::Same), file(State::Missing)]),
        [is("there", "refuted", REINSTALL)]
    );
    assert_eq!(open(|facts| facts.files = vec![file(State::Different)]), [is("there", "refuted", REINSTALL)]);
    assert_eq!(open(|facts| facts.files = vec![file(State::Alone)]), [is("there", "unknown", REINSTALL)]);
    let no_conf = open(|facts| facts.conf_fault = Some("it cannot be used".to_owned()));
    assert_eq!(no_conf, [is("there", "unknown", "")]);
    let excluded = open(|facts| {
        missing(facts);
        facts.excluded = Some("BUILD_EXCLUSIVE_ARCH".to_owned());
    });
    assert_eq!(excluded[0], is("there", "refuted", ""));
}

#[test]
fn a_fault_refutes_its_link_and_a_doubt_leaves_it_unknown() {
    let fault = |fault: Fault| open(|facts| facts.files[0].faults = vec![fault]);
    let broken = fault(Fault::NotAModule(NotAModule::Empty));
    let expected =
        [is("whole", "refuted", REBUILD), is("kernel", "unknown", ""), is("linked", "unknown", "")];
    assert_eq!(broken, expected);
    assert_eq!(fault(Fault::NoKernel), [is("kernel", "refuted", REBUILD)]);
    assert_eq!(fault(Fault::NoVersions), [is("linked", "refuted", REBUILD)]);
    let licence = Fault::GplOnly { names: vec!["a".to_owned()], licence: None };
    assert_eq!(fault(licence), [is("linked", "refuted", "")]);
    let doubt = |doubt: Doubt| open(|facts| facts.files[0].doubts = vec![doubt]);
    assert_eq!(doubt(Doubt::Unreadable("so".to_owned())).len(), 3);
    let tried = |is_denied| vec![Tried { path: PathBuf::from("/boot/vmlinuz"), is_denied }];
    assert_eq!(doubt(Doubt::Exports(tried(false))), [is("linked", "unknown", "")]);
    let for_root = "sudo dkms verify foo/1 -k 6.1/x86_64";
    assert_eq!(doubt(Doubt::Exports(tried(true))), [is("linked", "unknown", for_root)]);
    assert_eq!(doubt(Doubt::Vermagic), [is("kernel", "unknown", "")]);
    assert_eq!(doubt(Doubt::NoSums(vec!["a".to_owned()])), [is("linked", "unknown", REBUILD)]);
}

#[test]
fn modprobe_must_find_it() {
    assert_eq!(open(|facts| facts.files[0].is_indexed = false), [is("found", "refuted", "depmod 6.1")]);
    assert_eq!(
        open(|facts| facts.files[0].lost = vec!["bar".to_owned()]),
        [is("found", "refuted", "depmod 6.1")]
    );
    assert_eq!(open(|facts| facts.index = Index::Missing), [is("found", "refuted", "depmod 6.1")]);
    assert_eq!(open(|facts| facts.index = Index::Coming), [is("found", "unknown", "")]);
    assert_eq!(
        open(|facts| facts.files[0].shadowed_by = Some("/m/x.ko".into())),
        [is("found", "refuted", "mv /m/x.ko /m/x.ko.shadowing && depmod 6.1")]
    );
}

#[test]
fn an_image_must_hold_this_very_file_if_it_holds_or_needs_it() {
    const ANEW: &str = "update-initramfs -u -k 6.1";
    let with = |holds: Holds, needed: bool, made_without: bool| {
        open(|facts| {
            facts.images = vec![Image { path: "/boot/initrd".into(), holds }];
            (facts.is_needed_at_boot, facts.made_without_modules) = (needed, made_without);
        })
    };
    assert_eq!(with(Holds::Fits, true, true), []);
    assert_eq!(with(Holds::Others(vec!["foo".to_owned()]), false, false), [is("boot", "refuted", ANEW)]);
    assert_eq!(with(Holds::Older, false, false), []);
    assert_eq!(with(Holds::Older, true, false), [is("boot", "refuted", ANEW)]);
    assert_eq!(with(Holds::Older, false, true), [is("boot", "unknown", ANEW)]);
    let unreadable = |is_denied| Holds::Unreadable { why: "so".to_owned(), is_denied };
    assert_eq!(with(unreadable(false), false, false), [is("boot", "unknown", ANEW)]);
    let as_root = "sudo dkms verify foo/1 -k 6.1/x86_64";
    assert_eq!(with(unreadable(true), false, false), [is("boot", "unknown", as_root)]);
}
