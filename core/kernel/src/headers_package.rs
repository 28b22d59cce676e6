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
/// the package's name. `None`: ELRepo's kernel-ml and kernel-lt can't be told apart.
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
mod tests {
    use super::*;

    fn of(id: &str, kernel: &str, owner: Option<&Owner>) -> String {
        let kernel = KernelRelease::new(kernel).unwrap();
        let distribution = Distribution::parse(id);
        HeadersPackage::of(&kernel, &distribution, &Layout::under("/nonexistent"), owner).to_string()
    }

    const DEBIAN: &str = "ID=debian";
    const UBUNTU: &str = "ID=ubuntu";
    const FEDORA: &str = "ID=fedora";
    const RHEL: &str = "ID=rhel";
    const AMAZON: &str = "ID=amzn\nID_LIKE=fedora\nVERSION_ID=2023";
    const ORACLE: &str = "ID=ol\nID_LIKE=fedora";
    const SUSE: &str = "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"";
    const ARCH: &str = "ID=arch";
    const ALARM: &str = "ID=archarm\nID_LIKE=arch";

    /// A distribution, a kernel, who has it (`NAME VERSION ARCH`, as their databases say), what to install;
    /// and where that can be told by the kernel's release alone, the same without an owner.
    type Row = (&'static str, &'static str, &'static str, &'static str, bool);

    /// The rows of Debian are its archive's (bookworm, its backports, trixie, forky, of 2026-11-28). The
    /// archives of the others could not be had: their rows are written by hand, as their documentation
    /// names the packages.
    const TABLE: [Row; 30] = [
        (
            DEBIAN,
            "6.1.0-57-rt-amd64",
            "linux-image-6.1.0-57-rt-amd64 6.1.192-3 amd64",
            "linux-headers-6.1.0-57-rt-amd64",
            true,
        ),
        (
            DEBIAN,
            "6.12.117+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64 6.12.117-1~deb12u1 amd64",
            "linux-headers-6.12.117+deb12-cloud-amd64",
            true,
        ),
        (
            DEBIAN,
            "6.12.115+deb13.1-amd64",
            "linux-image-6.12.115+deb13.1-amd64-unsigned 6.12.115-2 amd64",
            "linux-headers-6.12.115+deb13.1-amd64",
            true,
        ),
        (
            DEBIAN,
            "7.2.12+deb14-amd64",
            "linux-binary-7.2.12+deb14-amd64 7.2.12-1 amd64",
            "linux-headers-7.2.12+deb14-amd64",
            true,
        ),
        (
            DEBIAN,
            "7.2.12+deb14-rt-amd64",
            "linux-base-7.2.12+deb14-rt-amd64 7.2.12-1 amd64",
            "linux-headers-7.2.12+deb14-rt-amd64",
            true,
        ),
        (
            DEBIAN,
            "7.2.12+deb14-cloud-amd64",
            "linux-modules-7.2.12+deb14-cloud-amd64 7.2.12-1 amd64",
            "linux-headers-7.2.12+deb14-cloud-amd64",
            true,
        ),
        (
            UBUNTU,
            "6.8.0-31-generic",
            "linux-image-6.8.0-31-generic 6.8.0-31.31 amd64",
            "linux-headers-6.8.0-31-generic",
            true,
        ),
        (
            UBUNTU,
            "6.11.0-17-generic",
            "linux-image-unsigned-6.11.0-17-generic 6.11.0-17.17~24.04.2 amd64",
            "linux-headers-6.11.0-17-generic",
            true,
        ),
        (
            UBUNTU,
            "6.8.0-31-generic",
            "linux-modules-extra-6.8.0-31-generic 6.8.0-31.31 amd64",
            "linux-headers-6.8.0-31-generic",
            true,
        ),
        (
            DEBIAN,
            "6.8.12-4-pve",
            "proxmox-kernel-6.8.12-4-pve-signed 6.8.12-4 amd64",
            "proxmox-headers-6.8.12-4-pve",
            true,
        ),
        (
            DEBIAN,
            "5.15.158-2-pve",
            "pve-kernel-5.15.158-2-pve 5.15.158-2 amd64",
            "pve-headers-5.15.158-2-pve",
            true,
        ),
        (DEBIAN, "6.1.21-v8+", "raspberrypi-kernel 1:1.20230405-1 arm64", "raspberrypi-kernel-headers", true),
        (
            DEBIAN,
            "6.12.25+rpt-rpi-v8",
            "linux-image-6.12.25+rpt-rpi-v8 1:6.12.25-1+rpt1 arm64",
            "linux-headers-6.12.25+rpt-rpi-v8",
            true,
        ),
        (
            DEBIAN,
            "6.12.8-current-rockchip64",
            "linux-image-current-rockchip64 25.2.1 arm64",
            "linux-headers-current-rockchip64",
            true,
        ),
        (
            DEBIAN,
            "6.12.8-x64v3-xanmod1",
            "linux-image-6.12.8-x64v3-xanmod1 6.12.8-x64v3-xanmod1-0 amd64",
            "linux-headers-6.12.8-x64v3-xanmod1",
            true,
        ),
        (
            DEBIAN,
            "6.12.8-1-liquorix-amd64",
            "linux-image-6.12.8-1-liquorix-amd64 6.12-5 amd64",
            "linux-headers-6.12.8-1-liquorix-amd64",
            true,
        ),
        (
            "ID=kali\nID_LIKE=debian",
            "6.12.13-amd64",
            "linux-image-6.12.13-amd64 6.12.13-1kali1 amd64",
            "linux-headers-6.12.13-amd64",
            true,
        ),
        (
            FEDORA,
            "6.12.9-200.fc41.x86_64",
            "kernel-core 6.12.9-200.fc41 x86_64",
            "kernel-devel-6.12.9-200.fc41.x86_64",
            true,
        ),
        (
            RHEL,
            "5.14.0-362.el9.x86_64+rt-debug",
            "kernel-rt-debug-core 5.14.0-362.el9 x86_64",
            "kernel-rt-debug-devel-5.14.0-362.el9.x86_64",
            true,
        ),
        (
            AMAZON,
            "6.1.132-147.221.amzn2023.x86_64",
            "kernel 6.1.132-147.221.amzn2023 x86_64",
            "kernel-devel-6.1.132-147.221.amzn2023.x86_64",
            true,
        ),
        (
            AMAZON,
            "6.12.25-32.101.amzn2023.x86_64",
            "kernel6.12 6.12.25-32.101.amzn2023 x86_64",
            "kernel6.12-devel-6.12.25-32.101.amzn2023.x86_64",
            true,
        ),
        (
            ORACLE,
            "5.15.0-205.149.5.1.el9uek.x86_64",
            "kernel-uek-core 5.15.0-205.149.5.1.el9uek x86_64",
            "kernel-uek-devel-5.15.0-205.149.5.1.el9uek.x86_64",
            true,
        ),
        (
            RHEL,
            "6.12.8-1.el9.elrepo.x86_64",
            "kernel-ml-core 6.12.8-1.el9.elrepo x86_64",
            "kernel-ml-devel-6.12.8-1.el9.elrepo.x86_64",
            false,
        ),
        (
            RHEL,
            "6.1.124-1.el9.elrepo.x86_64",
            "kernel-lt 6.1.124-1.el9.elrepo x86_64",
            "kernel-lt-devel-6.1.124-1.el9.elrepo.x86_64",
            false,
        ),
        (
            SUSE,
            "6.4.0-150600.23.33-azure",
            "kernel-azure 6.4.0-150600.23.33.1 x86_64",
            "kernel-azure-devel",
            true,
        ),
        (ARCH, "6.12.8-arch1-1", "linux 6.12.8.arch1-1 x86_64", "linux-headers", true),
        (ARCH, "6.6.70-1-lts", "linux-lts 6.6.70-1 x86_64", "linux-lts-headers", true),
        (ARCH, "6.12.8-zen1-1-zen", "linux-zen 6.12.8.zen1-1 x86_64", "linux-zen-headers", true),
        (
            ARCH,
            "6.12.8-hardened1-2-hardened",
            "linux-hardened 6.12.8.hardened1-2 x86_64",
            "linux-hardened-headers",
            true,
        ),
        (ALARM, "6.12.8-1-aarch64-ARCH", "linux-aarch64 6.12.8-1 aarch64", "linux-aarch64-headers", true),
    ];

