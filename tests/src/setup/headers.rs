//! Kernel headers of each flavour, installed on the machine as any package is. Which kernels those are is
//! written down in the cache.

use anyhow::{Result, bail};
use dkms_base::host::fs;
use dkms_offers::Line;

use super::apt::Apt;
use super::images::{self, image};
use crate::cache::Cache;
use crate::kernels::{FLAVOURS, has_headers, installed};
use crate::say;

/// Installs headers of the newest kernel of each flavour that has an image too, where the machine has none of
/// that kind. Newer headers than any image may be there; they are left alone.
pub(super) fn install(cache: &Cache) -> Result<()> {
    let mut chosen = Vec::new();
    for (at, flavour) in FLAVOURS.iter().enumerate() {
        // The second's image is booted and measured.
        let kernel = choose(cache, flavour, at == 1)?;
        say(&format!("setup: the kernel of flavour {flavour} is {kernel}"));
        chosen.push(kernel);
    }
    let text = chosen.iter().map(|kernel| format!("{kernel}\n")).collect::<String>();
    fs::write_whole(&cache.kernels(), text.as_bytes(), 0o644)?;
    Ok(())
}

fn choose(cache: &Cache, flavour: &str, with_image: bool) -> Result<String> {
    let apt = Apt::of_machine();
    let there = installed(flavour)?;
    let last = cache.kernels();
    let last = if fs::is_file(&last) { fs::read_lossy(&last)? } else { String::new() };
    let kept = there.iter().find(|kernel| last.lines().any(|last| last == *kernel));
    if let Some(kernel) = kept.filter(|kernel| !with_image || images::is_there(cache, kernel)) {
        return Ok(kernel.clone());
    }
    if let Some(kernel) = there.iter().rev().find(|kernel| images::is_there(cache, kernel)) {
        return Ok(kernel.clone());
    }
    let answer = if there.is_empty() { String::new() } else { apt.answer()? };
    for kernel in there.iter().rev().filter(|kernel| dkms_offers::image(&answer, kernel).is_some()) {
        if !with_image || image(cache, kernel).is_ok() {
            return Ok(kernel.clone());
        }
    }
    apt.newest_kernel(&Line::by_abi(flavour), |kernel| {
        apt.install_now(std::slice::from_ref(&kernel.headers))?;
        if !has_headers(&kernel.release) {
            bail!("{} is installed, and {} has no headers", kernel.headers, kernel.release);
        }
        if with_image {
            image(cache, &kernel.release)?;
        }
        Ok(kernel.release.clone())
    })
}
