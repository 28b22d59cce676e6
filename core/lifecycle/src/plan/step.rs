//! What will be done: steps with their reasons and what each waits for.

use std::fmt;

use super::refusal::Refusal;
use super::request::NewSource;
use crate::id::{ModuleId, Target};
use crate::report::Event;

/// A step's place in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub usize);

/// What is done about images that may hold another state of modules than their kernel's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageWork {
    /// Those that do are remade.
    Remake,
    /// Those that do are named.
    Report,
    /// It is noted that they may: a hook looks when the package manager's run ends.
    Note,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Register a source tree, copying it into place first where it is elsewhere.
    Add {
        /// Which module.
        id: ModuleId,
        /// Where the source comes from.
        source: Option<NewSource>,
    },
    /// Build.
    Build {
        /// Which module.
        id: ModuleId,
        /// For which kernel.
        target: Target,
    },
    /// Put in place.
    Install {
        /// Which module.
        id: ModuleId,
        /// For which kernel.
        target: Target,
    },
    /// Take out.
    Uninstall {
        /// Which module.
        id: ModuleId,
        /// For which kernel.
        target: Target,
    },
    /// Drop what was built.
    Unbuild {
        /// Which module.
        id: ModuleId,
        /// For which kernel.
        target: Target,
    },
    /// Forget the registration.
    Forget {
        /// Which module.
        id: ModuleId,
    },
    /// Bring modules.dep up to date.
    Depmod {
        /// For which kernel.
        target: Target,
    },
    /// See to a kernel's initramfs.
    Initramfs {
        /// For which kernel.
        target: Target,
        /// What is done.
        how: ImageWork,
    },
    /// Load what was installed into the running kernel.
    Load {
        /// Which module.
        id: ModuleId,
        /// On which kernel.
        target: Target,
    },
    /// Remove empty folders of a kernel that goes.
    SweepKernel {
        /// Which kernel.
        target: Target,
    },
    /// Run the admin's `post_transaction` command.
    PostTransaction {
        /// For which kernels.
        targets: Vec<Target>,
    },
    /// Fail, because of a decision.
    Refuse(Refusal),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |target: &Target| format!("{} ({})", target.kernel, target.arch);
        match self {
            Self::Add { id, source: None } => write!(f, "add {id}"),
            Self::Add { id, source: Some(new) } => write!(f, "add {id} from `{}`", new.folder.display()),
            Self::Build { id, target } => write!(f, "build {id} for {}", on(target)),
            Self::Install { id, target } => write!(f, "install {id} on {}", on(target)),
            Self::Uninstall { id, target } => write!(f, "uninstall {id} from {}", on(target)),
            Self::Unbuild { id, target } => write!(f, "unbuild {id} for {}", on(target)),
            Self::Forget { id } => write!(f, "remove {id} from the tree"),
            Self::Depmod { target } => write!(f, "depmod for {}", on(target)),
            Self::Initramfs { target, how: ImageWork::Remake } => {
                write!(f, "remake the initramfs of {}", on(target))
            }
            Self::Initramfs { target, how: ImageWork::Report } => {
                write!(f, "say whether the initramfs of {} is out of date", on(target))
            }
            Self::Initramfs { target, how: ImageWork::Note } => {
                write!(f, "note that the initramfs of {} may be out of date", on(target))
            }
            Self::Load { id, target } => write!(f, "load {id} into {}", on(target)),
            Self::SweepKernel { target } => write!(f, "remove empty folders of {}", on(target)),
            Self::PostTransaction { .. } => f.write_str("run post_transaction"),
            Self::Refuse(refusal) => write!(f, "fail: {refusal}"),
        }
    }
}

impl Action {
    /// What is being done, as the beginning of a line: `Building foo/1.0 for kernel 6.1.0-47-amd64 (x86_64)`.
    #[must_use]
    pub fn doing(&self) -> String {
        let on = |target: &Target| format!("kernel {} ({})", target.kernel, target.arch);
        match self {
            Self::Add { id, .. } => format!("Adding {id}"),
            Self::Build { id, target } => format!("Building {id} for {}", on(target)),
            Self::Install { id, target } => format!("Installing {id} on {}", on(target)),
            Self::Uninstall { id, target } => format!("Uninstalling {id} from {}", on(target)),
            Self::Unbuild { id, target } => format!("Removing the build of {id} for {}", on(target)),
            Self::Forget { id } => format!("Removing {id} from the dkms tree"),
            Self::Depmod { target } => format!("Running depmod for {}", on(target)),
            // It is reported when one is remade.
            Self::Initramfs { target, .. } => format!("Looking at the initramfs of {}", on(target)),
            Self::Load { target, .. } => format!("Loading modules for the devices of {}", on(target)),
            Self::SweepKernel { target } => format!("Removing empty folders of {}", on(target)),
            Self::PostTransaction { .. } => "Running post_transaction".to_owned(),
            Self::Refuse(_) => "Stopping".to_owned(),
        }
    }

    /// The module concerned, if it is one.
    #[must_use]
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::Add { id, .. }
            | Self::Build { id, .. }
            | Self::Install { id, .. }
            | Self::Uninstall { id, .. }
            | Self::Unbuild { id, .. }
            | Self::Forget { id }
            | Self::Load { id, .. } => Some(id),
            Self::Refuse(refusal) => refusal.module(),
            Self::Depmod { .. }
            | Self::Initramfs { .. }
            | Self::SweepKernel { .. }
            | Self::PostTransaction { .. } => None,
        }
    }

    /// The kernel concerned, if it is one.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Build { target, .. }
            | Self::Install { target, .. }
            | Self::Uninstall { target, .. }
            | Self::Unbuild { target, .. }
            | Self::Depmod { target }
            | Self::Initramfs { target, .. }
            | Self::Load { target, .. }
            | Self::SweepKernel { target } => Some(target),
            Self::Refuse(refusal) => refusal.target(),
            Self::Add { .. } | Self::Forget { .. } | Self::PostTransaction { .. } => None,
        }
    }
}

/// An action with its reason and its place in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why, as half a sentence: `it is not built yet`.
    pub why: String,
    /// Steps that must have succeeded before.
    pub needs: Vec<StepId>,
    /// Steps that must have ended before, one way or the other.
    pub after: Vec<StepId>,
    /// Steps that must have succeeded before what a build made becomes visible; it may begin without them.
    pub lands: Vec<StepId>,
}

impl Step {
    /// Every step that this one waits for, in whatever way.
    pub fn waits_for(&self) -> impl Iterator<Item = StepId> {
        self.needs.iter().chain(&self.after).chain(&self.lands).copied()
    }
}

/// Something that will not be done and that is no failure, or that is good to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// Said.
    Note(String),
    /// Warned of.
    Warning(String),
}

impl Remark {
    /// As it is shown while it runs.
    #[must_use]
    pub fn event(&self) -> Event {
        match self {
            Self::Note(text) => Event::note(text),
            Self::Warning(text) => Event::warning(text, []),
        }
    }
}

/// Steps in an order in which they can run one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps; each comes after all that it waits for.
    pub steps: Vec<Step>,
    /// What is skipped, and why.
    pub remarks: Vec<Remark>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}
