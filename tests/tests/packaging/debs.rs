//! Debian packages with the tools that read them: dpkg, lintian, dpkg-source, dpkg-buildpackage.

use dkms_tests::cache::Oracle;
use dkms_tests::fixture::Module;

use super::common::{DEB, hand_over, install_dkms, lint, root, with_foo};

#[test]
fn a_package_is_the_same_wherever_whenever_and_by_whomever_it_is_made() {
    let root = with_foo().unwrap();
    let run = root.dkms("mkdeb foo/1.0").unwrap();
    assert_eq!((run.code, run.stdout.trim()), (0, format!("Wrote `{DEB}`").as_str()), "{run:?}");
    let outside = root
        .must(
            "mkdir -p /srv/elsewhere && cp -a /usr/src/foo-1.0 /srv/elsewhere/src && cd /srv/elsewhere/src
             umask 077 && TZ=Asia/Tokyo dkms mkdeb && cd .. && sha256sum <foo-dkms_1.0_all.deb",
        )
        .unwrap();
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last(&outside), root.must(&format!("sha256sum <{DEB}")).unwrap().trim());
    for command in ["mkdsc", "mkbmdeb -k $K", "mkdeb -k $K -k $K2"] {
        root.must("dkms build foo/1.0 -k $K -k $K2").unwrap();
        let sums =
            "find /var/lib/dkms/foo/1.0/*deb /var/lib/dkms/foo/1.0/dsc -type f | sort | xargs sha256sum";
        root.must("mkdir -p /var/lib/dkms/foo/1.0/dsc").unwrap();
        root.must(&format!("dkms {command} foo/1.0")).unwrap();
        let first = root.must(sums).unwrap();
        let again = format!("sleep 1; umask 077; SOURCE_DATE_EPOCH= dkms {command} -m foo -v 1.0");
        root.must(&again).unwrap();
        assert_eq!(root.must(sums).unwrap(), first, "{command}");
    }
    // SOURCE_DATE_EPOCH is older than anything in it.
    let times = root
        .must(&format!("SOURCE_DATE_EPOCH=86400 dkms mkdeb foo/1.0 >/dev/null && TZ=UTC dpkg-deb -c {DEB}"))
        .unwrap();
    assert!(times.lines().count() > 8 && times.lines().all(|line| line.contains("1970-01-02")), "{times}");
}

#[test]
fn dpkg_reads_a_package_and_lintian_has_no_complaint() {
    let root = with_foo().unwrap();
    root.must("chmod 0750 /usr/src/foo-1.0/foo.c && ln -s foo.c /usr/src/foo-1.0/link && mkdir -p /usr/src/foo-1.0/.git/x").unwrap();
    root.must("dkms mkdeb foo/1.0").unwrap();
    let fields = root.must(&format!("dpkg-deb -f {DEB}")).unwrap();
    for line in [
        "Package: foo-dkms",
        "Version: 1.0",
        "Architecture: all",
        "Depends: dkms (>= 3)",
        "Provides: foo-modules (= 1.0)",
    ] {
        assert!(fields.lines().any(|field| field == line), "{fields}");
    }
    let listed = root.must(&format!("dpkg-deb -c {DEB}")).unwrap();
    assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
    assert!(
        listed.contains("-rwxr-x---") && listed.contains("link -> foo.c") && !listed.contains(".git"),
        "{listed}"
    );
    root.must(&format!(
        "dpkg-deb -x {DEB} /srv/x && diff -r --exclude=.git /usr/src/foo-1.0 /srv/x/usr/src/foo-1.0
         dpkg-deb -e {DEB} /srv/e && cd /srv/x && md5sum --quiet -c ../e/md5sums"
    ))
    .unwrap();
    root.must("rm -rf /usr/src/foo-1.0/.git; chmod 0644 /usr/src/foo-1.0/foo.c; rm /usr/src/foo-1.0/link")
        .unwrap();
    root.must("dkms build foo/1.0 -k $K && dkms mkdeb foo/1.0 && dkms mkdsc foo/1.0").unwrap();
    lint(&root, &format!("{DEB} /var/lib/dkms/foo/1.0/dsc/*.dsc")).unwrap();
    root.must("dkms mkbmdeb foo/1.0 --all").unwrap();
    root.must("lintian --allow-root --fail-on error /var/lib/dkms/foo/1.0/bmdeb/*.deb").unwrap();
}

