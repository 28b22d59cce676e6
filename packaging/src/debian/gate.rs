//! `mkbmdeb --meta`: a package that follows a kernel's metapackage, and keeps apt from a kernel for which the
//! module isn't published yet.
//!
//! The dependency on what the metapackage of that kernel provides makes apt take both in one run; `Breaks`
//! keeps a `full-upgrade` from removing this package instead, together with its priority: apt weighs
//! the two against each other, and one that isn't in any repository weighs less.

use std::path::PathBuf;

use dkms_base::id::Target;

use super::{Module, name};
use crate::deb::{Deb, Packing};
use crate::entries::Entries;
use crate::error::PackageError;
use crate::text::{without_epoch, wrap};

/// A package to make.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// The kernel that it lets in.
    pub target: &'a Target,
    /// What follows `linux-image-` in the name of the metapackage.
    pub flavour: &'a str,
    /// The version of that metapackage that brings this kernel.
    pub kernel_version: &'a str,
}

impl Gate<'_> {
    /// The module's version, and then the kernel's: both make a newer package.
    fn version(&self) -> Result<String, PackageError> {
        let module = name::version(&self.module.id.version)?.to_string();
        Ok(format!("{module}+{}", without_epoch(self.kernel_version)))
    }

    /// The file that is written.
    ///
    /// # Errors
    /// [`PackageError`] where name, version or architecture can't be Debian's.
    pub fn path(&self) -> Result<PathBuf, PackageError> {
        let version = self.version()?;
        let version = without_epoch(&version);
        let package = name::gate(&self.module.id.name, self.flavour)?;
        let arch = name::architecture(&self.target.arch)?;
        Ok(self.module.folder.join(format!("{package}_{version}_{arch}.deb")))
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let (id, kernel, flavour) = (self.module.id, &self.target.kernel, self.flavour);
        let (path, date) = (self.path()?, self.module.date()?);
        let template = self.module.template("mkbmdeb", Some(self.target), date)?;
        let package = name::gate(&id.name, flavour)?;
        let long = format!(
            "This package follows linux-image-{flavour}: a newer kernel is installed together with the modules of \
             {} for it, and not before they are there.",
            id.name
        );
        let description =
            format!("kernel module {} for Linux {flavour} (metapackage)\n{}", id.name, wrap(&long));
        let arch = name::architecture(&self.target.arch)?;
        let mut control = self.module.fields(&package, arch, &description, &template)?;
        control.set("Version", self.version()?);
        // Of a package that counts no more than the kernel's, apt may rather remove it than
        // keep the kernel back.
        control.set("Priority", "standard");
        control.set("Depends", format!("{}, {}", name::modules(&id.name, kernel)?, name::latest(kernel)?));
        control.set("Breaks", format!("linux-image-{flavour} (>> {})", self.kernel_version));
        let mut data = Entries::default();
        let text = format!("Made by `dkms mkbmdeb --meta` from {id} for Linux {kernel}");
        self.module.put_docs(&mut data, &control, &text, &template, Vec::new(), date)?;
        let (scripts, members) = (Vec::new(), Vec::new());
        Deb { control, data, scripts, members, date, packing: Packing::Xz }.write(&path)?;
        Ok(path)
    }
}
