//! The boot guard under GRUB of Debian 13 and of the release after it, in systems of their own: dkms and
//! kernels come and go as packages, and what boots by default is what GRUB says.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_base::host::fs;
use dkms_tests::apt::Package;
use dkms_tests::cache::Cache;
use dkms_tests::disk::{self, GRUB_OF_FORKY, GRUB_OF_TRIXIE, copy_headers};
use dkms_tests::firmware::Kernel;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::setup::Base;

/// What is taken back to the byte: GRUB's menu, its saved variables, what it reads besides. And what is held.
const FILES: &str =
    "find /boot/grub/grub.cfg /boot/grub/grubenv /etc/default -type f | sort | xargs sha256sum
    cd /var/lib/dkms/.state/boot 2>/dev/null && ls | grep json || true";

/// A system with dkms and the critical module foo/1.0, which can be built for `$K` and `$K2` if their
/// headers are there. Packages of kernels lie in /srv: `linux-image-K` for `$K`, `$K2` and `$F`, another
/// flavour of `$K2` that is newer, and `linux-headers-K` for the first two.
struct System {
    grub: disk::System,
    flavour: String,
}

impl System {
    fn new(of: &Base) -> Self {
        let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
        let grub = disk::System::with_grub(&cache, &kernels, of).unwrap();
        let root = grub.root();
        let kernel = Kernel::new(&cache, &kernels.second, "cat /proc/cmdline").unwrap();
        fs::copy_file(&kernel.vmlinuz, &root.view("/srv/vmlinuz")).unwrap();
        fs::write_whole(&root.view("/srv/initrd.img"), &kernel.initramfs, 0o644).unwrap();
        root.must("mkdir -p /debs; : >/srv/empty").unwrap();
        let flavour = kernels.second.replace("-cloud-", "-rt-");
        for kernel in [&kernels.first, &kernels.second, &flavour] {
            image(root, kernel);
        }
        for kernel in [&kernels.first, &kernels.second] {
            headers(root, kernel);
        }
        root.must("mv /debs/* /disk/srv").unwrap();
        grub.install_dkms(&cache, env!("CARGO_BIN_EXE_dkms-under-test")).unwrap();
        Self { grub, flavour }
    }

    fn must(&self, lines: &str) -> String {
        self.grub.must(&format!("F={}\n{lines}", self.flavour)).unwrap()
    }

    fn booted(&self) -> String {
        self.grub.booted("BOOT_IMAGE").unwrap().trim_start_matches("/boot/vmlinuz-").to_owned()
    }

    fn files(&self) -> String {
        self.must(FILES)
    }
}

/// Packs a kernel whose scripts run the hooks as those of Debian's packages do.
fn image(root: &Root, kernel: &str) {
    let hooks = |phase: &str, and: &str| {
        format!(
            "export DEB_MAINT_PARAMS=\"$*\"\n\
             run-parts --report --exit-on-error --arg={kernel} --arg=/boot/vmlinuz-{kernel} /etc/kernel/{phase}.d{and}"
        )
    };
    let lists = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];
    let mut package = Package::new(&format!("linux-image-{kernel}"), "1.0")
        .file(&format!("/boot/vmlinuz-{kernel}"), "/srv/vmlinuz")
        .file(&format!("/boot/initrd.img-{kernel}"), "/srv/initrd.img")
        .script("postinst", &format!("depmod {kernel}\n{}", hooks("postinst", "")))
        .script("prerm", &format!("[ \"$1\" = remove ] || exit 0\n{}", hooks("prerm", "")))
        .script("postrm", &hooks("postrm", &format!("\nrm -f /lib/modules/{kernel}/modules.*")));
    for list in lists {
        package = package.file(&format!("/usr/lib/modules/{kernel}/{list}"), "/srv/empty");
    }
    package.pack(root).unwrap();
}

/// Packs what dkms looks at of a kernel's headers.
fn headers(root: &Root, kernel: &str) {
    let folder = format!("/usr/src/linux-headers-{kernel}");
    let mut package = Package::new(&format!("linux-headers-{kernel}"), "1.0").script(
        "postinst",
        &format!(
            "mkdir -p /lib/modules/{kernel}; ln -sfn {folder} /lib/modules/{kernel}/build
             run-parts --report --exit-on-error --arg={kernel} /etc/kernel/header_postinst.d"
        ),
    );
    for path in copy_headers(root, kernel, "").unwrap() {
        package = package.file(&path, &path);
    }
    package.pack(root).unwrap();
}

fn story(of: &Base) {
    let system = System::new(of);
    let Kernels { first, second } = Kernels::find().unwrap();
    let install = |what: &str| system.must(&format!("dpkg -i /srv/linux-{what}_1.0.deb"));
    install("image-${K}");
    install("headers-${K}");
    let said = install("image-${K2}");
    assert!(said.contains(&format!("kernel {second} boots next: foo/1.0 (CRITICAL=yes")), "{said}");
    assert_eq!(system.booted(), second, "the newest");
    let before = system.files();

    let said = system
        .must("echo boot_guard=hold >>/etc/dkms/framework.conf; dpkg -i /srv/linux-image-${K2}_1.0.deb");
    assert!(said.contains("does not become the default: foo/1.0 (CRITICAL=yes"), "{said}");
    assert_eq!(system.booted(), first, "held");
    let held = system.files();
    // Its package is installed again, and the menu is made again.
    install("image-${K2}");
    system.must("update-grub");
    assert_eq!(system.files(), held);

    // The other one goes, and comes back.
    system.must("dpkg -r linux-image-$K");
    assert_eq!(system.booted(), second, "the only one");
    install("image-${K}");
    install("image-${K2}");
    assert_eq!(system.files(), held);

    // The admin names it.
    let said = system.must(
        "cp /etc/default/grub /srv/grub
         id=$(grep -o \"gnulinux-$K2-advanced-[^']*\" /boot/grub/grub.cfg | head -n 1)
         echo GRUB_DEFAULT=\"'gnulinux-advanced-${id##*advanced-}>$id'\" >>/etc/default/grub
         dpkg -i /srv/linux-image-${K2}_1.0.deb",
    );
    assert!(said.contains("the default that the admin has set"), "{said}");
    assert_eq!(system.booted(), second, "the admin's own default");
    system.must("cp /srv/grub /etc/default/grub; dpkg -i /srv/linux-image-${K2}_1.0.deb");
    assert_eq!(system.files(), held);

    // Another flavour that nothing can be built for.
    install("image-${F}");
    assert_eq!(system.booted(), first, "two flavours are held");
    let said = install("headers-${K2}");
    assert!(said.contains(&format!("kernel {second} is no longer held back")), "{said}");
    assert_eq!(system.booted(), second, "late headers");
    system.must("dpkg -r linux-image-$F");
    assert_eq!(system.files(), before, "the one that was held has been removed");

    // Held, and nobody is there who would release it.
    let said = system.must("rm /srv/ready/foo.ko.$K2; dkms uninstall foo/1.0 -k $K2");
    assert!(said.contains("does not become the default"), "{said}");
    assert_eq!(system.files(), held);
    system.must("dpkg --purge dkms");
    assert_eq!(system.files(), before, "our package has been purged");
}

#[test]
#[ignore = "full tier"]
fn the_story_under_grub_of_debian_13() {
    story(&GRUB_OF_TRIXIE);
}

#[test]
#[ignore = "full tier"]
fn the_story_under_the_newest_grub() {
    story(&GRUB_OF_FORKY);
}
