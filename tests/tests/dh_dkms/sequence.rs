//! `dh_dkms` in `dh`'s sequence: source packages are built with Debian's and with ours, and
//! the packages compared.

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::debs;
use dkms_tests::fixture::Module;

use super::bench::{Bench, changelog};

/// How a maintainer may use it: what stands in debian/rules, and in Build-Depends.
const RULES: &[(&str, &str, &str)] = &[
    ("with", "%:\n\tdh $@ --with dkms\n", ""),
    ("sequence", "%:\n\tdh $@\n", ", dh-sequence-dkms"),
    ("override", "%:\n\tdh $@ --with dkms\noverride_dh_dkms:\n\tdh_dkms -V1.0 -- src/dkms.conf\n", ""),
    (
        "override for indep",
        "%:\n\tdh $@ --with dkms\noverride_dh_dkms-indep:\n\tdh_dkms -pfoo-dkms -V1.0\n",
        "",
    ),
    (
        "override with options",
        "%:\n\tdh $@ --with dkms --parallel\noverride_dh_dkms:\n\tdh_dkms -Xnothing $(EXTRA)\nEXTRA = -v\n",
        "",
    ),
    (
        "after",
        "%:\n\tdh $@ --with dkms\nexecute_after_dh_dkms:\n\ttouch debian/foo-dkms/usr/src/foo-1.0/after\n",
        "",
    ),
    ("override that does nothing", "%:\n\tdh $@ --with dkms\noverride_dh_dkms:\n", ""),
    (
        "by hand",
        "build clean:\nbinary: binary-indep binary-arch\nbinary-arch:\nbinary-indep:\n\tdh_testroot\n\tdh_prep\n\tdh_install\n\tdh_dkms -V -i\n\tdh_fixperms\n\tdh_installdeb\n\tdh_gencontrol\n\tdh_md5sums\n\tdh_builddeb\n",
        "",
    ),
];

/// A source package in `/srv/case` whose module is foo in a version.
fn source(bench: &Bench, rules: &str, depends: &str, version: &str) -> Result<()> {
    let control = format!(
        "Source: foo\nSection: kernel\nPriority: optional\nMaintainer: A B <a@b.org>\n\
         Build-Depends: debhelper-compat (= 13), dh-dkms{depends}\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n\n\
         Package: foo-dkms\nArchitecture: all\nDepends: ${{misc:Depends}}\nDescription: foo\n foo\n"
    );
    let conf = Module::new("foo", "#MODULE_VERSION#").conf();
    bench.case(&[
        ("debian/control", &control),
        ("debian/changelog", &changelog("foo", &format!("{version}-1"))),
        ("debian/rules", &format!("#!/usr/bin/make -f\n{rules}")),
        ("debian/foo-dkms.dkms", "src/dkms.conf\n"),
        ("debian/foo-dkms.install", &format!("src/* usr/src/foo-{version}\n")),
    ])?;
    Module::new("foo", version).write_below(&bench.0, "/srv/case/src")?;
    bench.0.write("/srv/case/src/dkms.conf", &conf, 0o644)
}

/// Puts one's program, snippets and sequence where debhelper finds them.
fn switch(bench: &Bench, who: Option<Oracle>) -> Result<()> {
    match who {
        Some(oracle) => {
            bench.0.must(&format!("rm -f /usr/bin/dh_dkms; cp -a /srv/{}/usr/. /usr/", oracle.suite()))?;
        }
        None => {
            bench.0.must("rm -f /usr/bin/dh_dkms; ln -s /opt/dh/dkms /usr/bin/dh_dkms")?;
            bench.install_our_files()?;
        }
    }
    Ok(())
}

/// Builds in a copy of the case; what the package is, without the version in marker lines. With
/// `snippets` those of a release.
fn build(bench: &Bench, snippets: Option<Oracle>) -> Result<String> {
    let variables = snippets
        .map(|oracle| format!("DH_AUTOSCRIPTDIR=/srv/{}/usr/share/debhelper/autoscripts", oracle.suite()))
        .unwrap_or_default();
    bench.0.must(&format!(
        "rm -rf /srv/build; mkdir /srv/build; cp -a /srv/case /srv/build/foo; cd /srv/build/foo; chmod +x debian/rules
         {variables} dpkg-buildpackage -d -us -uc -b >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}
         cd ..; dpkg-deb -c *.deb | awk '{{ print $1, $2, $6 }}'; dpkg-deb -f *.deb | grep -v ^Installed-Size
         dpkg-deb -e *.deb e; for s in $(find e -name 'p*' | sort); do echo \"== $s\"; sed 's|^\\(# Automatically added by dh_dkms/\\).*|\\1|' $s; done
         dpkg-deb --fsys-tarfile *.deb | tar -xO ./usr/src/foo-1.0/dkms.conf 2>/dev/null || true"
    ))
}

#[test]
fn packages_built_with_dh_are_those_that_trixies_own_makes() {
    packages_are_those_that_debians_own_makes(Oracle::Trixie, |_| true);
}

#[test]
#[ignore = "full tier"]
fn packages_built_with_dh_are_those_that_bookworms_own_makes() {
    // It replaces the placeholder only where `-V` is given.
    packages_are_those_that_debians_own_makes(Oracle::Bookworm, |rules| rules.contains("-V"));
}

