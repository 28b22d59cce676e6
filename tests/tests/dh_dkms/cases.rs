//! Folders and options for which both leave the same.

use anyhow::{Context, Result};
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::setup::MODULE_PACKAGES;
use dkms_tests::tier::{is_full, part};

use super::bench::{Bench, changelog, conf};

use Oracle::{Bookworm, Trixie};

/// A folder for each Debian module package in the cache: its real conf, name and version, as
/// its maintainer has it.
#[test]
fn real_modules_come_out_as_debians_own_makes_them() {
    let bench = Bench::new().unwrap();
    let cache = Cache::open().unwrap();
    let mut count = 0;
    for package in MODULE_PACKAGES {
        let is_the_packages = real(&bench, &cache, package.name).unwrap();
        let runs: &[(Oracle, &str)] = match is_the_packages {
            true => &[(Bookworm, "-V"), (Trixie, ""), (Bookworm, "-V -l")],
            false => &[(Bookworm, ""), (Trixie, "-V7"), (Bookworm, "-l")],
        };
        for (oracle, words) in runs {
            bench.compare(*oracle, words).with_context(|| package.name).unwrap();
        }
        count += 1;
    }
    assert!(count >= 15, "{count}");
}

/// Makes the case of a real package; whether the module's version is the package's, so that the
/// placeholder stands for it.
fn real(bench: &Bench, cache: &Cache, package: &str) -> Result<bool> {
    let whole = cache.package_version("bookworm", package)?;
    // bookworm's leaves the epoch in, which no folder of a module has.
    let version = whole.rsplit_once(':').map_or(whole.as_str(), |(_, rest)| rest);
    let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    let sources = cache.package("bookworm", package).join("root/usr/src");
    let mut conf = None;
    for entry in fs::list(&sources)? {
        let file = sources.join(&entry.name).join("dkms.conf");
        if fs::is_file(&file) {
            conf = Some(fs::read_lossy(&file)?);
        }
    }
    let conf = conf.context("no conf")?;
    let mut is_the_packages = false;
    let mut text = String::new();
    for line in conf.lines() {
        match line.split_once('=') {
            Some(("PACKAGE_VERSION", value)) if value.trim_matches('"') == upstream => {
                is_the_packages = true;
                text.push_str(&line.replace(upstream, "#MODULE_VERSION#"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    let control = format!(
        "Source: src\nMaintainer: A B <a@b.org>\nBuild-Depends: debhelper-compat (= 13)\n\n\
         Package: {package}\nArchitecture: all\nDescription: x\n y\n"
    );
    bench.case(&[
        ("debian/control", &control),
        ("debian/changelog", &changelog("src", version)),
        (&format!("debian/{package}.dkms"), &text),
    ])?;
    Ok(is_the_packages)
}

#[test]
fn names_and_versions_are_read_as_dkms_reads_them() {
    let bench = Bench::new().unwrap();
    let computed = "N=one V=1\nPACKAGE_NAME=$N\nPACKAGE_VERSION=\"${V}.0-$(echo 2)\"\n";
    bench.case(&[("debian/dkms", computed)]).unwrap();
    assert_eq!(bench.ours("").unwrap().code, 0);
    bench.0.must("test -f /srv/ours/debian/one-dkms/usr/src/one-1.0-2/dkms.conf").unwrap();
    // Asked for another version, it is that, as with Debian's: something may change the conf later.
    bench.case(&[("debian/dkms", &conf("one", "@VERSION@"))]).unwrap();
    let run = bench.ours("-V2").unwrap();
    assert!(run.code == 0 && run.stderr.contains("@VERSION@"), "{run:?}");
    assert_eq!(bench.ours("-V2 --check").unwrap().code, 25);
    assert_eq!(bench.ours("").unwrap().code, 25);
}

/// Files besides control and changelog, and runs in it: against whom, with which variables and arguments.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a [Oracle], &'a str)]);

#[test]
fn every_option_means_what_it_means_to_debians_own() {
    let bench = Bench::new().unwrap();
    let both: &[Oracle] = &Oracle::ALL;
    let (one, two, three) = (conf("one", "1.0"), conf("two", "2.0"), conf("three", "3.0"));
    let placeholder = conf("one", "#MODULE_VERSION#");
    let (exclusive, minimum) = (
        format!("{one}BUILD_EXCLUSIVE_CONFIG=\"CONFIG_X\"\n"),
        format!("{one}BUILD_EXCLUSIVE_KERNEL_MIN=5\n"),
    );
    let three_packages: &[(&str, &str)] =
        &[("debian/dkms", &one), ("debian/two-dkms.dkms", &two), ("debian/three-dkms.dkms", &three)];
    let marked = "# Automatically added by dh_other/1\nold\n# End automatically added section\n";
    let cases: &[Case<'_>] = &[
        (
            three_packages,
            &[
                (both, ""),
                (both, "-i"),
                (both, "-a"),
                (both, "-i -a"),
                (both, "-ptwo-dkms"),
                (both, "-pone-dkms --package=two-dkms"),
                (both, "-Ntwo-dkms"),
                (both, "--no-package=one-dkms -a"),
                (both, "-pthree-dkms"),
                (both, "-pnone"),
                (both, "-Pdebian/else"),
                (both, "-ptwo-dkms -Pdebian/else"),
                (both, "--tmpdir=debian/else -pone-dkms"),
                (both, "--mainpackage=two-dkms"),
                (both, "-n -o -d -A -X.o -uzz"),
                (both, "--noscripts --onlyscripts --exclude=x --dbg-package=two-dkms"),
                (both, "-v"),
                (both, "--verbose --no-act"),
                (both, "-l"),
                (both, "--legacy -ptwo-dkms"),
                (both, "--bogus"),
                (both, "-O--bogus -O--no-act"),
                (both, "-O -i"),
                (both, "-s"),
                (both, "-h"),
                (both, "DH_NO_ACT=1 |"),
                (both, "DH_VERBOSE=1 |"),
                (both, "DH_OPTIONS=-i |"),
                (both, "DH_OPTIONS=--bogus |"),
                (both, "DH_INTERNAL_OPTIONS=-i |"),
                (both, "DH_INTERNAL_OPTIONS=-i | -ptwo-dkms"),
                (both, "DH_INTERNAL_OPTIONS=-a\u{1e}-O--parallel | -i"),
                (both, "DH_INTERNAL_OPTIONS=-Ntwo-dkms |"),
                (both, "DH_INTERNAL_OVERRIDE=dh_dkms |"),
                (both, "DH_INTERNAL_OVERRIDE=dh_dkms | -ptwo-dkms"),
                (both, "DEB_HOST_ARCH=alpha |"),
                (both, "DH_COMPAT=9 |"),
                (both, "DH_COMPAT=9 | --verb --no-a"),
                (both, "DH_COMPAT=13 | --verb"),
            ],
        ),
        (
            &[("debian/one-dkms.dkms", &placeholder)],
            &[(both, "-V2.5"), (both, "-V 2.5"), (&[Trixie], "-V"), (&[Trixie], ""), (&[Trixie], "-V -l")],
        ),
        (
            &[("debian/one-dkms.dkms", &placeholder), ("debian/one-dkms.changelog", &changelog("x", "7-1"))],
            &[(both, "-V")],
        ),
        (&[("debian/dkms", &exclusive)], &[(both, ""), (both, "-l")]),
        (&[("debian/dkms", &minimum)], &[(both, "")]),
        (
            &[("debian/one-dkms.dkms", "# the conf\n\n  src/my.conf \n"), ("src/my.conf", &one)],
            &[(both, ""), (both, "-V1"), (both, "-V2 -l")],
        ),
        (&[("debian/dkms", "my.conf"), ("debian/tmp/my.conf", &one), ("sub/my.conf", &two)], &[(both, "")]),
        (&[("debian/dkms", "src/*.conf"), ("src/my.conf", &one)], &[(both, "")]),
        (&[("debian/dkms", "${env:HERE}/my.conf"), ("src/my.conf", &one)], &[(both, "HERE=src |")]),
        (&[("debian/dkms", "#!/bin/sh\necho src/my.conf\n"), ("src/my.conf", &one)], &[(both, "")]),
        (
            &[("my.conf", &one), ("debian/two-dkms.dkms", &two)],
            &[(both, "-- my.conf"), (both, "my.conf"), (both, "-ptwo-dkms -- my.conf"), (both, "")],
        ),
        (&[("debian/dkms", &two), ("my.conf", &one)], &[(both, "-- my.conf")]),
        (&[("debian/one-dkms.nm.dkms", &one), ("debian/dkms", &two)], &[(both, "--name=nm"), (both, "")]),
        (
            &[("debian/one-dkms.dkms.amd64", &one), ("debian/one-dkms.dkms.alpha", &two)],
            &[(both, ""), (both, "DEB_HOST_ARCH=alpha |")],
        ),
        (
            &[
                ("debian/dkms", &one),
                ("debian/one-dkms.prerm.debhelper", marked),
                ("debian/one-dkms.postinst.debhelper", marked),
                ("debian/one-dkms.substvars", "misc:Depends=zz, aa (>= 1)\nmisc:Pre-Depends=\nx:y?=1\n"),
            ],
            &[(both, ""), (both, "--no-act")],
        ),
        (
            &[("debian/dkms", &one), ("debian/one-dkms.substvars", "misc:Depends=dkms (>= 2.1.0.0)\n")],
            &[(both, "")],
        ),
        (
            &[
                ("debian/dkms", &one),
                ("debian/two-dkms.dkms", &two),
                ("debian/one-dkms.debhelper.log", "dh_dkms\n"),
            ],
            &[(both, "--remaining-packages"), (both, "")],
        ),
        (&[], &[(both, ""), (both, "-V")]),
        (&[("debian/dkms", "PACKAGE_NAME='one'\r\nPACKAGE_VERSION='1.0'\r\n")], &[]),
    ];
    let mut runs = 0;
    for (files, words) in cases {
        bench.case(files).unwrap();
        for (against, words) in part(words.to_vec(), 2) {
            for oracle in against {
                bench.compare(*oracle, words).unwrap();
                runs += 1;
            }
        }
    }
    assert!(runs > if is_full() { 100 } else { 40 }, "{runs}");
}

#[test]
fn without_our_package_the_snippets_are_those_that_debhelper_has() {
    let bench = Bench::new().unwrap();
    bench.case(&[("debian/dkms", &conf("one", "1.0"))]).unwrap();
    for oracle in Oracle::ALL {
        let snippets = format!("/srv/{}/usr/share/debhelper/autoscripts", oracle.suite());
        bench.0.must(&format!("cp {snippets}/* /usr/share/debhelper/autoscripts/")).unwrap();
        bench.compare(oracle, "DH_AUTOSCRIPTDIR= |").unwrap();
    }
    bench.0.must("rm /usr/share/debhelper/autoscripts/*-dkms").unwrap();
    assert_eq!(bench.ours("").unwrap().code, 0);
    bench.0.must("grep -q common.postinst /srv/ours/debian/one-dkms.postinst.debhelper").unwrap();
}

#[test]
fn levels_of_compatibility_are_honoured() {
    let bench = Bench::new().unwrap();
    let control = crate::dh_dkms::bench::CONTROL.replace("Build-Depends: debhelper-compat (= 13)\n", "");
    let one = conf("one", "1.0");
    for level in ["9", "10", "12", "13"] {
        let files = [("debian/control", control.as_str()), ("debian/compat", level), ("debian/dkms", &one)];
        bench.case(&files).unwrap();
        for oracle in Oracle::ALL {
            bench.compare(oracle, "").unwrap();
            bench.compare(oracle, "--no-ac").unwrap();
        }
    }
}
