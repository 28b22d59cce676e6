//! Modules that serve a kernel through `weak-updates`: links that weak-modules(8) of RHEL and SUSE puts below
//! `/lib/modules/K/weak-updates`, each leading to a module that was built for another kernel.

use std::path::Path;

use crate::host::fs::{self, FsError};
use crate::id::KernelRelease;
use crate::layout::Layout;

/// The folder of such links below a kernel's.
pub const FOLDER: &str = "weak-updates";

/// One such link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeakLink {
    /// The kernel that it serves.
    pub on: KernelRelease,
    /// The kernel that the module was built for.
    pub from: KernelRelease,
    /// The module file's name.
    pub file: String,
}

/// All of them, ordered. Systems without weak-modules have none, and pay one look a kernel.
///
/// # Errors
/// [`FsError`].
pub fn links(layout: &Layout) -> Result<Vec<WeakLink>, FsError> {
    let mut found = Vec::new();
    for entry in fs::list(&layout.install_tree)? {
        let Some(kernel) = entry.name.to_str().and_then(|name| KernelRelease::new(name).ok()) else {
            continue;
        };
        let folder = layout.kernel_dir(&kernel).join(FOLDER);
        if fs::is_dir(&folder) {
            walk(&folder, &kernel, &mut found)?;
        }
    }
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, on: &KernelRelease, found: &mut Vec<WeakLink>) -> Result<(), FsError> {
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() {
            walk(&path, on, found)?;
        } else if entry.kind.is_symlink()
            && let Some(from) = fs::link_target(&path)?.as_deref().and_then(kernel_of)
            && let Ok(file) = entry.name.into_string()
            && from != *on
        {
            found.push(WeakLink { on: on.clone(), from, file });
        }
    }
    Ok(())
}

/// The K of `…/lib/modules/K/…`.
fn kernel_of(path: &Path) -> Option<KernelRelease> {
    let mut parts = path.iter().skip_while(|part| *part != "modules");
    KernelRelease::new(parts.nth(1)?.to_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_other_kernels_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let folder = layout.install_tree.join("5.14.0-2/weak-updates/sub");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&layout.install_tree.join("5.14.0-1")).unwrap();
        fs::symlink(Path::new("/lib/modules/5.14.0-1/extra/foo.ko.xz"), &folder.join("foo.ko.xz")).unwrap();
        fs::symlink(Path::new("/lib/modules/5.14.0-2/extra/own.ko"), &folder.join("own.ko")).unwrap();
        let links = links(&layout).unwrap();
        assert_eq!(links.len(), 1);
        assert_eq!((links[0].from.as_str(), links[0].file.as_str()), ("5.14.0-1", "foo.ko.xz"));
    }
}