#[test]
fn a_package_installs_upgrades_and_goes_with_ours_as_dkms() {
    let maker = with_foo().unwrap();
    Module::new("foo", "1.0+2").write_to(&maker).unwrap();
    maker.must("dkms mkdeb foo/1.0; cd /usr/src/foo-1.0+2; dkms mkdeb --archive /srv/new.deb").unwrap();
    for oracle in Oracle::ALL {
        let root = root().unwrap();
        install_dkms(&root, oracle).unwrap();
        hand_over(&maker, DEB, &root, "foo.deb").unwrap();
        hand_over(&maker, "/srv/new.deb", &root, "new.deb").unwrap();
        let before = root.must("ls /usr/src /lib/modules/*; ls /var/lib/dkms").unwrap();
        let log = root.must("dpkg -i /srv/foo.deb 2>&1").unwrap();
        let status = root.must("dkms status").unwrap();
        assert!(status.starts_with("foo/1.0"), "{oracle:?}: {log}{status}");
        assert!(status.contains(": installed"), "{oracle:?}: {log}{status}");
        let log = root.must("dpkg -i /srv/new.deb 2>&1").unwrap();
        let status = root.must("dkms status").unwrap();
        assert!(
            status.starts_with("foo/1.0+2,") && !status.contains("foo/1.0,"),
            "{oracle:?}: {log}{status}"
        );
        root.must("dpkg -r foo-dkms 2>&1").unwrap();
        assert_eq!(root.must("dkms status").unwrap(), "");
        let after = root.must("ls /usr/src /lib/modules/*; ls /var/lib/dkms").unwrap();
        let gone = |text: &str| text.lines().filter(|line| line.contains("foo")).count();
        assert_eq!((gone(&before), gone(&after)), (0, 0), "{oracle:?}: {after}");
    }
}

#[test]
fn built_modules_come_along_and_nothing_is_compiled() {
    let maker = with_foo().unwrap();
    maker.must("dkms build foo/1.0 -k $K -k $K2 && dkms mkdeb foo/1.0 -k $K -k $K2").unwrap();
    let root = root().unwrap();
    install_dkms(&root, Oracle::Trixie).unwrap();
    root.write("/usr/local/sbin/make", "#!/bin/sh\necho $* >>/srv/makes\nexit 1\n", 0o755).unwrap();
    hand_over(&maker, "/var/lib/dkms/foo/1.0/deb/foo-dkms_1.0_amd64.deb", &root, "foo.deb").unwrap();
    // A kernel that nothing was built for would be built for.
    root.must("rm -r /lib/modules/$K3").unwrap();
    let log = root.must("dpkg -i /srv/foo.deb 2>&1").unwrap();
    let status = root.must("dkms status -k $K -k $K2").unwrap();
    assert_eq!(
        status.lines().filter(|line| line.contains("built") || line.contains("installed")).count(),
        2,
        "{log}{status}"
    );
    assert_eq!(root.read("/srv/makes").unwrap(), "", "{log}");
    let sum = "cd /var/lib/dkms/foo/1.0/$K/$A/module && sha256sum *";
    assert_eq!(root.must(sum).unwrap(), maker.must(sum).unwrap());
}

#[test]
fn modules_by_themselves_need_neither_dkms_nor_compiler() {
    let maker = with_foo().unwrap();
    maker.must("dkms build foo/1.0 -k $K && dkms mkbmdeb foo/1.0 -k $K").unwrap();
    let deb = format!("/var/lib/dkms/foo/1.0/bmdeb/foo-modules-{}_1.0_amd64.deb", maker.kernels().first);
    let fields = maker.must(&format!("dpkg-deb -f {deb}")).unwrap();
    let image = format!("Depends: linux-image-{}", maker.kernels().first);
    for line in [image.as_str(), "Provides: foo-modules (= 1.0)", "Modaliases: foo(foo, pci:v00001234d*)"] {
        assert!(fields.lines().any(|field| field == line), "{fields}");
    }
    let root = root().unwrap();
    root.must("rm -f /usr/sbin/dkms").unwrap();
    hand_over(&maker, &deb, &root, "foo.deb").unwrap();
    root.must("dpkg -i --force-depends /srv/foo.deb").unwrap();
    assert_eq!(root.must("modinfo -k $K -F version pci:v00001234d5").unwrap().trim(), "1.0");
    root.must("dpkg -r foo-modules-$K").unwrap();
    let left = root
        .must("find /lib/modules -path '*updates*'; grep -c foo /lib/modules/$K/modules.dep || true")
        .unwrap();
    assert_eq!(left.trim(), "0");
}

