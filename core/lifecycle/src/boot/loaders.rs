//! What the boot loader of a system would boot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::journal::Hold;
use super::{grub, systemd_boot};
use crate::host::fs;
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
    /// The kernels among which a default with wildcards chooses; empty: among all.
    pub choice: BTreeSet<KernelRelease>,
    /// An explicit default that could not be understood, in words.
    pub unclear: Option<String>,
    /// What boots next by itself.
    pub next: Option<KernelRelease>,
}

impl Menu {
    /// Looks; `kernels`: those that are installed; `holds`: what is held.
    #[must_use]
    pub fn look(layout: &Layout, kernels: &[KernelRelease], holds: &[(KernelRelease, Hold)]) -> Self {
        let (systemd, grub) = (
            systemd_boot::menu(layout, kernels),
            grub::menu(layout, kernels, grub::saved_by_us(layout, holds)),
        );
        let info = systemd_boot::booted_by(layout).to_lowercase();
        match (systemd, grub) {
            (Some(systemd), Some(grub)) => match (info.starts_with("systemd-boot"), info.starts_with("grub"))
            {
                (true, _) => systemd,
                (_, true) => grub,
                // Firmware without EFI boots GRUB.
                _ if layout.root() == Path::new("/") && !fs::exists(Path::new("/sys/firmware/efi")) => grub,
                _ => Self {
                    unclear: Some(
                        "both systemd-boot and GRUB are installed, and which one boots is not known"
                            .to_owned(),
                    ),
                    ..systemd
                },
            },
            (Some(menu), None) | (None, Some(menu)) => menu,
            (None, None) => Self::unknown(),
        }
    }

    /// The kernel that a saved entry means.
    pub(super) fn of_saved(&self, saved: &str) -> Option<KernelRelease> {
        let kernels: Vec<KernelRelease> = self.entries.keys().cloned().collect();
        named(saved, &kernels)
    }

    fn unknown() -> Self {
        Self {
            loader: Loader::Unknown,
            entries: BTreeMap::new(),
            explicit: BTreeSet::new(),
            choice: BTreeSet::new(),
            unclear: None,
            next: None,
        }
    }
}

/// The kernel that a text names: the one with the longest name that stands in it on its own.
pub(super) fn named(text: &str, kernels: &[KernelRelease]) -> Option<KernelRelease> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'~' | b'_');
    let stands = |kernel: &&KernelRelease| {
        text.match_indices(kernel.as_str()).any(|(at, _)| {
            let end = at + kernel.as_str().len();
            let before = at.checked_sub(1).map(|at| text.as_bytes()[at]);
            let after = text.as_bytes().get(end).copied();
            let is_end = |byte: u8| {
                // `K.conf`, `K.efi`: what follows is no part of a release.
                byte == b'.' && [".conf", ".efi"].iter().any(|suffix| text[end..].starts_with(suffix))
            };
            !before.is_some_and(is_part) && !after.is_some_and(|byte| is_part(byte) && !is_end(byte))
        })
    };
    kernels.iter().filter(stands).max_by_key(|kernel| kernel.as_str().len()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_flavours_the_whole_name_counts() {
        let kernels = ["6.1.0-1", "6.1.0-1-amd64", "6.1.0-1-rt-amd64"];
        let kernels: Vec<KernelRelease> = kernels.map(|one| KernelRelease::new(one).unwrap()).into();
        for (text, expected) in [
            ("/boot/vmlinuz-6.1.0-1-amd64", Some(1)),
            ("gnulinux-advanced-11>gnulinux-6.1.0-1-rt-amd64-advanced-11", Some(2)),
            ("token-6.1.0-1.conf", Some(0)),
            ("token-6.1.0-10.conf", None),
            ("token-16.1.0-1.conf", None),
            ("", None),
        ] {
            assert_eq!(named(text, &kernels).as_ref(), expected.map(|at: usize| &kernels[at]), "{text}");
        }
    }
}
