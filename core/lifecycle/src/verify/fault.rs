//! What is wrong with a module for a kernel, as plain data, and in words.

use std::fmt;

use crate::id::{KernelRelease, ModuleId};
use crate::modfile::{Machine, NotAModule};
use dkms_base::diagnose::PASS_THE_KERNEL;
use dkms_base::visible::visible_name;

use super::proof::Link;

/// How many names of symbols a message has.
const SHOWN: usize = 4;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No whole module.
    NotAModule(NotAModule),
    /// For another machine.
    OtherMachine {
        /// The module's.
        module: Machine,
        /// The kernel's.
        kernel: Machine,
    },
    /// For another kernel.
    OtherKernel {
        /// The release in its vermagic.
        built_for: String,
        /// The one that it should have.
        kernel: KernelRelease,
        /// How that comes about, where it shows.
        cause: Option<Origin>,
    },
    /// It has no vermagic.
    NoKernel,
    /// For a kernel that is configured otherwise.
    OtherConfiguration {
        /// What the module's vermagic has besides the release.
        module: String,
        /// What the kernel's has.
        kernel: String,
    },
    /// It has no CRCs, and the kernel asks for them.
    NoVersions,
    /// Nothing exports symbols that it needs.
    UnknownSymbols {
        /// Their names.
        names: Vec<String>,
        /// The kernel.
        kernel: KernelRelease,
        /// Other dkms modules that export one of them, on other kernels.
        exporters: Vec<(String, ModuleId)>,
        /// One of them, and another kernel of this system that exports it.
        elsewhere: Option<(String, KernelRelease)>,
    },
    /// It was built against another build of the kernel: the CRCs of symbols differ.
    OtherBuild {
        /// The symbols' names.
        names: Vec<String>,
        /// The kernel.
        kernel: KernelRelease,
        /// The other release that its vermagic has.
        built_for: Option<BuiltFor>,
    },
    /// Symbols that the kernel has for GPL-compatible modules only.
    GplOnly {
        /// Their names.
        names: Vec<String>,
        /// The module's licence, as it says.
        licence: Option<String>,
    },
    /// Symbols of namespaces that it does not import.
    Namespaces {
        /// Their names.
        names: Vec<String>,
        /// The namespaces.
        namespaces: Vec<String>,
    },
}

/// Where the release of another kernel comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is that of the kernel that runs.
    Running,
    /// It is that of the headers that the kernel's `build` link leads to.
    Headers,
}

/// The other kernel that a module was built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltFor {
    /// Its release, as vermagic has it.
    pub release: String,
    /// How that comes about, where it shows.
    pub cause: Option<Origin>,
}

impl BuiltFor {
    /// Where it comes from and what to do.
    fn hint(&self, kernel: &KernelRelease) -> String {
        match self.cause {
            Some(Origin::Headers) => {
                format!(
                    "the headers of kernel {kernel} are those of {}: install its own headers",
                    self.release
                )
            }
            Some(Origin::Running) => {
                format!("its Makefile builds for the kernel that runs (`uname -r`); {PASS_THE_KERNEL}")
            }
            None => format!("if its Makefile names that kernel: {PASS_THE_KERNEL}"),
        }
    }
}

