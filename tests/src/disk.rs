//! A Debian system on a disk of its own, which the boot loader of its suite boots: GRUB, installed there by
//! the suite's own grub-install and grub-mkconfig, or systemd-boot. Knows how both are made and used, not
//! what boots.

use std::path::Path;

use anyhow::Result;
use dkms_base::host::fs;

use crate::apt::Package;
use crate::cache::Cache;
use crate::debs;
use crate::firmware::{Disk, Machine};
use crate::fixture::Module;
use crate::kernels::Kernels;
use crate::ready::{PLACE, Ready};
use crate::root::Root;
use crate::setup::{Base, base};

/// What a system with GRUB needs for itself and for making its disk.
const WITH_GRUB: &[&str] = &["kmod", "make", "grub-pc-bin", "grub2-common", "e2fsprogs", "fdisk"];

/// Debian 13 with its GRUB.
pub const GRUB_OF_TRIXIE: Base =
    Base { name: "grub-trixie", suite: "trixie", include: WITH_GRUB, script: "" };
/// The newest GRUB.
pub const GRUB_OF_FORKY: Base = Base { name: "grub-forky", suite: "forky", include: WITH_GRUB, script: "" };

/// A system that systemd starts and systemd-boot boots.
pub const SYSTEMD: Base = Base {
    name: "systemd-trixie",
    suite: "trixie",
    include: &[
        "kmod",
        "make",
        "systemd-sysv",
        "systemd-boot",
        "systemd-boot-efi",
        "e2fsprogs",
        "fdisk",
        "dosfstools",
        "mtools",
    ],
    script: "",
};

const FUNCTIONS: &str = include_str!("disk.sh");

/// What GRUB is told: its menu is not shown, and the kernel's messages go to the serial line.
const GRUB: &str = "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISABLE_OS_PROBER=true\nGRUB_TERMINAL=console\n\
    GRUB_CMDLINE_LINUX='console=ttyS0 quiet panic=-1 no_timer_check'\n";

const HEADERS: [&str; 6] = [
    ".config",
    ".kernelvariables",
    "Makefile",
    "Module.symvers",
    "include/config/auto.conf",
    "include/generated/utsrelease.h",
];

/// A MiB.
const MIB: u32 = 1 << 20;
/// How large the partition for systemd-boot and its kernels is, which is the first one.
const ESP: u32 = 127 * MIB;

/// What dkms looks at of a kernel's headers, copied from this machine to the same place below a folder of a
/// root; their paths.
///
/// # Errors
/// If they are not there, or cannot be copied.
pub fn copy_headers(root: &Root, kernel: &str, below: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for file in HEADERS {
        let path = format!("/usr/src/linux-headers-{kernel}/{file}");
        let place = root.view(&format!("{below}{path}"));
        fs::create_dir_all(place.parent().unwrap_or(&place))?;
        fs::write_whole(&place, &fs::read(Path::new(&path))?, 0o644)?;
        paths.push(path);
    }
    Ok(paths)
}

/// The system.
#[derive(Debug)]
pub struct System {
    root: Root,
    machine: Machine,
    kernels: Kernels,
    /// Where the partition with the system begins.
    start: u32,
}

