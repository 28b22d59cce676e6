//! Which package has a kernel's headers, and the command that installs it. Only advice: nothing is looked up or installed.

use std::fmt;

use crate::host::fs;
use crate::id::KernelRelease;
use crate::layout::Layout;

use super::distribution::{Distribution, Family};

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

    /// For a kernel on a distribution; on Arch `pkgbase` (a file in the kernel's folder) names the kernel's package.
    #[must_use]
    pub fn of(kernel: &KernelRelease, distribution: &Distribution, layout: &Layout) -> Self {
        match distribution.family {
            Family::Debian | Family::Ubuntu => {
                Self::new(format!("linux-headers-{kernel}"), "apt-get install")
            }
            Family::Fedora | Family::Rhel => Self::new(rpm_devel(kernel.as_str()), "dnf install"),
            Family::Suse => Self::new(suse_devel(kernel.as_str()), "zypper install"),
            Family::Arch => arch_headers(kernel, layout),
            Family::Gentoo => Self::Advice(format!(
                "install the sources of kernel {kernel} (sys-kernel/*-sources, or a distribution kernel), configure \
                 them as that kernel is and run `make modules_prepare` there"
            )),
            Family::Other => Self::Advice(format!(
                "install the package of this distribution that has the headers of kernel {kernel}, or name a \
                 folder that has them with `--kernelsourcedir`"
            )),
        }
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

/// `kernel-devel-K`; a variant stands behind `+` in the release (`….x86_64+rt`), and in front of `-devel` in the package's name.
fn rpm_devel(kernel: &str) -> String {
    match kernel.split_once('+') {
        Some((release, variant)) => format!("kernel-{variant}-devel-{release}"),
        None if kernel.contains("uek") => format!("kernel-uek-devel-{kernel}"),
        None => format!("kernel-devel-{kernel}"),
    }
}

/// SUSE's releases end in the flavour. Its packages carry one more number than the release tells, so none can be asked for.
fn suse_devel(kernel: &str) -> String {
    let flavour = kernel.rsplit_once('-').map(|(_, flavour)| flavour);
    let named = flavour.filter(|flavour| flavour.starts_with(|c: char| c.is_ascii_alphabetic()));
    format!("kernel-{}-devel", named.unwrap_or("default"))
}

fn arch_headers(kernel: &KernelRelease, layout: &Layout) -> HeadersPackage {
    let pkgbase = fs::read_lossy(&layout.kernel_dir(kernel).join("pkgbase")).unwrap_or_default();
    let pkgbase = pkgbase.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    if pkgbase.is_empty() || !pkgbase.chars().all(plain) {
        return HeadersPackage::Advice(format!(
            "install the headers package of the package that owns kernel {kernel} (`linux-headers` for `linux`)"
        ));
    }
    HeadersPackage::new(format!("{pkgbase}-headers"), "pacman -S")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(id: &str, kernel: &str) -> String {
        let kernel = KernelRelease::new(kernel).unwrap();
        let distribution = Distribution::parse(&format!("ID={id}"));
        HeadersPackage::of(&kernel, &distribution, &Layout::under("/nonexistent")).to_string()
    }

    #[test]
    fn names_are_those_of_the_distribution() {
        let cases = [
            ("debian", "6.1.0-56-rt-amd64", "apt-get install linux-headers-6.1.0-56-rt-amd64"),
            ("ubuntu", "6.8.0-31-generic", "apt-get install linux-headers-6.8.0-31-generic"),
            ("fedora", "6.5.6-300.fc39.x86_64", "dnf install kernel-devel-6.5.6-300.fc39.x86_64"),
            (
                "rhel",
                "5.14.0-362.el9.x86_64+rt-debug",
                "dnf install kernel-rt-debug-devel-5.14.0-362.el9.x86_64",
            ),
            ("sles", "6.4.0-150600.21-default", "zypper install kernel-default-devel"),
            ("sles", "6.4.0-150600.21-azure", "zypper install kernel-azure-devel"),
        ];
        for (id, kernel, command) in cases {
            let text = package(id, kernel);
            assert!(text.ends_with(&format!(": `{command}`")), "{text}");
        }
        assert!(package("gentoo", "6.6.1").contains("6.6.1"));
        assert!(package("alpine", "6.6.1").contains("--kernelsourcedir"));
    }

    #[test]
    fn arch_names_its_kernel_package_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let kernel = KernelRelease::new("6.6.1-zen1-1-zen").unwrap();
        fs::create_dir_all(&layout.kernel_dir(&kernel)).unwrap();
        let of = || HeadersPackage::of(&kernel, &Distribution::parse("ID=arch"), &layout);
        assert_eq!(of().name(), None);
        let pkgbase = layout.kernel_dir(&kernel).join("pkgbase");
        fs::write_whole(&pkgbase, b"linux-zen\n", 0o644).unwrap();
        assert_eq!(of().name(), Some("linux-zen-headers"));
        fs::write_whole(&pkgbase, b"x; rm -rf /\n", 0o644).unwrap();
        assert_eq!(of().name(), None);
    }
}
