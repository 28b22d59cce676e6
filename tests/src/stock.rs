//! Kernels as their packages bring them: the image, the modules of its own, the list of what it exports.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dkms_base::host::fs;
use dkms_base::layout::Layout;

use crate::cache::Cache;
use crate::command::must;
use crate::kernels::Kernels;
use crate::setup::{self, NewerKernel};

/// A kernel, below the cache.
#[derive(Debug, Clone)]
pub struct Stock {
    /// Its release.
    pub release: String,
    /// Its image.
    pub image: PathBuf,
    /// The `Module.symvers` of its headers.
    pub list: PathBuf,
    /// What is `/lib/modules/K` in its package.
    pub modules: PathBuf,
}

/// Linux 7, as forky has it.
///
/// # Errors
/// As [`two_lines`].
pub fn newest(cache: &Cache) -> Result<Stock> {
    let (release, root) = setup::split_kernel(cache)?;
    let modules = root.join("usr/lib/modules").join(&release);
    let list = root.join("usr/src").join(format!("linux-headers-{release}")).join("Module.symvers");
    Ok(Stock { image: modules.join("vmlinuz"), list, modules, release })
}

/// Two lines of kernels: 6.1, whose modules are not compressed, and 6.12, whose are.
///
/// # Errors
/// If they are not in the cache and cannot be fetched.
pub fn two_lines() -> Result<[Stock; 2]> {
    let cache = Cache::open()?;
    let newer = NewerKernel::fetch(&cache)?;
    let newer = Stock {
        image: newer.vmlinuz(),
        list: newer.list(),
        modules: newer.modules(),
        release: newer.release,
    };
    Ok([older(&cache)?, newer])
}

/// The first of them.
///
/// # Errors
/// As [`two_lines`].
pub fn older(cache: &Cache) -> Result<Stock> {
    let release = Kernels::find()?.second;
    Ok(Stock {
        image: setup::vmlinuz(cache, &release)?,
        list: format!("/usr/src/linux-headers-{release}/Module.symvers").into(),
        modules: setup::image(cache, &release)?,
        release,
    })
}

impl Stock {
    /// A root with the image, its configuration and the modules, indexed by depmod, and without headers.
    ///
    /// # Errors
    /// If something cannot be copied.
    pub fn root(&self) -> Result<(tempfile::TempDir, Layout)> {
        let dir = tempfile::tempdir()?;
        let (modules, boot) = (dir.path().join("lib/modules"), dir.path().join("boot"));
        fs::create_dir_all(&modules)?;
        fs::create_dir_all(&boot)?;
        let text = |path: &Path| path.display().to_string();
        must("cp", &["-a", &text(&self.modules), &text(&modules)], Path::new("/"))?;
        let config = self.image.with_file_name(format!("config-{}", self.release));
        if fs::exists(&config) {
            must("cp", &[&text(&self.image), &text(&config), &text(&boot)], Path::new("/"))?;
        }
        must("depmod", &["-b", &text(dir.path()), &self.release], Path::new("/"))?;
        let layout = Layout::under(dir.path());
        Ok((dir, layout))
    }
}
