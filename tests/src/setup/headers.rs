//! Kernel headers: the newest of each flavour that apt offers, installed on the machine as any package is.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::must;
use crate::kernels::{FLAVOURS, abi_of, newest};
use crate::say;

/// Installs headers for the flavours that have none.
pub(super) fn install() -> Result<()> {
    let here = Path::new("/");
    for flavour in FLAVOURS {
        if newest(flavour)?.is_some() {
            continue;
        }
        let package = match offered(flavour)? {
            Some(package) => package,
            None => {
                must("apt-get", &["-oDPkg::Lock::Timeout=300", "update"], here)?;
                offered(flavour)?
                    .with_context(|| format!("apt offers no linux-headers of flavour {flavour}"))?
            }
        };
        say(&format!("setup: installing {package}"));
        let words =
            ["-oDPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", package.as_str()];
        if must("apt-get", &words, here).is_err() {
            must("apt-get", &["-oDPkg::Lock::Timeout=300", "update"], here)?;
            must("apt-get", &words, here)?;
        }
        newest(flavour)?.with_context(|| format!("{package} brought no usable headers"))?;
    }
    Ok(())
}

/// The newest header package of a flavour of Debian's own kernel line.
fn offered(flavour: &str) -> Result<Option<String>> {
    let found = must("apt-cache", &["search", "--names-only", "^linux-headers-[0-9]"], Path::new("/"))?;
    let names = found.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("linux-headers-"));
    let newest = names.filter_map(|release| Some((abi_of(release, flavour)?, release))).max();
    Ok(newest.map(|(_, release)| format!("linux-headers-{release}")))
}
