//! Packages in whole Debian systems: taken by dpkg and apt, with Debian's dkms and with ours, and the modules
//! loaded by a kernel that boots.

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::debs;
use dkms_tests::fixture::Module;
use dkms_tests::initramfs::Initramfs;
use dkms_tests::kernels::Kernels;
use dkms_tests::qemu::Guest;
use dkms_tests::root::Root;
use dkms_tests::setup::systems::{BARES, BUILDERS};
use dkms_tests::setup::{Base, base, image};
use dkms_tests::tool::Tool;

use super::common::hand_over;

/// Of what is in a system, all that a package of ours may change; what depmod makes aside, and a key to sign
/// with.
const STATE: &str = "find /usr/src /lib/modules/ /var/lib/dkms /etc /usr/share/doc /usr/share/*-dkms /var/lib/dpkg/info \
                     -not -path '/usr/src/linux-*/*' -not -path '*/dkms/.state*' -not -name 'modules.*' -not -name 'mok.*' 2>/dev/null | grep -v '/ld.so' | sort";

fn system(of: &Base) -> Result<Root> {
    let cache = Cache::open()?;
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::of(&cache, &base(&cache, of)?, &[&ours])?;
    // Neither network nor a service is needed, and what apt asks is answered.
    root.must("ln -s /opt/ours/dkms /usr/local/sbin/ours; mkdir -p /var/lib/dkms; printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d")?;
    // bookworm's headers come without their kernel: a module of it, and what depmod wants.
    let kernel = Kernels::find()?.second;
    let module = fs::read(&image(&cache, &kernel)?.join("kernel/lib/crc7.ko"))?;
    for entry in fs::list(&root.view("/lib/modules")).unwrap_or_default() {
        let folder = format!("/lib/modules/{}", entry.name.to_string_lossy());
        if !fs::exists(&root.view(&format!("{folder}/kernel"))) {
            fs::create_dir_all(&root.view(&format!("{folder}/kernel/lib")))?;
            fs::write_whole(&root.view(&format!("{folder}/kernel/lib/crc7.ko")), &module, 0o644)?;
            root.must(&format!("cd {folder}; touch modules.order modules.builtin modules.builtin.modinfo; depmod ${{PWD##*/}}"))?;
        }
    }
    Ok(root)
}

/// Versions from old to new, as dpkg orders them.
const VERSIONS: [&str; 4] = ["1.0~rc1-2", "1.0", "1.0-1.1", "1:0.9"];

/// Packages of all these versions, `/srv/N.deb` of a root, which makes them.
fn made(root: &Root) -> Result<()> {
    for (at, version) in VERSIONS.iter().enumerate() {
        // The kernel's makefiles take no path with a colon, which an epoch brings.
        let make =
            "MAKE=\"rm -rf /tmp/x; cp -r . /tmp/x; make -C ${kernel_source_dir} M=/tmp/x; cp /tmp/x/*.ko .\"";
        Module::new("foo_bar", version).with(make).write_below(root, &format!("/srv/{version}/src"))?;
        root.must(&format!("cd /srv/{version}/src; ours mkdeb --archive /srv/{at}.deb"))?;
    }
    Ok(())
}

fn dpkg_and_apt_take_a_package_upgrade_it_and_leave_nothing(number: usize) {
    let builder = &BUILDERS[number];
    for dkms in ["ours", "Debian's"] {
        let root = system(builder).unwrap();
        made(&root).unwrap();
        let apt = "DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends";
        let package = if dkms == "ours" {
            let debs = debs::ours(&Cache::open().unwrap(), env!("CARGO_BIN_EXE_dkms-under-test")).unwrap();
            fs::write_whole(&root.view("/srv/dkms.deb"), &fs::read(&debs.dkms).unwrap(), 0o644).unwrap();
            "/srv/dkms.deb"
        } else {
            "dkms"
        };
        root.must(&format!("{apt} install {package} >/srv/log 2>&1 || {{ cat /srv/log; exit 1; }}")).unwrap();
        let before = root.must(STATE).unwrap();
        // Half of them by dpkg, half by apt.
        let mut installed = String::new();
        for (at, version) in VERSIONS.iter().enumerate() {
            let install =
                if (at + number).is_multiple_of(2) { "dpkg -i".to_owned() } else { format!("{apt} install") };
            let log = root.must(&format!("{install} /srv/{at}.deb 2>&1")).unwrap();
            let label = format!("{} with {dkms} dkms, {version}: {log}", builder.name);
            installed = root.must("dkms status").unwrap();
            assert_eq!(installed.lines().count(), 1, "{label}{installed}");
            assert!(installed.starts_with(&format!("foo_bar/{version}, ")), "{label}{installed}");
            assert!(installed.contains(": installed"), "{label}{installed}");
            let shown = root.must("modinfo -k $(ls /lib/modules) -F version foo_bar;  dpkg-query -W -f '${Version}' foo-bar-dkms").unwrap();
            assert_eq!(shown, format!("{version}\n{version}"), "{label}");
        }
        root.must(&format!("{apt} install --reinstall /srv/3.deb 2>&1")).unwrap();
        assert_eq!(root.must("dkms status").unwrap(), installed);
        root.must(if dkms == "ours" { "dpkg -r foo-bar-dkms 2>&1" } else { "dpkg -P foo-bar-dkms 2>&1" })
            .unwrap();
        let after = root.must(STATE).unwrap();
        let new: Vec<&str> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
        assert_eq!(new, Vec::<&str>::new(), "{} with {dkms} dkms", builder.name);
        let gone: Vec<&str> = before.lines().filter(|line| !after.lines().any(|new| new == *line)).collect();
        assert_eq!(gone, Vec::<&str>::new(), "{} with {dkms} dkms", builder.name);
    }
}

