//! `mkrpm --meta`: `kmod-M`, which wants the modules of one kernel and keeps dnf from a newer kernel for
//! which they aren't published yet.

use std::path::PathBuf;

use dkms_base::id::Target;
use rpm::Dependency;

use super::about::About;
use super::binary::finish;
use super::kmod::{RELEASE, package};
use super::name::{check_plain, seconds};
use super::relation::Relation;
use crate::debian::Module;
use crate::error::PackageError;
use crate::text::{without_epoch, wrap};

/// A package to make.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// The kernel that it lets in.
    pub target: &'a Target,
    /// What follows `kernel-` in the name of the kernel's package.
    pub flavour: &'a str,
    /// Epoch, version and release of that package.
    pub kernel_version: &'a str,
}

impl Gate<'_> {
    /// A newer kernel makes a newer release.
    fn release(&self) -> String {
        format!("{RELEASE}.{}", without_epoch(self.kernel_version).replace('-', "_"))
    }

    fn about(&self) -> Result<About, PackageError> {
        let name = &self.module.id.name;
        check_plain(self.flavour)?;
        check_plain(self.target.arch.as_str())?;
        check_plain(&self.release())?;
        let mut about = About::new(self.module, &format!("kmod-{name}"), self.module.licenses()?)?;
        about.summary = format!("Kernel module {name}, with kernel-{}", self.flavour);
        about.description = wrap(&format!(
            "This package follows kernel-{}: a newer kernel is installed together with the modules of {name} for \
             it, and not before they are there.",
            self.flavour
        ));
        about.release = self.release();
        about.arch = self.target.arch.to_string();
        let modules = Dependency::any(package(name, self.target)?);
        let newer = Dependency::greater(format!("kernel-{}", self.flavour), self.kernel_version);
        about.relations = vec![(Relation::Requires, modules), (Relation::Conflicts, newer)];
        Ok(about)
    }

    /// The file that is written.
    ///
    /// # Errors
    /// [`PackageError`] where name, version or kernel can't be rpm's.
    pub fn path(&self) -> Result<PathBuf, PackageError> {
        let about = self.about()?;
        Ok(self.module.folder.join(format!("{}.{}.rpm", about.label(), about.arch)))
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let path = self.path()?;
        finish(self.about()?.builder(seconds(self.module.date()?)), &path)?;
        Ok(path)
    }
}
