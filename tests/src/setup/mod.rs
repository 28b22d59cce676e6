//! Fetches what the tests need and the machine doesn't have, into the cache. Quick where all is there;
//! whatever is missing at the end is an error.

mod apt;
mod bases;
mod firmware;
mod headers;
mod images;
mod newer;
mod packages;
pub mod systems;
mod tools;

use anyhow::Result;
use dkms_base::host::fs;
use dkms_offers::{Kernel, Line};

use apt::Apt;

pub use bases::{Base, base, made, own_layer};
pub use images::{image, split_kernel, unpacked, unpacked_of, vmlinuz};
pub use newer::NewerKernel;
pub use packages::{FURTHER_PACKAGES, MODULE_PACKAGES, ModulePackage, ModuleSource, fetch_further};

use crate::cache::{Cache, Oracle};
use crate::say;

/// Installs these programs alone, where they are missing.
///
/// # Errors
/// Where one is not available, or isn't one that setup knows.
pub fn install(programs: &[String]) -> Result<()> {
    tools::install(programs)
}

/// Fetches the kernels alone.
///
/// # Errors
/// Where they are not available.
pub fn kernels(cache: &Cache) -> Result<()> {
    headers::install(cache)?;
    NewerKernel::fetch(cache).map(drop)
}

/// The kernels of a line that a suite has, the newest first, with these apt preferences
/// (which hide packages).
///
/// # Errors
/// Where the suite's lists are not available.
pub fn offered(cache: &Cache, suite: &str, preferences: &str, line: &Line<'_>) -> Result<Vec<Kernel>> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write_whole(file.path(), preferences.as_bytes(), 0o644)?;
    Apt::open(cache, suite)?.preferring(file.path()).kernels(line)
}

/// Fetches everything.
///
/// # Errors
/// Where something is not available.
pub fn run() -> Result<()> {
    let cache = Cache::open()?;
    tools::install(&[])?;
    kernels(&cache)?;
    firmware::fetch(&cache)?;
    for package in ["shim-unsigned", "systemd-boot-efi", "grub-common", "grub2-common", "grub-efi-amd64-bin"]
    {
        unpacked(&cache, package)?;
    }
    for oracle in Oracle::ALL {
        for name in ["dkms", "dh-dkms"] {
            packages::fetch(&cache, oracle.suite(), name)?;
        }
    }
    // OpenSSL's way to tokens, which Debian 12 lacks.
    packages::fetch(&cache, "trixie", "pkcs11-provider")?;
    for package in MODULE_PACKAGES {
        packages::fetch(&cache, package.suite, package.name)?;
    }
    systems::make(&cache, &[])?;
    say(&format!("setup: everything is in `{}`", cache.at("").display()));
    Ok(())
}
