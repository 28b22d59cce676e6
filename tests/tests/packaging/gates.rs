//! Packages that follow a kernel's metapackage, where they are installed for real: a newer kernel waits until
//! the module for it is published, and both come in one run.

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::ready::{PLACE, Ready};
use dkms_tests::root::{Root, User};
use dkms_tests::setup::base;
use dkms_tests::setup::systems::BARES;

use super::common::{hand_over, root};

/// The module in two versions, with all that its packages' scripts can be asked for.
fn foo(root: &Root) -> Result<()> {
    let ready = Ready::compile(&Cache::open()?, root.kernels())?;
    ready.put_into(root)?;
    for version in ["1.0", "1.1"] {
        let module = Module::new("foo", version)
            .with(&format!("MAKE=\"cp {PLACE} .\""))
            .with("MODULES_CONF=\"options foo text='its own'\"")
            .with("REMAKE_INITRD=yes");
        module.write_to(root)?;
        root.must(&format!("dkms add foo/{version}"))?;
    }
    Ok(())
}

/// Folders of kernels with headers of another.
fn kernels(root: &Root, releases: &[&str]) -> Result<()> {
    root.must(&format!(
        "headers=/usr/src/linux-headers-{}; rm -rf /lib/modules/*
         for k in {}; do mkdir -p /lib/modules/$k; ln -s $headers /lib/modules/$k/build
         touch /lib/modules/$k/modules.order; done",
        root.kernels().first,
        releases.join(" ")
    ))
    .map(drop)
}

pub(super) const OLD: &str = "6.1.0-1-test";
pub(super) const NEW: &str = "6.1.0-2-test";

