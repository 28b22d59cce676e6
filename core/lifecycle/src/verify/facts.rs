//! What is known of a module on a kernel when it is judged: plain data.

use std::path::PathBuf;

use crate::id::{ModuleId, ModuleVersion, Target};
use crate::trust::Rejection;

use super::{Doubt, Fault};

/// All of it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The module.
    pub id: ModuleId,
    /// The kernel.
    pub target: Target,
    /// The kernel has no module folder.
    pub kernel_is_gone: bool,
    /// Why the conf of the module cannot be used or names no module; `None`: it can.
    pub conf_fault: Option<String>,
    /// The directive of its conf that leaves this kernel out.
    pub excluded: Option<String>,
    /// Where its source asks for the kernel that runs, if it does.
    pub asks_for_running: Option<String>,
    /// The version of the module that is installed on the kernel.
    pub installed: Option<ModuleVersion>,
    /// Another kernel's build serves this one.
    pub is_weak: bool,
    /// What would bring the kernel's headers, where they are not there.
    pub headers_remedy: Option<String>,
    /// A file for each module that the conf names.
    pub files: Vec<File>,
    /// How the kernel judges signatures.
    pub trust: Trust,
    /// The kernel's index of modules.
    pub index: Index,
    /// The images that the kernel boots with.
    pub images: Vec<Image>,
    /// The command that remakes them.
    pub images_command: Option<String>,
    /// `REMAKE_INITRD`: the module is needed in them.
    pub is_needed_at_boot: bool,
    /// One of them was made while modules were missing, and not since.
    pub made_without_modules: bool,
}

/// A module file, in the kernel's folder.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// How it compares with what was built.
    pub state: State,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// What is not known of it.
    pub doubts: Vec<Doubt>,
    /// Another module of its name that depmod prefers.
    pub shadowed_by: Option<PathBuf>,
    /// Whether modules.dep names it.
    pub is_indexed: bool,
    /// Modules that it depends on and that modules.dep leads to nowhere.
    pub lost: Vec<String>,
}

/// How a file compares with the one that was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not there.
    Missing,
    /// It is another one.
    Different,
    /// There is none to compare it with.
    Alone,
    /// It is that one.
    Same,
}

/// What is known of how the kernel takes its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The kernel loads unsigned modules too.
    NotAsked,
    /// It accepts it.
    Accepted,
    /// It does not.
    Rejected(Rejection),
}

/// A kernel's modules.dep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// It is there.
    There,
    /// It is missing, and the kernel has modules of its own.
    Missing,
    /// It is missing, and so are the kernel's own modules: only its headers are there.
    Coming,
}

/// An image that a kernel boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub holds: Holds,
}

/// What an image holds of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// It cannot be read.
    Unreadable {
        /// Why.
        why: String,
        /// Root could read it.
        is_denied: bool,
    },
    /// Other builds of these files.
    Others(Vec<String>),
    /// None of its files, and it was made before they were.
    Older,
    /// These very files, or none of them though it was made later.
    Fits,
}
