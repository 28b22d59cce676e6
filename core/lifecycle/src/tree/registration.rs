//! Changes to the tree itself: registering a source, forgetting it, dropping what was built, copying a source
//! into place. Each becomes visible by one rename; what is on its way in or out has a name that the next
//! changing command sweeps ([`super::sweep`]).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{attempts, loading};
use crate::host::fs::{self, FsError, Ownership};
use crate::id::{ModuleId, ModuleName, Target};
use crate::layout::Layout;

/// Registers a module: `M/V/source` leads to its source folder. Also fixes a registration whose link is
/// missing. An empty `build/` comes with it, as programs of the 3.x line expect.
///
/// # Errors
/// [`FsError`]; then the tree is as it was.
pub fn add(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    let version_dir = layout.version_dir(id);
    if fs::is_dir(&version_dir) {
        fs::create_dir_all(&layout.build_dir(id))?;
        return fs::symlink(&layout.source_dir(id), &layout.source_link(id));
    }
    let module_dir = layout.module_dir(&id.name);
    let is_new = !fs::exists(&module_dir);
    fs::create_dir_all(&module_dir)?;
    let staged = fs::temporary_beside(&version_dir);
    let publish = || -> Result<(), FsError> {
        fs::create_dir_all(&staged.join("build"))?;
        fs::symlink(&layout.source_dir(id), &staged.join("source"))?;
        fs::rename(&staged, &version_dir)
    };
    publish().inspect_err(|_| {
        let _ = fs::remove_tree(&staged);
        if is_new {
            let _ = fs::remove_dir_if_empty(&module_dir);
        }
    })
}

/// Forgets a module version with its earlier builds, and the module's folder with the last one.
///
/// # Errors
/// [`FsError`].
pub fn forget(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    loading::end(layout, id)?;
    attempts::forget(layout, id)?;
    fs::discard(&layout.version_dir(id))?;
    forget_module_if_empty(layout, &id.name)
}

/// Removes a module's folder where neither a version nor an original nor an installed link is left in it.
///
/// # Errors
/// [`FsError`].
pub(super) fn forget_module_if_empty(layout: &Layout, name: &ModuleName) -> Result<(), FsError> {
    let originals = layout.originals_root(name);
    if fs::is_dir(&originals) {
        remove_empty_folders(&originals)?;
    }
    if fs::is_dir(&layout.module_dir(name)) {
        fs::remove_dir_if_empty(&layout.module_dir(name))?;
    }
    Ok(())
}

/// Removes the empty folders below `dir`, and `dir` itself if nothing is left; files stay.
///
/// # Errors
/// [`FsError`].
pub fn remove_empty_folders(dir: &Path) -> Result<(), FsError> {
    for entry in fs::list(dir)? {
        if entry.kind.is_dir() {
            remove_empty_folders(&dir.join(entry.name))?;
        }
    }
    fs::remove_dir_if_empty(dir).map(|_| ())
}

/// Drops what was built for a target.
///
/// # Errors
/// [`FsError`].
pub fn drop_build(layout: &Layout, id: &ModuleId, target: &Target) -> Result<(), FsError> {
    let dir = layout.target_dir(id, target);
    fs::discard(&dir)?;
    if let Some(kernel_dir) = dir.parent().filter(|above| fs::is_dir(above)) {
        fs::remove_dir_if_empty(kernel_dir)?;
    }
    Ok(())
}

/// Copies a source folder to `/usr/src/M-V`, modes and times kept, replacing what is there in one step, and
/// registers it. Where both are the same folder already nothing is copied.
///
/// # Errors
/// [`FsError`]; then both trees are as they were.
pub fn add_copy(layout: &Layout, id: &ModuleId, from: &Path) -> Result<(), FsError> {
    let place = layout.source_dir(id);
    if is_same_folder(from, &place)? {
        return add(layout, id);
    }
    fs::create_dir_all(&layout.source_tree)?;
    let staged = fs::temporary_beside(&place);
    // What was there before is at the staged name then; where nothing was, the copy itself goes.
    let take_back =
        || if fs::exists(&staged) { fs::replace(&staged, &place) } else { fs::rename(&place, &staged) };
    let copy_and_add = || -> Result<(), FsError> {
        fs::copy_tree(from, &staged, Ownership::Callers)?;
        fs::replace(&staged, &place)?;
        // The error that is reported is the first one.
        add(layout, id).inspect_err(|_| drop(take_back()))
    };
    let result = copy_and_add();
    let swept = fs::remove_any(&staged);
    result.and(swept)
}

