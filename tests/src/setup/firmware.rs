//! PyPI's virt-firmware, which writes the variables of a virtual machine's firmware.

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::command::must_briefly;
use crate::say;

/// Puts it into the cache, where it isn't already.
pub(super) fn fetch(cache: &Cache) -> Result<()> {
    let dir = cache.at("virt-firmware");
    if fs::is_dir(&dir) {
        return Ok(());
    }
    say("setup: fetching virt-firmware");
    let new = tempfile::tempdir_in(cache.at(""))?;
    let target = new.path().join("lib");
    let words =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
    let into = ["--target", &target.to_string_lossy(), "virt-firmware"];
    let install = || must_briefly("python3", &[&words[..], &into[..]].concat(), new.path());
    install().or_else(|_| install()).context("can't fetch virt-firmware of PyPI")?;
    fs::rename(&target, &dir)?;
    Ok(())
}
