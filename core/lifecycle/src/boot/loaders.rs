//! What the boot loader of a system would boot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{grub, systemd_boot};
use crate::id::KernelRelease;
use crate::layout::Layout;

/// A boot loader, and how a kernel is withheld there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// systemd-boot: entries are renamed to `X+0`.
    SystemdBoot,
    /// GRUB whose scripts know `GRUB_TOP_LEVEL`: a file of ours in /etc/default/grub.d.
    GrubTopLevel,
    /// GRUB with `GRUB_DEFAULT=saved`, or with entries of the Boot Loader Specification: its saved entry.
    GrubSaved,
    /// GRUB that offers neither.
    GrubFixed,
    /// Another one, or none.
    Unknown,
}

impl Loader {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SystemdBoot => "systemd-boot",
            Self::GrubTopLevel => "grub-top-level",
            Self::GrubSaved => "grub-saved",
            Self::GrubFixed => "grub",
            Self::Unknown => "unknown",
        }
    }
}

/// What a boot loader offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// The boot loader.
    pub loader: Loader,
    /// Kernels with their entries: files of systemd-boot, ids of GRUB.
    pub entries: BTreeMap<KernelRelease, Vec<PathBuf>>,
    /// The kernels that an explicit default names.
    pub explicit: BTreeSet<KernelRelease>,
    /// An explicit default that could not be understood, in words.
    pub unclear: Option<String>,
    /// What boots next by itself.
    pub next: Option<KernelRelease>,
}

impl Menu {
    /// Looks; `kernels`: those that are installed.
    #[must_use]
    pub fn look(layout: &Layout, kernels: &[KernelRelease]) -> Self {
        systemd_boot::menu(layout, kernels).or_else(|| grub::menu(layout, kernels)).unwrap_or_else(|| Self {
            loader: Loader::Unknown,
            entries: BTreeMap::new(),
            explicit: BTreeSet::new(),
            unclear: None,
            next: None,
        })
    }
}
