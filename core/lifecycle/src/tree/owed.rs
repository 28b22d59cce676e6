//! Kernels whose modules have changed and whose modules.dep has not: a mark for each, made before the change
//! and taken away by the depmod that went well. A command that finds one of a kernel that no other works on
//! runs depmod.
//!
//! A mark is not synced: it is made before the journal's entry of the same change goes, in
//! the same file system.

use std::collections::BTreeSet;

use super::key::Key;
use super::lock::{self, Held};
use super::state;
use crate::host::fs::{self, FsError};
use crate::host::scratch;
use crate::id::{Arch, KernelRelease, Target};
use crate::layout::Layout;

/// Notes that a kernel needs a depmod.
///
/// # Errors
/// [`FsError`].
pub fn note(layout: &Layout, target: &Target) -> Result<(), FsError> {
    let mark = layout.owed_depmod(&target.kernel);
    if fs::exists(&mark) {
        return Ok(());
    }
    state::create_folder(layout, &layout.owed_dir())?;
    scratch::write_note(&mark, target.arch.as_str())
}

/// Its modules.dep is up to date. A mark that can't be removed only leads to one more depmod.
pub fn paid(layout: &Layout, kernel: &KernelRelease) {
    drop(fs::remove_file(&layout.owed_depmod(kernel)));
}

/// The kernels that need a depmod, whose folder we may write to, and that nobody else works on
/// (who does will pay).
#[must_use]
pub fn unattended(layout: &Layout, held: Option<&Held>) -> BTreeSet<Target> {
    let marks = fs::list(&layout.owed_dir()).unwrap_or_default();
    let releases = marks.into_iter().filter_map(|mark| KernelRelease::new(mark.name.to_str()?).ok());
    let is_ours_to_pay = |release: &KernelRelease| {
        let key = Key::Kernel(release.clone());
        let folder = layout.kernel_dir(release);
        fs::is_dir(&folder)
            && fs::may_write(&folder)
            && (held.is_some_and(|held| held.is_ours_alone(&key)) || lock::is_free(layout, &key))
    };
    let target = |release: KernelRelease| {
        let text =
            fs::read_limited(&layout.owed_depmod(&release), 128).ok().and_then(|b| String::from_utf8(b).ok());
        let arch = text.and_then(|text| Arch::new(text).ok()).or_else(|| Arch::new(machine()).ok())?;
        Some(Target::new(release, arch))
    };
    releases.filter(is_ours_to_pay).filter_map(target).collect()
}

fn machine() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}

/// Forgets marks of kernels that are gone.
pub fn sweep(layout: &Layout) {
    for mark in fs::list(&layout.owed_dir()).unwrap_or_default() {
        let is_there = |release: &KernelRelease| fs::is_dir(&layout.kernel_dir(release));
        let release = mark.name.to_str().and_then(|name| KernelRelease::new(name).ok());
        if !release.as_ref().is_some_and(is_there) && !mark.name.as_encoded_bytes().starts_with(b".") {
            drop(fs::remove_any(&layout.owed_dir().join(&mark.name)));
        }
    }
}