/// Whether two paths lead to the same folder.
///
/// # Errors
/// [`FsError`] where one can't be looked at.
pub fn is_same_folder(a: &Path, b: &Path) -> Result<bool, FsError> {
    let both = fs::stat(a)?.zip(fs::stat(b)?);
    Ok(both.is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Layout, ModuleId) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        fs::create_dir_all(&layout.source_dir(&id)).unwrap();
        (dir, layout, id)
    }

    #[test]
    fn add_then_forget_leaves_nothing() {
        let (_dir, layout, id) = world();
        add(&layout, &id).unwrap();
        assert!(fs::is_dir(&layout.source_link(&id)));
        forget(&layout, &id).unwrap();
        assert_eq!(fs::list(&layout.dkms_tree).unwrap().len(), 0);
    }

    #[test]
    fn add_mends_a_missing_link() {
        let (_dir, layout, id) = world();
        fs::create_dir_all(&layout.version_dir(&id)).unwrap();
        add(&layout, &id).unwrap();
        assert!(fs::is_dir(&layout.source_link(&id)));
    }

    #[test]
    fn forgetting_keeps_originals() {
        let (_dir, layout, id) = world();
        let target = Target::parse("6.1.0", "x86_64").unwrap();
        add(&layout, &id).unwrap();
        let originals = layout.originals_dir(&id.name, &target);
        fs::create_dir_all(&originals).unwrap();
        fs::write_whole(&originals.join("foo.ko"), b"x", 0o644).unwrap();
        forget(&layout, &id).unwrap();
        assert!(fs::is_file(&originals.join("foo.ko")));
        fs::remove_file(&originals.join("foo.ko")).unwrap();
        add(&layout, &id).unwrap();
        forget(&layout, &id).unwrap();
        assert!(!fs::exists(&layout.module_dir(&id.name)));
    }

    #[test]
    fn a_source_is_replaced_in_one_step() {
        let (dir, layout, id) = world();
        let from = dir.path().join("mine");
        fs::create_dir_all(&from).unwrap();
        fs::write_whole(&from.join("dkms.conf"), b"new", 0o644).unwrap();
        fs::write_whole(&layout.source_dir(&id).join("old"), b"old", 0o644).unwrap();
        add_copy(&layout, &id, &from).unwrap();
        assert!(fs::is_file(&layout.source_dir(&id).join("dkms.conf")));
        assert!(!fs::exists(&layout.source_dir(&id).join("old")));
        assert_eq!(fs::list(&layout.source_tree).unwrap().len(), 1);
        forget(&layout, &id).unwrap();
        add_copy(&layout, &id, &layout.source_dir(&id)).unwrap();
        assert!(fs::is_file(&layout.source_dir(&id).join("dkms.conf")));
    }
    #[test]
    fn a_source_that_can_not_be_registered_is_taken_back() {
        let (dir, layout, id) = world();
        let from = dir.path().join("mine");
        fs::create_dir_all(&from).unwrap();
        fs::write_whole(&layout.source_dir(&id).join("old"), b"old", 0o644).unwrap();
        // A file where the tree should be.
        fs::create_dir_all(layout.dkms_tree.parent().unwrap()).unwrap();
        fs::write_whole(&layout.dkms_tree, b"", 0o644).unwrap();
        add_copy(&layout, &id, &from).unwrap_err();
        assert!(fs::is_file(&layout.source_dir(&id).join("old")));
        fs::remove_any(&layout.source_dir(&id)).unwrap();
        add_copy(&layout, &id, &from).unwrap_err();
        assert_eq!(fs::list(&layout.source_tree).unwrap().len(), 0);
    }
}
