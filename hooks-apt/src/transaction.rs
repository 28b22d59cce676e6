//! What apt tells its hooks before it runs dpkg (`DPkg::Pre-Install-Pkgs`, protocol version 3), and which
//! kernels come and go with that. Pure.
//!
//! After `VERSION 3` and apt's configuration, and an empty line, a line for each thing that dpkg will be
//! asked to do: `PACKAGE OLD ARCH MULTIARCH < NEW ARCH MULTIARCH FILE|**CONFIGURE**|**REMOVE**`, with `-`
//! where there is no old or no new one.

use std::path::PathBuf;

use dkms_base::id::KernelRelease;
use dkms_kernel::Brought;

/// A package that comes, goes, or is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub package: String,
    /// The architecture of what is there, if something is.
    pub old_arch: Option<String>,
    /// Whether something will be there afterwards.
    pub comes: bool,
    /// The file that it comes from.
    pub file: Option<PathBuf>,
    /// Its version then.
    pub version: String,
}

/// Why a text is no transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Another version of the protocol.
    #[error("apt does not use version 3 of the hook protocol: {0:?}")]
    Version(String),
    /// A line.
    #[error("cannot parse this line from apt: {0:?}")]
    Line(String),
}

/// What dpkg will unpack and remove.
///
/// # Errors
/// [`TransactionError`].
pub fn parse(text: &str) -> Result<Vec<Change>, TransactionError> {
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version != "VERSION 3" {
        return Err(TransactionError::Version(version.to_owned()));
    }
    let steps = lines.skip_while(|line| !line.is_empty()).skip(1).filter(|line| !line.is_empty());
    let changes = steps.map(|line| change(line).ok_or_else(|| TransactionError::Line(line.to_owned())));
    changes.filter_map(Result::transpose).collect()
}

/// What a line says; `Some(None)`: what is unpacked already is configured.
fn change(line: &str) -> Option<Option<Change>> {
    let mut fields = line.splitn(9, ' ');
    let (package, old, old_arch) = (fields.next()?, fields.next()?, fields.next()?);
    let (_multi_arch, direction, new) = (fields.next()?, fields.next()?, fields.next()?);
    if !["<", ">", "="].contains(&direction) {
        return None;
    }
    let what = fields.nth(2)?;
    let comes = match what {
        "**CONFIGURE**" => return Some(None),
        "**REMOVE**" => false,
        _ => true,
    };
    let old_arch = (old != "-").then(|| old_arch.to_owned());
    let file = comes.then(|| PathBuf::from(what));
    Some(Some(Change { package: package.to_owned(), old_arch, comes, file, version: new.to_owned() }))
}

/// What a package brings by its name, where its contents aren't known: `linux-image-K`,
/// `linux-image-unsigned-K`, `linux-image-K-unsigned`, `proxmox-kernel-K-signed`, `linux-headers-K`,
/// `proxmox-headers-K`. The names that always mean the newest one (`linux-image-amd64`,
/// `linux-image-6.12-amd64`) bring nothing themselves.
#[must_use]
pub fn by_name(package: &str) -> Brought {
    let mut brought = Brought::default();
    let rest = |starts: &[&str]| starts.iter().find_map(|start| package.strip_prefix(start));
    if let Some(rest) = rest(&["linux-image-unsigned-", "linux-image-", "proxmox-kernel-", "pve-kernel-"]) {
        let release = ["-unsigned", "-signed"].iter().find_map(|end| rest.strip_suffix(end)).unwrap_or(rest);
        brought.kernels.extend(is_release(release).then(|| release.to_owned()));
    } else if let Some(release) = rest(&["linux-headers-", "proxmox-headers-", "pve-headers-"]) {
        brought.headers.extend(is_release(release).then(|| release.to_owned()));
    }
    brought
}

