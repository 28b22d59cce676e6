//! Input that no package can come of: one clear error, and nothing written.

use super::bench::{Bench, conf};

/// Files, arguments, and what the error names.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let bench = Bench::new().unwrap();
    let one = conf("one", "1.0");
    let named = |name: &str, version: &str| conf(name, version);
    let cases: &[Case<'_>] = &[
        (&[("debian/dkms", "PACKAGE_VERSION=1.0\nMAKE=make\n")], "", "PACKAGE_NAME"),
        (&[("debian/dkms", "PACKAGE_NAME=one\n")], "", "PACKAGE_VERSION"),
        (&[("debian/dkms", "")], "", "names none"),
        (&[("debian/dkms", "a.conf\nb.conf\n"), ("a.conf", &one), ("b.conf", &one)], "", "2 files"),
        (&[("debian/dkms", "a.conf b.conf"), ("a.conf", &one), ("b.conf", &one)], "", "a.conf, b.conf"),
        (&[("debian/dkms", "*.conf"), ("a.conf", &one), ("b.conf", &one)], "", "2 files"),
        (&[("debian/dkms", "gone.conf")], "", "gone.conf"),
        (&[("debian/dkms", "Makefile"), ("Makefile", "all:\n")], "", "Makefile"),
        (&[("a.conf", &one), ("b.conf", &one)], "a.conf b.conf", "2"),
        (&[], "gone.conf", "gone.conf"),
        (&[("debian/dkms", &named("one", "1_0"))], "", "has `_`"),
        (&[("debian/dkms", &named("one", "1.0;id"))], "", "has `;`"),
        (&[("debian/dkms", &named("one", "../1"))], "", "has `/`"),
        (&[("debian/dkms", &named("one", "-1"))], "", "begins with"),
        (&[("debian/dkms", &named("one", "1 0"))], "", "PACKAGE_VERSION"),
        (&[("debian/dkms", &named("o ne", "1"))], "", "PACKAGE_NAME"),
        (&[("debian/dkms", &named("o'ne", "1"))], "", "PACKAGE_NAME"),
        (&[("debian/dkms", &named("one", "#MODULE_VERSION#"))], "-V1/2", "1/2"),
        (
            &[("debian/dkms", &named("one", "#MODULE_VERSION#")), ("debian/changelog", "nothing\n")],
            "-V",
            "changelog",
        ),
        (&[("debian/dkms", "PACKAGE_NAME=one\nPACKAGE_VERSION=1\nexit 0\n")], "", "line 3"),
        (&[("debian/dkms", "PACKAGE_NAME=one\nPACKAGE_VERSION=\"1\n")], "", "debian/dkms"),
        (&[("debian/dkms", "#!/bin/sh\nexit 7\n")], "", "ended with 7"),
        (&[("debian/control", "Source: foo\n\nnonsense\n")], "", "line 3"),
        (&[("debian/dkms", &one)], "-pone-dkms -pnone", "none"),
        (&[("debian/dkms", &one)], "--bogus", "--bogus"),
    ];
    for (files, words, said) in cases {
        bench.case(files).unwrap();
        let run = bench.ours(words).unwrap();
        assert_eq!(run.code, 25, "{files:?} {words}: {run:?}");
        assert!(run.stderr.starts_with("dh_dkms: error: "), "{files:?} {words}: {run:?}");
        assert!(run.stderr.contains(said), "{files:?} {words}: {run:?}");
        bench.0.must("diff -r /srv/case /srv/ours").unwrap();
    }
    // Not to be read at all: a folder in its place.
    bench.case(&[("debian/dkms", "x.conf")]).unwrap();
    bench.0.must("mkdir /srv/case/x.conf").unwrap();
    let run = bench.ours("").unwrap();
    assert_eq!(run.code, 25, "{run:?}");
    bench
        .0
        .must("cd /srv/case; rm -r debian/dkms x.conf; ln -s nowhere debian/dkms; rm debian/control")
        .unwrap();
    let run = bench.ours("").unwrap();
    assert!(run.code == 25 && run.stderr.contains("debian/control"), "{run:?}");
}

#[test]
fn check_finds_what_would_only_be_seen_later() {
    let bench = Bench::new().unwrap();
    let good = format!("{}PATCH[0]=\"a.patch\"\nPOST_ADD=\"scripts/add.sh now\"\n", conf("one", "1.0"));
    let source = "debian/one-dkms/usr/src/one-1.0";
    let (patch, script) = (format!("{source}/patches/a.patch"), format!("{source}/scripts/add.sh"));
    let whole = [("debian/dkms", good.as_str()), (&patch, "x"), (&script, "#!/bin/sh\n")];
    bench.case(&whole).unwrap();
    let run = bench.ours("--check").unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    bench.0.must(&format!("test -f /srv/ours/{source}/dkms.conf")).unwrap();
    for (files, said) in [
        (&[("debian/dkms", good.as_str()), (&script, "#!/bin/sh\n")] as &[_], "patches/a.patch"),
        (&[("debian/dkms", good.as_str()), (&patch, "x")], "no `scripts/add.sh`"),
        (&[("debian/dkms", good.as_str()), (&patch, "x"), (&script, "true\n")], "not executable"),
        (&[("debian/dkms", &format!("{}BUILD_MODULE_NAME=x\n", conf("one", "1.0")))], "BUILT_MODULE_NAME"),
        (
            &[("debian/dkms", "PACKAGE_NAME=one\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=one\n")],
            "DEST_MODULE_LOCATION",
        ),
        (&[("debian/dkms", &format!("{}AUTOINSTALL=maybe\n", conf("one", "1.0")))], "AUTOINSTALL"),
    ] {
        bench.case(files).unwrap();
        let run = bench.ours("--check").unwrap();
        assert!(run.code == 25 && run.stderr.contains(said), "{files:?}: {run:?}");
        assert_eq!(bench.ours("").unwrap().code, 0, "{files:?}");
    }
}
