//! Packages for rpm where they are installed for real: by rpm 4.18 and dnf 4 of bookworm, by rpm
//! 6 and dnf 5 of forky.

use std::path::Path;

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::ready::Ready;
use dkms_tests::root::{Root, User};
use dkms_tests::setup::base;
use dkms_tests::setup::systems::PACKAGES_FORKY;
use dkms_tests::tool::Tool;

use super::common::{hand_over, install_dkms, root};

/// A kernel's name as distributions with rpm have it: a version takes one hyphen there.
const RELEASE: &str = "6.0.9-1.el9.x86_64";

/// What packages need of a system, as an rpm: rpm doesn't know what dpkg has installed.
const SYSTEM: &str = "Name: system\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\nAutoReqProv: no\n\
                      Provides: /bin/sh, dkms, gcc, make\n%description\nx\n%files\n";

/// A kernel's package, as far as ours asks for it.
fn kernel(release: &str) -> String {
    format!(
        "Name: kernel\nVersion: 1\nRelease: {}\nSummary: x\nLicense: x\nBuildArch: noarch\nAutoReqProv: no\n\
         Provides: kernel-uname-r = {release}\n%description\nx\n%files\n",
        release.replace('-', "_")
    )
}

/// The folder of that kernel alone, with these headers.
fn put_kernel(root: &Root, headers: &str) -> Result<()> {
    root.must(&format!(
        "rm -rf /lib/modules/*; mkdir -p /lib/modules/{RELEASE}; cd /lib/modules/{RELEASE}; ln -s {headers} build
         touch modules.order modules.builtin modules.builtin.modinfo; depmod {RELEASE}"
    ))
    .map(drop)
}

/// Packages that a compiler isn't needed for, in `/srv/repo` of a root: two versions of the source, a
/// kernel's modules, the kernel, another kernel, a system.
fn made() -> Result<Root> {
    let cache = Cache::open()?;
    let root = root()?;
    let ready = Ready::compile(&cache, root.kernels())?;
    ready.put_into(&root)?;
    let headers = format!("/usr/src/linux-headers-{}", root.kernels().first);
    put_kernel(&root, &headers)?;
    root.must(&format!("dkms add foo/1.0; dkms build foo/1.0 -k {RELEASE}; mkdir -p /srv/repo; cd /srv/repo; dkms mkrpm foo/1.0 -k {RELEASE}; mv /var/lib/dkms/foo/1.0/rpm/* ."))?;
    root.must("cp -a /usr/src/foo-1.0 /srv/next; sed -i 's/1\\.0/1.1/' /srv/next/dkms.conf; cd /srv/next; dkms mkrpm --archive /srv/repo/foo-1.1-1dkms.noarch.rpm; rm /srv/repo/*.src.rpm")?;
    for (name, text) in
        [("system", SYSTEM.to_owned()), ("kernel", kernel(RELEASE)), ("other", kernel("1.2.3-other"))]
    {
        root.write(&format!("/srv/{name}.spec"), &text, 0o644)?;
        root.must(&format!("rpmbuild --quiet -bb --define '_topdir /srv/top' /srv/{name}.spec >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}"))?;
    }
    root.must("cp /srv/top/RPMS/noarch/* /srv/repo/")?;
    // As another machine would have them.
    root.must("cd /srv; tar cf repo.tar repo ready; rm -rf /var/lib/dkms/foo /usr/src/foo-1.0")?;
    Ok(root)
}

/// How a root installs: as `rpm`, or as `dnf`.
const RPM: &str = "run() { action=$1; shift
    case $action in
    install) rpm -U \"$@\" ;;
    again) rpm -U --replacepkgs \"$@\" ;;
    erase) rpm -e \"$@\" ;;
    esac; }";
const DNF: &str = "run() { action=$1; shift
    dnf=$(command -v dnf5 || command -v dnf)
    case $action in install) action=install ;; again) action=reinstall ;; erase) action=remove ;; esac
    $dnf -y -q --setopt=reposdir=/nowhere --setopt=cachedir=/srv/cache --releasever=1 --setopt=clean_requirements_on_remove=0 \
        --repofrompath=t,file:///srv/repo --setopt=t.gpgcheck=0 $action \"$@\"; }";

