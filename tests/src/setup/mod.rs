//! Fetches what the tests need and the machine doesn't have, into the cache. Quick where all is there; whatever is
//! missing at the end is an error.

mod apt;
mod headers;
mod images;
mod packages;
mod tools;

use anyhow::Result;

pub use images::image;
pub use packages::{MODULE_PACKAGES, ModulePackage};

use crate::cache::{Cache, Oracle};
use crate::say;

/// Fetches everything.
///
/// # Errors
/// Where something can't be had.
pub fn run() -> Result<()> {
    let cache = Cache::open()?;
    tools::install()?;
    headers::install()?;
    for oracle in Oracle::ALL {
        packages::fetch(&cache, oracle.suite(), "dkms")?;
    }
    for package in MODULE_PACKAGES {
        packages::fetch(&cache, "bookworm", package.name)?;
    }
    say(&format!("setup: everything is in `{}`", cache.at("").display()));
    Ok(())
}
