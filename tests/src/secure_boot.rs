//! Firmware with Secure Boot on: OVMF, with keys of the test's own, and shim with machine owner keys. Knows
//! how its variables are made and what QEMU needs for it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::command::must;
use crate::setup;

/// Where Debian's package `ovmf` has it.
const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// Whose keys these are, says each of them.
const OWNER: &str = "5b9a2d3e-0c3f-4b6e-9f2e-6d6b6d730001";

/// Firmware that trusts some keys.
#[derive(Debug, Clone)]
pub struct SecureBoot {
    variables: PathBuf,
    shim: Option<Shim>,
}

/// Debian's shim in front of a kernel.
#[derive(Debug, Clone)]
struct Shim {
    /// Where the owner's pair is, `NAME.key` and `NAME.pem`, and what it is called.
    dir: PathBuf,
    owner: String,
    /// shim itself, signed by the owner.
    shim: PathBuf,
    /// What makes one EFI program of a kernel, its initramfs and its command line.
    stub: PathBuf,
}

impl SecureBoot {
    /// Firmware whose owner's pair is `OWNER.key` and `OWNER.pem` in a folder; it trusts these other
    /// certificates (PEM) as well.
    ///
    /// # Errors
    /// Where a tool is missing (`make setup`).
    pub fn new(cache: &Cache, dir: &Path, owner: &str, others: &[&str]) -> Result<Self> {
        let more: Vec<&str> = others.iter().flat_map(|other| ["--add-db", OWNER, other]).collect();
        Ok(Self { variables: variables(cache, dir, owner, &more)?, shim: None })
    }

    /// Firmware that trusts its owner alone, who trusts shim, which has these certificates (PEM) enrolled.
    ///
    /// # Errors
    /// Where a tool is missing (`make setup`).
    pub fn with_shim(cache: &Cache, dir: &Path, owner: &str, enrolled: &[&str]) -> Result<Self> {
        let more: Vec<&str> = enrolled.iter().flat_map(|one| ["--add-mok", OWNER, one]).collect();
        let unsigned = setup::unpacked(cache, "shim-unsigned")?.join("usr/lib/shim/shimx64.efi");
        let stub =
            setup::unpacked(cache, "systemd-boot-efi")?.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
        let shim = sign_kernel(&unsigned, dir, owner)?;
        let shim = Shim { dir: dir.to_owned(), owner: owner.to_owned(), shim, stub };
        Ok(Self { variables: variables(cache, dir, owner, &more)?, shim: Some(shim) })
    }

    /// QEMU's options for what it boots, where shim boots it: a disk with a folder's files.
    pub(crate) fn disk(
        &self,
        dir: &Path,
        vmlinuz: &Path,
        initramfs: &Path,
        line: &str,
    ) -> Result<Option<String>> {
        let Some(Shim { dir: keys, owner, shim, stub }) = &self.shim else { return Ok(None) };
        let boot = dir.join("disk/EFI/BOOT");
        fs::create_dir_all(&boot)?;
        fs::copy_file(shim, &boot.join("BOOTX64.EFI"))?;
        fs::write_whole(&dir.join("line"), line.as_bytes(), 0o644)?;
        let mut words = Vec::new();
        for (name, file, at) in [
            (".cmdline", dir.join("line"), "0x30000"),
            (".linux", vmlinuz.to_owned(), "0x2000000"),
            (".initrd", initramfs.to_owned(), "0x4000000"),
        ] {
            words.extend(["--add-section".to_owned(), format!("{name}={}", file.display())]);
            words.extend(["--change-section-vma".to_owned(), format!("{name}={at}")]);
        }
        let whole = dir.join("whole.efi");
        words.extend([stub.display().to_string(), whole.display().to_string()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        must("objcopy", &words, dir)?;
        // The name by which shim knows what it boots.
        sign(&whole, &boot.join("grubx64.efi"), keys, owner)?;
        Ok(Some(format!("format=raw,file=fat:rw:{}", dir.join("disk").display())))
    }

    /// QEMU's options; the variables are the guest's own copy.
    pub(crate) fn options(&self, dir: &Path) -> Result<Vec<String>> {
        let copy = dir.join("variables.fd");
        fs::copy_file(&self.variables, &copy)?;
        let words = [
            "-machine",
            "q35,smm=on",
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            "-drive",
            &format!("if=pflash,format=raw,unit=0,readonly=on,file={CODE}"),
            "-drive",
            &format!("if=pflash,format=raw,unit=1,file={}", copy.display()),
        ];
        Ok(words.map(str::to_owned).into())
    }
}

/// Runs virt-firmware's tool for variable stores, which setup has put into the cache.
fn virt_fw_vars(cache: &Cache, words: &[&str], dir: &Path) -> Result<String> {
    let path = format!("PYTHONPATH={}", cache.at("virt-firmware").display());
    let mut all = vec![path.as_str(), "python3", "-m", "virt.firmware.vars"];
    all.extend(words);
    must("env", &all, dir).context("virt-firmware: run `make setup`")
}

/// The variables of firmware with an owner, and with more options of virt-firmware's tool.
fn variables(cache: &Cache, dir: &Path, owner: &str, more: &[&str]) -> Result<PathBuf> {
    let file = dir.join("variables.fd");
    let (into, owner) = (file.display().to_string(), format!("{owner}.pem"));
    let mut words = vec!["--input", VARIABLES, "--output", &into, "--secure-boot"];
    words.extend(["--set-pk", OWNER, &owner, "--add-kek", OWNER, &owner, "--add-db", OWNER, &owner]);
    words.extend(more);
    virt_fw_vars(cache, &words, dir)?;
    Ok(file)
}

/// Signs what firmware is to boot, a kernel or another EFI program, with `KEY.key` and `KEY.pem` in a folder;
/// the result is there.
///
/// # Errors
/// Where sbsign fails.
pub fn sign_kernel(program: &Path, dir: &Path, key: &str) -> Result<PathBuf> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let signed = dir.join(format!("{name}.{key}"));
    sign(program, &signed, dir, key)?;
    Ok(signed)
}

fn sign(program: &Path, signed: &Path, dir: &Path, key: &str) -> Result<()> {
    let (from, to) = (program.display().to_string(), signed.display().to_string());
    let (key, certificate) = (format!("{key}.key"), format!("{key}.pem"));
    must("sbsign", &["--key", &key, "--cert", &certificate, "--output", &to, &from], dir)?;
    Ok(())
}
