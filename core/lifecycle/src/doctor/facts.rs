//! What is known when findings are made: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::bake::FileState;
use crate::boot::Notice;
use crate::bundles::Note;
use crate::conf::framework::SettingFault;
use crate::critical::Critical;
use crate::host::sandbox::Told;
use crate::host::trusted;
use crate::id::{ModuleId, ModuleName, Target};
use crate::install::{InstalledState, OutOfDate};
use crate::kernel::Prebuilt;
use crate::plan::World;
use crate::tree::attempts::Failure;
use crate::tree::turns::PackageRemoval;
use crate::trust::Rejection;
use crate::verify::{Fault, Proof};
use dkms_signing::doubts::Doubt;

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Tree, kernels and confs, of the newest versions on every kernel that is installed.
    pub world: World,
    /// Kernels whose module folder is there.
    pub installed_kernels: BTreeSet<Target>,
    /// Of them, those that people boot: the running one and the newest.
    pub booted: BTreeSet<Target>,
    /// Modules that the machine can't boot or be reached without.
    pub critical: Critical,
    /// `kernel-K-A` links that lead to nothing built.
    pub dangling: Vec<Dangling>,
    /// What is installed, compared with what was built.
    pub installs: BTreeMap<(ModuleId, Target), Install>,
    /// Temporary files and folders of processes that are gone.
    pub leftovers: Vec<PathBuf>,
    /// Records of work that was begun by a process that is gone.
    pub interrupted: Vec<PathBuf>,
    /// Kernels whose modules have changed without depmod.
    pub owed: BTreeSet<Target>,
    /// Installed modules that their kernels would refuse.
    pub refused: BTreeMap<(ModuleId, Target), Rejection>,
    /// Whether their kernels will load what is installed, link by link.
    pub proofs: Vec<Proof>,
    /// Files of installed modules that their kernels may refuse, signed by whichever key.
    pub unfit: BTreeMap<(ModuleId, Target), Vec<(PathBuf, Fault)>>,
    /// What is wrong with signing keys and programs.
    pub doubts: BTreeSet<Doubt>,
    /// Why installed modules were built unsigned though something was to sign them.
    pub not_signed: BTreeMap<(ModuleId, Target), String>,
    /// The last build of a module for a kernel failed: what is known of why.
    pub failed: BTreeMap<(ModuleId, Target), Failure>,
    /// Images of kernels that hold another build of a module than the kernel's folder.
    pub images: BTreeMap<Target, Vec<OutOfDate>>,
    /// Images that were made before modules of their kernel were installed, and not since.
    pub made_before: BTreeMap<Target, Vec<OutOfDate>>,
    /// Images that hold modules which were removed from their kernel.
    pub held_removed: BTreeMap<Target, Vec<OutOfDate>>,
    /// Modules that are not registered any more, since a package removed them that is not configured again.
    pub unfinished: Vec<PackageRemoval>,
    /// Images that are kept for a module which was removed and whose successor is not installed.
    pub kept_images: BTreeMap<(ModuleId, Target), Vec<OutOfDate>>,
    /// Installed modules that a package brings prebuilt as well, in the same version or a newer one.
    pub twice: BTreeMap<(ModuleId, Target), Prebuilt>,
    /// Modules that were taken prebuilt, and whose signer is not trusted any more.
    pub distrusted: BTreeMap<(ModuleId, Target), Note>,
    /// Modules of this system's image whose files are not what they were made as.
    pub baked: BTreeMap<(ModuleId, Target), Vec<(PathBuf, FileState)>>,
    /// What is wrong with the list of those modules.
    pub baked_fault: Option<String>,
    /// File systems that we write to.
    pub disks: Vec<Disk>,
    /// Our trees whose file systems have become read-only.
    pub read_only: Vec<PathBuf>,
    /// Our trees, and files of settings, that another user than root may change.
    pub untrusted: Vec<Untrusted>,
    /// Invalid values of framework.conf.
    pub setting_faults: Vec<SettingFault>,
    /// Whether the code of modules runs as root (`build_user=root`).
    pub builds_as_root: bool,
    /// `build_user` does not exist.
    pub no_build_user: Option<NoBuildUser>,
    /// Isolation layers that the sandbox of builds lacks on this system.
    pub missing_layers: Vec<Told>,
    /// Whether nothing is built without all of them (`sandbox=strict`).
    pub needs_all_layers: bool,
    /// What to know before this machine reboots.
    pub boot: Vec<Notice>,
    /// Where framework.conf is.
    pub framework_conf: PathBuf,
}

/// A place of ours that another user than root may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// Who may, and where.
    pub fault: trusted::Fault,
    /// Whether it is a file of settings, which root does not read then.
    pub is_setting: bool,
}

/// A `build_user` that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoBuildUser {
    /// Its name.
    pub name: String,
    /// The user that builds run as instead; `None`: there is none, and root builds.
    pub instead: Option<&'static str>,
    /// The command that makes it.
    pub command: String,
}

/// A link that says that something is installed which isn't built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    /// The link.
    pub link: PathBuf,
    /// Whose it is.
    pub name: ModuleName,
    /// For which kernel; `None` where its name says none that can be.
    pub target: Option<Target>,
    /// Module files of that name in the kernel's folder, where we put ours.
    pub files: Vec<PathBuf>,
}

/// A module that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// How what is installed compares with what was built.
    pub state: InstalledState,
    /// The files.
    pub files: Vec<InstalledFile>,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledFile {
    /// The file.
    pub path: PathBuf,
    /// Another module of that name, which depmod prefers.
    pub shadowed_by: Option<PathBuf>,
    /// Whether modules.dep names it; `None`: there is no modules.dep.
    pub indexed: Option<bool>,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// A folder of ours in it.
    pub path: PathBuf,
    /// Free bytes.
    pub free: u64,
    /// What a build copies there.
    pub needed: u64,
}
