//! What `status` wants to know of the modules on disk: are the built ones all there, are the installed ones
//! the built ones. Sizes and times first, bytes only where these don't decide; no process, no ELF.

use std::path::{Path, PathBuf};

use super::{destination_folder, find};
use crate::conf::ModuleConf;
use crate::host::fs;
use crate::id::{ModuleName, Target};
use crate::kernel::Compression;
use crate::layout::Layout;

/// How the installed modules of a package compare with the built ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstalledState {
    /// Each is there, as it was built.
    Same,
    /// A module that the conf names is not among the *built* ones
    /// (`Built modules are missing in the kernel modules folder`, says the interface; it
    /// has always meant this).
    Missing,
    /// An installed one has other bytes, or isn't there.
    Different,
}

/// How files are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareBy {
    /// Two of the same length and time of change, which installing keeps, are the same.
    Times,
    /// Byte for byte.
    Bytes,
}

/// Compares what is installed with what was built, module by module; the first that isn't the same decides.
#[must_use]
pub fn compare_installed(
    built_dir: &Path,
    kernel_dir: &Path,
    conf: &ModuleConf,
    module_folder: Option<&str>,
    by: CompareBy,
) -> InstalledState {
    for record in conf.included() {
        let Some((built, meta)) = find::seen_in_folder(built_dir, &record.dest_name, Compression::None)
        else {
            return InstalledState::Missing;
        };
        let folder = destination_folder(kernel_dir, record, module_folder);
        let path = folder.join(find::file_name(&built));
        let is_same = match by {
            CompareBy::Times => fs::is_copy(&built, &meta, &path),
            CompareBy::Bytes => fs::same_bytes(&built, &path),
        };
        if !is_same {
            return InstalledState::Different;
        }
    }
    InstalledState::Same
}

/// The files of a package in the kernel's folder, where we put them; whatever their compression.
#[must_use]
pub fn installed_files(kernel_dir: &Path, conf: &ModuleConf, module_folder: Option<&str>) -> Vec<PathBuf> {
    let files = |record| {
        let folder = destination_folder(kernel_dir, record, module_folder);
        find::all_in_folder(&folder, &record.dest_name)
    };
    conf.included().flat_map(files).collect()
}

/// A module that a conf names: what was built, and where it is or should be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The name that it is installed under.
    pub name: String,
    /// The built file; `None`: there is none.
    pub built: Option<PathBuf>,
    /// The installed one, which need not be there.
    pub path: PathBuf,
}

/// The modules of a package, one by one. `usual`: how the kernel's modules are compressed.
#[must_use]
pub fn placed(
    built_dir: &Path,
    kernel_dir: &Path,
    conf: &ModuleConf,
    module_folder: Option<&str>,
    usual: Compression,
) -> Vec<Placed> {
    let place = |record: &crate::conf::module::ModuleRecord| {
        let folder = destination_folder(kernel_dir, record, module_folder);
        let built = find::in_folder(built_dir, &record.dest_name, Compression::None);
        let path = match &built {
            Some(built) => folder.join(find::file_name(built)),
            None => find::in_folder(&folder, &record.dest_name, usual)
                .unwrap_or_else(|| folder.join(format!("{}.ko{}", record.dest_name, usual.suffix()))),
        };
        Placed { name: record.dest_name.clone(), built, path }
    };
    conf.included().map(place).collect()
}

/// Whether a module that the conf names is not among the built ones.
#[must_use]
pub fn built_missing(built_dir: &Path, conf: &ModuleConf) -> bool {
    conf.included().any(|record| find::in_folder(built_dir, &record.dest_name, Compression::None).is_none())
}

/// Whether modules of the kernel were archived when this one was installed: their folder has something in it.
#[must_use]
pub fn originals_exist(layout: &Layout, name: &ModuleName, target: &Target) -> bool {
    // Archiving that was interrupted may leave an empty folder.
    fs::list(&layout.originals_dir(name, target)).is_ok_and(|archived| !archived.is_empty())
}
