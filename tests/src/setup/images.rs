//! Whole kernels: the module tree of a `linux-image` package, unpacked into the cache. Only measurements need one.

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
    let name = format!("linux-image-{kernel}");
    let dir = cache.at("images").join(&name);
    let modules = dir.join("root/lib/modules").join(kernel);
    if fs::is_dir(&modules) {
        return Ok(modules);
    }
    say(&format!("setup: fetching {name}"));
    fs::remove_any(&dir)?;
    fs::create_dir_all(&dir.join("new"))?;
    must("apt-get", &["download", &name], &dir)?;
    let is_package = |entry: &fs::Entry| Path::new(&entry.name).extension().is_some_and(|end| end == "deb");
    let found = fs::list(&dir)?.into_iter().find(is_package);
    let file = found.with_context(|| format!("apt downloaded no {name}"))?.name;
    must("dpkg-deb", &["-x", &file.to_string_lossy(), "new"], &dir)?;
    fs::remove_file(&dir.join(file))?;
    fs::rename(&dir.join("new"), &dir.join("root"))?;
    Ok(modules)
}
