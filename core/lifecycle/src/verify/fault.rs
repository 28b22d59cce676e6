//! What is wrong with a module for a kernel, as plain data, and in words.

use std::fmt;

use crate::id::{Arch, KernelRelease, ModuleId};
use crate::kernel::KernelConfig;
use crate::modfile::{Machine, ModuleObject, NotAModule};

/// How many characters of a release a message has; that of a kernel has at most 64.
const RELEASE_SHOWN: usize = 100;
/// How many names of symbols a message has.
const SHOWN: usize = 4;

/// What is known of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelView {
    /// Its release.
    pub release: KernelRelease,
    /// The machine that it is for; `None`: not known.
    pub machine: Option<Machine>,
    /// The release that its headers have, where that is another one.
    pub headers: Option<String>,
    /// The kernel that runs.
    pub running: Option<String>,
}

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
    /// Nothing exports symbols that it needs.
    UnknownSymbols {
        /// Their names.
        names: Vec<String>,
        /// The kernel.
        kernel: KernelRelease,
        /// Other dkms modules that export one of them, on other kernels.
        exporters: Vec<(String, ModuleId)>,
    },
    /// It was built against another build of the kernel: the CRCs of symbols differ.
    OtherBuild {
        /// The symbols' names.
        names: Vec<String>,
        /// The kernel.
        kernel: KernelRelease,
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

impl KernelView {
    /// The machine of a kernel: its configuration says it, else the name of the architecture.
    #[must_use]
    pub fn machine_of(config: &KernelConfig, arch: &Arch) -> Option<Machine> {
        const OPTIONS: [(&str, &str); 12] = [
            ("CONFIG_X86_64", "x86_64"),
            ("CONFIG_X86_32", "i686"),
            ("CONFIG_ARM64", "aarch64"),
            ("CONFIG_ARM", "arm"),
            ("CONFIG_ARCH_RV64I", "riscv64"),
            ("CONFIG_ARCH_RV32I", "riscv32"),
            ("CONFIG_PPC64", "ppc64"),
            ("CONFIG_PPC32", "ppc"),
            ("CONFIG_S390", "s390x"),
            ("CONFIG_SPARC64", "sparc64"),
            ("CONFIG_LOONGARCH", "loongarch64"),
            ("CONFIG_MIPS", "mips64"),
        ];
        if !config.is_known() {
            return Machine::named(arch.as_str());
        }
        let (_, name) = OPTIONS.into_iter().find(|(option, _)| config.is_enabled(option))?;
        let is_32_bit = !config.is_enabled("CONFIG_64BIT");
        Machine::named(match name {
            "mips64" if is_32_bit => "mips",
            "loongarch64" if is_32_bit => "loongarch32",
            name => name,
        })
    }

    /// What is wrong with a module but for its symbols.
    #[must_use]
    pub fn faults(&self, object: &ModuleObject) -> Vec<Fault> {
        if let Some(kernel) = self.machine.filter(|machine| *machine != object.machine) {
            return vec![Fault::OtherMachine { module: object.machine, kernel }];
        }
        match object.info.kernel_release() {
            None => vec![Fault::NoKernel],
            Some(release) if release == self.release.as_str() => Vec::new(),
            Some(release) => {
                let is = |other: &Option<String>| other.as_deref() == Some(release);
                let cause = match () {
                    () if is(&self.headers) => Some(Origin::Headers),
                    () if is(&self.running) => Some(Origin::Running),
                    () => None,
                };
                let built_for = release.chars().take(RELEASE_SHOWN).collect();
                vec![Fault::OtherKernel { built_for, kernel: self.release.clone(), cause }]
            }
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
            | Self::UnknownSymbols { .. }
            | Self::OtherBuild { .. }
            | Self::GplOnly { .. }
            | Self::Namespaces { .. } => false,
        }
    }

    /// The kind, as a word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotAModule(_) => "not-a-module",
            Self::OtherMachine { .. } => "other-machine",
            Self::OtherKernel { .. } | Self::NoKernel => "other-kernel",
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
            Self::OtherBuild { kernel, .. } => vec![format!(
                "it was built with headers of another build of kernel {kernel}: install the headers of this one and build \
                 it again"
            )],
            Self::GplOnly { .. } => vec!["only its author can mend that, by its licence or its code".to_owned()],
            Self::Namespaces { namespaces, .. } => {
                let lines = namespaces.iter().map(|namespace| format!("MODULE_IMPORT_NS(\"{namespace}\")"));
                vec![format!("its source must have {}", lines.collect::<Vec<_>>().join(" and "))]
            }
            Self::OtherMachine { .. } => {
                vec!["MAKE in dkms.conf must build for the architecture of the kernel".to_owned()]
            }
            Self::NoKernel => vec!["the module was not built by the kernel's own Makefiles".to_owned()],
            Self::OtherKernel { cause: Some(Origin::Headers), built_for, kernel } => {
                vec![format!("the headers of kernel {kernel} are those of {built_for}: install its own headers")]
            }
            Self::OtherKernel { cause: Some(Origin::Running), .. } => vec![format!(
                "its Makefile builds for the kernel that runs (`uname -r`); {PASS_THE_KERNEL}"
            )],
            Self::OtherKernel { cause: None, .. } => {
                vec![format!("if its Makefile names that kernel: {PASS_THE_KERNEL}")]
            }
            Self::UnknownSymbols { exporters, kernel, .. } => exporters
                .iter()
                .map(|(name, id)| {
                    format!(
                        "{id} exports `{name}` on other kernels, and is not built for {kernel}: name it in BUILD_DEPENDS"
                    )
                })
                .collect(),
        }
    }
}

