//! What no package can be made of, or no file of a package be written to: the right code, and nothing left.

use dkms_tests::root::User;

use super::common::with_foo;

#[test]
fn bad_input_has_its_code_and_leaves_nothing() {
    let root = with_foo().unwrap();
    root.must(
        "cp -a /usr/src/foo-1.0 /srv/src; mkdir /srv/small; mount -t tmpfs -o size=64k small /srv/small",
    )
    .unwrap();
    root.must("cp -a /srv/src /srv/big; head -c 1000000 /dev/urandom >/srv/big/firmware").unwrap();
    root.must("cp -a /srv/src /srv/v; sed -i 's/1\\.0/v1.0/' /srv/v/dkms.conf; cp -a /srv/src /srv/bad; echo 'exit 0' >/srv/bad/dkms.conf").unwrap();
    let state = "find /srv /var/lib/dkms -not -path '*/.state*' | sort; ls -A /tmp";
    let before = root.must(state).unwrap();
    for (words, code) in [
        ("mkdeb foo/1.0 -k $K", 6),
        ("mkbmdeb foo/1.0 -k $K", 6),
        ("mkbmdeb foo/1.0 --all", 6),
        ("mkdeb foo/1.0 -k 9.9.9", 6),
        ("mkdeb bar/1.0", 3),
        ("mkdsc foo/2.0", 3),
        ("mkdeb foo", 1),
        ("mkdeb", 1),
        ("mkdeb foo/1.0 --binaries-only --source-only", 8),
        ("mkbmdeb foo/1.0 --source-only", 8),
        ("mkdsc foo/1.0 --binaries-only", 8),
        ("mkdsc foo/1.0 --all", 5),
        ("mkdsc foo/1.0 --archive /srv/x", 2),
        ("mkdeb /srv/v", 8),
        ("mkdeb /srv/bad", 8),
        ("mkdeb /srv/big --archive /srv/small/x.deb", 6),
        ("mkdeb foo/1.0 --archive /srv/small/new/x.deb --dry-run", 0),
        ("mkdsc foo/1.0 --dry-run", 0),
    ] {
        let run = root.dkms(words).unwrap();
        assert_eq!(run.code, code, "{words}: {run:?}");
        assert_eq!(root.must(state).unwrap(), before, "{words} left something");
    }
    let run = root.shell("$DKMS mkdeb foo/1.0", User::Nobody, "/").unwrap();
    assert_eq!(run.code, 9, "{run:?}");
    let run = root
        .shell(
            "$DKMS mkdeb --archive /tmp/mine.deb && dpkg-deb -f /tmp/mine.deb Package",
            User::Nobody,
            "/srv/src",
        )
        .unwrap();
    assert_eq!((run.code, run.stdout.lines().last()), (0, Some("foo-dkms")), "{run:?}");
    root.must("umount /srv/small").unwrap();
}

