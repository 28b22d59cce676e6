//! What is known when a plan is made: plain data, gathered beforehand for all modules and
//! kernels that may matter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::bundles::Listing;
use crate::conf::{ConfError, ModuleConf};
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::kernel::{KernelFacts, Overrides, Prebuilt};
use crate::report::Event;
use crate::tree::Snapshot;
use crate::version;

/// Everything that planning looks at. By default a system without kernels and modules.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The dkms tree.
    pub snapshot: Snapshot,
    /// Where source folders are, `/usr/src`.
    pub source_tree: PathBuf,
    /// Modules whose source folder `/usr/src/M-V` exists, whether registered or not: those asked for, and
    /// those that they are built against and that the tree does not have.
    pub sources: BTreeMap<ModuleId, PathBuf>,
    /// Kernels asked for.
    pub kernels: BTreeMap<Target, KernelFacts>,
    /// Confs, resolved for each kernel asked for.
    pub confs: BTreeMap<(ModuleId, Target), Result<ModuleConf, ConfFault>>,
    /// Confs as read for `add`, where no kernel matters.
    pub plain_confs: BTreeMap<ModuleId, Result<ModuleConf, ConfFault>>,
    /// Modules that another kernel's build serves on a target through a weak-updates link.
    pub weak: BTreeSet<(ModuleId, Target)>,
    /// Each build can have the folder `M/V/build` for itself (a mount namespace), so that a module can be
    /// built for several kernels at once.
    pub private_folders: bool,
    /// Modules whose builds run in no sandbox: two at once could meet in the module's source.
    pub unconfined: BTreeSet<ModuleName>,
    /// What past builds of a module took.
    pub costs: BTreeMap<ModuleName, Cost>,
    /// Builds that failed before, where the request asks not to try these again.
    pub failed_before: BTreeMap<(ModuleId, Target), RememberedFailure>,
    /// Modules that a package brings prebuilt, in this version or a newer one; asked where modules are
    /// installed by themselves.
    pub prebuilt: BTreeMap<(ModuleId, Target), Prebuilt>,
    /// Modules that the image of this system was made with, in this version or a newer one; asked as
    /// `prebuilt` is.
    pub baked: BTreeMap<(ModuleId, Target), ModuleVersion>,
    /// What the places of the setting `prebuilt` have, by the names of files; their content is checked when
    /// it is taken.
    pub places: Vec<Listing>,
    /// `prebuilt_only`: nothing is built; where modules come from, as the settings have it.
    pub only_taken_from: Option<String>,
    /// `/etc/dkms/no-autoinstall` exists.
    pub no_autoinstall: bool,
    /// What to do when the headers of a kernel are missing: a sentence with the package to install.
    pub headers_remedy: BTreeMap<Target, String>,
    /// Kernels whose modules an interrupted command changed without a depmod, and that nobody else works on.
    pub owed: BTreeSet<Target>,
    /// Kernels that have an initramfs; asked for those that something may be taken out of.
    pub with_image: BTreeSet<Target>,
    /// Kernels that have an initramfs, or of whose initramfs something is noted; asked for those that
    /// something may be installed on.
    pub with_image_to_remake: BTreeSet<Target>,
    /// What is worth a warning once a module is worked on.
    pub notices: BTreeMap<ModuleId, Vec<Event>>,
    /// What the command line put over the confs that were read.
    pub reading: Reading,
}

impl World {
    /// Whether the headers of a kernel are there.
    #[must_use]
    pub fn has_headers(&self, target: &Target) -> bool {
        self.kernels.get(target).is_some_and(|kernel| kernel.headers_usable)
    }

    /// The newest version of a module in the tree, else of those whose source folder is there.
    #[must_use]
    pub fn newest_known(&self, name: &ModuleName) -> Option<&ModuleId> {
        let by_version =
            |a: &&ModuleId, b: &&ModuleId| version::compare(a.version.as_str(), b.version.as_str());
        let there = || self.sources.keys().filter(|id| id.name == *name).max_by(by_version);
        self.snapshot.versions(name).last().copied().or_else(there)
    }

    /// Whether a module may be had for a kernel without building it.
    #[must_use]
    pub fn may_be_taken(&self, id: &ModuleId, target: &Target) -> bool {
        self.places.iter().any(|place| place.may_have(id, target))
    }
}

/// What the command line puts over confs; who reads one again does so with the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// `-c`, and the module whose conf it stands for.
    pub conf_file: Option<(ModuleId, PathBuf)>,
    /// `--directive`.
    pub directives: Vec<String>,
    /// `--kernelsourcedir` and `--config`.
    pub overrides: Overrides,
}

/// A build that failed and would fail again: nothing that it depends on has changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedFailure {
    /// When, as a date for people.
    pub when: String,
    /// The first error.
    pub what: String,
    /// Its log.
    pub log: Option<PathBuf>,
}

/// What a build takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// From begin to end.
    pub seconds: f64,
    /// At its peak, in bytes; `None`: not known.
    pub memory: Option<u64>,
}

/// What is wrong with a conf, as far as a decision needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfFault {
    /// There is none.
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It can't be read, or what it says can't be.
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every problem, a line each.
        problems: Vec<String>,
    },
}

impl ConfFault {
    /// What keeps a conf from being read.
    #[must_use]
    pub fn of(error: &ConfError, file: &Path) -> Self {
        match error {
            ConfError::Missing { path } => Self::Missing { path: path.clone() },
            other => {
                let hint = other.hint().map(str::to_owned);
                let problems = std::iter::once(other.to_string()).chain(hint).collect();
                Self::Invalid { path: file.to_owned(), problems }
            }
        }
    }
}
