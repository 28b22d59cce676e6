//! Kernels whose headers the package manager could bring, as its own lists say: names, versions, digests. It
//! is asked; nothing is downloaded.

use dkms_base::host::Environment;
use dkms_base::host::process::Process;
use dkms_base::id::{Arch, KernelRelease};

use super::distribution::{Distribution, Family};
use super::manager::{ManagerError, answer, dnf};

/// A package of headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// Whose.
    pub kernel: KernelRelease,
    /// Which kind of kernel, as packages call it (`amd64`, `cloud-amd64`, `rt`); empty: the usual one.
    pub flavour: String,
    /// The package.
    pub package: PackageFacts,
}

/// What the lists say of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageFacts {
    /// Its name.
    pub name: String,
    /// Its version, with rpm's release behind it.
    pub version: String,
    /// SHA-256 of its file, where the lists have it.
    pub sha256: Option<String>,
    /// The packages that it needs, the first of alternatives.
    pub depends: Vec<String>,
}

/// Why the package manager can't say.
#[derive(Debug, thiserror::Error)]
pub enum AvailableError {
    /// We don't know how to ask this system's.
    #[error("how to ask the package manager of `{id}` for kernels is not known: only apt and dnf are")]
    UnknownManager {
        /// The distribution.
        id: String,
    },
    /// It gave no answer.
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

/// All kernels whose headers can be had, in the order of their releases.
///
/// # Errors
/// [`AvailableError`].
pub fn available(
    distribution: &Distribution,
    arch: &Arch,
    environment: &Environment,
) -> Result<Vec<Available>, AvailableError> {
    let mut found = match distribution.family {
        Family::Debian | Family::Ubuntu => {
            let names = answer(&Process::new("apt-cache", ["pkgnames", PREFIX], environment))?;
            let kernels = names.lines().filter(|name| debian_kernel(name).is_some());
            of_paragraphs(&shown(kernels, environment)?)
        }
        Family::Fedora | Family::Rhel => {
            let format = "%{name} %{version}-%{release} %{arch}\\n";
            let words = ["-q", "repoquery", "--available", "--qf", format, "kernel*-devel"];
            of_rpms(&answer(&Process::new(dnf(environment), words, environment))?, arch)
        }
        Family::Suse | Family::Arch | Family::Gentoo | Family::Other => {
            return Err(AvailableError::UnknownManager { id: distribution.id.clone() });
        }
    };
    found.sort_by(|a, b| dkms_base::version::compare(a.kernel.as_str(), b.kernel.as_str()));
    found.dedup_by(|a, b| a.kernel == b.kernel);
    Ok(found)
}

/// What apt's lists say of one package; `None`: they don't know it.
#[must_use]
pub fn in_apt(name: &str, environment: &Environment) -> Option<PackageFacts> {
    let text = shown(std::iter::once(name), environment).ok()?;
    text.split("\n\n").map(facts).find(|facts| facts.name == name)
}

fn shown<'a>(
    names: impl Iterator<Item = &'a str>,
    environment: &Environment,
) -> Result<String, AvailableError> {
    let mut words = vec!["show".to_owned(), "--no-all-versions".to_owned(), "--".to_owned()];
    words.extend(names.map(str::to_owned));
    if words.len() == 3 {
        return Ok(String::new());
    }
    Ok(answer(&Process::new("apt-cache", words, environment))?)
}

const PREFIX: &str = "linux-headers-";

/// The kernel of a package of headers, and its flavour: `linux-headers-6.1.0-57-cloud-amd64`. What all
/// kernels of a version share, and metapackages, are none.
pub(super) fn debian_kernel(package: &str) -> Option<(KernelRelease, String)> {
    let release = package.strip_prefix(PREFIX)?;
    let is_number = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || ".+~".contains(c))
    };
    let parts: Vec<&str> = release.split('-').collect();
    let numbers = parts.iter().take_while(|part| is_number(part)).count();
    let flavour = parts[numbers..].join("-");
    let is_kernel = numbers > 0
        && parts[0].contains('.')
        && !flavour.is_empty()
        && !flavour.starts_with("common")
        && !flavour.starts_with("all");
    Some((KernelRelease::new(release).ok().filter(|_| is_kernel)?, flavour))
}

