//! Who is who: module names and versions, kernel releases, architectures.
//!
//! Each type is checked once, when it is parsed, and plain data afterwards; a value of these types may be put
//! into a path or a command without another look. Nothing here touches the disk.
//!
//! ```
//! use dkms_base::id::{ModuleId, Target};
//!
//! let id = ModuleId::parse("v4l2loopback", "0.12.7")?;
//! assert_eq!(id.to_string(), "v4l2loopback/0.12.7");
//! assert!(ModuleId::parse("../etc", "1").is_err());
//! assert!(Target::parse("6.1; reboot", "x86_64").is_err());
//! # Ok::<(), dkms_base::id::IdError>(())
//! ```

use std::fmt;

use serde::Serialize;

use crate::visible::is_hidden;

/// Why a text is no module name, version, kernel release or architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{}` {fault}", text.escape_debug())]
pub struct IdError {
    /// What the text was to be.
    pub kind: &'static str,
    /// The text as it came.
    pub text: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// The rule that all ids share: they become one component of a path, one word of a command line.
fn check_plain(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text == "." || text == ".." {
        return Err("is `.` or `..`");
    }
    if text.starts_with('-') || text.starts_with('.') {
        return Err("begins with `-` or `.`");
    }
    if text.contains('/') {
        return Err("contains `/`");
    }
    if text.chars().any(|c| c.is_whitespace() || is_hidden(c)) {
        return Err("contains a blank or a control character");
    }
    // NAME_MAX of Linux file systems; ids are joined (`M-V`, `kernel-K-A`), so leave room.
    if text.len() > 120 {
        return Err("is longer than 120 bytes");
    }
    Ok(())
}

/// What a shell takes for more than a letter of a word: names and versions reach command lines of a dkms.conf
/// (`POST_INSTALL="post.sh $module_version"`), which root's shell runs.
fn check_for_shells(text: &str) -> Result<(), &'static str> {
    if text.contains([
        ';', '&', '|', '<', '>', '(', ')', '$', '`', '"', '\'', '\\', '*', '?', '[', ']', '{', '}', '!',
    ]) {
        return Err("contains a shell metacharacter");
    }
    Ok(())
}

/// Kernels and architectures have no others.
fn check_kernel(text: &str) -> Result<(), &'static str> {
    if text.chars().all(|c| {
        c.is_ascii_alphanumeric() || matches!(c, '+' | '~' | '_' | '.' | '-' | ':' | '@' | ',' | '=')
    }) {
        return Ok(());
    }
    Err("contains other characters than letters, digits and `+ ~ _ . - : @ , =`")
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal $(, $extra:expr)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`IdError`] where it can't be a path component, or has another meaning in the tree.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let verdict = check_plain(&text);
                $(let verdict = verdict.and_then(|()| $extra(&text));)?
                match verdict {
                    Ok(()) => Ok(Self(text)),
                    Err(fault) => Err(IdError { kind: $kind, text, fault }),
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                self.0.as_ref()
            }
        }
    };
}

id_type!(
    /// `PACKAGE_NAME` of a module, for instance `v4l2loopback`.
    ModuleName, "module name", check_for_shells
);
id_type!(
    /// `PACKAGE_VERSION` of a module.
    ModuleVersion, "module version", |text: &str| {
        if text == "original_module" || text.starts_with("kernel-") {
            Err("has another meaning in the tree")
        } else {
            check_for_shells(text)
        }
    }
);
id_type!(
    /// A kernel release as `uname -r` prints it, for instance `6.1.0-47-amd64`.
    KernelRelease, "kernel release", check_kernel
);
id_type!(
    /// An architecture as `uname -m` prints it, for instance `x86_64`.
    Arch, "architecture", check_kernel
);

impl KernelRelease {
    /// Whether a name begins with digits and a dot, as those of distributions' kernels do.
    #[must_use]
    pub fn looks_like_kernel(text: &str) -> bool {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < text.len() && rest.starts_with('.')
    }