impl Fault {
    /// Whether no kernel of this machine can take the file at all: a build that made it has failed.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NotAModule(_) | Self::OtherMachine { .. } => true,
            Self::OtherKernel { .. }
            | Self::NoKernel
            | Self::OtherConfiguration { .. }
            | Self::NoVersions
            | Self::UnknownSymbols { .. }
            | Self::OtherBuild { .. }
            | Self::GplOnly { .. }
            | Self::Namespaces { .. } => false,
        }
    }

    /// Whether the module was built for another kernel than it should, by its own Makefile.
    #[must_use]
    pub fn is_for_another_release(&self) -> bool {
        match self {
            Self::OtherKernel { cause, .. } => *cause != Some(Origin::Headers),
            Self::OtherBuild { built_for: Some(built_for), .. } => built_for.cause != Some(Origin::Headers),
            _ => false,
        }
    }

    /// The link that it refutes.
    #[must_use]
    pub fn link(&self) -> Link {
        match self {
            Self::NotAModule(_) | Self::OtherMachine { .. } => Link::Whole,
            Self::OtherKernel { .. } | Self::NoKernel | Self::OtherConfiguration { .. } => Link::Kernel,
            Self::NoVersions
            | Self::UnknownSymbols { .. }
            | Self::OtherBuild { .. }
            | Self::GplOnly { .. }
            | Self::Namespaces { .. } => Link::Linked,
        }
    }

    /// The kind, as a word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotAModule(_) => "not-a-module",
            Self::OtherMachine { .. } => "other-machine",
            Self::OtherKernel { .. } | Self::NoKernel | Self::OtherConfiguration { .. } => "other-kernel",
            Self::NoVersions => "no-crcs",
            Self::UnknownSymbols { .. } => "unknown-symbols",
            Self::OtherBuild { .. } => "other-build",
            Self::GplOnly { .. } => "gpl-only",
            Self::Namespaces { .. } => "namespace",
        }
    }

    /// What it leads to.
    #[must_use]
    pub fn consequence(&self) -> &'static str {
        match self {
            Self::NotAModule(_)
            | Self::OtherMachine { .. }
            | Self::OtherConfiguration { .. }
            | Self::NoVersions
            | Self::UnknownSymbols { .. }
            | Self::OtherBuild { .. }
            | Self::GplOnly { .. }
            | Self::Namespaces { .. } => "it cannot be loaded",
            Self::OtherKernel { .. } | Self::NoKernel => "the kernel may refuse to load it",
        }
    }

    /// Where it comes from and what to do, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotAModule(_) => Vec::new(),
            Self::OtherBuild { kernel, built_for: Some(built_for), .. } => vec![built_for.hint(kernel)],
            Self::OtherBuild { kernel, .. } => vec![format!(
                "it was built with headers of another build of kernel {kernel}: install the headers of this one and build \
                 it again"
            )],
            Self::OtherConfiguration { .. } | Self::NoVersions => {
                vec!["it must be built with the headers of this kernel".to_owned()]
            }
            Self::GplOnly { .. } => {
                vec!["only its author can fix that, by its licence or its code".to_owned()]
            }
            Self::Namespaces { namespaces, .. } => {
                let lines = namespaces.iter().map(|namespace| format!("MODULE_IMPORT_NS(\"{namespace}\")"));
                vec![format!("its source must have {}", lines.collect::<Vec<_>>().join(" and "))]
            }
            Self::OtherMachine { .. } => {
                vec!["MAKE in dkms.conf must build for the architecture of the kernel".to_owned()]
            }
            Self::NoKernel => vec!["the module was not built by the kernel's own Makefiles".to_owned()],
            Self::OtherKernel { built_for, kernel, cause } => {
                vec![BuiltFor { release: built_for.clone(), cause: *cause }.hint(kernel)]
            }
            Self::UnknownSymbols { exporters, kernel, elsewhere, .. } => {
                let other = |(name, id): &(String, ModuleId)| {
                    format!(
                        "`dkms install {id} -k {kernel}` installs the module that exports `{name}`; then build this one again (its \
                         BUILD_DEPENDS should name {})",
                        id.name
                    )
                };
                let gone = |(name, other): &(String, KernelRelease)| {
                    format!(
                        "kernel {other} exports `{name}`, and {kernel} does not: the module must be changed for it"
                    )
                };
                exporters.iter().map(other).chain(elsewhere.iter().map(gone)).collect()
            }
        }
    }
}

/// What comes after the file's name.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAModule(why) => why.fmt(f),
            Self::OtherMachine { module, kernel } => write!(f, "is for {module}, the kernel is {kernel}"),
            Self::OtherKernel { built_for, kernel, .. } => {
                write!(f, "is built for kernel {} (vermagic), not for {kernel}", visible_name(built_for))
            }
            Self::NoKernel => f.write_str("does not say which kernel it is built for (no vermagic)"),
            Self::UnknownSymbols { names, kernel, .. } => {
                write!(f, "needs symbols that nothing exports on kernel {kernel}: ")?;
                list(f, names)
            }
            Self::OtherConfiguration { module, kernel } => write!(
                f,
                "is built for a kernel that is configured otherwise: its vermagic has `{}`, that of the kernel `{kernel}`",
                visible_name(module)
            ),
            Self::NoVersions => {
                f.write_str("has no CRCs of the symbols that it uses, and the kernel asks for them")
            }
            Self::OtherBuild { names, kernel, built_for: Some(BuiltFor { release, .. }) } => {
                write!(f, "is built for kernel {release} (vermagic), not for {kernel}: the CRCs differ of ")?;
                list(f, names)
            }
            Self::OtherBuild { names, kernel, .. } => {
                write!(f, "expects other CRCs than kernel {kernel} has, of these symbols: ")?;
                list(f, names)
            }
            Self::GplOnly { names, licence } => {
                let licence = visible_name(licence.as_deref().unwrap_or_default());
                write!(f, "has the licence `{licence}`, and uses symbols for GPL-compatible modules only: ")?;
                list(f, names)
            }
            Self::Namespaces { names, namespaces } => {
                write!(
                    f,
                    "uses symbols of the namespace {} without importing it: ",
                    visible_name(&namespaces.join(", "))
                )?;
                list(f, names)
            }
        }
    }
}

/// Some of the names, and how many more there are.
pub(super) fn list(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{}`", visible_name(name))).collect();
    f.write_str(&shown.join(", "))?;
    match names.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn many_symbols_are_counted() {
        let names = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        let kernel = KernelRelease::new("6.1.0-57-amd64").unwrap();
        let exporters = vec![("a".to_owned(), ModuleId::parse("base", "2.0").unwrap())];
        let older = KernelRelease::new("5.10").unwrap();
        let elsewhere = Some(("b".to_owned(), older));
        let fault = Fault::UnknownSymbols { names, kernel, exporters, elsewhere };
        assert_eq!(
            fault.to_string(),
            "needs symbols that nothing exports on kernel 6.1.0-57-amd64: `a`, `b`, `c`, `d` and 2 more"
        );
        assert_eq!(
            fault.hints(),
            [
                "`dkms install base/2.0 -k 6.1.0-57-amd64` installs the module that exports `a`; then build this one again (its BUILD_DEPENDS should name base)",
                "kernel 5.10 exports `b`, and 6.1.0-57-amd64 does not: the module must be changed for it",
            ]
        );
    }
}
