//! Packages for rpm, with rpm.

use std::collections::BTreeSet;

use dkms_tests::cache::Oracle;
use dkms_tests::fixture::Module;

use super::common::{install_dkms, root, with_foo};

#[test]
fn an_rpm_installs_upgrades_and_goes() {
    let root = root().unwrap();
    install_dkms(&root, Oracle::Trixie).unwrap();
    for version in ["1.0", "1.1"] {
        Module::new("foo", version).write_below(&root, &format!("/srv/{version}/src")).unwrap();
        let same = format!(
            "cd /srv/{version}/src; dkms mkrpm; sleep 1; cp -a . ../again; cd ../again
             umask 077; dkms mkrpm --archive ../again.rpm; cmp ../again.rpm ../foo-{version}-1dkms.noarch.rpm"
        );
        root.must(&same).unwrap();
    }
    let rpm = "rpm --dbpath /srv/rpmdb";
    let facts = root
        .must(&format!("{rpm} -K /srv/1.0/*.rpm; {rpm} -qp --provides --requires /srv/1.0/foo*.noarch.rpm"))
        .unwrap();
    for part in ["digests OK", "foo-kmod = 1.0", "\ndkms\n", "\ngcc\n", "\nmake\n"] {
        assert!(facts.contains(part), "{facts}");
    }
    let install = |options: &str, version: &str| {
        root.must(&format!(
            "{rpm} {options} --nodeps /srv/{version}/foo-*.noarch.rpm >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}"
        ))
    };
    install("-i", "1.0").unwrap();
    let status = root.must("dkms status").unwrap();
    assert!(status.starts_with("foo/1.0,") && status.contains(": installed"), "{status}");
    root.must("test -f /usr/src/foo-1.0/foo.c").unwrap();
    // The same version again: the old package's script runs last, and must not undo the new one's.
    install("-U --replacepkgs", "1.0").unwrap();
    assert_eq!(root.must("dkms status").unwrap(), status);
    install("-U", "1.1").unwrap();
    let status = root.must("dkms status").unwrap();
    assert!(status.starts_with("foo/1.1,") && !status.contains("foo/1.0"), "{status}");
    root.must(&format!("{rpm} -e --nodeps foo 2>&1")).unwrap();
    assert_eq!(
        root.must("dkms status; ls -d /usr/src/foo* /var/lib/dkms/foo 2>/dev/null || true").unwrap(),
        ""
    );
    Module::new("bar", "1.0-2").write_below(&root, "/srv/bar").unwrap();
    root.must("dkms mkrpm /srv/bar; test -f /srv/bar-1.0_2-1dkms.noarch.rpm").unwrap();
    root.must("sed -i 's/1.0-2/1#0/' /srv/bar/dkms.conf").unwrap();
    assert_eq!(root.dkms("mkrpm /srv/bar").unwrap().code, 8);
    assert_eq!(root.dkms("mkrpm foo/1.0").unwrap().code, 3);
}

#[test]
fn an_rpm_of_built_modules_wants_its_kernel_and_names_its_devices() {
    let root = with_foo().unwrap();
    let before = root.must("ls /var/lib/dkms/foo/1.0").unwrap();
    assert_eq!(root.dkms("mkrpm foo/1.0 -k $K").unwrap().code, 6);
    assert_eq!(root.must("ls /var/lib/dkms/foo/1.0").unwrap(), before, "something is left");
    root.must("dkms build foo/1.0 -k $K; dkms mkrpm foo/1.0 -k $K; cd /var/lib/dkms/foo/1.0/rpm; sha256sum * >/srv/sums").unwrap();
    root.must("sleep 1; umask 077; dkms mkrpm foo/1.0 -k $K; cd /var/lib/dkms/foo/1.0/rpm; sha256sum --quiet -c /srv/sums; cp kmod-* /srv/kmod.rpm").unwrap();
    let asked = |what: &str| root.must(&format!("rpm --dbpath /srv/rpmdb -qp {what} /srv/kmod.rpm")).unwrap();
    assert!(asked("--requires").contains(&format!("kernel-uname-r = {}\n", root.kernels().first)));
    let provided: Vec<String> = asked("--provides")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("modalias(")?.strip_suffix(')')?.to_owned()))
        .collect();
    let told = root.must("modinfo -F alias /var/lib/dkms/foo/1.0/$K/$A/module/foo.ko | sort").unwrap();
    assert_eq!(provided.join("\n"), told.trim());
    root.must("rpm --dbpath /srv/rpmdb -K /srv/kmod.rpm | grep -q 'digests OK'").unwrap();
    let module = root
        .must("cd /var/lib/dkms/foo/1.0/$K/$A/module; sha256sum <foo.ko; rm -rf /var/lib/dkms/foo")
        .unwrap();
    root.must("rpm --dbpath /srv/rpmdb -i --nodeps /srv/kmod.rpm").unwrap();
    assert_eq!(root.must("sha256sum </lib/modules/$K/extra/foo.ko").unwrap(), module);
    assert!(root.must("modprobe -n -v -S $K pci:v00001234d5").unwrap().contains("extra/foo.ko"));
    root.must("rpm --dbpath /srv/rpmdb -e --nodeps kmod-foo-$K").unwrap();
    assert_eq!(
        root.must("find /lib/modules -name 'foo*'; grep -c foo /lib/modules/$K/modules.dep || true")
            .unwrap()
            .trim(),
        "0"
    );
}

#[test]
fn packages_of_built_modules_stand_beside_each_other() {
    let root = with_foo().unwrap();
    let second = root.kernels().second.clone();
    let make = |version: &str, kernel: &str| {
        root.must(&format!(
            "dkms build foo/{version} -k {kernel}; dkms mkrpm foo/{version} -k {kernel}; mv /var/lib/dkms/foo/{version}/rpm/kmod-*.rpm /srv/{version}-{kernel}.rpm"
        ))
        .unwrap();
    };
    let first = root.kernels().first.clone();
    make("1.0", &first);
    make("1.0", &second);
    root.must("cp -r /usr/src/foo-1.0 /usr/src/foo-2.0; sed -i 's/1[.]0/2.0/' /usr/src/foo-2.0/dkms.conf; dkms add foo/2.0").unwrap();
    make("2.0", &first);
    root.must("rm -rf /var/lib/dkms/foo").unwrap();
    let upgrade = |file: &str| root.must(&format!("rpm --dbpath /srv/rpmdb -U --nodeps /srv/{file}.rpm"));
    upgrade(&format!("1.0-{first}")).unwrap();
    upgrade(&format!("1.0-{second}")).unwrap();
    let listed = || -> BTreeSet<String> {
        let list = "rpm --dbpath /srv/rpmdb -qa 'kmod-*'; cd /lib/modules; find . -name 'foo.ko*'";
        root.must(list).unwrap().lines().map(str::to_owned).collect()
    };
    let of = |kernel: &str, version: &str| {
        [format!("kmod-foo-{kernel}-{version}-1.x86_64"), format!("./{kernel}/extra/foo.ko")]
    };
    let both = |version: &str| BTreeSet::from_iter([of(&first, version), of(&second, "1.0")].concat());
    assert_eq!(listed(), both("1.0"));
    // A new version takes the place of the same kernel's only.
    upgrade(&format!("2.0-{first}")).unwrap();
    assert_eq!(listed(), both("2.0"));
    root.must(&format!("rpm --dbpath /srv/rpmdb -e --nodeps kmod-foo-{first}")).unwrap();
    assert_eq!(listed(), BTreeSet::from(of(&second, "1.0")));
}
