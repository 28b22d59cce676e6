//! Whole kernels: a `linux-image` package, unpacked into the cache. Measurements need its module tree,
//! and some tests boot it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dkms_base::host::fs;

use dkms_offers::Line;

use super::apt::Apt;
use crate::cache::Cache;
use crate::command::must;
use crate::say;

/// The folder that is `/lib/modules/K` in the package of kernel K; fetched with the machine's own apt, as
/// its headers were. If the signed image is not available, it is the one that is not signed: it has the same
/// modules and boots the same.
///
/// # Errors
/// Where neither can be had.
pub fn image(cache: &Cache, kernel: &str) -> Result<PathBuf> {
    Ok(image_root(cache, kernel)?.join("lib/modules").join(kernel))
}

/// The kernel's own file in that package.
///
/// # Errors
/// As [`image`].
pub fn vmlinuz(cache: &Cache, kernel: &str) -> Result<PathBuf> {
    Ok(image_root(cache, kernel)?.join("boot").join(format!("vmlinuz-{kernel}")))
}

/// Whether a kernel's image is in the cache.
pub(super) fn is_there(cache: &Cache, kernel: &str) -> bool {
    fs::is_dir(&place(cache, &format!("linux-image-{kernel}")))
}

fn image_root(cache: &Cache, kernel: &str) -> Result<PathBuf> {
    let apt = Apt::of_machine();
    let package = || Ok(dkms_offers::image(&apt.answer()?, kernel));
    let what = format!("linux-image-{kernel}");
    put(cache, &what, |new| apt.download(&package, &format!("{what}[-unsigned]"), new))
}

/// A package of the machine's own apt, unpacked; fetched once.
///
/// # Errors
/// If it is not available.
pub fn unpacked(cache: &Cache, name: &str) -> Result<PathBuf> {
    put(cache, name, |new| Apt::of_machine().download(&|| Ok(Some(name.to_owned())), name, new))
}

/// The same of another suite.
///
/// # Errors
/// If it is not available.
pub fn unpacked_of(cache: &Cache, suite: &str, name: &str) -> Result<PathBuf> {
    let apt = Apt::open(cache, suite)?;
    put(cache, &format!("{name}-{suite}"), |new| apt.download(&|| Ok(Some(name.to_owned())), name, new))
}

/// The same of a certain apt, without a retry, under another name.
pub(super) fn unpacked_now(cache: &Cache, apt: &Apt, package: &str, name: &str) -> Result<PathBuf> {
    put(cache, name, |new| apt.download_now(package, new))
}

/// Where an unpacked package is.
pub(super) fn place(cache: &Cache, name: &str) -> PathBuf {
    cache.at("images").join(name).join("root")
}

/// A kernel of the newest line, whose package is split (forky): its release, and the folder that it is
/// unpacked into.
///
/// # Errors
/// If it is not available.
pub fn split_kernel(cache: &Cache) -> Result<(String, PathBuf)> {
    let chosen = cache.at("split-kernel");
    if fs::is_file(&chosen) {
        let release = fs::read_lossy(&chosen)?.trim().to_owned();
        let root = place(cache, &format!("linux-{release}"));
        if fs::is_dir(&root) {
            return Ok((release, root));
        }
    }
    let apt = Apt::open(cache, "forky")?;
    let found = apt.newest_kernel(&Line::beginning("cloud-amd64", "7."), |kernel| {
        let release = &kernel.release;
        let parts = ["base", "binary", "modules", "headers"].map(|part| format!("linux-{part}-{release}"));
        let root = put_all(cache, &format!("linux-{release}"), |new| {
            parts.iter().map(|name| apt.download_now(name, new)).collect()
        })?;
        Ok((release.clone(), root))
    })?;
    fs::write_whole(&chosen, format!("{}\n", found.0).as_bytes(), 0o644)?;
    Ok(found)
}

/// A package, unpacked.
fn put(cache: &Cache, name: &str, fetch: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    put_all(cache, name, |new| Ok(vec![fetch(new)?]))
}

/// The first that asks fetches them; who asks meanwhile does so too, and one of them puts them in place.
fn put_all(cache: &Cache, name: &str, fetch: impl FnOnce(&Path) -> Result<Vec<PathBuf>>) -> Result<PathBuf> {
    let root = place(cache, name);
    if fs::is_dir(&root) {
        return Ok(root);
    }
    say(&format!("setup: fetching {name}"));
    let dir = cache.at("images").join(name);
    fs::create_dir_all(&dir)?;
    let new = tempfile::tempdir_in(&dir)?;
    for file in fetch(new.path())? {
        must("dpkg-deb", &["-x", &file.to_string_lossy(), "root"], new.path())?;
    }
    if let Err(error) = fs::rename(&new.path().join("root"), &root)
        && !fs::is_dir(&root)
    {
        return Err(error.into());
    }
    Ok(root)
}