fn is_release(text: &str) -> bool {
    let version = text.split(['-', '+', '~']).next().unwrap_or_default();
    version.split('.').count() >= 3
        && KernelRelease::looks_like_kernel(text)
        && !["-dbg", "-common", "-common-rt"].iter().any(|end| text.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "VERSION 3\nAPT::Architecture=amd64\nDir::Cache=var/cache/apt\n\n";

    fn change(package: &str, old_arch: Option<&str>, new: Option<(&str, &str)>) -> Change {
        Change {
            package: package.to_owned(),
            old_arch: old_arch.map(str::to_owned),
            comes: new.is_some(),
            file: new.map(|(_, file)| file.into()),
            version: new.map_or("-", |(version, _)| version).to_owned(),
        }
    }

    #[test]
    fn unpacking_and_removing_is_what_counts() {
        let text = format!(
            "{HEAD}evdi-dkms - - none < 1.12.0 all none /var/cache/apt/archives/evdi dkms.deb\n\
             gone 1.0 amd64 none > - - none **REMOVE**\n\
             linux-image-6.1.0-9-amd64 6.1.1 amd64 none < 6.1.2 amd64 none /a.deb\n\
             same 1.0 all foreign = 1.0 all foreign /b.deb\n\
             evdi-dkms - - none < 1.12.0 all none **CONFIGURE**\n"
        );
        let expected = [
            change("evdi-dkms", None, Some(("1.12.0", "/var/cache/apt/archives/evdi dkms.deb"))),
            change("gone", Some("amd64"), None),
            change("linux-image-6.1.0-9-amd64", Some("amd64"), Some(("6.1.2", "/a.deb"))),
            change("same", Some("all"), Some(("1.0", "/b.deb"))),
        ];
        assert_eq!(parse(&text).unwrap(), expected);
        assert!(parse("VERSION 3\na=b\n\n").unwrap().is_empty());
        assert!(parse("VERSION 3\na=b\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["", "VERSION 2\n\n", "a.deb\n"] {
            assert!(matches!(parse(text), Err(TransactionError::Version(_))), "{text}");
        }
        for line in ["short", "p - - none ? 1 all none /a", "p - - none < 1 all none"] {
            assert!(matches!(parse(&format!("{HEAD}{line}\n")), Err(TransactionError::Line(_))), "{line}");
        }
    }

    #[test]
    fn kernels_are_known_by_their_packages_names() {
        let set = |release: &str| [release.to_owned()].into();
        let image = |release| Brought { kernels: set(release), ..Brought::default() };
        let headers = |release| Brought { headers: set(release), ..Brought::default() };
        let none = Brought::default;
        for (package, expected) in [
            ("linux-image-6.1.0-9-cloud-amd64", image("6.1.0-9-cloud-amd64")),
            ("linux-image-6.12.117+deb12-amd64", image("6.12.117+deb12-amd64")),
            ("linux-image-6.1.0-9-amd64-unsigned", image("6.1.0-9-amd64")),
            ("linux-image-unsigned-6.8.0-31-generic", image("6.8.0-31-generic")),
            ("linux-image-6.9.0", image("6.9.0")),
            ("proxmox-kernel-6.8.12-4-pve-signed", image("6.8.12-4-pve")),
            ("proxmox-headers-6.8.12-4-pve", headers("6.8.12-4-pve")),
            ("proxmox-default-kernel", none()),
            ("proxmox-kernel-6.8", none()),
            ("linux-headers-6.1.0-9-amd64", headers("6.1.0-9-amd64")),
            ("linux-headers-6.1.0-9-common", none()),
            ("linux-headers-6.1.0-9-common-rt", none()),
            ("linux-image-6.1.0-9-amd64-dbg", none()),
            ("linux-image-6.12-cloud-amd64", none()),
            ("linux-image-amd64", none()),
            ("linux-headers-generic-hwe-22.04", none()),
            ("linux-libc-dev", none()),
        ] {
            assert_eq!(by_name(package), expected, "{package}");
        }
    }
}
