//! Whole kernels: a `linux-image` package, unpacked into the cache. Measurements need its module tree, and some tests boot it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dkms_core::host::fs;

use crate::cache::Cache;
use crate::command::must;
use crate::say;

/// The folder that is `/lib/modules/K` in the package of kernel K; fetched with the machine's own apt, as its headers were.
///
/// # Errors
/// Where the package can't be had.
pub fn image(cache: &Cache, kernel: &str) -> Result<PathBuf> {
    Ok(unpacked(cache, &format!("linux-image-{kernel}"))?.join("lib/modules").join(kernel))
}

/// The kernel's own file in that package.
///
/// # Errors
/// Where the package can't be had.
pub fn vmlinuz(cache: &Cache, kernel: &str) -> Result<PathBuf> {
    Ok(unpacked(cache, &format!("linux-image-{kernel}"))?.join("boot").join(format!("vmlinuz-{kernel}")))
}

/// A package of the machine's own apt, unpacked. Whoever asks first fetches it; who asks meanwhile does so too, and one of
/// them puts it in place.
pub(crate) fn unpacked(cache: &Cache, name: &str) -> Result<PathBuf> {
    let dir = cache.at("images").join(name);
    let root = dir.join("root");
    if fs::is_dir(&root) {
        return Ok(root);
    }
    say(&format!("setup: fetching {name}"));
    fs::create_dir_all(&dir)?;
    let new = tempfile::tempdir_in(&dir)?;
    if must("apt-get", &["download", name], new.path()).is_err() {
        super::machine::update()?;
        must("apt-get", &["download", name], new.path())?;
    }
    let is_package = |entry: &fs::Entry| Path::new(&entry.name).extension().is_some_and(|end| end == "deb");
    let found = fs::list(new.path())?.into_iter().find(is_package);
    let file = found.with_context(|| format!("apt downloaded no {name}"))?.name;
    must("dpkg-deb", &["-x", &file.to_string_lossy(), "root"], new.path())?;
    if let Err(error) = fs::rename(&new.path().join("root"), &root)
        && !fs::is_dir(&root)
    {
        return Err(error.into());
    }
    Ok(root)
}
