//! In which version a distribution publishes a kernel: what packages that follow its
//! metapackage compare with.

use std::path::Path;

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::{KernelRelease, Target};

use super::available::flavour_of;

/// The version of Debian's `linux-image-FLAVOUR` that brings a kernel: the newest one that apt knows, else
/// that of the kernel itself, by its headers, which say nothing of the flavour. `None`: neither says.
#[must_use]
pub fn of_debian(
    flavour: &str,
    kernel: &KernelRelease,
    headers: &Path,
    environment: &Environment,
) -> Option<OfDebian> {
    let ask = Process::new("apt-cache", ["show", "--", &format!("linux-image-{flavour}")], environment);
    let known = ask.capture().ok().filter(|ended| ended.status.success());
    let by_apt = known.and_then(|ended| of_metapackage(&ended.text(), kernel));
    let is_known = by_apt.is_some() || is_flavour_of(flavour, kernel);
    let by_headers = || of_headers(&fs::read_lossy(&headers.join("include/generated/package.h")).ok()?);
    Some(OfDebian { version: by_apt.or_else(by_headers)?, is_known })
}

/// A version of a metapackage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfDebian {
    /// It.
    pub version: String,
    /// apt, or the name of the kernel, says that this metapackage brings the kernel.
    pub is_known: bool,
}

/// Whether a metapackage brings this kind of kernel, as far as names tell: `amd64` that of `6.1.0-48-amd64`,
/// and not that of `6.1.0-48-cloud-amd64`; `generic-hwe-22.04` that of `6.8.0-40-generic`.
fn is_flavour_of(flavour: &str, kernel: &KernelRelease) -> bool {
    let own = flavour_of(kernel);
    own.is_empty() || flavour == own || flavour.strip_prefix(&own).is_some_and(|rest| rest.starts_with('-'))
}

/// The first paragraph, newest first, of a metapackage that brings the kernel.
fn of_metapackage(paragraphs: &str, kernel: &KernelRelease) -> Option<String> {
    let brings = [format!("linux-latest-modules-{kernel}"), format!("linux-image-{kernel}")];
    paragraphs.split("\n\n").find_map(|about| {
        let field = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut relations =
            ["Provides", "Depends"].into_iter().filter_map(field).flat_map(|text| text.split([',', '|']));
        let is_meant = relations
            .any(|relation| brings.iter().any(|name| relation.split_whitespace().next() == Some(name)));
        field("Version").filter(|_| is_meant).map(|version| version.trim().to_owned())
    })
}

/// What the headers of Debian's kernels say of their package: `LINUX_PACKAGE_ID " Debian 6.1.176-1"`.
fn of_headers(text: &str) -> Option<String> {
    let id = text.lines().find_map(|line| line.strip_prefix("#define LINUX_PACKAGE_ID "))?;
    let version = id.trim().trim_matches('"').trim().strip_prefix("Debian ")?.trim();
    (!version.is_empty()).then(|| version.to_owned())
}

/// Epoch, version and release of the rpm package `kernel-FLAVOUR` of a kernel: as the database of rpm says,
/// else by the rule that the release is `VERSION-RELEASE.ARCH`.
#[must_use]
pub fn of_rpm(flavour: &str, target: &Target, environment: &Environment) -> String {
    let asked = format!("kernel-uname-r = {}", target.kernel);
    let ask = ["-q", "--qf", "%{NAME} %{EVR}\n", "--whatprovides", &asked];
    let known = Process::new("rpm", ask, environment).capture().ok().filter(|ended| ended.status.success());
    let name = format!("kernel-{flavour}");
    let of_line =
        |line: &str| line.split_once(' ').filter(|(of, _)| *of == name).map(|(_, evr)| evr.to_owned());
    known.and_then(|ended| ended.text().lines().find_map(of_line)).unwrap_or_else(|| by_release(target))
}

fn by_release(target: &Target) -> String {
    let release = target.kernel.as_str();
    // Kernels of another kind say so behind a plus: `5.14.0-427.el9.x86_64+rt`.
    let release = release.split_once('+').map_or(release, |(before, _)| before);
    let release = release.strip_suffix(&format!(".{}", target.arch)).unwrap_or(release);
    match release.split_once('-') {
        Some((version, release)) => format!("{version}-{}", release.replace('-', "_")),
        None => release.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metapackage_is_of_a_flavour() {
        let is_of =
            |flavour: &str, kernel: &str| is_flavour_of(flavour, &KernelRelease::new(kernel).unwrap());
        for (flavour, kernel) in [
            ("amd64", "6.1.0-48-amd64"),
            ("cloud-amd64", "6.1.0-57-cloud-amd64"),
            ("generic-hwe-22.04", "6.8.0-40-generic"),
        ] {
            assert!(is_of(flavour, kernel), "{flavour}");
        }
        for (flavour, kernel) in [("amd64", "6.1.0-57-cloud-amd64"), ("cloud-amd64", "6.1.0-48-amd64")] {
            assert!(!is_of(flavour, kernel), "{flavour}");
        }
    }

    #[test]
    fn the_newest_metapackage_that_brings_the_kernel_counts() {
        let text = "Package: linux-image-amd64\nVersion: 6.1.192-3\nDepends: linux-image-6.1.0-57-amd64 (= 6.1.192-3)\n\n\
                    Package: linux-image-amd64\nVersion: 6.1.176-2\nProvides: linux-latest-modules-6.1.0-50-amd64, x\n\n\
                    Package: linux-image-amd64\nVersion: 6.1.176-1\nProvides: linux-latest-modules-6.1.0-50-amd64\n";
        let of = |kernel: &str| of_metapackage(text, &KernelRelease::new(kernel).unwrap());
        assert_eq!(of("6.1.0-50-amd64").as_deref(), Some("6.1.176-2"));
        assert_eq!(of("6.1.0-57-amd64").as_deref(), Some("6.1.192-3"));
        assert_eq!(of("6.1.0-5"), None);
    }

    #[test]
    fn headers_say_their_package() {
        assert_eq!(
            of_headers("#define LINUX_PACKAGE_ID \" Debian 6.1.176-1\"\n").as_deref(),
            Some("6.1.176-1")
        );
        assert_eq!(of_headers("#define LINUX_PACKAGE_ID \" Ubuntu 1\"\n"), None);
    }

    #[test]
    fn a_release_says_its_package() {
        let of = |kernel: &str| by_release(&Target::parse(kernel, "x86_64").unwrap());
        assert_eq!(of("6.0.9-1.el9.x86_64"), "6.0.9-1.el9");
        assert_eq!(of("5.14.0-427.el9.x86_64+rt"), "5.14.0-427.el9");
        assert_eq!(of("6.1.0-50-cloud-amd64"), "6.1.0-50_cloud_amd64");
    }
}
