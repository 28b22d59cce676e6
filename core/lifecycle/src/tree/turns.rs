//! What packages have begun with modules and not ended, so that it can be ended where the package
//! manager goes another way than it had announced:
//!
//! - `.state/removed/M/V`: a script of a package has removed a module; its package manager may go back to
//!   that very version, or put another one in its place, which may not be installed on the same kernels
//! - `.state/early/M/V`: a module was registered and built before its package was configured, which may
//!   never be
//!
//! The text of a note is for who leaves it. Notes are taken away by who has ended it; killed in between,
//! they are still there for the next one who looks.

use std::path::PathBuf;

use super::state;
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, ModuleName, Target};
use crate::layout::Layout;

/// Larger than any note: a few words for each kernel.
const LIMIT: u64 = 1 << 20;

/// A module that a script of a package has removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRemoval {
    /// Which one.
    pub id: ModuleId,
    /// The package, as its package manager names it.
    pub package: String,
    /// The version of the package whose script it was; empty: not known.
    pub package_version: String,
    /// Where it was installed.
    pub kernels: Vec<Target>,
}

impl PackageRemoval {
    fn text(&self) -> String {
        let kernels = self.kernels.iter().map(|target| format!("{} {}\n", target.kernel, target.arch));
        std::iter::once(format!("{} {}\n", self.package, self.package_version)).chain(kernels).collect()
    }

    fn parse(id: ModuleId, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (package, version) = lines.next()?.split_once(' ')?;
        let target =
            |line: &str| line.split_once(' ').and_then(|(kernel, arch)| Target::parse(kernel, arch).ok());
        Some(Self {
            id,
            package: package.to_owned(),
            package_version: version.to_owned(),
            kernels: lines.filter_map(target).collect(),
        })
    }

    /// Leaves a note of it. Where a removal of the same module is noted, that one is it: the
    /// module has not been back since.
    ///
    /// # Errors
    /// [`FsError`]; then nobody sees to it.
    pub fn note(&self, layout: &Layout) -> Result<(), FsError> {
        match fs::exists(&file(layout, Kind::Removed, &self.id)) {
            true => Ok(()),
            false => write(layout, Kind::Removed, &self.id, &self.text()),
        }
    }

    /// All that are noted.
    #[must_use]
    pub fn all(layout: &Layout) -> Vec<Self> {
        let read = |id: ModuleId| {
            let text = fs::read_limited(&file(layout, Kind::Removed, &id), LIMIT).ok()?;
            Self::parse(id, &String::from_utf8_lossy(&text))
        };
        ids(layout, Kind::Removed).into_iter().filter_map(read).collect()
    }

    /// A person has taken the module up: what is noted of any version of it is over.
    pub fn settle_all(layout: &Layout, name: &ModuleName) {
        for kind in [Kind::Removed, Kind::Early] {
            let of_it = ids(layout, kind).into_iter().filter(|id| id.name == *name);
            of_it.for_each(|id| forget(layout, kind, &id));
        }
    }

    /// It is ended. A note that stays leads to one more look.
    pub fn settle(layout: &Layout, id: &ModuleId) {
        forget(layout, Kind::Removed, id);
    }
}

/// Notes that a module is registered before its package is configured.
///
/// # Errors
/// [`FsError`]; then it stays, should the package never be configured.
pub fn note_early(layout: &Layout, id: &ModuleId) -> Result<(), FsError> {
    write(layout, Kind::Early, id, "")
}

/// The modules whose packages were to be configured when they were registered.
#[must_use]
pub fn early(layout: &Layout) -> Vec<ModuleId> {
    ids(layout, Kind::Early)
}

/// The package of such a module has asked for it, or it was taken out again.
pub fn settle_early(layout: &Layout, id: &ModuleId) {
    forget(layout, Kind::Early, id);
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Removed,
    Early,
}

fn folder(layout: &Layout, kind: Kind) -> PathBuf {
    layout.state_dir().join(match kind {
        Kind::Removed => "removed",
        Kind::Early => "early",
    })
}

fn file(layout: &Layout, kind: Kind, id: &ModuleId) -> PathBuf {
    folder(layout, kind).join(&id.name).join(&id.version)
}

fn write(layout: &Layout, kind: Kind, id: &ModuleId, text: &str) -> Result<(), FsError> {
    state::create_folder(layout, &folder(layout, kind).join(&id.name))?;
    fs::write_whole(&file(layout, kind, id), text.as_bytes(), 0o644)
}

fn ids(layout: &Layout, kind: Kind) -> Vec<ModuleId> {
    state::modules_in(&folder(layout, kind))
}

fn forget(layout: &Layout, kind: Kind, id: &ModuleId) {
    drop(fs::remove_file(&file(layout, kind, id)));
    drop(fs::remove_dir_if_empty(&folder(layout, kind).join(&id.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stays_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let [a, b] = ["1.0", "2.0"].map(|version| ModuleId::parse("a", version).unwrap());
        let kernels = vec![Target::parse("6.1.0-1", "x86_64").unwrap()];
        let removal = PackageRemoval {
            id: a.clone(),
            package: "a-dkms".to_owned(),
            package_version: "1.0-1".to_owned(),
            kernels,
        };
        removal.note(&layout).unwrap();
        PackageRemoval { kernels: Vec::new(), ..removal.clone() }.note(&layout).unwrap();
        assert_eq!(
            PackageRemoval::all(&layout),
            std::slice::from_ref(&removal),
            "the first one saw where it was installed"
        );
        note_early(&layout, &b).unwrap();
        note_early(&layout, &b).unwrap();
        assert_eq!(early(&layout), std::slice::from_ref(&b));
        settle_early(&layout, &b);
        settle_early(&layout, &b);
        PackageRemoval::settle(&layout, &a);
        assert!(early(&layout).is_empty() && PackageRemoval::all(&layout).is_empty());
        note_early(&layout, &b).unwrap();
        removal.note(&layout).unwrap();
        PackageRemoval::settle_all(&layout, &b.name);
        assert!(early(&layout).is_empty() && PackageRemoval::all(&layout).is_empty());
    }
}
