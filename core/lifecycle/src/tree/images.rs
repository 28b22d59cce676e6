//! Kernels whose initramfs is not known to be what it should be: a note for each, `.state/initramfs/K`, until
//! it was made.
//!
//! A note has lines. `before`, or no line at all: the image was made while modules were missing, so the batch
//! that installs a module on such a kernel remakes it, whether or not the module asks for it. `left`: the
//! program that makes images at the end of the package manager's run was asked to make it. `removed NAME
//! MODULE`: NAME, of the dkms module MODULE, was removed, and the image may still hold it; notes of earlier
//! versions of ours have no MODULE. `held NAME MODULE`: the image holds it and is not remade without it,
//! since MODULE is still in the tree, or its package manager hasn't ended what it does with it, and it is not
//! installed on the kernel. `reported`: what is wrong was reported, with `remake_initrd=no`.

use std::collections::BTreeMap;

use crate::host::fs::{self, FsError};
use crate::id::{KernelRelease, ModuleName};
use crate::layout::Layout;

use super::turns::PackageRemoval;
use super::{Snapshot, state};

/// No note reaches it.
const LIMIT: u64 = 1 << 20;

/// Modules that were removed, as the kernel names them, each with the dkms module that had it, where that
/// is known.
pub type Removed = BTreeMap<String, Option<ModuleName>>;

/// What is noted of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// Its image was made before its modules.
    pub before: bool,
    /// Modules that were removed and may still be in the image.
    pub removed: Removed,
    /// Modules that were removed and that the image is kept for.
    pub held: Removed,
    /// Another program was asked to make it.
    pub left: bool,
    /// What is wrong with it was reported, and nobody makes it again (`remake_initrd=no`).
    pub reported: bool,
}

impl Note {
    fn parse(text: &str) -> Self {
        let mut note = Self { before: text.trim().is_empty(), ..Self::default() };
        for line in text.lines() {
            let mut words = line.split(' ');
            let (kind, name, of) = (words.next().unwrap_or_default(), words.next(), words.next());
            let removed = name.map(|name| (name.to_owned(), of.and_then(|of| ModuleName::new(of).ok())));
            match (kind, removed) {
                ("removed", Some((name, of))) => drop(note.removed.insert(name, of)),
                ("held", Some((name, of))) => drop(note.held.insert(name, of)),
                ("before", None) => note.before = true,
                ("left", None) => note.left = true,
                ("reported", None) => note.reported = true,
                _ => {}
            }
        }
        note
    }

