//! Ready-built modules of several names and versions: a build copies one, in no time.

use anyhow::Result;
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::fixture::Module;
use crate::kernels::Kernels;
use crate::ready::Ready;
use crate::root::Root;

/// One compiled module, from which all others are made.
#[derive(Debug, Clone)]
pub struct Stock(&'static Ready);

impl Stock {
    /// Compiles it.
    ///
    /// # Errors
    /// Where it can't be compiled.
    pub fn compile(cache: &Cache, kernels: &Kernels) -> Result<Self> {
        Ok(Self(Ready::compile(cache, kernels)?))
    }

    /// Puts a module into a root as `/srv/ready/NAME-VERSION.ko`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put_into(&self, root: &Root, name: &str, version: &str) -> Result<()> {
        fs::create_dir_all(&root.view("/srv/ready"))?;
        let path = root.view(&format!("/srv/ready/{name}-{version}.ko"));
        Ok(fs::write_whole(&path, &self.0.file(name, version)?, 0o644)?)
    }
}

/// The source of a module whose build copies that file.
#[must_use]
pub fn module(name: &str, version: &str) -> Module {
    Module::new(name, version).with(&format!("MAKE=\"cp /srv/ready/{name}-{version}.ko {name}.ko\""))
}