    /// Whether `M/V/NAME` may be a kernel's folder: kernels may be called anything that
    /// means nothing else there.
    #[must_use]
    pub fn may_name_a_build(text: &str) -> bool {
        let others = ["source", "build", "tarball", "original_module"];
        !text.starts_with('.') && !others.contains(&text) && Self::new(text).is_ok()
    }
}

/// A module in one version, written `M/V`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ModuleId {
    /// Its name.
    pub name: ModuleName,
    /// Its version.
    pub version: ModuleVersion,
}

impl ModuleId {
    /// Puts the two together.
    #[must_use]
    pub fn new(name: ModuleName, version: ModuleVersion) -> Self {
        Self { name, version }
    }

    /// Checks both halves.
    ///
    /// # Errors
    /// [`IdError`] of the first half that is wrong.
    pub fn parse(name: &str, version: &str) -> Result<Self, IdError> {
        Ok(Self { name: ModuleName::new(name)?, version: ModuleVersion::new(version)? })
    }

    /// `M-V`, the name of its source folder.
    #[must_use]
    pub fn dir_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// What a module is built for: a kernel release on an architecture, written `K/A`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Target {
    /// The kernel's release.
    pub kernel: KernelRelease,
    /// The architecture.
    pub arch: Arch,
}

impl Target {
    /// Puts the two together.
    #[must_use]
    pub fn new(kernel: KernelRelease, arch: Arch) -> Self {
        Self { kernel, arch }
    }

    /// Checks both halves.
    ///
    /// # Errors
    /// [`IdError`] of the first half that is wrong.
    pub fn parse(kernel: &str, arch: &str) -> Result<Self, IdError> {
        Ok(Self { kernel: KernelRelease::new(kernel)?, arch: Arch::new(arch)? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kernel, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "-rf",
            ".hidden",
            "a b",
            "a\nb",
            "a\0b",
            "a\u{1b}[0m",
            "\u{a0}",
            "a\u{202e}b",
            "\u{2066}a",
            "a\u{9b}b",
        ] {
            assert!(ModuleName::new(text).is_err(), "{text:?} was taken");
            assert!(KernelRelease::new(text).is_err(), "{text:?} was taken");
        }
        assert!(ModuleVersion::new("original_module").is_err());
        assert!(ModuleVersion::new("kernel-6.1").is_err());
        assert!(ModuleVersion::new("x".repeat(121)).is_err());
    }

    #[test]
    fn no_name_says_anything_to_a_shell() {
        for text in [
            "a;id", "a&b", "a|b", "$(id)", "a`id`b", "a>b", "a'b", "a\"b", "a\\b", "a*", "a?", "{a,b}", "(a)",
        ] {
            assert!(ModuleName::new(text).is_err() && ModuleVersion::new(text).is_err(), "{text}");
            assert!(KernelRelease::new(text).is_err() && Arch::new(text).is_err(), "{text}");
        }
        for text in
            ["6.1.0-56-amd64", "6.1.0+", "5.10.0-0.deb10~bpo1", "6.6_1", "mykernel", "6.1.0-rc1-dirty"]
        {
            assert!(KernelRelease::new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn real_names_are_taken() {
        for text in
            ["v4l2loopback", "nvidia-current", "rtl8821ce", "2.0~beta+git20200101-1", "5.6.4.2_40", "1:2.0"]
        {
            assert!(ModuleVersion::new(text).is_ok(), "{text:?} was refused");
        }
    }

    #[test]
    fn kernel_folders_begin_with_digits_and_a_dot() {
        for text in ["6.1.0-47-amd64", "10.0", "5.10.0_1"] {
            assert!(KernelRelease::looks_like_kernel(text));
        }
        for text in ["build", "source", "x6.1", "6-1", ".5", "61"] {
            assert!(!KernelRelease::looks_like_kernel(text));
        }
        for text in ["6.1.0", "linux-custom", "zen", "v6.1.5", "6"] {
            assert!(KernelRelease::may_name_a_build(text), "{text}");
        }
        for text in ["build", "source", "tarball", "original_module", ".tmp_1", "-rf", "a b", ".."] {
            assert!(!KernelRelease::may_name_a_build(text), "{text}");
        }
    }
}
