//! A virtual machine that firmware boots (OVMF without Secure Boot, or a BIOS) from a disk of its own,
//! through the boot loader on it. Knows how it starts and what its serial line had, not what it boots.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::initramfs::Initramfs;
use crate::setup;

/// Where Debian's package `ovmf` has it.
const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// On a busy machine a boot may take minutes.
const TIME_LIMIT_SECONDS: &str = "1200";

/// What a machine boots from.
#[derive(Debug, Clone)]
pub enum Disk {
    /// A folder, which the machine sees as a FAT partition.
    Folder(PathBuf),
    /// An image of a whole disk.
    Image(PathBuf),
}

/// What starts the boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Firmware {
    /// OVMF.
    Uefi,
    /// QEMU's own, which runs the disk's boot sector.
    Bios,
}

/// A machine with its firmware's variables, which outlast a boot.
#[derive(Debug)]
pub struct Machine {
    dir: tempfile::TempDir,
    disk: Disk,
    firmware: Firmware,
}

/// What boots: a kernel, and an initramfs that prints the kernel's command line.
#[derive(Debug)]
pub struct Kernel {
    /// The kernel.
    pub vmlinuz: PathBuf,
    /// The initramfs.
    pub initramfs: Vec<u8>,
}

impl Kernel {
    /// One of the cache, and an initramfs that runs a script, which [`Machine::boot`] expects to print the
    /// command line as `/proc/cmdline` has it.
    ///
    /// # Errors
    /// If the kernel is not available.
    pub fn new(cache: &Cache, kernel: &str, script: &str) -> Result<Self> {
        let initramfs = Initramfs::bare()?.with_script(script)?;
        Ok(Self { vmlinuz: setup::vmlinuz(cache, kernel)?, initramfs })
    }
}

impl Machine {
    /// With this disk, and variables as the firmware is delivered with.
    ///
    /// # Errors
    /// If there is no firmware (`make setup`).
    pub fn new(disk: Disk) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::copy_file(Path::new(VARIABLES), &dir.path().join("variables.fd")).context("run `make setup`")?;
        Ok(Self { dir, disk, firmware: Firmware::Uefi })
    }

    /// With this disk, and a BIOS.
    ///
    /// # Errors
    /// If there is no room for its files.
    pub fn with_bios(disk: Disk) -> Result<Self> {
        Ok(Self { dir: tempfile::tempdir()?, disk, firmware: Firmware::Bios })
    }

    /// Boots until the machine switches itself off; what was on its serial line, without carriage returns.
    ///
    /// # Errors
    /// If it hangs, or QEMU is not there.
    pub fn boot(&self) -> Result<String> {
        let drive = match &self.disk {
            Disk::Folder(folder) => format!("format=raw,file=fat:rw:{}", folder.display()),
            Disk::Image(image) => format!("if=virtio,format=raw,file={}", image.display()),
        };
        let variables = self.dir.path().join("variables.fd");
        let machine =
            "-accel tcg -cpu max -machine q35 -m 512 -no-reboot -nodefaults -nographic -serial stdio";
        let mut words = vec!["-k", "5", TIME_LIMIT_SECONDS, "qemu-system-x86_64"];
        words.extend(machine.split(' '));
        let code = format!("if=pflash,format=raw,unit=0,readonly=on,file={CODE}");
        let variables = format!("if=pflash,format=raw,unit=1,file={}", variables.display());
        if self.firmware == Firmware::Uefi {
            words.extend(["-drive", &code, "-drive", &variables]);
        }
        words.extend(["-drive", &drive]);
        let log = self.dir.path().join("serial");
        let ended = duct::cmd("timeout", words)
            .stdin_null()
            .stdout_path(&log)
            .stderr_to_stdout()
            .unchecked()
            .run()
            .context("qemu can't be started: run `make setup`")?;
        let text = fs::read_lossy(&log)?.replace('\r', "");
        anyhow::ensure!(ended.status.success(), "the machine ended with {}:\n{text}", ended.status);
        Ok(text)
    }

    /// Boots, and says the value of a word of the kernel's command line.
    ///
    /// # Errors
    /// If it does not boot, or there is no such word.
    pub fn booted(&self, word: &str) -> Result<String> {
        let text = self.boot()?;
        let begin = text.find("guest: begins").with_context(|| format!("no kernel has booted:\n{text}"))?;
        let value =
            text[begin..].split_whitespace().find_map(|part| part.strip_prefix(word)?.strip_prefix('='));
        value.map(str::to_owned).with_context(|| format!("there is no `{word}=`:\n{text}"))
    }
}
