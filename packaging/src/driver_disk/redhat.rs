//! A driver disk as Anaconda reads it (version 3): the marker `rhdd3`, and a repository of packages for each
//! architecture. Of these it takes what provides `kernel-modules` of the kernel that runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{DriverDisk, repodata};
use crate::debian::Module;
use crate::demands::Demands;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::mkrpm::kmod::Kmod;

pub(super) fn fill(disk: &DriverDisk<'_>, folder: &Path, entries: &mut Entries) -> Result<(), PackageError> {
    entries.file("rhdd3", format!("{}\n", disk.module.id), 0o644);
    let mut repositories: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for target in disk.targets {
        let package = kmod(disk, target, folder)?;
        let place = Path::new("rpms").join(&target.arch);
        entries.plain_file(&package, &place.join(package.file_name().unwrap_or_default()), 0o644)?;
        repositories.entry(target.arch.to_string()).or_default().push(package);
    }
    let date = disk.module.date()?;
    for (arch, packages) in repositories {
        for (name, contents) in repodata::of(&packages, date)? {
            entries.file(Path::new("rpms").join(&arch).join("repodata").join(name), contents, 0o644);
        }
    }
    Ok(())
}

/// The package of one kernel's modules, in a folder of ours.
pub(super) fn kmod(
    disk: &DriverDisk<'_>,
    target: &dkms_base::id::Target,
    folder: &Path,
) -> Result<PathBuf, PackageError> {
    let module = Module { file: None, folder: folder.to_owned(), ..disk.module.clone() };
    Kmod { module: &module, target, demands: &Demands::default() }.write()
}