    #[test]
    fn each_distribution_names_headers_in_its_own_way() {
        for (id, kernel, owner, name, by_release) in TABLE {
            let words: Vec<String> = owner.split(' ').map(str::to_owned).collect();
            let [owner, version, arch] = words.try_into().unwrap();
            let owner = Owner { name: owner, version, arch };
            let with_owner = of(id, kernel, Some(&owner));
            assert!(
                with_owner.starts_with(&format!("install the package `{name}`: `")),
                "{kernel}: {with_owner}"
            );
            let without = of(id, kernel, None);
            assert_eq!(without.contains(&format!("`{name}`")), by_release, "{kernel}: {without}");
        }
        let suse = Owner {
            name: "kernel-default".into(),
            version: "6.4.0-150600.23.33.1".into(),
            arch: "x86_64".into(),
        };
        let command = "`zypper install kernel-default-devel=6.4.0-150600.23.33.1`";
        assert!(of(SUSE, "6.4.0-150600.23.33-default", Some(&suse)).contains(command));
    }

    #[test]
    fn third_parties_name_them_after_their_own() {
        let owned = |id, kernel, name: &str| {
            of(id, kernel, Some(&Owner { name: name.to_owned(), ..Owner::default() }))
        };
        assert!(owned(ARCH, "6.12.8-tkg", "linux-tkg-bmq").contains("`linux-tkg-bmq-headers`"));
        assert!(of("ID=manjaro\nID_LIKE=arch", "6.12.8-1-MANJARO", None).contains("`linux612-headers`"));
        assert!(of(ALARM, "6.12.8-1-rpi-16k", None).contains("`linux-rpi-16k-headers`"));
        assert!(!of(ARCH, "6.12.8", None).contains("pacman"));
        // What is called like nothing that is known is named, so that people can look.
        assert!(owned(DEBIAN, "6.9.1-mine", "my-own-linux").contains("the package `my-own-linux`"));
        assert!(of("ID=gentoo", "6.6.1", None).contains("6.6.1"));
        assert!(of("ID=alpine", "6.6.1", None).contains("--kernelsourcedir"));
    }

    #[test]
    fn arch_names_its_kernel_package_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let kernel = KernelRelease::new("6.6.1").unwrap();
        fs::create_dir_all(&layout.kernel_dir(&kernel)).unwrap();
        let of = || HeadersPackage::of(&kernel, &Distribution::parse(ARCH), &layout, None);
        assert_eq!(of().name(), None);
        let pkgbase = layout.kernel_dir(&kernel).join("pkgbase");
        fs::write_whole(&pkgbase, b"linux-zen\n", 0o644).unwrap();
        assert_eq!(of().name(), Some("linux-zen-headers"));
        fs::write_whole(&pkgbase, b"x; rm -rf /\n", 0o644).unwrap();
        assert_eq!(of().name(), None);
    }
}
