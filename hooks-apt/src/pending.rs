//! What waits for the trigger: a small record for each module and kernel, written before dpkg is asked
//! that there is something to do, and taken away when it is done. Killed in between, it is still there
//! for the next one who looks.
//!
//! `.state/pending/module-M-V`, `headers-K` and `replaced-K`. What can't be read as such isn't there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dkms_base::host::fs::{self, FsError};
use dkms_base::id::{KernelRelease, ModuleId};
use dkms_base::layout::Layout;
use dkms_core::event::{Arrival, Happening};
use dkms_core::tree::state;
use serde::{Deserialize, Serialize};

/// Larger than any record.
const LIMIT: u64 = 1 << 16;

/// One thing that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub enum Pending {
    /// A module has arrived.
    Module {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// It was there before, in whichever version.
        upgrade: bool,
        /// What is built of this version is of an older source.
        anew: bool,
    },
    /// A kernel's headers have.
    Headers {
        /// Its release.
        kernel: String,
    },
    /// A kernel is being replaced by another build of the same release: what was built for it is dropped when
    /// that is unpacked.
    Replaced {
        /// Its release.
        kernel: String,
    },
}

impl Pending {
    /// A module that arrives.
    #[must_use]
    pub fn module(id: &ModuleId, arrival: Arrival, anew: bool) -> Self {
        let upgrade = arrival == Arrival::Upgrade;
        Self::Module { name: id.name.to_string(), version: id.version.to_string(), upgrade, anew }
    }

    /// A kernel whose headers arrive.
    #[must_use]
    pub fn headers(kernel: &KernelRelease) -> Self {
        Self::Headers { kernel: kernel.to_string() }
    }

    /// A kernel that is being replaced.
    #[must_use]
    pub fn replaced(kernel: &KernelRelease) -> Self {
        Self::Replaced { kernel: kernel.to_string() }
    }

    fn file(&self) -> String {
        match self {
            Self::Module { name, version, .. } => format!("module-{name}-{version}"),
            Self::Headers { kernel } => format!("headers-{kernel}"),
            Self::Replaced { kernel } => format!("replaced-{kernel}"),
        }
    }

    /// Whether it is about a kernel.
    #[must_use]
    pub fn is_of(&self, of: &KernelRelease) -> bool {
        match self {
            Self::Module { .. } => false,
            Self::Headers { kernel } | Self::Replaced { kernel } => kernel == of.as_str(),
        }
    }

    /// The module that arrives, and what that is to [`dkms_core::event`].
    #[must_use]
    pub fn arrived(&self) -> Option<(ModuleId, Vec<Happening>)> {
        let Self::Module { name, version, upgrade, anew } = self else { return None };
        let id = ModuleId::parse(name, version).ok()?;
        let arrival = if *upgrade { Arrival::Upgrade } else { Arrival::First };
        let told = Happening::ModuleArrived(id.clone(), arrival);
        let left = anew.then(|| Happening::ModuleLeaving(id.clone()));
        Some((id, std::iter::once(told).chain(left).collect()))
    }
}

fn folder(layout: &Layout) -> PathBuf {
    layout.state_dir().join("pending")
}

/// Writes one down.
///
/// # Errors
/// [`FsError`]; then it has to be done at once.
pub fn add(layout: &Layout, pending: &Pending) -> Result<(), FsError> {
    state::create_folder(layout, &folder(layout))?;
    // Words and yes or no can always be written as JSON.
    let text = serde_json::to_vec(pending).unwrap_or_default();
    fs::write_whole(&folder(layout).join(pending.file()), &text, 0o644)
}

/// All that waits, ordered by name.
#[must_use]
pub fn all(layout: &Layout) -> Vec<Pending> {
    let names = fs::list(&folder(layout)).unwrap_or_default();
    let read = |entry: fs::Entry| {
        let text = fs::read_limited(&folder(layout).join(entry.name), LIMIT).ok()?;
        serde_json::from_slice(&text).ok()
    };
    names.into_iter().filter_map(read).collect()
}

/// The kernels that are being replaced.
#[must_use]
pub fn replaced(layout: &Layout) -> BTreeSet<KernelRelease> {
    let kernel = |pending: Pending| match pending {
        Pending::Replaced { kernel } => KernelRelease::new(kernel).ok(),
        Pending::Module { .. } | Pending::Headers { .. } => None,
    };
    all(layout).into_iter().filter_map(kernel).collect()
}

/// These are done.
///
/// # Errors
/// [`FsError`]; then they will be looked at once more, which finds nothing to do.
pub fn done<'a>(layout: &Layout, done: impl IntoIterator<Item = &'a Pending>) -> Result<(), FsError> {
    done.into_iter()
        .try_for_each(|pending| fs::optional(fs::remove_file(&folder(layout).join(pending.file()))).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let kernel = KernelRelease::new("6.1.0-9").unwrap();
        let module = Pending::module(&id, Arrival::Upgrade, true);
        for pending in [&Pending::headers(&kernel), &module, &module] {
            add(&layout, pending).unwrap();
        }
        fs::write_whole(&folder(&layout).join("module-bar-1"), b"{\"what\":\"module\"", 0o644).unwrap();
        let found = all(&layout);
        assert_eq!(found, [Pending::headers(&kernel), module.clone()]);
        assert_eq!(found.iter().filter(|pending| pending.is_of(&kernel)).count(), 1);
        let told =
            [Happening::ModuleArrived(id.clone(), Arrival::Upgrade), Happening::ModuleLeaving(id.clone())];
        assert_eq!(module.arrived(), Some((id, told.to_vec())));
        add(&layout, &Pending::replaced(&kernel)).unwrap();
        assert_eq!(replaced(&layout), [kernel.clone()].into());
        done(&layout, [&Pending::replaced(&kernel)]).unwrap();
        done(&layout, &found).unwrap();
        done(&layout, &found).unwrap();
        assert!(all(&layout).is_empty());
    }
}
