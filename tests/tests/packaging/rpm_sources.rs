//! Source packages for rpm, with rpmbuild, and the spec files that they are made of.

use dkms_tests::fixture::Module;

use super::common::{RPM_LINT, root};

/// All that a package says and holds, but for when and where it was built. Called with the file.
const FACTS: &str = "facts() {
    rpm -qp --qf '%{NAME} %{EPOCH} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE} %{SUMMARY}\\n%{DESCRIPTION}\\n%{URL} %{VENDOR} %{PACKAGER}\\n' $1
    rpm -qp --requires --provides --conflicts --changelog $1
    rpm -qp --scripts $1 | sed 's/ (using .*)//'
    rpm -qp --dump $1
}";

#[test]
fn rpmbuild_makes_of_a_source_package_what_mkrpm_makes() {
    for version in ["1.0", "1:2.0~rc1-3"] {
        let root = root().unwrap();
        Module::new("foo", version).write_below(&root, "/srv/foo/src").unwrap();
        root.must("cd /srv/foo/src; mkdir -m 0750 empty; ln -s foo.c link; chmod 0755 foo.c; echo '100%{?x}' >'a b%c'").unwrap();
        root.must("cd /srv/foo/src; dkms mkrpm; rm -rf /srv/top; rpmbuild --define '_topdir /srv/top' --rebuild ../foo-*.src.rpm >/srv/log 2>&1 || { cat /srv/log; exit 1; }").unwrap();
        let same = format!(
            "{FACTS}\nfacts /srv/foo/foo-*.noarch.rpm >/srv/ours; facts /srv/top/RPMS/noarch/*.rpm >/srv/theirs; diff /srv/ours /srv/theirs; cat /srv/ours"
        );
        let facts = root.must(&same).unwrap();
        assert!(facts.contains("/usr/src/foo-") && facts.contains("common.postinst"), "{facts}");
        root.must("rpm -K /srv/foo/*.src.rpm | grep -q 'digests OK'; mkdir /srv/i; rpm -i --define '_topdir /srv/i' /srv/foo/*.src.rpm; test -f /srv/i/SPECS/foo.spec").unwrap();
        root.must("mkdir /srv/other; cp -a /srv/foo/src /srv/other/; cd /srv/other/src; sleep 1; umask 077; dkms mkrpm --archive /srv/again.src.rpm; cmp /srv/again.src.rpm /srv/foo/foo-*.src.rpm").unwrap();
    }
}

#[test]
fn rpmlint_has_no_complaint_that_is_an_error() {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must("dkms add foo/1.0; dkms build foo/1.0 -k $K; dkms mkrpm foo/1.0 -k $K").unwrap();
    let said = root.must(&format!("{RPM_LINT} /var/lib/dkms/foo/1.0/rpm/*.rpm || true")).unwrap();
    let errors: Vec<&str> = said.lines().filter(|line| line.contains(" E: ")).collect();
    assert!(said.contains("3 packages") && errors.is_empty(), "{said}");
}

