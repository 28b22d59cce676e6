//! Which package has a kernel's headers, and the command that installs it. Only advice: nothing is
//! looked up or installed.
//!
//! The package that owns the kernel tells best: its headers are its twin, from the same source in the same
//! version. Where no owner is known the kernel's release tells, by the rules of the distribution.

use std::fmt;

use dkms_base::host::fs;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;

use super::distribution::{Distribution, Family};
use super::owner::Owner;

/// What would bring a kernel's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadersPackage {
    /// A package.
    Package {
        /// Its name.
        name: String,
        /// The command that installs it.
        command: String,
    },
    /// Where no package is known: what to do instead.
    Advice(String),
}

impl HeadersPackage {
    fn new(name: String, command: &str) -> Self {
        let command = format!("{command} {name}");
        Self::Package { name, command }
    }

    /// The package's name, where one is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Package { name, .. } => Some(name),
            Self::Advice(_) => None,
        }
    }

    /// For a kernel on a distribution, and the package that it belongs to.
    #[must_use]
    pub fn of(
        kernel: &KernelRelease,
        distribution: &Distribution,
        layout: &Layout,
        owner: Option<&Owner>,
    ) -> Self {
        let release = kernel.as_str();
        if release.contains(',') && owner.is_none() {
            let each: Vec<String> = release.split(',').map(|name| format!("-k {name}")).collect();
            return Self::Advice(format!("`-k` takes one kernel; repeat it for more: `{}`", each.join(" ")));
        }
        let named = match distribution.family {
            Family::Debian | Family::Ubuntu => {
                let name = match owner {
                    Some(owner) => debian_twin(&owner.name),
                    None => Some(debian_by_release(release)),
                };
                name.map(|name| Self::new(name, "apt-get install"))
            }
            Family::Fedora | Family::Rhel => {
                let name = match owner {
                    Some(owner) => Some(rpm_twin(owner)),
                    None => rpm_by_release(release, distribution),
                };
                name.map(|name| Self::new(name, "dnf install"))
            }
            Family::Suse => Some(suse(release, owner)),
            Family::Arch => {
                let base = pkgbase(kernel, layout);
                let base = base.or_else(|| owner.map(|owner| owner.name.clone()));
                base.or_else(|| arch_by_release(release))
                    .map(|base| Self::new(format!("{base}-headers"), "pacman -S"))
            }
            Family::Gentoo => Some(Self::Advice(format!(
                "install the sources of kernel {kernel} (sys-kernel/*-sources, or a distribution kernel), configure \
                 them as that kernel is and run `make modules_prepare` there"
            ))),
            Family::Other => None,
        };
        named.unwrap_or_else(|| Self::unknown(kernel, owner))
    }

    /// Where nothing is known of the kernel, or of the package that owns it.
    fn unknown(kernel: &KernelRelease, owner: Option<&Owner>) -> Self {
        Self::Advice(match owner {
            Some(Owner { name, version, .. }) => format!(
                "install the headers that belong to the package `{name}`{}{version}, which has kernel {kernel}, or name a \
                 folder that has them with `--kernelsourcedir`",
                if version.is_empty() { "" } else { " in version " }
            ),
            None => format!(
                "install the package of this distribution that has the headers of kernel {kernel}, or name a \
                 folder that has them with `--kernelsourcedir`"
            ),
        })
    }
}

impl fmt::Display for HeadersPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { name, command } => {
                write!(f, "install the package `{name}`: `{command}`")
            }
            Self::Advice(text) => f.write_str(text),
        }
    }
}

/// Debian's and Ubuntu's, and those of all that builds packages as `make bindeb-pkg` names them (Armbian,
/// XanMod, Liquorix, Kali): what follows `linux-image-` follows `linux-headers-`. A kernel may be split, and
/// its package signed or not.
fn debian_twin(owner: &str) -> Option<String> {
    const SPLIT: [&str; 7] = [
        "linux-image-unsigned-",
        "linux-image-",
        "linux-modules-extra-",
        "linux-modules-",
        "linux-binary-",
        "linux-base-",
        "linux-buildinfo-",
    ];
    let name = ["-unsigned", "-signed"].iter().find_map(|end| owner.strip_suffix(end)).unwrap_or(owner);
    if let Some(rest) = SPLIT.iter().find_map(|start| name.strip_prefix(start)) {
        return Some(format!("linux-headers-{rest}"));
    }
    // Proxmox, before and after it renamed them.
    for of in ["proxmox", "pve"] {
        if let Some(rest) = name.strip_prefix(&format!("{of}-kernel-")) {
            return Some(format!("{of}-headers-{rest}"));
        }
    }
    // Raspberry Pi OS up to bullseye: one package for all its kernels.
    name.ends_with("-kernel").then(|| format!("{name}-headers"))
}

