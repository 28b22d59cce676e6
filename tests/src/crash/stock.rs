//! Ready-built modules of several names and versions, made from one compiled file: a build
//! copies one, in no time.

use anyhow::{Result, ensure};
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

    /// The compiled file with another name (three letters) and version (`N.0`), as modinfo tells them.
    ///
    /// # Errors
    /// Where the file doesn't say what it should.
    pub fn variant(&self, name: &str, version: &str) -> Result<Vec<u8>> {
        ensure!(name.len() == 3 && version.len() == 3, "`{name}` or `{version}` has another length");
        let mut bytes = self.0.bytes().to_vec();
        patch(&mut bytes, "\0name=foo\0", &format!("\0name={name}\0"))?;
        patch(&mut bytes, "version=1.0\0", &format!("version={version}\0"))?;
        let digit = version.get(..1).unwrap_or("0");
        patch(&mut bytes, "\0srcversion=", &format!("\0srcversion={digit}"))?;
        Ok(bytes)
    }

    /// Puts a variant into a root as `/srv/ready/NAME-VERSION.ko`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put_into(&self, root: &Root, name: &str, version: &str) -> Result<()> {
        fs::create_dir_all(&root.view("/srv/ready"))?;
        let path = root.view(&format!("/srv/ready/{name}-{version}.ko"));
        Ok(fs::write_whole(&path, &self.variant(name, version)?, 0o644)?)
    }
}

/// The source of a module whose build copies that file.
#[must_use]
pub fn module(name: &str, version: &str) -> Module {
    Module::new(name, version).with(&format!("MAKE=\"cp /srv/ready/{name}-{version}.ko {name}.ko\""))
}

/// Writes `new` over the first `old`; both begin alike, and `new` may be longer where what
/// follows may be lost.
fn patch(bytes: &mut [u8], old: &str, new: &str) -> Result<()> {
    let place = bytes.windows(old.len()).position(|window| window == old.as_bytes());
    let Some(to) = place.and_then(|place| bytes.get_mut(place..place + new.len())) else {
        anyhow::bail!("the compiled module has no `{}`", old.trim_matches('\0'));
    };
    to.copy_from_slice(new.as_bytes());
    Ok(())
}
