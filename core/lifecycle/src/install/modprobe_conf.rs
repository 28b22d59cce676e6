//! `/etc/modprobe.d/dkms-M.conf`: the lines of `MODULES_CONF`, there as long as the module is
//! installed on some kernel.

use super::Place;
use super::changes::Changes;
use crate::host::fs::{self, FsError};
use crate::id::ModuleName;
use crate::layout::Layout;

/// Writes it, where there are lines and it doesn't hold them yet.
pub(super) fn put(
    changes: &mut Changes,
    layout: &Layout,
    name: &ModuleName,
    lines: &[String],
) -> Result<(), FsError> {
    if lines.is_empty() {
        return Ok(());
    }
    let path = layout.modprobe_conf(name);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if fs::optional(fs::read(&path))?.is_some_and(|present| present == text.as_bytes()) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        changes.folder(dir)?;
    }
    let staged = changes.stage_bytes(text.as_bytes(), &path)?;
    changes.publish(&staged, &path)
}

/// Takes it away, where no `kernel-K-A` link of the module but this one is left.
pub(super) fn take(changes: &mut Changes, place: &Place<'_>) -> Result<(), FsError> {
    let name = &place.id.name;
    let path = place.layout.modprobe_conf(name);
    if !fs::is_file(&path) {
        return Ok(());
    }
    let own = place.link();
    let installed_elsewhere = |entry: &fs::Entry| {
        let is_link = entry.name.to_str().is_some_and(|name| name.starts_with("kernel-"));
        entry.kind.is_symlink() && is_link && own.file_name() != Some(&entry.name)
    };
    let entries = fs::list(&place.layout.module_dir(name))?;
    if entries.iter().any(installed_elsewhere) { Ok(()) } else { changes.take(&path) }
}
