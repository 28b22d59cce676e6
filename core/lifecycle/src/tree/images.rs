//! Kernels whose initramfs is not known to be what it should be: a note for each, `.state/initramfs/K`, until
//! it was made.
//!
//! A note has lines. `before`, or no line at all: the image was made while modules were missing, so the batch
//! that installs a module on such a kernel remakes it, whether or not the module asks for it. `removed NAME`:
//! a module was removed that the image may still hold. `left`: the program that makes images at the end of
//! the package manager's run was asked to make it.

use std::collections::BTreeSet;

use crate::host::fs::{self, FsError};
use crate::id::KernelRelease;
use crate::layout::Layout;

use super::state;

/// No note reaches it.
const LIMIT: u64 = 1 << 20;

/// What is noted of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// Its image was made before its modules.
    pub before: bool,
    /// Modules, as the kernel names them, that were removed and may still be in the image.
    pub removed: BTreeSet<String>,
    /// Another program was asked to make it.
    pub left: bool,
}

impl Note {
    fn parse(text: &str) -> Self {
        let mut note = Self { before: text.trim().is_empty(), ..Self::default() };
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("removed", name)) => drop(note.removed.insert(name.to_owned())),
                None if line == "before" => note.before = true,
                None if line == "left" => note.left = true,
                Some(_) | None => {}
            }
        }
        note
    }

    fn text(&self) -> String {
        let words = [(self.before, "before\n"), (self.left, "left\n")];
        let words = words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word.to_owned());
        words.chain(self.removed.iter().map(|name| format!("removed {name}\n"))).collect()
    }
}

/// What is noted of a kernel; `None`: nothing.
#[must_use]
pub fn read(layout: &Layout, kernel: &KernelRelease) -> Option<Note> {
    let text = fs::read_limited(&layout.images_dir().join(kernel), LIMIT).ok()?;
    Some(Note::parse(&String::from_utf8_lossy(&text)))
}

fn change(layout: &Layout, kernel: &KernelRelease, how: impl FnOnce(&mut Note)) -> Result<(), FsError> {
    let mut note = read(layout, kernel).unwrap_or_default();
    how(&mut note);
    if note == Note::default() {
        settle(layout, kernel);
        return Ok(());
    }
    state::create_folder(layout, &layout.images_dir())?;
    fs::write_whole(&layout.images_dir().join(kernel), note.text().as_bytes(), 0o644)
}

/// Notes that a kernel's initramfs is made without modules that should be there.
///
/// # Errors
/// [`FsError`]; then it isn't made again for them.
pub fn note(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    change(layout, kernel, |note| note.before = true)
}

/// Notes modules that were removed, besides those that are noted already.
///
/// # Errors
/// [`FsError`]; then nobody looks whether an image still holds them.
pub fn note_removed(
    layout: &Layout,
    kernel: &KernelRelease,
    names: &BTreeSet<String>,
) -> Result<(), FsError> {
    change(layout, kernel, |note| note.removed.extend(names.iter().cloned()))
}

/// Forgets those: no image holds them.
///
/// # Errors
/// [`FsError`]; then it is looked at once more.
pub fn forget_removed(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    match read(layout, kernel) {
        Some(note) if !note.removed.is_empty() => change(layout, kernel, |note| note.removed.clear()),
        _ => Ok(()),
    }
}

/// Notes that another program was asked to make it.
///
/// # Errors
/// [`FsError`]; then nobody looks whether that was done.
pub fn leave(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    change(layout, kernel, |note| note.left = true)
}

/// Whether an image is noted that was made before its modules.
#[must_use]
pub fn is_noted(layout: &Layout, kernel: &KernelRelease) -> bool {
    read(layout, kernel).is_some_and(|note| note.before)
}

/// The kernels whose images are to be looked at, whether or not anything is installed on them.
#[must_use]
pub fn pending(layout: &Layout) -> Vec<KernelRelease> {
    let names = fs::list(&layout.images_dir()).unwrap_or_default();
    let kernels = names.into_iter().filter_map(|entry| KernelRelease::new(entry.name.to_str()?).ok());
    let is_due = |note: Note| note.left || !note.removed.is_empty();
    kernels.filter(|kernel| read(layout, kernel).is_some_and(is_due)).collect()
}

/// It was made with them, or the kernel goes. A mark that can't be removed leads to one more image.
pub fn settle(layout: &Layout, kernel: &KernelRelease) {
    drop(fs::remove_file(&layout.images_dir().join(kernel)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stays_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        assert!(!is_noted(&layout, &kernel));
        note(&layout, &kernel).unwrap();
        note(&layout, &kernel).unwrap();
        assert!(is_noted(&layout, &kernel) && pending(&layout).is_empty());
        settle(&layout, &kernel);
        settle(&layout, &kernel);
        assert!(!is_noted(&layout, &kernel));
    }

    #[test]
    fn each_kind_is_noted_beside_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        note_removed(&layout, &kernel, &names(&["foo"])).unwrap();
        note_removed(&layout, &kernel, &names(&["bar"])).unwrap();
        assert!(!is_noted(&layout, &kernel));
        assert_eq!(pending(&layout), std::slice::from_ref(&kernel));
        note(&layout, &kernel).unwrap();
        leave(&layout, &kernel).unwrap();
        let expected = Note { before: true, removed: names(&["foo", "bar"]), left: true };
        assert_eq!(read(&layout, &kernel), Some(expected));
        forget_removed(&layout, &kernel).unwrap();
        assert!(is_noted(&layout, &kernel));
        settle(&layout, &kernel);
        note_removed(&layout, &kernel, &names(&["foo"])).unwrap();
        forget_removed(&layout, &kernel).unwrap();
        assert_eq!(read(&layout, &kernel), None);
        // As it was written before there were kinds.
        fs::write_whole(&layout.images_dir().join(&kernel), b"", 0o644).unwrap();
        assert!(is_noted(&layout, &kernel));
    }
}
