//! `mktree` and `unmktree`: a new module's source tree, which builds as it is, and its end
//! where it was never added.

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::host::fs::FsError;
use dkms_base::host::output::NewFolder;
use dkms_base::id::ModuleId;

use crate::staged::folder_of;

/// The files: name (`NAME` stands for the module's), text, whether it is the one that tells a tree of ours.
const FILES: [(&str, &str); 4] = [
    ("dkms.conf", include_str!("dkms.conf.in")),
    ("Makefile", include_str!("Makefile.in")),
    ("NAME.c", include_str!("module.c.in")),
    ("README.md", include_str!("README.md.in")),
];

/// What the first line of the dkms.conf of a tree from here is.
const MARK: &str = "# Made by `dkms mktree`";

/// Why a tree is not made or not removed.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// What a Makefile and C can't have as a name.
    #[error("`{id}` can't be written into a Makefile and a C file: {why}")]
    Name {
        /// The module.
        id: ModuleId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something is there already.
    #[error("`{}` is there already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("there is no source tree `{}`", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that we didn't make, or for another module.
    #[error("`{}` was not made by `dkms mktree` for {id}", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// The module.
        id: ModuleId,
    },
    /// The file system.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl SkeletonError {
    /// The exit code of the `dkms` command for this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Name { .. } => ExitCode::INVALID_CONF,
            Self::Exists { .. } | Self::NotOurs { .. } => ExitCode::NOT_IN_TREE,
            Self::Missing { .. } => ExitCode::BAD_OPTION,
            Self::Fs(_) => ExitCode::USAGE_OR_RIGHTS,
        }
    }
}

/// Makes the source tree of a module at `folder`, where nothing or an empty folder is; whole, or not at all.
///
/// # Errors
/// [`SkeletonError`].
pub fn make(id: &ModuleId, folder: &Path) -> Result<(), SkeletonError> {
    check(id)?;
    if fs::exists(folder) && !(fs::is_dir(folder) && fs::list(folder)?.is_empty()) {
        return Err(SkeletonError::Exists { path: folder.to_owned() });
    }
    fs::create_dir_all(folder_of(folder))?;
    let new = NewFolder::create(folder)?;
    for (name, text) in FILES {
        let name = name.replace("NAME", id.name.as_str());
        fs::write_whole(&new.path().join(name), fill(text, id).as_bytes(), 0o644)?;
    }
    Ok(new.publish()?)
}

/// Removes a source tree that [`make`] made for this module. That it isn't added, its caller knows.
///
/// # Errors
/// [`SkeletonError`].
pub fn remove(id: &ModuleId, folder: &Path) -> Result<(), SkeletonError> {
    if !fs::exists(folder) {
        return Err(SkeletonError::Missing { path: folder.to_owned() });
    }
    let conf = fs::optional(fs::read_lossy(&folder.join("dkms.conf")))?.unwrap_or_default();
    let first = conf.lines().next().unwrap_or_default();
    if first != format!("{MARK} for {id}") {
        return Err(SkeletonError::NotOurs { path: folder.to_owned(), id: id.clone() });
    }
    Ok(fs::discard(folder)?)
}

fn fill(text: &str, id: &ModuleId) -> String {
    text.replace("@MARK@", &format!("{MARK} for {id}"))
        .replace("@NAME@", id.name.as_str())
        .replace("@FUNCTION@", &id.name.as_str().replace('-', "_"))
        .replace("@VERSION@", id.version.as_str())
}

fn check(id: &ModuleId) -> Result<(), SkeletonError> {
    let refuse = |why| Err(SkeletonError::Name { id: id.clone(), why });
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.name.as_str().chars().all(is_plain) {
        return refuse("the name takes letters, digits, `_` and `-`");
    }
    if !id.name.as_str().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return refuse("the name begins with a letter");
    }
    if !id.version.as_str().chars().all(|c| is_plain(c) || ".+~:".contains(c)) {
        return refuse("the version takes letters, digits and `.+~:_-`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_made_whole_and_removed_only_where_it_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let id = ModuleId::parse("my-mod", "0.1").unwrap();
        let folder = dir.path().join("new/my-mod-0.1");
        make(&id, &folder).unwrap();
        let names: Vec<_> = fs::list(&folder).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["Makefile", "README.md", "dkms.conf", "my-mod.c"]);
        for name in names {
            let text = fs::read_lossy(&folder.join(name)).unwrap();
            assert!(!text.contains('@') && text.ends_with('\n'), "{text}");
        }
        assert!(matches!(make(&id, &folder), Err(SkeletonError::Exists { .. })));
        let other = ModuleId::parse("my-mod", "0.2").unwrap();
        assert!(matches!(remove(&other, &folder), Err(SkeletonError::NotOurs { .. })));
        assert!(matches!(remove(&other, dir.path()), Err(SkeletonError::NotOurs { .. })));
        remove(&id, &folder).unwrap();
        assert!(matches!(remove(&id, &folder), Err(SkeletonError::Missing { .. })));
        for name in ["a,b", "1a", "a.b"] {
            let id = ModuleId::parse(name, "1").unwrap();
            assert!(matches!(make(&id, &folder), Err(SkeletonError::Name { .. })), "{name}");
        }
    }
}
