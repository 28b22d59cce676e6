//! Kernel headers: the newest of each flavour that apt offers, installed on the machine as any package is.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::must;
use crate::kernels::{FLAVOURS, abi_of, newest};
use crate::setup::machine;

/// Installs headers for the flavours that have none.
pub(super) fn install() -> Result<()> {
    machine::install(&|| {
        let mut lacking = Vec::new();
        for flavour in FLAVOURS {
            if newest(flavour)?.is_none() {
                lacking.push(package(flavour)?);
            }
        }
        Ok(lacking)
    })?;
    for flavour in FLAVOURS {
        newest(flavour)?.with_context(|| format!("the headers of flavour {flavour} can't be used"))?;
    }
    Ok(())
}

fn package(flavour: &str) -> Result<String> {
    if let Some(package) = offered(flavour)? {
        return Ok(package);
    }
    machine::update()?;
    offered(flavour)?.with_context(|| format!("apt offers no linux-headers of flavour {flavour}"))
}

/// The newest header package of a flavour of Debian's own kernel line.
fn offered(flavour: &str) -> Result<Option<String>> {
    let found = must("apt-cache", &["search", "--names-only", "^linux-headers-[0-9]"], Path::new("/"))?;
    let names = found.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("linux-headers-"));
    let newest = names.filter_map(|release| Some((abi_of(release, flavour)?, release))).max();
    Ok(newest.map(|(_, release)| format!("linux-headers-{release}")))
}
