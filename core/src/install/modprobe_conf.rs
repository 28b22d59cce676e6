//! `/etc/modprobe.d/dkms-M.conf`: the lines of `MODULES_CONF`, there as long as the module is installed on some kernel.

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

/// Takes it away, where no `kernel-K-A` link of the module is left.
pub(super) fn take(changes: &mut Changes, layout: &Layout, name: &ModuleName) -> Result<(), FsError> {
    let path = layout.modprobe_conf(name);
    if !fs::is_file(&path) {
        return Ok(());
    }
    let entries = fs::list(&layout.module_dir(name))?;
    let installed = |entry: &fs::Entry| {
        entry.kind.is_symlink() && entry.name.to_str().is_some_and(|name| name.starts_with("kernel-"))
    };
    if entries.iter().any(installed) { Ok(()) } else { changes.take(&path) }
}
