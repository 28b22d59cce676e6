//! The answer of a preflight: what becomes of a module on a kernel, in words for people and programs. Pure.

use super::refusal::Refusal;
use crate::conf::module::Exclusion;
use crate::forecast::{Foreseen, Outlook};
use crate::id::{ModuleId, ModuleName, Target};
use crate::verify::Fault;

/// What becomes of a module on a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// The module, in the version that would be there.
    pub id: ModuleId,
    /// The kernel.
    pub target: Target,
    /// Why it will not be there; `None`: it will.
    pub absent: Option<Absent>,
    /// The package that brings it prebuilt, where one does.
    pub brought_by: Option<String>,
    /// Why the machine can't boot or be reached without it, as far as that was asked.
    pub critical: Option<String>,
    /// What a forecast has shown of it.
    pub foreseen: Option<Foreseen>,
    /// How far it has come.
    pub standing: Standing,
}

/// How far a module has come on a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is installed.
    Installed,
    /// It is built.
    Built,
    /// It is neither, and nobody knows how a build would end.
    Untried,
}

impl Standing {
    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Built => "built",
            Self::Untried => "untried",
        }
    }
}

impl Prospect {
    /// Whether the module will be missing although the transaction installs other versions of some modules;
    /// `is_replaced` says of which. A dkms.conf, a build or a forecast of one version says nothing about
    /// another version.
    #[must_use]
    pub fn is_certain(&self, is_replaced: impl Fn(&ModuleName) -> bool) -> bool {
        match &self.absent {
            None => false,
            Some(Absent::NoHeaders(_) | Absent::NoKernel | Absent::ReadOnly) => true,
            Some(Absent::Dependency(needed)) => !is_replaced(&self.id.name) && !is_replaced(needed),
            Some(
                Absent::Unusable(_)
                | Absent::Excluded(_)
                | Absent::FailedBefore(_)
                | Absent::Foreseen(_)
                | Absent::Unfit(_),
            ) => !is_replaced(&self.id.name),
        }
    }
}

/// Why a module will not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// Its registration or its conf can't be used.
    Unusable(Refusal),
    /// `BUILD_EXCLUSIVE_*` rules the kernel out.
    Excluded(Exclusion),
    /// Its last build for that kernel failed.
    FailedBefore(String),
    /// It is built, and the kernel may refuse to load it.
    Unfit(Unfit),
    /// A forecast has tried to build it for that kernel.
    Foreseen(Foreseen),
    /// Headers are neither in the system nor in the transaction; what to install.
    NoHeaders(Option<String>),
    /// It needs a module that will not be there.
    Dependency(ModuleName),
    /// The kernel is neither in the system nor in the transaction.
    NoKernel,
    /// Its module folder is on a read-only file system, and the module isn't in it.
    ReadOnly,
}

/// A file that a kernel may refuse to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(refusal) => refusal.fmt(f),
            Self::Excluded(exclusion) => exclusion.fmt(f),
            Self::FailedBefore(why) => write!(f, "its last build for this kernel failed: {why}"),
            Self::Unfit(Unfit { file, fault }) => write!(f, "`{file}` {fault}; {}", fault.consequence()),
            Self::Foreseen(foreseen) => write!(f, "it {foreseen}"),
            Self::NoHeaders(_) => f.write_str("the headers of this kernel are not there"),
            Self::Dependency(name) => write!(f, "it needs `{name}`, which will not be there"),
            Self::NoKernel => f.write_str("the kernel is not there"),
            Self::ReadOnly => f.write_str("the modules of this kernel are on a read-only file system"),
        }
    }
}

impl Absent {
    /// The kind, as a word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unusable(Refusal::Broken { .. }) => "broken",
            Self::Unusable(Refusal::NotPrebuilt { .. }) => "not-prebuilt",
            Self::Unusable(_) => "invalid-conf",
            Self::Excluded(_) => "excluded",
            Self::FailedBefore(_) => "failed-before",
            Self::Unfit(Unfit { fault, .. }) => fault.word(),
            Self::Foreseen(_) => "forecast",
            Self::NoHeaders(_) => "no-headers",
            Self::Dependency(_) => "dependency",
            Self::NoKernel => "no-kernel",
            Self::ReadOnly => "read-only",
        }
    }
}

impl std::fmt::Display for Prospect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, target, absent, brought_by, critical, foreseen, standing } = self;
        if let (Some(why), Some(because)) = (critical, absent) {
            match absent {
                Some(Absent::Unfit(_)) => {
                    write!(f, "{id} ({why}) will not load on {}, or may not: {because}", target.kernel)?;
                }
                _ => write!(f, "{id} ({why}) is not there for {}: {because}", target.kernel)?,
            }
            return self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"));
        }
        write!(f, "{id}, {}, {}: ", target.kernel, target.arch)?;
        let Some(because) = absent else {
            // No more than is known: a build that nobody has tried may fail.
            return match (foreseen, brought_by, standing) {
                (Some(foreseen), _, _) => write!(f, "will be there: {foreseen}"),
                (_, Some(package), _) => write!(f, "will be there, brought by package `{package}`"),
                (_, _, Standing::Installed) => f.write_str("is installed"),
                (_, _, Standing::Built) => f.write_str("is built, and will be installed"),
                (_, _, Standing::Untried) => write!(
                    f,
                    "nothing is known that prevents it; `dkms forecast {id} -k {}` tries the build",
                    target.kernel
                ),
            };
        };
        match absent {
            Some(Absent::Unfit(_)) => write!(f, "will not load, or may not: {because}")?,
            _ => write!(f, "will not be there: {because}")?,
        }
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl Prospect {
    /// What would help.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let Self { id, target, absent, .. } = self;
        match absent.as_ref()? {
            Absent::Unusable(refusal) => refusal.hints().into_iter().next(),
            Absent::Excluded(_) => Some("a newer version of the module may not rule it out".to_owned()),
            Absent::FailedBefore(_) => Some(format!(
                "`dkms log {id} -k {}` shows its log, `dkms install {id} -k {}` tries again",
                target.kernel, target.kernel
            )),
            Absent::Unfit(Unfit { fault, .. }) => {
                let again = format!("`dkms install {id} -k {} --force` builds it again", target.kernel);
                Some(fault.hints().into_iter().next().unwrap_or(again))
            }
            Absent::Foreseen(foreseen) => Some(match foreseen.outlook {
                Outlook::Excluded => "a newer version of the module may not rule it out".to_owned(),
                _ => format!("`dkms forecast {id} -k {}` tries again", target.kernel),
            }),
            Absent::NoHeaders(remedy) => remedy.clone(),
            Absent::Dependency(name) => Some(format!("`dkms status {name}` shows what is there of it")),
            Absent::NoKernel => Some(format!("install kernel {}", target.kernel)),
            Absent::ReadOnly => Some("add it to the image from which this system is deployed".to_owned()),
        }
    }
}