#[test]
fn a_source_package_builds_to_the_package_that_mkdeb_makes() {
    for (version, count) in [("1.0", 3), ("1:2.0~rc1-3", 4)] {
        let root = root().unwrap();
        Module::new("my_foo", version).write_to(&root).unwrap();
        root.must(&format!(
            "dkms add my_foo/{version}; dkms mkdsc my_foo/{version}; dkms mkdeb my_foo/{version}"
        ))
        .unwrap();
        let files = root.must(&format!("ls /var/lib/dkms/my_foo/{version}/dsc")).unwrap();
        assert_eq!(files.lines().count(), count, "{files}");
        let listed = root
            .must(&format!(
                "mkdir /srv/b; cd /srv/b; dpkg-source -x /var/lib/dkms/my_foo/{version}/dsc/*.dsc x >/dev/null 2>&1
                 cd x; dpkg-buildpackage -us -uc >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}
                 list() {{ dpkg-deb -c $1 | awk '{{ print $1, $2, $3, $6 }}' | grep -v '/share/doc/.*gz'; dpkg-deb -f $1 Depends Provides Version; }}
                 list ../my-foo-dkms_*_all.deb >/srv/theirs; list /var/lib/dkms/my_foo/{version}/deb/*.deb >/srv/ours
                 diff /srv/ours /srv/theirs; cat /srv/theirs"
            ))
            .unwrap();
        assert!(
            listed.contains("./usr/src/my_foo-") && listed.contains(&format!("Version: {version}")),
            "{listed}"
        );
    }
}

#[test]
fn what_the_source_and_the_template_say_goes_first() {
    let root = with_foo().unwrap();
    let control = "Source: foo\nMaintainer: Ann Other <ann@debian.org>\n\nPackage: foo-dkms\nArchitecture: all\n\
                   Depends: ${misc:Depends}, bc\nDescription: better words\n longer\n";
    root.write("/usr/src/foo-1.0/debian/control", control, 0o644).unwrap();
    root.must("dkms mkdeb foo/1.0").unwrap();
    let fields = root.must(&format!("dpkg-deb -f {DEB}")).unwrap();
    for part in [
        "Maintainer: Ann Other <ann@debian.org>",
        "Depends: bc, dkms (>= 3)",
        "Description: better words\n longer",
    ] {
        assert!(fields.contains(part), "{fields}");
    }
    let template = "Source: x\n\nPackage: DEBIAN_PACKAGE-dkms\nDescription: MODULE_NAME in MODULE_VERSION\n";
    root.write("/etc/dkms/template-dkms-mkdeb/debian/control", template, 0o644).unwrap();
    root.write(
        "/etc/dkms/template-dkms-mkdeb/debian/postinst",
        "#!/bin/sh\necho MODULE_NAME\n#DEBHELPER#\n",
        0o644,
    )
    .unwrap();
    root.must("dkms mkdeb foo/1.0").unwrap();
    assert!(root.must(&format!("dpkg-deb -f {DEB}")).unwrap().contains("Description: foo in 1.0"));
    let script = root.must(&format!("dpkg-deb -I {DEB} postinst")).unwrap();
    assert!(script.starts_with("#!/bin/sh\necho foo\n") && script.contains("common.postinst"), "{script}");
    root.write(
        "/etc/dkms/template-dkms-mkdeb/debian/control",
        "Source: x\n\nPackage: foo-dkms\nDepends: a (>> \n",
        0o644,
    )
    .unwrap();
    let run = root.dkms("mkdeb foo/1.0").unwrap();
    assert_eq!(run.code, 8, "{run:?}");
    assert!(run.stderr.contains("template-dkms-mkdeb"), "{run:?}");
}
