//! What is known of a machine and of the modules that dkms has for it: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::id::ModuleName;

/// What a kernel module may be needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `/`
    Root,
    /// `/usr`
    Usr,
    /// `/boot`, and the partitions of boot loaders.
    Boot,
    /// The device that a hibernated system is resumed from.
    Resume,
    /// A volume of crypttab.
    Encrypted,
    /// The devices of the default route.
    Network,
    /// The display that the firmware has used.
    Display,
    /// A keyboard.
    Keyboard,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root file system",
            Self::Usr => "/usr",
            Self::Boot => "/boot",
            Self::Resume => "resume from swap",
            Self::Encrypted => "encrypted volume of crypttab",
            Self::Network => "network of the default route",
            Self::Display => "boot display",
            Self::Keyboard => "keyboard",
        })
    }
}

/// How a need names the module that serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// The module of that name.
    Module(String),
    /// The module that the kernel would load for this alias: `fs-zfs`, `dm-crypt`, `rtnl-link-bond`.
    Alias(String),
    /// Whichever loaded module with references has an alias that begins so: the kernel does not show which
    /// one serves the device.
    InUse(&'static str),
}

/// Something that the machine boots from, or is reached by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// For what.
    pub role: Role,
    /// Which module.
    pub wants: Wants,
}

impl Need {
    pub(super) fn new(role: Role, wants: Wants) -> Self {
        Self { role, wants }
    }
}

/// Whether the facts are of a machine that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It runs.
    Machine,
    /// An image or a chroot: the devices of its machine can't be seen.
    Image,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whether it runs.
    pub place: Place,
    /// What it boots from, and is reached by.
    pub needs: BTreeSet<Need>,
    /// Of the modules of dkms those that the initramfs holds: of the running kernel, of an image of any.
    /// `None`: there is none that can be read.
    pub early: Option<BTreeSet<String>>,
    /// Loaded modules, with their reference counts.
    pub loaded: BTreeMap<String, u32>,
    /// Why the needs are not all known; `None`: they are.
    pub unknown: Option<String>,
}

/// What dkms has of a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// Its kernel modules, each with its aliases.
    pub modules: BTreeMap<String, Vec<String>>,
    /// `CRITICAL` in `/etc/dkms/M.conf`.
    pub word: Option<bool>,
}

/// All of dkms.
pub type Supplies = BTreeMap<ModuleName, Supply>;

/// What depmod has found out about the modules of the kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The modules that each needs.
    pub depends: BTreeMap<String, BTreeSet<String>>,
    /// Patterns and the modules that serve them.
    pub aliases: Vec<(String, String)>,
}
