//! `--rpm_safe_upgrade`: rpm runs the new package's %post before the old one's %preun, so a `remove` that
//! follows an `add` of the same module in the same rpm process must do nothing.
//!
//! `add` leaves a note that names the module and rpm's process, by number and start time so that a reused
//! number can't match; `remove` under the same rpm takes the note away.

use std::path::PathBuf;

use crate::host::ancestry::{ProcessIdentity, grandparent};
use crate::host::fs::{self, FsError};
use crate::id::ModuleId;
use crate::layout::Layout;

/// What a removal under rpm means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The same rpm added this module: nothing is to be removed.
    Cancelled,
    /// A removal as any other.
    Real,
}

fn note(layout: &Layout, id: &ModuleId) -> PathBuf {
    layout.dkms_tree.join(format!(".rpm_safe_upgrade-{}-{}", id.name, id.version))
}

fn content(rpm: ProcessIdentity) -> String {
    format!("{} {}\n", rpm.pid, rpm.started)
}

/// Notes that the rpm above us added a module.
///
/// # Errors
/// [`FsError`].
pub fn leave_note(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    match grandparent() {
        Some(rpm) => fs::write_whole(&note(layout, id), content(rpm).as_bytes(), 0o644),
        None => Ok(()),
    }
}

/// Whether the rpm above us has noted this module; the note is gone afterwards.
///
/// # Errors
/// [`FsError`].
pub fn take_note(layout: &Layout, id: &ModuleId) -> Result<Removal, FsError> {
    let path = note(layout, id);
    let Some(noted) = fs::optional(fs::read_lossy(&path))? else { return Ok(Removal::Real) };
    // A note of an rpm that has ended has served its time, too.
    fs::remove_file(&path)?;
    let is_same = grandparent().is_some_and(|rpm| content(rpm) == noted);
    Ok(if is_same { Removal::Cancelled } else { Removal::Real })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_cancels_one_removal_by_the_same_rpm() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let id = ModuleId::parse("foo", "1.0").unwrap();
        assert_eq!(take_note(&layout, &id).unwrap(), Removal::Real);
        leave_note(&layout, &id).unwrap();
        assert_eq!(take_note(&layout, &id).unwrap(), Removal::Cancelled);
        assert_eq!(take_note(&layout, &id).unwrap(), Removal::Real);
        fs::write_whole(&note(&layout, &id), b"1 1\n", 0o644).unwrap();
        assert_eq!(take_note(&layout, &id).unwrap(), Removal::Real);
    }
}
