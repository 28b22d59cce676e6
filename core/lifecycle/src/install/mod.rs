//! Putting a built module in place for a kernel, and taking it out again.
//!
//! - [`install`], [`uninstall`], [`depmod`]: the three effects; each leaves the state before where it fails
//! - [`Installed::keep`], [`Installed::undo`]: an install can be taken back as long as
//!   nobody said that it stays
//! - [`recover`]: what an interrupted install or uninstall began is undone or finished
//! - [`compare_installed`], [`built_missing`], [`originals_exist`]: what `status` asks, cheap
//!
//! Knows nothing of other modules, of the order of things, or of why something is to be installed.

use std::path::{Path, PathBuf};

use crate::conf::module::ModuleRecord;
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, Target};
use crate::kernel::{Family, KernelFacts};
use crate::layout::Layout;
use crate::tree::owed;

mod changes;
mod compare;
#[cfg(test)]
mod crash_tests;
mod dependencies;
mod error;
mod find;
mod forced;
mod hooks;
mod identity;
mod initramfs;
mod journal;
mod modprobe_conf;
mod originals;
mod owners;
mod put;
mod recover;
mod take;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod weak;

pub use compare::{
    CompareBy, InstalledState, Placed, built_missing, compare_installed, installed_files, originals_exist,
    placed,
};
pub use dependencies::{DepmodOutcome, begin_index, depmod, has_index, index};
pub use error::{InstallError, Subject};
pub use forced::{Listed, listed};
pub use initramfs::{
    Held, HeldImage, OutOfDate, Remade, boot_images, has_image, held, holds_removed, is_inside_dpkg,
    made_before, out_of_date, remake as remake_initramfs, was_image_made_since,
};
pub use put::{Installed, Skipped, SkippedBecause, install};
pub use recover::{Recovery, recover};
pub use take::{Uninstalled, uninstall};

/// Which module goes where.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The module.
    pub id: &'a ModuleId,
    /// The kernel.
    pub kernel: &'a KernelFacts,
    /// The three trees.
    pub layout: &'a Layout,
    /// What scripts and programs see.
    pub environment: &'a Environment,
    /// Whose rules hold for weak modules and for empty folders.
    pub family: Family,
    /// The folder that the distribution or the admin puts every module in (`/updates/dkms`, say); `None`:
    /// each module's own `DEST_MODULE_LOCATION`.
    pub module_folder: Option<&'a str>,
    /// Whether a depmod follows; until it went well, the kernel is marked as owing one.
    pub owes_depmod: bool,
}

/// Whether `--force` was given, or the module is listed as one to force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Scripts may refuse, and a newer module in the kernel stays.
    No,
    /// They may not.
    Yes,
}

/// Whether a module that is newer in the kernel stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionCheck {
    /// It stays.
    Enforced,
    /// It stays, unless it is of a version of this module that is about to go.
    Swapped,
    /// It is replaced (`--force-version-override`).
    Overridden,
}

/// How a module gets into the kernel's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// As a file of its own.
    Copied,
    /// As a link to the built one (`symlink_modules`).
    Linked,
}

/// How to install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `--force`.
    pub force: Force,
    /// `--force-version-override`.
    pub version_check: VersionCheck,
    /// `symlink_modules`.
    pub put: Put,
}

impl Place<'_> {
    fn target(&self) -> &Target {
        &self.kernel.target
    }

    fn kernel_dir(&self) -> &Path {
        &self.kernel.module_dir
    }

    fn built_dir(&self) -> PathBuf {
        self.layout.built_dir(self.id, self.target())
    }

    /// The link that says which version is installed.
    fn link(&self) -> PathBuf {
        self.layout.installed_link(&self.id.name, self.target())
    }

    /// What that link holds where this version is installed: `V/K/A`.
    fn link_value(&self) -> PathBuf {
        let target = self.target();
        Path::new(self.id.version.as_str()).join(&target.kernel).join(&target.arch)
    }

    /// The `V/K/A` folder that the link leads to, whole; it need not be there.
    fn linked_dir(&self) -> Result<Option<PathBuf>, FsError> {
        let value = fs::link_target(&self.link())?;
        Ok(value.map(|value| self.layout.module_dir(&self.id.name).join(value)))
    }

    /// Whether the link leads to this version.
    fn is_linked(&self) -> Result<bool, FsError> {
        Ok(self.linked_dir()?.is_some_and(|dir| dir == self.layout.target_dir(self.id, self.target())))
    }

    /// The kernel's index is about to be behind.
    fn note_owed(&self) -> Result<(), FsError> {
        if self.owes_depmod { owed::note(self.layout, self.target()) } else { Ok(()) }
    }

    fn folder(&self, record: &ModuleRecord) -> PathBuf {
        destination_folder(self.kernel_dir(), record, self.module_folder)
    }
}

/// The folder that a module goes to.
fn destination_folder(kernel_dir: &Path, record: &ModuleRecord, module_folder: Option<&str>) -> PathBuf {
    kernel_dir.join(module_folder.unwrap_or(&record.dest_location).trim_matches('/'))
}