fn check(root: &Root, how: &str, label: &str) -> Result<()> {
    let run = |words: &str| -> Result<String> {
        root.must(&format!("{how}\ncd /srv/repo; run {words} >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}; cat /srv/log; dkms status"))
    };
    let state = "find /usr/src /lib/modules /var/lib/dkms -not -path '/usr/src/linux*/*' -not -path '*/.state*' -not -name 'modules.*' | sort";
    run("install ./system-1-1.noarch.rpm")?;
    let before = root.must(state)?;
    let first = run("install ./foo-1.0-1dkms.noarch.rpm")?;
    assert!(first.contains("foo/1.0, ") && first.contains(": installed"), "{label}: {first}");
    let again = run("again ./foo-1.0-1dkms.noarch.rpm")?;
    assert!(again.contains("foo/1.0, ") && again.contains(": installed"), "{label}: {again}");
    let next = run("install ./foo-1.1-1dkms.noarch.rpm")?;
    assert!(next.contains("foo/1.1, ") && next.contains(": installed"), "{label}: {next}");
    assert!(!next.contains("foo/1.0, "), "{label}: {next}");
    run("erase foo")?;
    assert_eq!(root.must(state)?, before, "{label}: something is left");
    // The modules want exactly their kernel.
    run("install ./kernel-1-1.2.3_other.noarch.rpm")?;
    let kmod = root.must("cd /srv/repo; ls kmod-foo-*")?.trim().to_owned();
    // rpm looks for no other package; dnf would find it.
    let without = if how == DNF { "--exclude=kernel" } else { "" };
    let refused =
        root.shell(&format!("{how}\ncd /srv/repo; run install {without} ./{kmod} 2>&1"), User::Root, "/")?;
    assert!(refused.code != 0 && refused.stdout.contains("kernel-uname-r"), "{label}: {refused:?}");
    let kernel = if how == DNF { "" } else { "./kernel-1-6*.rpm" };
    run(&format!("install {kernel} ./{kmod}"))?;
    root.must("rpm -q kernel-1-6.0.9_1.el9.x86_64")?;
    let found = root.must("K=$(ls /lib/modules); modinfo -k $K -n foo; modprobe -n -S $K foo")?;
    assert!(found.contains("/extra/foo.ko"), "{label}: {found}");
    run(&format!("erase {}", kmod.split("-1.0-1").next().unwrap_or_default()))?;
    root.must("! find /lib/modules -name 'foo*' | grep .; ! grep foo /lib/modules/*/modules.dep; rpm -e --allmatches kernel")?;
    run("erase system").map(drop)
}

#[test]
fn rpm_4_and_dnf_4_install_upgrade_and_erase() {
    let made = made().unwrap();
    for (label, how) in [("rpm 4", RPM), ("dnf 4", DNF)] {
        let root = root().unwrap();
        install_dkms(&root, Oracle::Trixie).unwrap();
        hand_over(&made, "/srv/repo.tar", &root, "repo.tar").unwrap();
        put_kernel(&root, &format!("/usr/src/linux-headers-{}", root.kernels().first)).unwrap();
        root.must("cd /srv; tar xf repo.tar; createrepo_c -q repo; rm -rf /root/.rpmdb /var/lib/rpm")
            .unwrap();
        let version = root.must("rpm --version; dnf --version | head -1").unwrap();
        assert!(version.starts_with("RPM version 4.18") && version.contains("\n4."), "{version}");
        check(&root, how, label).unwrap();
    }
}

#[test]
#[ignore = "full tier"]
fn rpm_6_and_dnf_5_install_upgrade_and_erase() {
    let made = made().unwrap();
    let cache = Cache::open().unwrap();
    let system = base(&cache, &PACKAGES_FORKY).unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    for (label, how) in [("rpm 6", RPM), ("dnf 5", DNF)] {
        let root = Root::of(&cache, &system, &[&ours]).unwrap();
        install_dkms(&root, Oracle::Trixie).unwrap();
        hand_over(&made, "/srv/repo.tar", &root, "repo.tar").unwrap();
        root.must("cd /srv; tar xf repo.tar; createrepo_c -q repo").unwrap();
        // A ready module needs headers only to be looked at.
        let headers = format!("/usr/src/linux-headers-{}", made.kernels().first);
        for file in [".config", "Makefile", "include/config/auto.conf"] {
            let bytes = fs::read(&Path::new(&headers).join(file)).unwrap();
            let path = root.view(&format!("/usr/src/headers/{file}"));
            fs::create_dir_all(path.parent().expect("it lies in a folder")).unwrap();
            fs::write_whole(&path, &bytes, 0o644).unwrap();
        }
        put_kernel(&root, "/usr/src/headers").unwrap();
        root.write("/etc/dkms/framework.conf", "try_sign_modules=\"false\"\n", 0o644).unwrap();
        let version = root.must("rpm --version; dnf5 --version | head -1").unwrap();
        assert!(version.starts_with("RPM version 6.") && version.contains("dnf5 version 5"), "{version}");
        check(&root, how, label).unwrap();
    }
}
