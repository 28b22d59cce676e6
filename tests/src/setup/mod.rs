//! Fetches what the tests need and the machine doesn't have, into the cache. Quick where all is there; whatever is
//! missing at the end is an error.

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

pub use bases::{Base, base};
pub(crate) use images::unpacked;
pub use images::{image, vmlinuz};
pub use newer::NewerKernel;
pub use packages::{MODULE_PACKAGES, ModulePackage};

use crate::cache::{Cache, Oracle};
use crate::say;

/// Installs these programs alone, where they are missing.
///
/// # Errors
/// Where one can't be had, or isn't one that setup knows.
pub fn install(programs: &[String]) -> Result<()> {
    tools::install(programs)
}

/// Fetches everything.
///
/// # Errors
/// Where something can't be had.
pub fn run() -> Result<()> {
    let cache = Cache::open()?;
    tools::install(&[])?;
    headers::install(&cache)?;
    firmware::fetch(&cache)?;
    NewerKernel::fetch(&cache)?;
    for package in ["shim-unsigned", "systemd-boot-efi"] {
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
        packages::fetch(&cache, "bookworm", package.name)?;
    }
    systems::make(&cache)?;
    say(&format!("setup: everything is in `{}`", cache.at("").display()));
    Ok(())
}