#[test]
fn dpkg_and_apt_of_bookworm_take_a_package_upgrade_it_and_leave_nothing() {
    dpkg_and_apt_take_a_package_upgrade_it_and_leave_nothing(0);
}

#[test]
#[ignore = "full tier"]
fn dpkg_and_apt_of_trixie_take_a_package_upgrade_it_and_leave_nothing() {
    dpkg_and_apt_take_a_package_upgrade_it_and_leave_nothing(1);
}

fn built_modules_install_without_compiler_and_headers_and_load(builder: &Base, bare: &Base) {
    let maker = system(builder).unwrap();
    let kernel = maker.must("ls /lib/modules").unwrap().trim().to_owned();
    Module::new("foo", "1.0").write_to(&maker).unwrap();
    maker.must("cd /usr/src/foo-1.0; printf 'static int __init begin(void) { pr_info(\"foo: is here\\\\n\"); return 0; }\\nstatic void __exit end(void) {}\\nmodule_init(begin);\\nmodule_exit(end);\\nMODULE_ALIAS(\"foo-device\");\\n' >>foo.c").unwrap();
    maker.must(&format!("ours add foo/1.0; ours build foo/1.0 -k {kernel}; ours mkbmdeb foo/1.0 -k {kernel} --archive /srv/foo.deb")).unwrap();
    let root = system(bare).unwrap();
    root.must("! which gcc make dkms; test ! -e /usr/src/linux-headers*").unwrap();
    hand_over(&maker, "/srv/foo.deb", &root, "foo.deb").unwrap();
    let before = root.must("dpkg-query -W -f '${Package}\\n'").unwrap();
    // Its kernel comes with it.
    let log = root
        .must(
            "DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends install /srv/foo.deb 2>&1",
        )
        .unwrap();
    let packages = root.must("dpkg-query -W -f '${Package} ${Status}\\n'").unwrap();
    assert!(packages.contains(&format!("linux-image-{kernel} install ok installed")), "{log}");
    assert!(!packages.contains("gcc ") && !packages.contains("\ndkms "), "{before}{packages}");
    assert_eq!(
        root.must(&format!("modinfo -k {kernel} -F version foo-device")).unwrap().trim(),
        "1.0",
        "{log}"
    );
    let mut initramfs = Initramfs::new().unwrap();
    initramfs.tree(&root.view("/lib/modules"), "/lib/modules").unwrap();
    let vmlinuz = tempfile::NamedTempFile::new().unwrap();
    fs::write_whole(
        vmlinuz.path(),
        &fs::read(&root.view(&format!("/boot/vmlinuz-{kernel}"))).unwrap(),
        0o600,
    )
    .unwrap();
    let said = Guest::new(vmlinuz.path().to_owned())
        .run(
            &initramfs,
            "modprobe foo-device; echo modprobe: $?; sed 's/^/module: /' /proc/modules; dmesg | grep foo:",
        )
        .unwrap();
    assert_eq!(said.value("modprobe").unwrap(), "0", "{}", said.text);
    assert!(said.has("module: foo ") && said.has("foo: is here"), "{}", said.text);
    root.must(&format!("dpkg -P foo-modules-{kernel}; ! find /lib/modules /usr/share/doc | grep -e updates -e foo; ! grep foo /lib/modules/{kernel}/modules.dep /lib/modules/{kernel}/modules.alias")).unwrap();
}

#[test]
fn built_modules_install_without_compiler_and_headers_and_load_in_bookworm() {
    built_modules_install_without_compiler_and_headers_and_load(&BUILDERS[0], &BARES[0]);
}

#[test]
#[ignore = "full tier"]
fn built_modules_install_without_compiler_and_headers_and_load_in_trixie() {
    built_modules_install_without_compiler_and_headers_and_load(&BUILDERS[1], &BARES[1]);
}