#[test]
fn rpms_and_tarballs_have_their_codes_too() {
    let root = with_foo().unwrap();
    root.must(
        "cp -a /usr/src/foo-1.0 /srv/src; mkdir /srv/small; mount -t tmpfs -o size=16k small /srv/small",
    )
    .unwrap();
    root.must("cp -a /srv/src /srv/big; head -c 1000000 /dev/urandom >/srv/big/firmware").unwrap();
    root.must("cp -a /srv/src /srv/v; sed -i 's/1\\.0/1#0/' /srv/v/dkms.conf; cp -a /srv/src /srv/bad; echo 'exit 0' >/srv/bad/dkms.conf").unwrap();
    root.must("dkms build foo/1.0 -k $K").unwrap();
    let state = "find /srv /var/lib/dkms -not -path '*/.state*' | sort; ls -A /tmp";
    let before = root.must(state).unwrap();
    for (words, code) in [
        ("mkrpm foo/1.0 -k $K2", 6),
        ("mkrpm foo/1.0 -k 9.9.9", 6),
        ("mkrpm bar/1.0", 3),
        ("mkrpm foo/1.0 --binaries-only --source-only", 8),
        ("mkrpm foo/1.0 -k $K --archive /srv/x.rpm", 2),
        ("mkrpm /srv/v", 8),
        ("mkrpm /srv/bad", 8),
        ("mkrpm /srv/big --archive /srv/small/x.noarch.rpm", 6),
        ("mkrpm /srv/big --archive /srv/small/x.src.rpm", 6),
        ("mkrpm foo/1.0 --archive /proc/x/x.noarch.rpm", 6),
        ("mkrpm foo/1.0 -k $K --dry-run", 0),
        ("mkkmp foo/1.0 --spec /srv/none", 2),
        ("mkkmp foo/1.0 --spec /srv/src/foo.c", 8),
        ("mkbmdeb foo/1.0 -k 9.9.9", 6),
        ("mkdeb foo/1.0 --archive /proc/x/x.deb", 6),
        ("mktarball foo/1.0 -k $K2", 6),
        ("mktarball /srv/src -k 9.9.9", 6),
        ("mktarball /srv/big --archive /srv/small/x.tar", 6),
    ] {
        let run = root.dkms(words).unwrap();
        assert_eq!(run.code, code, "{words}: {run:?}");
        assert_eq!(root.must(state).unwrap(), before, "{words} left something");
    }
    for words in [
        "mkrpm foo/1.0",
        "mkbmdeb foo/1.0 -k $K",
        "mktarball foo/1.0 -k $K",
        "mkdriverdisk foo/1.0 -d redhat -k $K",
    ] {
        let run = root.shell(&format!("$DKMS {words}"), User::Nobody, "/").unwrap();
        assert_eq!(run.code, 9, "{words}: {run:?}");
        assert_eq!(root.must(state).unwrap(), before, "{words} left something");
    }
    root.must("umount /srv/small").unwrap();
    // From inside a source folder, beside which the result goes.
    let out = root.must("cd /srv/src; dkms mktarball; dkms mktarball --archive ../x.tar.zst; dkms remove foo/1.0 --all; rm -rf /usr/src/foo-1.0; dkms ldtarball ../foo-1.0-source-only.dkms.tar.gz; diff -r /srv/src /usr/src/foo-1.0; dkms status").unwrap();
    assert!(out.contains("foo/1.0: added"), "{out}");
}

#[test]
fn what_is_no_file_of_a_source_is_left_out_and_named() {
    let root = with_foo().unwrap();
    root.must("cp -a /usr/src/foo-1.0 /srv/odd; $DKMS remove foo/1.0 --all; cd /srv/odd; mkfifo fifo; mkdir sub; mknod sub/null c 1 3; mkdir -p .git; mkfifo .git/fsmonitor").unwrap();
    for words in [
        "mktarball --archive /srv/o.tar",
        "mkdeb --archive /srv/o.deb",
        "mkdsc",
        "mkrpm --source-only",
        "add",
    ] {
        let (action, rest) = words.split_once(' ').unwrap_or((words, ""));
        let run = root.dkms(&format!("{action} /srv/odd {rest} --force")).unwrap();
        assert_eq!(run.code, 0, "{words}: {}", run.stderr);
        let done = if action == "add" { "copied" } else { "packed" };
        let told = format!(
            "Warning: not {done}: `/srv/odd/fifo`, `/srv/odd/sub/null`, which are no files, folders or links\n"
        );
        assert_eq!(run.stderr, told, "{words}");
    }
    let listed = root
        .must(
            "tar -tf /srv/o.tar; dpkg-deb -c /srv/o.deb; tar -tf /srv/foo-dkms_1.0.tar.xz; rpm -qlp /srv/*.noarch.rpm
             find /usr/src/foo-1.0",
        )
        .unwrap();
    assert!(listed.matches("foo.c").count() >= 5, "{listed}");
    assert!(!listed.contains("fifo") && !listed.contains("null"), "{listed}");
}
