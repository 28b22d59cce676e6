//! A virtual machine that boots a real kernel, and what it said on its serial line.
//!
//! Emulated (TCG), so that it runs wherever the tests do; without firmware it is up in two seconds.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use dkms_tests::{cache::Cache, initramfs::Initramfs, kernels::Kernels, qemu, root::Root};
//!
//! let cache = Cache::open()?;
//! let root = Root::new(&cache, &Kernels::find()?, &[])?;
//! let guest = qemu::whole_kernel(&root, &cache)?;
//! root.must("dpkg -i foo-modules.deb; depmod $K2")?;
//! let mut initramfs = Initramfs::new()?;
//! initramfs.tree(&root.view("/lib/modules"), "/lib/modules")?;
//! let said = guest.run(&initramfs, "modprobe foo && grep '^foo ' /proc/modules")?;
//! assert!(said.succeeded());
//! # Ok(())
//! # }
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::initramfs::Initramfs;
use crate::root::Root;
use crate::secure_boot::SecureBoot;
use crate::setup;

/// A guest that takes longer hangs; under Secure Boot on a busy machine half a minute is usual.
const TIME_LIMIT_SECONDS: &str = "600";

/// A machine to be booted.
#[derive(Debug, Clone)]
pub struct Guest {
    vmlinuz: PathBuf,
    command_line: String,
    secure_boot: Option<SecureBoot>,
}

/// What a guest said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Everything on its serial line since the script began, without carriage returns.
    pub text: String,
    code: i32,
}

/// Gives a root all modules of its second kernel (`$K2`, the smaller one), as the kernel's package leaves
/// them; and what boots it.
///
/// # Errors
/// Where the package is not available.
pub fn whole_kernel(root: &Root, cache: &Cache) -> Result<Guest> {
    let kernel = &root.kernels().second;
    root.must("rm -r /lib/modules/$K2")?;
    let image = setup::image(cache, kernel)?;
    fs::copy_tree(&image, &root.view(&format!("/lib/modules/{kernel}")), fs::Ownership::Kept)?;
    root.must("ln -s /usr/src/linux-headers-$K2 /lib/modules/$K2/build; depmod $K2")?;
    Ok(Guest::new(setup::vmlinuz(cache, kernel)?))
}

impl Guest {
    /// With this kernel.
    #[must_use]
    pub fn new(vmlinuz: PathBuf) -> Self {
        Self { vmlinuz, command_line: String::new(), secure_boot: None }
    }

    /// With more words on the kernel's command line.
    #[must_use]
    pub fn with(mut self, words: &str) -> Self {
        self.command_line = format!("{} {words}", self.command_line);
        self
    }

    /// With firmware that boots only what it trusts; the kernel must be signed for it.
    #[must_use]
    pub fn under(mut self, firmware: &SecureBoot) -> Self {
        self.secure_boot = Some(firmware.clone());
        self
    }

    /// Boots, runs a script of shell, and ends.
    ///
    /// # Errors
    /// Where it doesn't boot, hangs, or crashes; [`Said`] has the exit code of the script.
    pub fn run(&self, initramfs: &Initramfs, script: &str) -> Result<Said> {
        let dir = tempfile::tempdir()?;
        let archive = dir.path().join("initramfs");
        fs::write_whole(&archive, &initramfs.with_script(script)?, 0o600)?;
        let mut words: Vec<String> =
            ["-k", "5", TIME_LIMIT_SECONDS, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max"]
                .map(str::to_owned)
                .into();
        words.extend(["-m", "1024", "-no-reboot", "-nodefaults", "-nographic"].map(str::to_owned));
        words.extend(["-serial", "stdio"].map(str::to_owned));
        let line = format!("console=ttyS0 panic=-1 no_timer_check quiet loglevel=1{}", self.command_line);
        let disk = match &self.secure_boot {
            Some(firmware) => {
                words.extend(firmware.options(dir.path())?);
                firmware.disk(dir.path(), &self.vmlinuz, &archive, &line)?
            }
            None => {
                words.extend(["-machine", "q35"].map(str::to_owned));
                None
            }
        };
        match disk {
            Some(disk) => words.extend(["-drive".to_owned(), disk]),
            None => {
                words.extend(["-kernel".to_owned(), self.vmlinuz.display().to_string()]);
                words.extend(["-initrd".to_owned(), archive.display().to_string()]);
                words.extend(["-append".to_owned(), line]);
            }
        }
        let log = dir.path().join("serial");
        let ended = duct::cmd("timeout", &words)
            .stdin_null()
            .stdout_path(&log)
            .stderr_to_stdout()
            .unchecked()
            .run()
            .context("qemu can't be started: run `make setup`")?;
        let text = fs::read_lossy(&log)?.replace('\r', "");
        let code = text.lines().rev().find_map(|line| line.strip_prefix("guest: ended with ")?.parse().ok());
        let Some(code) = code else {
            bail!("the guest did not end by itself ({}):\n{text}", ended.status);
        };
        let begin = text.find("guest: begins\n").unwrap_or(0);
        Ok(Said { text: text[begin..].to_owned(), code })
    }
}

impl Said {
    /// Whether the script ended with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// Whether something was printed.
    #[must_use]
    pub fn has(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    /// What stands behind `WORD: ` in the last line that begins with it: how scripts report.
    ///
    /// # Errors
    /// Where there is no such line.
    pub fn value(&self, word: &str) -> Result<&str> {
        let found = self.text.lines().rev().find_map(|line| line.strip_prefix(word)?.strip_prefix(": "));
        found.with_context(|| format!("the guest did not say `{word}`:\n{}", self.text))
    }
}