/// Which kind of kernel one is, by its release; empty: the usual one.
#[must_use]
pub fn flavour_of(kernel: &KernelRelease) -> String {
    let release = kernel.as_str();
    if let Some((_, variant)) = release
        .split_once('+')
        .filter(|(before, _)| before.ends_with("x86_64") || before.ends_with("aarch64"))
    {
        return variant.to_owned();
    }
    debian_kernel(&format!("{PREFIX}{release}")).map_or_else(String::new, |(_, flavour)| flavour)
}

fn of_paragraphs(text: &str) -> Vec<Available> {
    let of = |about: &str| {
        let package = facts(about);
        let (kernel, flavour) = debian_kernel(&package.name)?;
        Some(Available { kernel, flavour, package })
    };
    text.split("\n\n").filter_map(of).collect()
}

/// What a paragraph of apt's says.
fn facts(about: &str) -> PackageFacts {
    let field = |name: &str| {
        let line = about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().trim().to_owned()
    };
    let name = |relation: &str| {
        relation.split(['|', ' ', ':', '(']).find(|word| !word.is_empty()).map(str::to_owned)
    };
    let sha256 = Some(field("SHA256")).filter(|sum| sum.len() == 64);
    let depends = field("Depends").split(',').filter_map(name).collect();
    PackageFacts { name: field("Package"), version: field("Version"), sha256, depends }
}

/// Lines `NAME VERSION-RELEASE ARCH` of dnf.
fn of_rpms(text: &str, arch: &Arch) -> Vec<Available> {
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version, of) = (words.next()?, words.next()?, words.next()?);
        let flavour = name.strip_prefix("kernel")?.strip_suffix("-devel")?.trim_start_matches('-').to_owned();
        if of != arch.as_str() || flavour.ends_with("debug") {
            return None;
        }
        let variant = if flavour.is_empty() { String::new() } else { format!("+{flavour}") };
        let kernel = KernelRelease::new(format!("{version}.{of}{variant}")).ok()?;
        let (name, version) = (name.to_owned(), version.to_owned());
        Some(Available {
            kernel,
            flavour,
            package: PackageFacts { name, version, ..PackageFacts::default() },
        })
    };
    text.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_headers_name_their_kernels() {
        let of = |name: &str| debian_kernel(name).map(|(kernel, flavour)| format!("{kernel} {flavour}"));
        assert_eq!(of("linux-headers-6.1.0-57-amd64").as_deref(), Some("6.1.0-57-amd64 amd64"));
        assert_eq!(
            of("linux-headers-6.12.94+deb13-cloud-amd64").as_deref(),
            Some("6.12.94+deb13-cloud-amd64 cloud-amd64")
        );
        assert_eq!(of("linux-headers-6.8.0-45-generic").as_deref(), Some("6.8.0-45-generic generic"));
        for other in [
            "linux-headers-amd64",
            "linux-headers-6.1.0-57-common",
            "linux-headers-6.1.0-57-common-rt",
            "linux-headers-6.8.0-45",
            "linux-image-6.1.0-57-amd64",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn lists_say_version_digest_and_what_is_needed() {
        let sum = "a".repeat(64);
        let text = format!(
            "Package: linux-headers-6.1.0-57-amd64\nVersion: 6.1.192-3\nDepends: linux-headers-6.1.0-57-common (= 6.1.192-3), gcc-12 | gcc, linux-kbuild-6.1:amd64\nSHA256: {sum}\n\nPackage: x\n"
        );
        let found = of_paragraphs(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].package.depends, ["linux-headers-6.1.0-57-common", "gcc-12", "linux-kbuild-6.1"]);
        assert_eq!(
            (found[0].package.version.as_str(), found[0].package.sha256.as_ref()),
            ("6.1.192-3", Some(&sum))
        );
    }

    #[test]
    fn rpms_of_this_architecture_are_kernels() {
        let text = "kernel-devel 6.12.9-1.el10 x86_64\nkernel-rt-devel 6.12.9-1.el10 x86_64\nkernel-devel 6.12.9-1.el10 aarch64\nkernel-debug-devel 6.12.9-1.el10 x86_64\n";
        let found = of_rpms(text, &Arch::new("x86_64").unwrap());
        let shown: Vec<_> = found.iter().map(|one| format!("{} {}", one.kernel, one.flavour)).collect();
        assert_eq!(shown, ["6.12.9-1.el10.x86_64 ", "6.12.9-1.el10.x86_64+rt rt"]);
    }
}