const PASS_THE_KERNEL: &str =
    "MAKE in dkms.conf must build in `$kernel_source_dir`, or pass `$kernelver` to the Makefile";

/// What comes after the file's name.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAModule(why) => why.fmt(f),
            Self::OtherMachine { module, kernel } => write!(f, "is for {module}, the kernel is {kernel}"),
            Self::OtherKernel { built_for, kernel, .. } => {
                write!(f, "is built for kernel {built_for} (vermagic), not for {kernel}")
            }
            Self::NoKernel => f.write_str("does not say which kernel it is built for (no vermagic)"),
            Self::UnknownSymbols { names, kernel, .. } => {
                write!(f, "needs symbols that nothing exports on kernel {kernel}: ")?;
                list(f, names)
            }
            Self::OtherBuild { names, kernel } => {
                write!(f, "expects other CRCs than kernel {kernel} has, of these symbols: ")?;
                list(f, names)
            }
            Self::GplOnly { names, licence } => {
                let licence = licence.as_deref().unwrap_or_default();
                write!(f, "has the licence `{licence}`, and uses symbols for GPL-compatible modules only: ")?;
                list(f, names)
            }
            Self::Namespaces { names, namespaces } => {
                write!(f, "uses symbols of the namespace {} without importing it: ", namespaces.join(", "))?;
                list(f, names)
            }
        }
    }
}

/// Some of the names, and how many more there are.
fn list(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    f.write_str(&shown.join(", "))?;
    match names.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modfile::testing::Fabricated;

    fn view() -> KernelView {
        KernelView {
            release: KernelRelease::new("6.1.0-57-amd64").unwrap(),
            machine: Machine::named("x86_64"),
            headers: None,
            running: Some("6.1.0-50-amd64".to_owned()),
        }
    }

    fn judged(view: &KernelView, module: &Fabricated) -> Vec<String> {
        let object = ModuleObject::parse(&module.bytes()).unwrap();
        view.faults(&object).iter().map(|fault| format!("{}: {fault}", fault.word())).collect()
    }

    #[test]
    fn the_first_word_of_vermagic_is_the_whole_release() {
        let of = |kernel: &str| Fabricated::for_kernel("x", kernel);
        assert!(judged(&view(), &of("6.1.0-57-amd64")).is_empty());
        for other in ["6.1.0-57-amd64+", "6.1.0-57", "6.1.0-57-cloud-amd64", "6.1.0-5"] {
            assert_eq!(
                judged(&view(), &of(other)),
                [format!("other-kernel: is built for kernel {other} (vermagic), not for 6.1.0-57-amd64")]
            );
        }
        let local = KernelView { release: KernelRelease::new("6.1.9-mine+").unwrap(), ..view() };
        assert!(judged(&local, &of("6.1.9-mine+")).is_empty());
        assert_eq!(
            judged(&view(), &Fabricated::new("name=x\0")),
            ["other-kernel: does not say which kernel it is built for (no vermagic)"]
        );
    }

    #[test]
    fn where_the_other_release_comes_from_is_said() {
        let hint = |view: &KernelView, kernel: &str| {
            let object = ModuleObject::parse(&Fabricated::for_kernel("x", kernel).bytes()).unwrap();
            view.faults(&object)[0].hints().join("\n")
        };
        assert!(hint(&view(), "6.1.0-50-amd64").contains("the kernel that runs (`uname -r`)"));
        assert!(hint(&view(), "5.10.0-1").starts_with("if its Makefile names that kernel"));
        let borrowed = KernelView { headers: Some("6.1.0-56-amd64".to_owned()), ..view() };
        assert!(hint(&borrowed, "6.1.0-56-amd64").contains("install its own headers"));
    }

    #[test]
    fn another_machine_is_fatal_and_an_unknown_one_is_none() {
        let arm = Fabricated::for_kernel("x", "6.1.0-57-amd64").machine("aarch64");
        assert_eq!(judged(&view(), &arm), ["other-machine: is for aarch64, the kernel is x86_64"]);
        assert!(judged(&KernelView { machine: None, ..view() }, &arm).is_empty());
    }

    #[test]
    fn the_configuration_tells_the_machine_better_than_the_name() {
        let of = |text: &str, arch: &str| {
            let options = KernelConfig::parse_options(text);
            let config = KernelConfig { path: (!text.is_empty()).then(|| "/c".into()), options };
            KernelView::machine_of(&config, &Arch::new(arch).unwrap()).map(|machine| machine.to_string())
        };
        assert_eq!(of("", "armv7l").as_deref(), Some("arm"));
        assert_eq!(of("", "k1om"), None);
        assert_eq!(of("CONFIG_X86_64=y\nCONFIG_64BIT=y\n", "i686").as_deref(), Some("x86_64"));
        assert_eq!(of("CONFIG_MIPS=y\n", "mips64").as_deref(), Some("mips"));
        assert_eq!(of("CONFIG_ARM64=y\nCONFIG_64BIT=y\n", "x86_64").as_deref(), Some("aarch64"));
        assert_eq!(of("CONFIG_ALPHA=y\n", "x86_64"), None);
    }

    #[test]
    fn many_symbols_are_counted() {
        let names = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        let kernel = view().release;
        let exporters = vec![("a".to_owned(), ModuleId::parse("base", "2.0").unwrap())];
        let fault = Fault::UnknownSymbols { names, kernel, exporters };
        assert_eq!(
            fault.to_string(),
            "needs symbols that nothing exports on kernel 6.1.0-57-amd64: `a`, `b`, `c`, `d` and 2 more"
        );
        assert_eq!(
            fault.hints(),
            [
                "base/2.0 exports `a` on other kernels, and is not built for 6.1.0-57-amd64: name it in BUILD_DEPENDS"
            ]
        );
    }
}
