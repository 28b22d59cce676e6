//! `mkdriverdisk`: what an installer loads drivers from, as a disk image or a tar archive.
//!
//! - [`redhat`], [`suse`] and [`ubuntu`] say what lies where on a disk; [`repodata`]
//!   describes its packages to dnf
//! - [`iso`] makes an image of it

pub mod iso;
pub mod redhat;
pub mod repodata;
pub mod suse;
pub mod ubuntu;

use std::path::{Path, PathBuf};

use dkms_base::host::{Environment, fs};
use dkms_base::id::Target;

use crate::debian::Module;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::staged::Staged;
use crate::tarball::{self, write_error};

/// Whose installer reads the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribution {
    /// Anaconda, of Fedora, RHEL and those made from it: a driver disk of version 3.
    RedHat,
    /// linuxrc, of SUSE.
    Suse {
        /// `15.6`, `sle15`, `tw`: the product, as the installer calls it.
        release: String,
    },
    /// Ubuntu's.
    Ubuntu,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// An image, made by xorriso.
    Iso,
    /// A tar archive.
    Tar,
}

/// A disk to make.
#[derive(Debug)]
pub struct DriverDisk<'a> {
    /// With which module.
    pub module: &'a Module<'a>,
    /// Built for which kernels.
    pub targets: &'a [Target],
    /// For which installer.
    pub distribution: Distribution,
    /// As what.
    pub media: Media,
    /// Where xorriso is looked for.
    pub environment: &'a Environment,
}

impl DriverDisk<'_> {
    /// The file that is written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let suffix = match self.media {
            Media::Iso => "iso",
            Media::Tar => "tar",
        };
        self.module.output(format!("{}-dd.{suffix}", self.module.id.dir_name()))
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`PackageError`] where the module isn't built, or there is no xorriso for an image.
    pub fn check(&self) -> Result<(), PackageError> {
        if self.media == Media::Iso {
            iso::program(self.environment)?;
        }
        if let Distribution::Suse { release } = &self.distribution {
            suse::check(self.targets, release)?;
        }
        self.targets.iter().try_for_each(|target| self.module.built(target).map(|_| ()))
    }

    /// Writes the disk and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        self.check()?;
        let path = self.path();
        let temporary = self.module.temporary;
        let failed =
            |source| fs::FsError { verb: "make a temporary folder in", path: temporary.to_owned(), source };
        // Packages lie here until they are on the disk.
        let folder = tempfile::Builder::new().prefix("dkms.").tempdir_in(temporary).map_err(failed)?;
        let mut entries = Entries::default();
        match &self.distribution {
            Distribution::RedHat => redhat::fill(self, folder.path(), &mut entries)?,
            Distribution::Suse { release } => suse::fill(self, release, folder.path(), &mut entries)?,
            Distribution::Ubuntu => ubuntu::fill(self, folder.path(), &mut entries)?,
        }
        let date = self.module.date()?;
        let mut staged = Staged::begin(&path)?;
        let mut file = staged.create(&path)?;
        match self.media {
            Media::Tar => {
                tarball::write_plain(&entries, Path::new("."), date, &mut file, &path)?;
            }
            Media::Iso => iso::write(self.environment, &entries, date, folder.path(), &mut file, &path)?,
        }
        file.sync_all().map_err(|source| write_error(&path, source))?;
        staged.publish()?;
        Ok(path)
    }
}
