//! The module files that were built for one kernel, as every packer takes them: none of them damaged. Knows
//! nothing of formats.

use std::path::PathBuf;

use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_kernel::modfile::{ModuleFile, damage};

use super::error::ArchiveError;

/// The module files that were built for a kernel, by name, each with what its name says. Empty if nothing
/// was built.
///
/// # Errors
/// [`ArchiveError::BuiltDamaged`] for a file that no kernel could load: it must not reach other machines.
pub fn built_modules(
    layout: &Layout,
    id: &ModuleId,
    target: &Target,
) -> Result<Vec<(ModuleFile, PathBuf)>, ArchiveError> {
    let folder = layout.built_dir(id, target);
    let mut modules = Vec::new();
    if !fs::is_dir(&folder) {
        return Ok(modules);
    }
    for entry in fs::list(&folder)? {
        let Some(file) = entry.name.to_str().and_then(ModuleFile::from_name) else { continue };
        let path = folder.join(&entry.name);
        if let Some(why) = damage(&path) {
            return Err(ArchiveError::BuiltDamaged { id: id.clone(), target: target.clone(), path, why });
        }
        modules.push((file, path));
    }
    Ok(modules)
}
