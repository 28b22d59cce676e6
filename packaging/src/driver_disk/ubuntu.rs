//! A driver disk as Ubuntu's installer reads it: Debian packages in `ubuntu-drivers/K/`.

use std::path::Path;

use super::DriverDisk;
use crate::debian::Module;
use crate::debian::mkbmdeb::BuiltModules;
use crate::demands::Demands;
use crate::entries::Entries;
use crate::error::PackageError;

pub(super) fn fill(disk: &DriverDisk<'_>, folder: &Path, entries: &mut Entries) -> Result<(), PackageError> {
    let module = Module { file: None, folder: folder.to_owned(), ..disk.module.clone() };
    for target in disk.targets {
        let package = BuiltModules { module: &module, target, demands: &Demands::default() }.write()?;
        let place = Path::new("ubuntu-drivers").join(&target.kernel);
        entries.plain_file(&package, &place.join(package.file_name().unwrap_or_default()), 0o644)?;
    }
    Ok(())
}