impl System {
    /// One that GRUB boots, without a kernel. `$K` and `$K2` mean these kernels in it, as in other roots.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn with_grub(cache: &Cache, kernels: &Kernels, of: &Base) -> Result<Self> {
        let root = Root::of(cache, &base(cache, of)?, &[])?;
        let machine = Machine::with_bios(Disk::Image(root.view("/srv/disk")))?;
        let system = Self { root, machine, kernels: kernels.clone(), start: MIB };
        system.on_disk("own_devices; make_disk 'label: dos\ntype=83'")?;
        system.write("/etc/default/grub", GRUB.as_bytes())?;
        system.on_disk("install_grub")?;
        Ok(system)
    }

    /// One that systemd-boot boots, without a kernel and without an entry. The partition of the boot loader
    /// is `/srv/disk@@1M` for mtools in the root; the system's is the second one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn with_systemd_boot(cache: &Cache, kernels: &Kernels) -> Result<Self> {
        let root = Root::of(cache, &base(cache, &SYSTEMD)?, &[])?;
        let machine = Machine::new(Disk::Image(root.view("/srv/disk")))?;
        let system = Self { root, machine, kernels: kernels.clone(), start: MIB + ESP };
        let table = format!("label: gpt\nsize={}KiB,type=uefi\ntype=linux", ESP / 1024);
        system.on_disk(&format!("own_devices; make_disk '{table}'"))?;
        system.root.must(&format!(
            "mkfs.vfat --offset 2048 -F 32 -s 1 /srv/disk {} >/dev/null
             mmd -i /srv/disk@@1M ::EFI ::EFI/BOOT ::loader ::loader/entries; echo timeout 0 >/srv/loader.conf
             mcopy -i /srv/disk@@1M /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::EFI/BOOT/BOOTX64.EFI
             mcopy -i /srv/disk@@1M /srv/loader.conf ::loader/loader.conf",
            ESP / 1024
        ))?;
        Ok(system)
    }

    /// Calls a function of the script.
    fn on_disk(&self, call: &str) -> Result<String> {
        self.root.must(&format!("START={}\n{FUNCTIONS}\n{call}", self.start))
    }

    /// The root in which the system is `/disk`.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Runs lines of shell in the system, which have to succeed; what they print, errors included.
    ///
    /// # Errors
    /// If they fail, with their output.
    pub fn must(&self, lines: &str) -> Result<String> {
        let Kernels { first, second } = &self.kernels;
        let script = format!("exec 2>&1\nset -e\nK={first}\nK2={second}\n{lines}\n");
        self.root.write("/disk/srv/script", &script, 0o644)?;
        self.root.must("chroot /disk sh /srv/script")
    }

    /// Writes a file of the system.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.view(&format!("/disk{path}"));
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        Ok(fs::write_whole(&path, bytes, 0o644)?)
    }

    /// Installs our package dkms, of which a test passes `env!("CARGO_BIN_EXE_dkms-under-test")`, and adds
    /// the module foo/1.0, which this system can't do without: it can be built for a kernel if that has
    /// headers, and if `/srv/ready/foo.ko.K` is there, as it is for `$K` and `$K2`.
    ///
    /// # Errors
    /// If it cannot be installed or built.
    pub fn install_dkms(&self, cache: &Cache, program: &str) -> Result<()> {
        let machine = Root::new(cache, &self.kernels, &[])?;
        Ready::compile(cache, &self.kernels)?.put_for_each_kernel(&machine)?;
        let Kernels { first, second } = &self.kernels;
        for (kernel, file) in [(first, PLACE.to_owned()), (second, format!("{PLACE}.{second}"))] {
            self.write(&format!("{PLACE}.{kernel}"), &fs::read(&machine.view(&file))?)?;
        }
        let module = Module::new("foo", "1.0").with(&format!("MAKE=\"cp {PLACE}.$kernelver foo.ko\""));
        module.write_below(&self.root, "/disk/usr/src/foo-1.0")?;
        // It is installed as it asks to be: dpkg processes no trigger of a package that lacks something.
        // Nothing is compiled here. What stands for initramfs-tools makes an image newer than the modules
        // in it.
        self.root.must("mkdir -p /debs")?;
        Package::new("stand-in", "1.0").with("Provides: gcc, dpkg-dev, patch").pack(&self.root)?;
        self.root.must("mv /debs/stand-in_1.0.deb /disk/srv")?;
        let update = "#!/bin/sh\nfor kernel; do :; done\ntouch /boot/initrd.img-$kernel\n";
        self.root.write("/disk/usr/sbin/update-initramfs", update, 0o755)?;
        self.write("/srv/dkms.deb", &fs::read(&debs::ours(cache, program)?.dkms)?)?;
        self.must(
            "dpkg -i /srv/stand-in_1.0.deb /srv/dkms.deb; dkms add foo/1.0; echo CRITICAL=yes >/etc/dkms/foo.conf",
        )?;
        Ok(())
    }

    /// Boots it, and says the value of a word of the kernel's command line.
    ///
    /// # Errors
    /// As [`Machine::booted`].
    pub fn booted(&self, word: &str) -> Result<String> {
        // GRUB does not read the journal of a file system, and nobody else may write to it meanwhile.
        self.on_disk("detach")?;
        let value = self.machine.booted(word);
        self.on_disk("attach")?;
        value
    }
}