fn packages_are_those_that_debians_own_makes(oracle: Oracle, is_tried: fn(&str) -> bool) {
    let bench = Bench::new().unwrap();
    let tried: Vec<_> = RULES.iter().filter(|(_, rules, _)| is_tried(rules)).collect();
    assert!(tried.len() >= 3, "only {} rules", tried.len());
    for (name, rules, depends) in tried {
        source(&bench, rules, depends, "1.0").unwrap();
        switch(&bench, Some(oracle)).unwrap();
        let theirs = build(&bench, Some(oracle)).unwrap();
        switch(&bench, None).unwrap();
        let ours = build(&bench, Some(oracle)).unwrap();
        assert_eq!(ours, theirs, "{name}, {oracle:?}");
        let does_nothing = name.contains("nothing");
        assert_eq!(ours.contains("common.postinst"), !does_nothing, "{name}: {ours}");
    }
}

#[test]
fn the_sequence_is_the_same() {
    let bench = Bench::new().unwrap();
    source(&bench, RULES[0].1, "", "1.0").unwrap();
    let steps =
        || bench.0.must("cd /srv/case; chmod +x debian/rules; dh binary --with dkms --no-act").unwrap();
    switch(&bench, Some(Oracle::Trixie)).unwrap();
    let theirs = steps();
    switch(&bench, None).unwrap();
    let ours = steps();
    // Theirs may be left out by `dh` where it has nothing to do; a program that isn't Perl is always asked.
    assert_eq!(ours, theirs);
    let place = |name: &str| ours.lines().position(|line| line.trim() == name);
    assert!(place("dh_dkms").is_some() && place("dh_dkms") > place("dh_install"), "{ours}");
}

#[test]
fn packages_built_with_ours_work_with_ours_and_with_bookworms_dkms() {
    packages_built_with_ours_work_with_ours_and_with_debians_dkms(Oracle::Bookworm);
}

#[test]
#[ignore = "full tier"]
fn packages_built_with_ours_work_with_ours_and_with_trixies_dkms() {
    packages_built_with_ours_work_with_ours_and_with_debians_dkms(Oracle::Trixie);
}

fn packages_built_with_ours_work_with_ours_and_with_debians_dkms(oracle: Oracle) {
    let bench = Bench::new().unwrap();
    let cache = Cache::open().unwrap();
    let ours = debs::ours(&cache, env!("CARGO_BIN_EXE_dkms-under-test")).unwrap();
    let mut built = Vec::new();
    switch(&bench, None).unwrap();
    for version in ["1.0", "1.1"] {
        source(&bench, RULES[0].1, "", version).unwrap();
        build(&bench, None).unwrap();
        let name = format!("foo-dkms_{version}-1_all.deb");
        built.push((name.clone(), fs::read(&bench.0.view(&format!("/srv/build/{name}"))).unwrap()));
    }
    for with_ours in [false, true] {
        let root = debs::debian(&cache, oracle).unwrap();
        let told = format!("{oracle:?}, ours: {with_ours}");
        if with_ours {
            ours.put_into(&root).unwrap();
            root.must("dpkg -i /srv/ours/*.deb 2>&1").unwrap();
        }
        for (name, bytes) in &built {
            fs::write_whole(&root.view(&format!("/srv/{name}")), bytes, 0o644).unwrap();
        }
        let before = root.must("ls /usr/src /var/lib/dkms").unwrap();
        for (name, version) in [(&built[0].0, "1.0"), (&built[1].0, "1.1")] {
            let log = root.must(&format!("dpkg -i /srv/{name} 2>&1")).unwrap();
            let status = root.must("dkms status -m foo").unwrap();
            assert!(
                status.lines().count() == 1
                    && status.starts_with(&format!("foo/{version}, "))
                    && status.contains(": installed"),
                "{told}: {log}{status}"
            );
            root.must("ls /lib/modules/*/updates/dkms/foo.ko*").unwrap();
        }
        root.must("dpkg -P foo-dkms 2>&1").unwrap();
        assert_eq!(root.must("dkms status -m foo; ls /usr/src /var/lib/dkms").unwrap(), before, "{told}");
        assert_eq!(root.must("ls /lib/modules/*/updates/dkms | grep foo || true").unwrap(), "", "{told}");
    }
}

#[test]
fn a_legacy_package_works_where_dkms_has_no_common_postinst() {
    let bench = Bench::new().unwrap();
    let cache = Cache::open().unwrap();
    switch(&bench, None).unwrap();
    // Built where dkms is ours, whose script only calls our program.
    let script = include_str!("../../../hooks-apt/files/common.postinst");
    bench.0.write("/usr/lib/dkms/common.postinst", script, 0o755).unwrap();
    source(&bench, "%:\n\tdh $@ --with dkms\noverride_dh_dkms:\n\tdh_dkms -l\n", "", "1.0").unwrap();
    let listed = build(&bench, None).unwrap();
    assert!(
        listed.contains("./usr/share/foo-dkms/postinst") && listed.contains("Depends: dkms\n"),
        "{listed}"
    );
    let bytes = fs::read(&bench.0.view("/srv/build/foo-dkms_1.0-1_all.deb")).unwrap();
    let root = debs::debian(&cache, Oracle::Bookworm).unwrap();
    fs::write_whole(&root.view("/srv/foo.deb"), &bytes, 0o644).unwrap();
    root.must("rm /usr/lib/dkms/common.postinst").unwrap();
    for _ in 0..2 {
        let log = root.must("dpkg -i /srv/foo.deb 2>&1").unwrap();
        assert!(root.must("dkms status -m foo").unwrap().contains(": installed"), "{log}");
    }
    root.must("dpkg -P foo-dkms 2>&1").unwrap();
    assert_eq!(root.must("dkms status -m foo").unwrap(), "");
}
