//! What is asked: by a person, or by a package transaction.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::step::ImageWork;
use crate::event::Batch;
use crate::id::{ModuleId, ModuleName, Target};

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is wanted.
    pub work: Work,
    /// How.
    pub options: Options,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub enum Work {
    /// Register a source tree.
    Add {
        /// Which module.
        id: ModuleId,
        /// Where its source comes from, if it isn't in the source tree already.
        source: Option<NewSource>,
    },
    /// Build for each target, in order; adds first where needed.
    Build {
        /// Which module.
        id: ModuleId,
        /// For which kernels.
        targets: Vec<Target>,
        /// As for [`Work::Add`].
        source: Option<NewSource>,
    },
    /// Build these for one kernel, side by side, each against what is installed there.
    BuildEach {
        /// Which modules.
        ids: Vec<ModuleId>,
        /// For which kernel.
        target: Target,
    },
    /// Install for each target, in order; builds and adds first where needed.
    Install {
        /// Which module.
        id: ModuleId,
        /// For which kernels.
        targets: Vec<Target>,
        /// As for [`Work::Add`].
        source: Option<NewSource>,
    },
    /// Take out of the kernel tree.
    Uninstall {
        /// Which module.
        id: ModuleId,
        /// For which kernels.
        targets: Vec<Target>,
    },
    /// Uninstall where needed, then drop what was built.
    Unbuild {
        /// Which module.
        id: ModuleId,
        /// For which kernels.
        targets: Vec<Target>,
    },
    /// Unbuild, then forget the module when no kernel is left.
    Remove {
        /// Which module.
        id: ModuleId,
        /// For which kernels.
        targets: Vec<Target>,
    },
    /// Bring every `AUTOINSTALL` module up.
    Autoinstall {
        /// On which kernels.
        targets: Vec<Target>,
    },
    /// Bring modules up on the kernels of an image.
    Bake {
        /// These, also those that are not installed by themselves; adds first where needed.
        named: Vec<ModuleId>,
        /// And every `AUTOINSTALL` module.
        all: bool,
        /// On which kernels.
        targets: Vec<Target>,
    },
    /// What a package transaction asks for, all of it at once.
    Batch(Batch),
    /// Install on one kernel what is installed on another.
    Match {
        /// The other.
        template: Target,
        /// The one.
        target: Target,
        /// Only this module.
        only: Option<ModuleName>,
    },
    /// See to images that may hold modules which were taken out, as was noted then.
    Images {
        /// Of which kernels.
        targets: Vec<Target>,
    },
    /// A kernel package is about to replace this kernel: drop what `AUTOINSTALL` would build again.
    KernelPreinst {
        /// Which kernel.
        target: Target,
    },
    /// A kernel package is about to go: drop every module on it.
    KernelPrerm {
        /// Which kernel.
        target: Target,
    },
}

/// A source tree that is to be copied to `/usr/src/M-V` before it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSource {
    /// The folder as it is now.
    pub folder: PathBuf,
}

/// How a request is meant.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Redo, overwrite, override checks.
    pub force: bool,
    /// Don't run depmod.
    pub no_depmod: bool,
    /// Load the modules after installing them on the running kernel.
    pub modprobe: bool,
    /// What is done about a kernel's initramfs where an installed module asks for it; `None`: nothing.
    pub initramfs: Option<ImageWork>,
    /// The same where a module was taken out.
    pub initramfs_of_removed: Option<ImageWork>,
    /// But not for these kernels, where another process will.
    pub initramfs_by_others: BTreeSet<Target>,
    /// Also where the image holds another build of a module that was installed, which is looked
    /// at when that is done.
    pub held_initramfs: bool,
    /// A command to run at the end, where something changed, is set in framework.conf.
    pub post_transaction: bool,
    /// One that fails doesn't stop the others.
    pub continue_on_error: bool,
    /// What has failed isn't tried again as long as nothing has changed: package managers
    /// ask so, people don't.
    pub respect_failures: bool,
}