fn debian_by_release(kernel: &str) -> String {
    if kernel.ends_with("-pve") {
        // Renamed with Proxmox VE 8.1.
        let mut numbers = kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let of = if version >= (6, 5) { "proxmox" } else { "pve" };
        return format!("{of}-headers-{kernel}");
    }
    // `6.1.21-v8+`; the newer ones have `+rpt-rpi-` within. Who builds a kernel from git has the `+` too.
    if ["-v6+", "-v7+", "-v7l+", "-v8+"].iter().any(|end| kernel.ends_with(end)) {
        return "raspberrypi-kernel-headers".to_owned();
    }
    // Armbian: `6.12.8-current-rockchip64`.
    if let Some((_, rest)) = kernel.split_once('-')
        && ["current-", "edge-", "legacy-", "vendor-", "collabora-"]
            .iter()
            .any(|branch| rest.starts_with(branch))
    {
        return format!("linux-headers-{rest}");
    }
    format!("linux-headers-{kernel}")
}

/// The name that all packages of a kernel begin with: `kernel`, `kernel-rt`, `kernel6.12`, `kernel-uek`,
/// `kernel-ml`, `kernel-default`.
fn rpm_base(owner: &str) -> &str {
    const PARTS: [&str; 7] =
        ["-modules-core", "-modules-extra", "-modules-internal", "-modules", "-core", "-optional", "-base"];
    PARTS.iter().find_map(|part| owner.strip_suffix(part)).unwrap_or(owner)
}

fn rpm_twin(owner: &Owner) -> String {
    let Owner { name, version, arch } = owner;
    let devel = format!("{}-devel", rpm_base(name));
    match (version.is_empty(), arch.is_empty()) {
        (true, _) => devel,
        (_, true) => format!("{devel}-{version}"),
        _ => format!("{devel}-{version}.{arch}"),
    }
}

/// `kernel-devel-K`; a variant stands behind `+` in the release (`….x86_64+rt`), and in front of `-devel` in
/// the package's name. `None`: ELRepo's kernel-ml and kernel-lt can't be distinguished.
fn rpm_by_release(kernel: &str, distribution: &Distribution) -> Option<String> {
    if let Some((release, variant)) = kernel.split_once('+') {
        return Some(format!("kernel-{variant}-devel-{release}"));
    }
    if kernel.contains(".elrepo.") {
        return None;
    }
    if kernel.contains("uek") {
        return Some(format!("kernel-uek-devel-{kernel}"));
    }
    // Amazon Linux 2023 began with 6.1; later ones have the version in their names.
    let mut numbers = kernel.split('.');
    if let (Some(major), Some(minor)) = (numbers.next(), numbers.next())
        && distribution.id == "amzn"
        && kernel.contains(".amzn20")
        && (major, minor) != ("6", "1")
    {
        return Some(format!("kernel{major}.{minor}-devel-{kernel}"));
    }
    Some(format!("kernel-devel-{kernel}"))
}

/// SUSE's releases end in the flavour. Its packages carry one more number than the release tells, so only the
/// owner's version can be asked for.
fn suse(kernel: &str, owner: Option<&Owner>) -> HeadersPackage {
    let flavour = kernel.rsplit_once('-').map(|(_, flavour)| flavour);
    let flavour = flavour.filter(|flavour| flavour.starts_with(|c: char| c.is_ascii_alphabetic()));
    let by_release = format!("kernel-{}", flavour.unwrap_or("default"));
    let name = format!("{}-devel", owner.map_or(by_release.as_str(), |owner| rpm_base(&owner.name)));
    match owner.filter(|owner| !owner.version.is_empty()) {
        Some(owner) => {
            HeadersPackage::Package { command: format!("zypper install {name}={}", owner.version), name }
        }
        None => HeadersPackage::new(name, "zypper install"),
    }
}

/// The package of a kernel of Arch's, as a file in its folder says. Arch Linux ARM has none.
fn pkgbase(kernel: &KernelRelease, layout: &Layout) -> Option<String> {
    let text = fs::read_lossy(&layout.kernel_dir(kernel).join("pkgbase")).ok()?;
    let name = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

/// `6.12.8-arch1-1` is `linux`; what follows the package's release in others is what follows `linux-` in its
/// name: `6.12.8-zen1-1-zen`, `6.6.70-1-lts`, `6.12.8-2-cachyos`, `6.12.8-1-rpi-16k`,
/// `6.12.8-1-aarch64-ARCH`. Manjaro's have the version in their names.
fn arch_by_release(kernel: &str) -> Option<String> {
    let parts: Vec<&str> = kernel.split('-').collect();
    let is_number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == '.');
    let pkgrel = parts.iter().skip(1).position(is_number)? + 1;
    let suffix = parts.get(pkgrel + 1..)?;
    match suffix {
        [] => parts.get(1).is_some_and(|word| word.starts_with("arch")).then(|| "linux".to_owned()),
        ["MANJARO"] => {
            let mut numbers = parts.first()?.split('.');
            Some(format!("linux{}{}", numbers.next()?, numbers.next()?))
        }
        [words @ .., "ARCH"] if !words.is_empty() => Some(format!("linux-{}", words.join("-"))),
        words => Some(format!("linux-{}", words.join("-"))),
    }
}

#[cfg(test)]
mod tests;
