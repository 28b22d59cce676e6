//! Packages of the machine's own apt.

use std::path::Path;

use anyhow::Result;

use crate::command::must;
use crate::say;

const WAIT: &str = "-oDPkg::Lock::Timeout=300";

/// Fetches the lists anew: a fresh machine has those of the day that its image was made.
pub(super) fn update() -> Result<()> {
    must("apt-get", &[WAIT, "update"], Path::new("/")).map(drop)
}

/// Installs the packages that `missing` names; it is asked again once the lists are new, since names change with them.
pub(super) fn install(missing: &dyn Fn() -> Result<Vec<String>>) -> Result<()> {
    if try_to_install(&missing()?).is_err() {
        update()?;
        try_to_install(&missing()?)?;
    }
    Ok(())
}

fn try_to_install(packages: &[String]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    say(&format!("setup: installing {}", packages.join(", ")));
    let mut words = vec![WAIT, "install", "-y", "--no-install-recommends"];
    words.extend(packages.iter().map(String::as_str));
    must("apt-get", &words, Path::new("/")).map(drop)
}