/// As authors have them who used the original's makers of packages.
const OWN: &str = "\
%{?!module_name: %{error: no %%module_name}}
%{?!packager: %define packager Ann Other <ann@debian.org>}
Summary: %{module_name} %{version} for everybody
Name: %{module_name}-wrapped
Version: %{version}
Release: 7
License: MIT
Packager: %{packager}
URL: https://foo.org
Requires: dkms >= 3, bash
Requires(post): coreutils
%if 0%{?fedora}
Requires: fedora-only
%endif
%description
100%% of %{module_name}.
%prep
%install
%post
echo before %{name}
%{dkms_post}
%posttrans -p /bin/sh
echo last ${0%%/*}
%files
";

#[test]
fn the_sources_own_spec_file_goes_first() {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.write("/usr/src/foo-1.0/foo-dkms-mkrpm.spec", OWN, 0o644).unwrap();
    root.must("dkms add foo/1.0; dkms mkrpm foo/1.0; cp /var/lib/dkms/foo/1.0/rpm/* /srv/").unwrap();
    let facts = root.must(&format!("{FACTS}\nfacts /srv/foo-wrapped-1.0-1dkms.noarch.rpm >/srv/ours; rpmbuild --define '_topdir /srv/top' --rebuild /srv/foo-wrapped-1.0-1dkms.src.rpm >/dev/null 2>&1; facts /srv/top/RPMS/noarch/*.rpm | diff /srv/ours -; cat /srv/ours")).unwrap();
    for part in [
        "foo-wrapped (none) 1.0 1dkms noarch MIT foo 1.0 for everybody\n100% of foo.\nhttps://foo.org (none) Ann Other",
        "\nbash\n",
        "\ndkms >= 3\n",
        "\nfoo-kmod = 1.0\n",
        "echo before foo-wrapped\n",
        "common.postinst \"foo\" \"1.0\"",
        "echo last ${0%/*}",
        "dkms remove -m \"foo\"",
    ] {
        assert!(facts.contains(part), "{part}: {facts}");
    }
    assert!(!facts.contains("fedora-only"), "{facts}");
    for (line, said) in [
        ("License: %(id)", "line 2"),
        ("Name: a;b", "a;b"),
        ("%if %{x}\n%endif", "line 2"),
        ("Requires: >= 1", "requires"),
    ] {
        root.write("/usr/src/foo-1.0/foo-dkms-mkrpm.spec", &format!("Summary: x\n{line}\n"), 0o644).unwrap();
        root.must("rm -r /var/lib/dkms/foo/1.0/rpm 2>/dev/null || true").unwrap();
        let run = root.dkms("mkrpm foo/1.0").unwrap();
        assert!(run.code == 8 && run.stderr.contains(said), "{line}: {run:?}");
        root.must("test ! -e /var/lib/dkms/foo/1.0/rpm").unwrap();
    }
}

const KMP: &str = "\
%global flavour plain
Name: foo-kmp-%{flavour}
Version: 1.0
Release: 3
Summary: The module foo
License: GPL-2.0-only
Source0: foo-%{version}.tar.xz
Source1: extra.conf
Patch1: fix.patch
BuildRequires: make, %{kernel_module_package_buildreqs}
BuildRequires: gcc >= 4
%description
The module foo.
%prep
%autosetup -p1 -n foo-%{version}
%build
make -C /lib/modules/%{k}/build M=$PWD modules
%install
install -D -m 0644 foo.ko %{buildroot}/lib/modules/%{k}/updates/foo.ko
install -D -m 0644 %{SOURCE1} %{buildroot}/etc/modprobe.d/foo.conf
%files
/lib/modules/%{k}/updates
/etc/modprobe.d/foo.conf
%changelog
";

#[test]
fn a_kernel_module_package_is_built_from_what_mkkmp_packs() {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    assert_eq!(root.dkms("mkkmp foo/1.0").unwrap().code, 3);
    root.must("dkms add foo/1.0").unwrap();
    assert_eq!(root.dkms("mkkmp foo/1.0").unwrap().code, 2, "no spec file");
    root.write("/srv/own.spec", KMP, 0o644).unwrap();
    root.write("/usr/src/foo-1.0/extra.conf", "options foo\n", 0o644).unwrap();
    let run = root.dkms("mkkmp foo/1.0 --spec /srv/own.spec").unwrap();
    assert!(run.code == 8 && run.stderr.contains("fix.patch"), "{run:?}");
    root.must("cd /usr/src/foo-1.0; cp Makefile /srv/; echo '# patched' >>Makefile; diff -u --label a/Makefile --label b/Makefile /srv/Makefile Makefile >/srv/fix.patch || true; cp /srv/Makefile .").unwrap();
    root.must("mkdir /usr/src/foo-1.0/patches; mv /srv/fix.patch /usr/src/foo-1.0/patches/; cp /srv/own.spec /usr/src/foo-1.0/foo-kmp.spec; dkms mkkmp foo/1.0").unwrap();
    let package = "/var/lib/dkms/foo/1.0/rpm/foo-kmp-plain-1.0-3.src.rpm";
    let listed = root.must(&format!("rpm -qlp {package}; rpm -qp --requires {package}")).unwrap();
    assert!(
        listed.starts_with("extra.conf\nfix.patch\nfoo-1.0.tar.xz\nfoo-kmp.spec\ngcc >= 4\n"),
        "{listed}"
    );
    root.must(&format!("sed -i 's/, %{{kernel_m.*//' /usr/src/foo-1.0/foo-kmp.spec; dkms mkkmp foo/1.0; cp {package} /srv/1; sleep 1; umask 077; dkms mkkmp foo/1.0; cmp {package} /srv/1")).unwrap();
    root.must(&format!("rpmbuild --nodeps --define '_topdir /srv/top' --define \"k $K\" --define 'debug_package %{{nil}}' --rebuild {package} >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}")).unwrap();
    let built = root.must("rpm -qlp /srv/top/RPMS/*/*.rpm").unwrap();
    assert!(built.contains("updates/foo.ko") && built.contains("modprobe.d/foo.conf"), "{built}");
}
