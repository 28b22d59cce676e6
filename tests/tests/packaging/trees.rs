//! New source trees, and what licences allow.

use dkms_tests::fixture::Module;
use dkms_tests::root::User;

use super::common::root;

#[test]
fn a_new_tree_builds_as_it_is_and_goes_only_while_it_was_never_added() {
    let root = root().unwrap();
    root.must("dkms mktree my-mod/0.1").unwrap();
    assert_eq!(root.dkms("mktree my-mod/0.1").unwrap().code, 3);
    root.must("dkms install my-mod/0.1 -k $K").unwrap();
    assert_eq!(root.must("modinfo -k $K -F license my-mod").unwrap().trim(), "GPL");
    assert_eq!(root.dkms("unmktree my-mod/0.1").unwrap().code, 3);
    root.must("dkms remove my-mod/0.1 --all; test -d /usr/src/my-mod-0.1; dkms unmktree my-mod/0.1; test ! -e /usr/src/my-mod-0.1").unwrap();
    assert_eq!(root.dkms("unmktree my-mod/0.1").unwrap().code, 2);
    Module::new("foo", "1.0").write_to(&root).unwrap();
    assert_eq!(root.dkms("unmktree foo/1.0").unwrap().code, 3, "not made by mktree");
    root.must("test -e /usr/src/foo-1.0/foo.c; dkms mktree other/2 /srv/deep/tree; make -s -C /srv/deep/tree KERNEL=/lib/modules/$K/build >/dev/null; test -e /srv/deep/tree/other.ko").unwrap();
    assert_eq!(root.dkms("mktree 'a$b/1'").unwrap().code, 8);
    assert_eq!(root.dkms("mktree name").unwrap().code, 1);
}

#[test]
fn ltdk_says_what_the_licence_allows() {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    let run = root.dkms("ltdk /usr/src/foo-1.0").unwrap();
    assert_eq!((run.code, run.stdout.trim()), (0, "foo.c: `GPL`, may use GPL-only symbols"));
    root.write("/usr/src/foo-1.0/sub/b.c", "MODULE_LICENSE(\"Proprietary\");\n", 0o644).unwrap();
    let run = root.shell("$DKMS ltdk", User::Nobody, "/usr/src/foo-1.0").unwrap();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("sub/b.c: `Proprietary`, may not"), "{run:?}");
    let json = root.dkms("ltdk --json /usr/src/foo-1.0").unwrap();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["files"][1]["gpl_compatible"], false);
    assert_eq!(root.dkms("ltdk /lib/modules").unwrap().code, 1);
    assert_eq!(root.dkms("ltdk /nowhere").unwrap().code, 2);
}
