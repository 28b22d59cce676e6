//! What apt tells its hooks before it runs dpkg (`DPkg::Pre-Install-Pkgs`, protocol version 3), and which kernels come and go with that. Pure.
//!
//! After `VERSION 3` and apt's configuration, and an empty line, a line for each thing that dpkg will be asked to do:
//! `PACKAGE OLD ARCH MULTIARCH < NEW ARCH MULTIARCH FILE|**CONFIGURE**|**REMOVE**`, with `-` where there is no old or no new one.

use dkms_core::id::KernelRelease;

/// A package that comes, goes, or is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub package: String,
    /// The architecture of what is there, if something is.
    pub old_arch: Option<String>,
    /// Whether something will be there afterwards.
    pub comes: bool,
}

/// Why a text is no transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Another version of the protocol.
    #[error("apt speaks another language than version 3 of its hooks' protocol: {0:?}")]
    Version(String),
    /// A line.
    #[error("this line of apt's is not understood: {0:?}")]
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
    let (_multi_arch, direction, _new) = (fields.next()?, fields.next()?, fields.next()?);
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
    Some(Some(Change { package: package.to_owned(), old_arch, comes }))
}

/// What the packages of a kernel are called, as far as we have to tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelPackage {
    /// The kernel itself.
    Image(KernelRelease),
    /// Its headers.
    Headers(KernelRelease),
}

/// Which kernel a package is, by its name: `linux-image-K`, `linux-image-unsigned-K`, `linux-image-K-unsigned`, `linux-headers-K`. The names that
/// always mean the newest one (`linux-image-amd64`, `linux-image-6.12-amd64`) bring nothing themselves.
#[must_use]
pub fn kernel_package(package: &str) -> Option<KernelPackage> {
    let release = |text: &str| {
        let is_release = text.split(['-', '+', '~']).next()?.split('.').count() >= 3
            && text.starts_with(|c: char| c.is_ascii_digit())
            && !["-dbg", "-common", "-common-rt"].iter().any(|end| text.ends_with(end));
        KernelRelease::new(text).ok().filter(|_| is_release)
    };
    if let Some(rest) = package.strip_prefix("linux-image-") {
        let rest = rest.strip_prefix("unsigned-").unwrap_or(rest);
        return release(rest.strip_suffix("-unsigned").unwrap_or(rest)).map(KernelPackage::Image);
    }
    release(package.strip_prefix("linux-headers-")?).map(KernelPackage::Headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "VERSION 3\nAPT::Architecture=amd64\nDir::Cache=var/cache/apt\n\n";

    fn change(package: &str, old_arch: Option<&str>, comes: bool) -> Change {
        Change { package: package.to_owned(), old_arch: old_arch.map(str::to_owned), comes }
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
            change("evdi-dkms", None, true),
            change("gone", Some("amd64"), false),
            change("linux-image-6.1.0-9-amd64", Some("amd64"), true),
            change("same", Some("all"), true),
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
        let image = |release| Some(KernelPackage::Image(KernelRelease::new(release).unwrap()));
        let headers = |release| Some(KernelPackage::Headers(KernelRelease::new(release).unwrap()));
        for (package, expected) in [
            ("linux-image-6.1.0-9-cloud-amd64", image("6.1.0-9-cloud-amd64")),
            ("linux-image-6.12.117+deb12-amd64", image("6.12.117+deb12-amd64")),
            ("linux-image-6.1.0-9-amd64-unsigned", image("6.1.0-9-amd64")),
            ("linux-image-unsigned-6.8.0-31-generic", image("6.8.0-31-generic")),
            ("linux-image-6.9.0", image("6.9.0")),
            ("linux-headers-6.1.0-9-amd64", headers("6.1.0-9-amd64")),
            ("linux-headers-6.1.0-9-common", None),
            ("linux-headers-6.1.0-9-common-rt", None),
            ("linux-image-6.1.0-9-amd64-dbg", None),
            ("linux-image-6.12-cloud-amd64", None),
            ("linux-image-amd64", None),
            ("linux-headers-generic-hwe-22.04", None),
            ("linux-libc-dev", None),
        ] {
            assert_eq!(kernel_package(package), expected, "{package}");
        }
    }
}