/// `/srv/N/*.deb`: what each step publishes, with an index of all steps so far.
const DEBS: &str = "
deb() { # STEP NAME VERSION FIELDS
    mkdir -p /srv/deb/DEBIAN /srv/$1
    printf 'Package: %s\\nVersion: %s\\nArchitecture: amd64\\nMaintainer: x <x@example.org>\\nDescription: x\\n%s' \"$2\" \"$3\" \"$4\" >/srv/deb/DEBIAN/control
    dpkg-deb --root-owner-group -b /srv/deb /srv/$1/$2_$3_amd64.deb >/dev/null
    rm -rf /srv/deb
}
image() { # STEP KERNEL VERSION
    mkdir -p /srv/deb/lib/modules/$2 /srv/deb/boot
    touch /srv/deb/lib/modules/$2/modules.order /srv/deb/lib/modules/$2/modules.builtin /srv/deb/boot/initrd.img-$2
    deb $1 linux-image-$2 $3 ''
    deb $1 linux-image-test $3 \"Depends: linux-image-$2 (= $3)
Provides: linux-latest-modules-$2
\"
}
index() { cd /srv/repo; dpkg-scanpackages -m . >Packages 2>/dev/null; apt-get -qq update -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/t.list -o Dir::Etc::sourceparts=/dev/null; }
publish() { for step; do cp /srv/$step/*.deb /srv/repo/; done; index; }
";

pub(super) fn made_debs() -> Result<Root> {
    let root = root()?;
    foo(&root)?;
    kernels(&root, &[OLD, NEW])?;
    root.must("mkdir /srv/repo; echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/t.list")?;
    root.must(&format!("{DEBS}\nimage 1 {OLD} 6.1.5-1; image 2 {NEW} 6.1.7-2; publish 1 2"))?;
    for (step, version, kernel) in [(1, "1.0", OLD), (3, "1.0", NEW), (4, "1.1", OLD), (4, "1.1", NEW)] {
        let meta = if (step, kernel) == (4, OLD) { "" } else { "--meta test" };
        root.must(&format!(
            "dkms build foo/{version} -k {kernel}; dkms mkbmdeb foo/{version} -k {kernel} {meta}
             mkdir -p /srv/{step}; mv /var/lib/dkms/foo/{version}/bmdeb/*.deb /srv/{step}/"
        ))?;
    }
    root.must("cd /srv; tar cf steps.tar 1 2 3 4")?;
    Ok(root)
}

#[test]
fn apt_keeps_a_kernel_back_until_its_module_is_published() {
    let made = made_debs().unwrap();
    let fields = made.must("dpkg-deb -f /srv/1/foo-modules-test_*.deb").unwrap();
    for line in [
        "Version: 1.0+6.1.5-1",
        "Depends: foo-modules-6.1.0-1-test, linux-latest-modules-6.1.0-1-test",
        "Breaks: linux-image-test (>> 6.1.5-1)",
    ] {
        assert!(fields.lines().any(|field| field == line), "{fields}");
    }
    let cache = Cache::open().unwrap();
    let root = Root::of(&cache, &base(&cache, &BARES[0]).unwrap(), &[]).unwrap();
    hand_over(&made, "/srv/steps.tar", &root, "steps.tar").unwrap();
    // The machine that publishes has what makes the index.
    root.must("cd /srv; tar xf steps.tar; mkdir repo; rm -f /etc/apt/sources.list; rm -rf /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/t.list").unwrap();
    root.write("/usr/sbin/update-initramfs", "#!/bin/sh\necho $* >>/srv/initramfs\n", 0o755).unwrap();
    let publish = |steps: &str| {
        made.must(&format!("{DEBS}\nrm -f /srv/repo/*; for s in {steps}; do cp /srv/$s/*.deb /srv/repo/; done; cd /srv/repo; dpkg-scanpackages -m . >/srv/Packages 2>/dev/null")).unwrap();
        hand_over(&made, "/srv/Packages", &root, "Packages").unwrap();
        root.must(&format!("for s in {steps}; do cp /srv/$s/*.deb /srv/repo/; done; cp /srv/Packages /srv/repo/; apt-get -qq update 2>&1")).unwrap();
    };
    let apt = |words: &str| {
        let run = root.shell(
            &format!("DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 {words} 2>&1"),
            User::Root,
            "/",
        );
        let run = run.unwrap();
        assert_eq!(run.code, 0, "{words}: {run:?}");
        run.stdout
    };
    let there = || {
        root.must("dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n' 'linux-image-*' 'foo-*' | grep ' installed$' | sed 's/ installed//'").unwrap()
    };
    publish("1");
    apt("install linux-image-test foo-modules-test");
    let first = format!(
        "foo-modules-{OLD} 1.0\nfoo-modules-test 1.0+6.1.5-1\nlinux-image-{OLD} 6.1.5-1\nlinux-image-test 6.1.5-1\n"
    );
    assert_eq!(there(), first);
    assert_eq!(root.read("/etc/modprobe.d/dkms-foo.conf").unwrap(), "options foo text='its own'\n");
    assert_eq!(root.read("/srv/initramfs").unwrap(), format!("-u -k {OLD}\n"));
    publish("1 2");
    for words in ["upgrade", "upgrade --with-new-pkgs", "full-upgrade"] {
        apt(words);
        assert_eq!(there(), first, "{words}");
    }
    publish("1 2 3");
    apt("full-upgrade");
    assert_eq!(
        there(),
        format!(
            "foo-modules-{OLD} 1.0\nfoo-modules-{NEW} 1.0\nfoo-modules-test 1.0+6.1.7-2\nlinux-image-{OLD} 6.1.5-1\nlinux-image-{NEW} 6.1.7-2\nlinux-image-test 6.1.7-2\n"
        )
    );
    root.must(&format!("for k in {OLD} {NEW}; do modinfo -k $k foo >/dev/null; done")).unwrap();
    publish("1 2 3 4");
    apt("full-upgrade");
    let last = format!(
        "foo-modules-{OLD} 1.1\nfoo-modules-{NEW} 1.1\nfoo-modules-test 1.1+6.1.7-2\nlinux-image-{OLD} 6.1.5-1\nlinux-image-{NEW} 6.1.7-2\nlinux-image-test 6.1.7-2\n"
    );
    assert_eq!(there(), last);
    // Two kernels are kept; without that rule the older one goes, and its modules with it.
    apt("autoremove");
    assert_eq!(there(), last);
    apt("autoremove -o APT::Protect-Kernels=false");
    assert_eq!(
        there(),
        format!(
            "foo-modules-{NEW} 1.1\nfoo-modules-test 1.1+6.1.7-2\nlinux-image-{NEW} 6.1.7-2\nlinux-image-test 6.1.7-2\n"
        )
    );
    assert!(fs::exists(&root.view("/etc/modprobe.d/dkms-foo.conf")));
    apt("purge 'foo-modules-*'");
    root.must("test ! -e /etc/modprobe.d/dkms-foo.conf; ! find /lib/modules -name 'foo*' | grep .").unwrap();
}

const OLD_RPM: &str = "6.0.9-1.el9.x86_64";
const NEW_RPM: &str = "6.0.10-1.el9.x86_64";

/// The kernel's own package, as far as ours look at it.
fn kernel_core(release: &str) -> String {
    let (version, rest) = release.split_once('-').expect("it has a release");
    let rest = rest.trim_end_matches(".x86_64");
    format!(
        "Name: kernel-core\nVersion: {version}\nRelease: {rest}\nSummary: x\nLicense: x\nAutoReqProv: no\n\
         Provides: kernel-uname-r = {release}, installonlypkg(kernel)\n%description\nx\n%install\n\
         mkdir -p %buildroot/lib/modules/{release}; touch %buildroot/lib/modules/{release}/modules.order %buildroot/lib/modules/{release}/modules.builtin\n\
         %files\n/lib/modules/{release}\n"
    )
}

#[test]
fn dnf_takes_a_newer_kernel_with_its_module() {
    let root = root().unwrap();
    foo(&root).unwrap();
    kernels(&root, &[OLD_RPM, NEW_RPM]).unwrap();
    for (step, release) in [(1, OLD_RPM), (2, NEW_RPM)] {
        root.write("/srv/kernel.spec", &kernel_core(release), 0o644).unwrap();
        root.must(&format!(
            "rpmbuild --quiet -bb --define '_topdir /srv/top' /srv/kernel.spec >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}
             mkdir /srv/{step}; mv /srv/top/RPMS/x86_64/*.rpm /srv/{step}"
        ))
        .unwrap();
    }
    for (step, version, kernel) in
        [(1, "1.0", OLD_RPM), (3, "1.0", NEW_RPM), (4, "1.1", OLD_RPM), (4, "1.1", NEW_RPM)]
    {
        let meta = if (step, kernel) == (4, OLD_RPM) { "" } else { "--meta core" };
        root.must(&format!(
            "dkms build foo/{version} -k {kernel}; dkms mkrpm --binaries-only foo/{version} -k {kernel} {meta}
             mkdir -p /srv/{step}; mv /var/lib/dkms/foo/{version}/rpm/*.rpm /srv/{step}/"
        ))
        .unwrap();
    }
    root.must("rm -rf /lib/modules/*; mkdir /srv/repo; rm -rf /root/.rpmdb /var/lib/rpm").unwrap();
    let system = "Name: system\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\nAutoReqProv: no\nProvides: /bin/sh\n%description\nx\n%files\n";
    root.write("/srv/system.spec", system, 0o644).unwrap();
    root.must("rpmbuild --quiet -bb --define '_topdir /srv/top' /srv/system.spec >/srv/log 2>&1; rpm -U --nodeps /srv/top/RPMS/noarch/*.rpm").unwrap();
    let dnf = |words: &str| {
        let run = root.shell(
            &format!("rm -rf /srv/cache; dnf -y -q --setopt=reposdir=/nowhere --setopt=cachedir=/srv/cache --releasever=1 --repofrompath=t,file:///srv/repo --setopt=t.gpgcheck=0 {words} 2>&1"),
            User::Root,
            "/",
        );
        let run = run.unwrap();
        assert_eq!(run.code, 0, "{words}: {run:?}");
        run.stdout
    };
    let publish = |step: u32| {
        root.must(&format!("cp /srv/{step}/*.rpm /srv/repo/; createrepo_c -q /srv/repo")).unwrap();
    };
    let there = || -> Vec<String> {
        let list = "rpm -qa --qf '%{NAME}-%{VERSION}-%{RELEASE}\\n' 'kernel*' 'kmod*' | sort";
        root.must(list).unwrap().lines().map(str::to_owned).collect()
    };
    publish(1);
    dnf("install kernel-core kmod-foo");
    let first = vec![
        "kernel-core-6.0.9-1.el9".to_owned(),
        "kmod-foo-1.0-1.6.0.9_1.el9".to_owned(),
        format!("kmod-foo-{OLD_RPM}-1.0-1"),
    ];
    assert_eq!(there(), first);
    assert_eq!(root.read("/etc/modprobe.d/dkms-foo.conf").unwrap(), "options foo text='its own'\n");
    publish(2);
    dnf("upgrade --nobest");
    assert_eq!(there(), first);
    publish(3);
    dnf("upgrade");
    let both = |version: &str| {
        vec![
            "kernel-core-6.0.10-1.el9".to_owned(),
            "kernel-core-6.0.9-1.el9".to_owned(),
            format!("kmod-foo-{version}-1.6.0.10_1.el9"),
            format!("kmod-foo-{NEW_RPM}-{version}-1"),
            format!("kmod-foo-{OLD_RPM}-{version}-1"),
        ]
    };
    assert_eq!(there(), both("1.0"));
    publish(4);
    dnf("upgrade");
    assert_eq!(there(), both("1.1"));
    // The older kernel is there still, and so are its modules.
    dnf("autoremove");
    assert_eq!(there(), both("1.1"));
    dnf("remove kernel-core-6.0.9-1.el9");
    assert_eq!(there().len(), 3, "{:?}", there());
    assert!(fs::exists(&root.view("/etc/modprobe.d/dkms-foo.conf")));
}

#[test]
fn packages_of_modules_want_those_of_what_they_were_built_with() {
    let root = root().unwrap();
    Ready::compile(&Cache::open().unwrap(), root.kernels()).unwrap().put_into(&root).unwrap();
    Module::new("foo", "1.0")
        .with(&format!("MAKE=\"cp {PLACE} .\""))
        .with("BUILD_DEPENDS[0]=bar_core")
        .write_to(&root)
        .unwrap();
    root.must("dkms build foo/1.0 -k $K --force; dkms mkbmdeb foo/1.0 -k $K; dkms mkrpm --binaries-only foo/1.0 -k $K").unwrap();
    let kernel = root.kernels().first.clone();
    let depends = root.must("dpkg-deb -f /var/lib/dkms/foo/1.0/bmdeb/*.deb Depends").unwrap();
    assert_eq!(depends.trim(), format!("linux-image-{kernel}, bar-core-modules-{kernel}"));
    let requires = root.must("rpm -qp --requires /var/lib/dkms/foo/1.0/rpm/kmod-*.rpm").unwrap();
    assert!(requires.lines().any(|line| line == format!("kmod-bar_core-{kernel}")), "{requires}");
    // One kernel's gate can't be two kernels'.
    let run = root.dkms("mkbmdeb foo/1.0 -k $K -k $K2 --meta amd64").unwrap();
    assert_eq!(run.code, 2, "{run:?}");
    // Headers say which version of the metapackage brings their kernel, where apt doesn't know.
    root.must("rm -rf /var/lib/apt/lists/*; dkms mkbmdeb foo/1.0 -k $K --meta amd64").unwrap();
    let breaks = root.must("dpkg-deb -f /var/lib/dkms/foo/1.0/bmdeb/foo-modules-amd64_*.deb Breaks").unwrap();
    let version =
        root.must("sed 's/.*Debian //; s/\"//' /lib/modules/$K/build/include/generated/package.h").unwrap();
    assert_eq!(breaks.trim(), format!("linux-image-amd64 (>> {})", version.trim()));
}
