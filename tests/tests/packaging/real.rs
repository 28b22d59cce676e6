//! Debian's own module packages, packed by us: whole, without an error of lintian or
//! rpmlint, the same each time.

use anyhow::{Context, Result, ensure};
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::root::Root;
use dkms_tests::tier::is_full;

use super::common::{RPM_LINT, install_dkms, root};

/// Package, how many modules are built of it, and whether every run takes it.
const REAL: [(&str, Option<usize>, bool); 8] = [
    ("acpi-call-dkms", Some(1), false),
    ("ddcci-dkms", Some(2), true),
    ("digimend-dkms", Some(4), false),
    ("gost-crypto-dkms", Some(6), false),
    // With a script; it needs more than headers.
    ("iptables-netflow-dkms", None, true),
    ("jool-dkms", Some(3), false),
    // With a patch; too old for these kernels.
    ("lttng-modules-dkms", None, true),
    ("xtables-addons-dkms", Some(23), false),
];

/// Copies the source of a package into a root; the folder's name.
fn source(root: &Root, package: &str) -> Result<String> {
    let folder = Cache::open()?.package("bookworm", package).join("root/usr/src");
    let found = fs::list(&folder)?;
    let name = found.first().context("a package has a source")?.name.to_string_lossy().into_owned();
    fs::copy_tree(&folder.join(&name), &root.view(&format!("/usr/src/{name}")), fs::Ownership::Kept)?;
    Ok(name)
}

fn packed(package: &str) -> Result<()> {
    let root = root()?;
    let name = source(&root, package)?;
    let from = format!("/usr/src/{name}");
    // What is reported of a file of the source is no fault of ours: it is packed as it is.
    let of_source = format!("{name}/");
    root.must(&format!(
        "mkdir /srv/out /srv/deb /srv/rpm /srv/dsc; cd {from}
         dkms mkdeb --archive /srv/out/x.deb; dkms mkrpm --archive /srv/out/x.noarch.rpm
         dkms mkrpm --archive /srv/out/x.src.rpm; dkms mkdsc; mv ../*.dsc ../*.tar.xz ../*.changes /srv/dsc/
         dpkg-deb -x /srv/out/x.deb /srv/deb; diff -r --no-dereference {from} /srv/deb{from}
         cd /srv/rpm; rpm2cpio /srv/out/x.noarch.rpm | cpio -idm --quiet; diff -r --no-dereference {from} /srv/rpm{from}
         for made in /srv/deb /srv/rpm; do
           list() {{ cd $1{from}; find . -printf '%p %y %m %l\\n' | sort; find . -type f -printf '%p %Ts\\n' | sort; }}
           list '' >/srv/a; list $made >/srv/b; diff /srv/a /srv/b
         done
         cp -a {from} /srv/again; cd /srv/again; umask 077; TZ=Asia/Tokyo
         dkms mkdeb --archive /srv/x.deb; cmp /srv/x.deb /srv/out/x.deb
         dkms mkrpm --archive /srv/x.noarch.rpm; cmp /srv/x.noarch.rpm /srv/out/x.noarch.rpm
         dkms mkrpm --archive /srv/x.src.rpm; cmp /srv/x.src.rpm /srv/out/x.src.rpm"
    ))?;
    let said = root.must("lintian --allow-root --fail-on none /srv/out/x.deb /srv/dsc/*.dsc 2>&1")?;
    let errors: Vec<&str> =
        said.lines().filter(|line| line.starts_with("E: ") && !line.contains(&of_source)).collect();
    ensure!(errors.is_empty(), "{package}: {errors:#?}");
    let said = root.must(&format!("{RPM_LINT} /srv/out/*.rpm 2>&1 || true"))?;
    let errors: Vec<&str> =
        said.lines().filter(|line| line.contains(" E: ") && !line.contains(&of_source)).collect();
    ensure!(errors.is_empty() && said.contains("2 packages"), "{package}: {said}");
    Ok(())
}

#[test]
fn real_modules_are_packed_whole_and_the_same_each_time() {
    for (package, _, sampled) in REAL {
        if is_full() || sampled {
            packed(package).with_context(|| package.to_owned()).unwrap();
        }
    }
}

#[test]
fn a_real_module_of_several_is_installed_from_its_packages() {
    for (package, modules, sampled) in REAL {
        let Some(modules) = modules.filter(|_| sampled || is_full()) else { continue };
        let root = root().unwrap();
        install_dkms(&root, Oracle::Trixie).unwrap();
        let name = source(&root, package).unwrap();
        root.must(&format!(
            "cd /usr/src/{name}; dkms mkdeb --archive /srv/x.deb; dkms mkrpm --archive /srv/x.noarch.rpm"
        ))
        .unwrap();
        root.must(&format!("rm -r /usr/src/{name}; rm -r /lib/modules/$K2 /lib/modules/$K3")).unwrap();
        let count = "find /lib/modules/$K -name '*.ko*' | wc -l";
        let log = root.must("dpkg -i /srv/x.deb 2>&1").unwrap();
        assert_eq!(root.must(count).unwrap().trim(), modules.to_string(), "{package}: {log}");
        root.must("dpkg -r $(dpkg-deb -f /srv/x.deb Package)").unwrap();
        assert_eq!(root.must(count).unwrap().trim(), "0", "{package}");
        let log = root.must("rpm --dbpath /srv/db -i --nodeps /srv/x.noarch.rpm 2>&1").unwrap();
        assert_eq!(root.must(count).unwrap().trim(), modules.to_string(), "{package}: {log}");
        root.must("rpm --dbpath /srv/db -e --nodeps $(rpm -qp --qf '%{NAME}' /srv/x.noarch.rpm)").unwrap();
        assert_eq!(root.must(count).unwrap().trim(), "0", "{package}");
        assert!(!fs::exists(&root.view(&format!("/usr/src/{name}"))), "{package}");
    }
}