    fn text(&self) -> String {
        let words = [(self.before, "before\n"), (self.left, "left\n"), (self.reported, "reported\n")];
        let words = words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word.to_owned());
        let kinds = [("removed", &self.removed), ("held", &self.held)].into_iter();
        let modules = kinds.flat_map(|(kind, modules)| {
            modules.iter().map(move |(name, of)| match of {
                Some(of) => format!("{kind} {name} {of}\n"),
                None => format!("{kind} {name}\n"),
            })
        });
        words.chain(modules).collect()
    }

    /// Whether there is something to do about the image although nothing is installed. Not as long as it is
    /// kept for a module that the tree has.
    fn is_due(&self, snapshot: &Snapshot, removals: &[PackageRemoval]) -> bool {
        let is_known = |of: &ModuleName| {
            let removed = removals.iter().map(|removal| &removal.id);
            snapshot.modules.keys().chain(removed).any(|id| id.name == *of)
        };
        let is_kept = self.held.values().flatten().any(is_known);
        (self.left || !self.removed.is_empty() || !self.held.is_empty()) && !is_kept
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
pub fn note_removed(layout: &Layout, kernel: &KernelRelease, removed: &Removed) -> Result<(), FsError> {
    change(layout, kernel, |note| {
        note.reported &= removed.is_empty();
        note.removed.extend(removed.clone());
    })
}

/// Notes that the image is kept for modules that were removed, and for no others.
///
/// # Errors
/// [`FsError`]; then it is looked at again at the next occasion.
pub fn hold(layout: &Layout, kernel: &KernelRelease, held: &Removed) -> Result<(), FsError> {
    // The time of a note says when another program was asked to make the image.
    let note = read(layout, kernel).unwrap_or_default();
    if note.held == *held && !note.removed.keys().any(|name| held.contains_key(name)) {
        return Ok(());
    }
    change(layout, kernel, |note| {
        note.removed.retain(|name, _| !held.contains_key(name));
        note.held.clone_from(held);
    })
}

/// Forgets those: no image holds them.
///
/// # Errors
/// [`FsError`]; then it is looked at once more.
pub fn forget_removed(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    match read(layout, kernel) {
        Some(note) if !(note.removed.is_empty() && note.held.is_empty()) => change(layout, kernel, |note| {
            note.removed.clear();
            note.held.clear();
            note.reported = false;
        }),
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

/// Notes that what is wrong with it was reported.
///
/// # Errors
/// [`FsError`]; then it is reported again.
pub fn reported(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    change(layout, kernel, |note| note.reported = true)
}

/// Whether an image is noted that was made before its modules.
#[must_use]
pub fn is_noted(layout: &Layout, kernel: &KernelRelease) -> bool {
    read(layout, kernel).is_some_and(|note| note.before)
}

/// Whether the image of some kernel is kept for a module that was removed.
#[must_use]
pub fn holds_any(layout: &Layout) -> bool {
    noted(layout).iter().any(|(_, note)| !note.held.is_empty())
}

/// The kernels whose images are to be looked at, whether or not anything is installed on them. `is_remade`:
/// images are remade, and not only reported.
#[must_use]
pub fn pending(layout: &Layout, snapshot: &Snapshot, is_remade: bool) -> Vec<KernelRelease> {
    let removals = PackageRemoval::all(layout);
    let noted = noted(layout).into_iter();
    let is_due = |note: &Note| note.is_due(snapshot, &removals) && (is_remade || !note.reported);
    noted.filter(|(_, note)| is_due(note)).map(|(kernel, _)| kernel).collect()
}

/// Whether anything is noted of images: without a look at the tree.
#[must_use]
pub fn is_any_noted(layout: &Layout) -> bool {
    !noted(layout).is_empty()
}

fn noted(layout: &Layout) -> Vec<(KernelRelease, Note)> {
    let names = fs::list(&layout.images_dir()).unwrap_or_default();
    let kernels = names.into_iter().filter_map(|entry| KernelRelease::new(entry.name.to_str()?).ok());
    kernels.filter_map(|kernel| read(layout, &kernel).map(|note| (kernel, note))).collect()
}

/// It was made with them, or the kernel goes. A mark that can't be removed leads to one more image.
pub fn settle(layout: &Layout, kernel: &KernelRelease) {
    drop(fs::remove_file(&layout.images_dir().join(kernel)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ModuleId;
    use crate::tree::{Registration, Source};

    #[test]
    fn a_note_stays_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        assert!(!is_noted(&layout, &kernel) && !is_any_noted(&layout));
        note(&layout, &kernel).unwrap();
        note(&layout, &kernel).unwrap();
        assert!(is_any_noted(&layout));
        assert!(is_noted(&layout, &kernel) && pending(&layout, &Snapshot::default(), true).is_empty());
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
        let module = ModuleName::new("m").unwrap();
        let names = |names: &[&str]| -> Removed {
            names.iter().map(|name| ((*name).to_owned(), Some(module.clone()))).collect()
        };
        note_removed(&layout, &kernel, &names(&["foo"])).unwrap();
        note_removed(&layout, &kernel, &[("bar".to_owned(), None)].into()).unwrap();
        assert!(!is_noted(&layout, &kernel));
        assert_eq!(pending(&layout, &Snapshot::default(), true), std::slice::from_ref(&kernel));
        note(&layout, &kernel).unwrap();
        leave(&layout, &kernel).unwrap();
        let removed = [("bar".to_owned(), None), ("foo".to_owned(), Some(module.clone()))].into();
        let expected = Note { before: true, removed, held: Removed::new(), left: true, reported: false };
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
    #[test]
    fn an_image_is_kept_as_long_as_the_tree_has_the_module() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        let id = ModuleId::parse("m", "2.0").unwrap();
        let registration =
            Registration { source: Source::Present("/usr/src/m-2.0".into()), built: BTreeMap::new() };
        let known = Snapshot { modules: [(id.clone(), registration)].into(), ..Snapshot::default() };
        let foo: Removed = [("foo".to_owned(), Some(id.name))].into();
        note_removed(&layout, &kernel, &foo).unwrap();
        assert_eq!(pending(&layout, &known, true).len(), 1);
        hold(&layout, &kernel, &foo).unwrap();
        assert_eq!(read(&layout, &kernel), Some(Note { held: foo.clone(), ..Note::default() }));
        assert!(holds_any(&layout) && pending(&layout, &known, true).is_empty());
        assert_eq!(pending(&layout, &Snapshot::default(), true).len(), 1, "it has gone for good");
        forget_removed(&layout, &kernel).unwrap();
        assert!(!holds_any(&layout));
        // What was reported is not reported again, unless something is removed since.
        note_removed(&layout, &kernel, &foo).unwrap();
        reported(&layout, &kernel).unwrap();
        let pending = |is_remade| pending(&layout, &Snapshot::default(), is_remade).len();
        assert_eq!((pending(false), pending(true)), (0, 1));
        note_removed(&layout, &kernel, &[("bar".to_owned(), None)].into()).unwrap();
        assert_eq!(pending(false), 1);
        forget_removed(&layout, &kernel).unwrap();
        assert_eq!(read(&layout, &kernel), None);
    }
}
