//! Debian's rules: names and versions of packages, architectures. Touches nothing.

use debversion::Version;
use dkms_base::id::{Arch, KernelRelease, ModuleName, ModuleVersion};

use crate::error::PackageError;
use crate::text::without_epoch;

/// A module's or kernel's name as part of a package's: `_` is none of Debian's letters, and
/// capitals aren't either.
fn plain(text: &str) -> String {
    text.replace('_', "-").to_ascii_lowercase()
}

/// The package's name with which all others begin, `D`.
///
/// # Errors
/// [`PackageError::Name`].
pub fn base(module: &ModuleName) -> Result<String, PackageError> {
    let name = plain(module.as_str());
    check(&name)?;
    Ok(name)
}

/// `D-dkms`.
///
/// # Errors
/// [`PackageError::Name`].
pub fn wrapper(module: &ModuleName) -> Result<String, PackageError> {
    Ok(format!("{}-dkms", base(module)?))
}

/// `D-modules-K`.
///
/// # Errors
/// [`PackageError::Name`].
pub fn modules(module: &ModuleName, kernel: &KernelRelease) -> Result<String, PackageError> {
    let name = format!("{}-modules-{}", base(module)?, plain(kernel.as_str()));
    check(&name)?;
    Ok(name)
}

/// `D-modules-FLAVOUR`.
///
/// # Errors
/// [`PackageError::Name`].
pub fn gate(module: &ModuleName, flavour: &str) -> Result<String, PackageError> {
    check(flavour)?;
    let name = format!("{}-modules-{flavour}", base(module)?);
    check(&name)?;
    Ok(name)
}

/// What the metapackage provides that brings a kernel.
///
/// # Errors
/// [`PackageError::Name`].
pub fn latest(kernel: &KernelRelease) -> Result<String, PackageError> {
    let name = format!("linux-latest-modules-{}", plain(kernel.as_str()));
    check(&name)?;
    Ok(name)
}

/// `linux-image-K`.
///
/// # Errors
/// [`PackageError::Name`].
pub fn image(kernel: &KernelRelease) -> Result<String, PackageError> {
    let name = format!("linux-image-{}", plain(kernel.as_str()));
    check(&name)?;
    Ok(name)
}

/// Policy 5.6.7: letters, digits, `+-.`, the first a letter or digit, at least two.
fn check(name: &str) -> Result<(), PackageError> {
    let refuse = |why| Err(PackageError::Name { name: name.to_owned(), why });
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !name.starts_with(is_plain) {
        return refuse("begins with neither a letter nor a digit");
    }
    if name.len() < 2 {
        return refuse("has only one letter");
    }
    if !name.chars().all(|c| is_plain(c) || "+-.".contains(c)) {
        return refuse("has other characters than letters, digits, `+`, `-` and `.`");
    }
    Ok(())
}

/// A module's version as a package's, epoch, `~` and hyphens kept.
///
/// # Errors
/// [`PackageError::Version`].
pub fn version(version: &ModuleVersion) -> Result<Version, PackageError> {
    let text = version.as_str();
    let refuse = |why| Err(PackageError::Version { version: text.to_owned(), why });
    let without_epoch = without_epoch(text);
    let epoch = &text[..text.len() - without_epoch.len()];
    if !epoch.trim_end_matches(':').chars().all(|c| c.is_ascii_digit()) || epoch == ":" {
        return refuse("has an epoch that is no number");
    }
    if !without_epoch.starts_with(|c: char| c.is_ascii_digit()) {
        return refuse("doesn't begin with a digit");
    }
    if !without_epoch.chars().all(|c| c.is_ascii_alphanumeric() || ".+-~".contains(c)) {
        return refuse("has other characters than letters, digits, `.`, `+`, `~` and `-`");
    }
    match text.parse::<Version>() {
        Ok(version) if version.to_string() == text => Ok(version),
        _ => refuse("is none by Debian's rules"),
    }
}

/// A version as file names have it: without the epoch.
#[must_use]
pub fn in_file_name(version: &Version) -> String {
    without_epoch(&version.to_string()).to_owned()
}

/// dpkg's name for an architecture.
///
/// # Errors
/// [`PackageError::Architecture`].
pub fn architecture(arch: &Arch) -> Result<&'static str, PackageError> {
    Ok(match arch.as_str() {
        "x86_64" => "amd64",
        "i386" | "i486" | "i586" | "i686" => "i386",
        "aarch64" => "arm64",
        "armv7l" | "armv8l" => "armhf",
        "armv5tel" | "armv6l" => "armel",
        "ppc64le" => "ppc64el",
        "ppc64" => "ppc64",
        "ppc" => "powerpc",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        "loongarch64" => "loong64",
        "mips" => "mipsel",
        "mips64" => "mips64el",
        "parisc" | "parisc64" => "hppa",
        "sparc64" => "sparc64",
        "alpha" => "alpha",
        "m68k" => "m68k",
        other => return Err(PackageError::Architecture { arch: other.to_owned() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_valid_or_refused() {
        let name = |text: &str| wrapper(&ModuleName::new(text).unwrap());
        assert_eq!(name("acpi_call").unwrap(), "acpi-call-dkms");
        assert_eq!(name("R8168").unwrap(), "r8168-dkms");
        for wrong in ["x", "foo,id", "+a", "_a", "a:b", "é1"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_are_kept_whole_or_refused() {
        let of = |text: &str| version(&ModuleVersion::new(text).unwrap());
        for text in ["1.0", "1:2.0~rc1-3", "2.0-1-2", "0.1+git20240101"] {
            assert_eq!(of(text).unwrap().to_string(), text);
        }
        assert_eq!(in_file_name(&of("1:2.0-3").unwrap()), "2.0-3");
        for wrong in ["v1.0", "1.0_2", "1.0,x", "x:1.0", "1:v2"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
