//! Why something will not be done: each kind has its exit code, and says what would help.

use std::path::PathBuf;

use super::world::{ConfFault, RememberedFailure, World};
use crate::conf::module::Exclusion;
use crate::exit::ExitCode;
use crate::id::{ModuleId, ModuleName, Target};
use crate::tree::{Registration, Source};

/// A decision not to do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `add` of what is there.
    #[error("module `{id}` is already in the dkms tree")]
    AlreadyAdded {
        /// The module.
        id: ModuleId,
    },
    /// An action on what isn't there.
    #[error("module `{id}` is not in the dkms tree")]
    NotInTree {
        /// The module.
        id: ModuleId,
    },
    /// No `/usr/src/M-V`.
    #[error("there is no source folder `{}` of module `{id}`", path.display())]
    NoSourceFolder {
        /// The module.
        id: ModuleId,
        /// The folder.
        path: PathBuf,
    },
    /// The registration's `source` leads nowhere.
    #[error("module `{id}` is broken: {}", fault_of(source_of))]
    Broken {
        /// The module.
        id: ModuleId,
        /// What is wrong with it.
        source_of: Source,
    },
    /// No dkms.conf.
    #[error("module `{id}` has no `{}`", path.display())]
    ConfMissing {
        /// The module.
        id: ModuleId,
        /// Where it should be.
        path: PathBuf,
    },
    /// A conf that can't be used.
    #[error("`{}` of module `{id}` is not valid: {}", path.display(), problems.join("; "))]
    ConfInvalid {
        /// The module.
        id: ModuleId,
        /// The file.
        path: PathBuf,
        /// Every problem.
        problems: Vec<String>,
    },
    /// No headers.
    #[error("the headers of kernel {} ({}) are not at `{}`; {} them", target.kernel, target.arch, path.display(), needing(id, others))]
    HeadersMissing {
        /// The module that was to be built.
        id: ModuleId,
        /// Further ones for the same kernel, where these are reported as one.
        others: Vec<ModuleId>,
        /// The kernel.
        target: Target,
        /// Where they should be.
        path: PathBuf,
        /// The package to install.
        remedy: String,
        /// `--kernelsourcedir` names that place.
        is_named: bool,
    },
    /// `prebuilt_only`, and no place has it.
    #[error("module `{id}` is not there prebuilt for kernel {} ({}) in {places}, and `prebuilt_only=yes` allows no build{}", target.kernel, target.arch, if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) })]
    NotPrebuilt {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
        /// The places, as the settings have them.
        places: String,
        /// Why what they have is not taken.
        reasons: Vec<String>,
    },
    /// `BUILD_EXCLUSIVE_*`.
    #[error("module `{id}` is not for kernel {} ({}): {exclusion}", target.kernel, target.arch)]
    Excluded {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
        /// The rule.
        exclusion: Exclusion,
    },
    /// It was built from the same inputs, and failed.
    #[error("module `{id}` is not built for kernel {} ({}) again: it failed on {}, and nothing has changed since: {}", target.kernel, target.arch, failure.when, failure.what)]
    FailedBefore {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
        /// That build.
        failure: RememberedFailure,
    },
    /// `BUILD_DEPENDS` not installed.
    #[error("module `{id}` needs {} installed for kernel {} ({}) first", names(missing), target.kernel, target.arch)]
    DependenciesMissing {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
        /// What is missing.
        missing: Vec<ModuleName>,
        /// Of these: versions in the tree, or whose source folder is there.
        known: Vec<ModuleId>,
    },
    /// `BUILD_DEPENDS` in a circle.
    #[error("the BUILD_DEPENDS of module `{id}` form a cycle: {}", path.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(" -> "))]
    DependencyCycle {
        /// The module.
        id: ModuleId,
        /// The circle, its first name again at its end.
        path: Vec<ModuleName>,
    },
    /// `/lib/modules/K` is missing.
    #[error("the folder `{}` of kernel {} does not exist; module `{id}` can't be installed there", path.display(), target.kernel)]
    NoKernelFolder {
        /// The module.
        id: ModuleId,
        /// The kernel.
        target: Target,
        /// The folder.
        path: PathBuf,
    },
    /// `match` without something to match.
    #[error("kernel {} can't be its own template", target.kernel)]
    MatchesItself {
        /// The kernel.
        target: Target,
    },
    /// `match` of a module that dkms doesn't know.
    #[error("no version of module `{name}` is in the dkms tree")]
    UnknownModule {
        /// The module.
        name: ModuleName,
    },
}

fn fault_of(source: &Source) -> String {
    match source {
        Source::Unlinked(path) => format!("its link to `{}` is missing from the dkms tree", path.display()),
        Source::Present(path) | Source::Dangling(path) => {
            format!("its source folder `{}` is missing", path.display())
        }
    }
}

/// ``module `a/1` needs``, or several of them.
fn needing(id: &ModuleId, others: &[ModuleId]) -> String {
    if others.is_empty() {
        return format!("module `{id}` needs");
    }
    let ids = std::iter::once(id).chain(others).map(|id| format!("`{id}`"));
    format!("modules {} need", ids.collect::<Vec<_>>().join(", "))
}

fn names(names: &[ModuleName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// A broken registration as a refusal.
    #[must_use]
    pub fn broken(id: &ModuleId, found: &Registration) -> Self {
        Self::Broken { id: id.clone(), source_of: found.source.clone() }
    }

    /// A conf's fault as a refusal.
    #[must_use]
    pub fn of_conf(id: &ModuleId, fault: &ConfFault) -> Self {
        let id = id.clone();
        match fault.clone() {
            ConfFault::Missing { path } => Self::ConfMissing { id, path },
            ConfFault::Invalid { path, problems } => Self::ConfInvalid { id, path, problems },
        }
    }

    /// What speaks against building a module here.
    #[must_use]
    pub fn of_building(world: &World, id: &ModuleId, target: &Target) -> Option<Self> {
        let (id, target) = (id.clone(), target.clone());
        if let Some(places) = world.only_taken_from.clone() {
            return Some(Self::NotPrebuilt { id, target, places, reasons: Vec::new() });
        }
        if world.has_headers(&target) {
            return None;
        }
        let path = world.kernels.get(&target).map(|kernel| kernel.headers.clone()).unwrap_or_default();
        let remedy = world.headers_remedy.get(&target).cloned().unwrap_or_default();
        let is_named = world.reading.overrides.source_dir.is_some();
        Some(Self::HeadersMissing { id, others: Vec::new(), target, path, remedy, is_named })
    }

    /// The same refusals, with one for all modules that want the headers of the same kernel, in place of the
    /// first of them.
    #[must_use]
    pub fn once_per_kernel(refusals: Vec<Self>) -> Vec<Self> {
        let mut once: Vec<Self> = Vec::new();
        for refusal in refusals {
            if let Self::HeadersMissing { id, target, path, .. } = &refusal {
                let same = once.iter_mut().find_map(|other| match other {
                    Self::HeadersMissing { others, target: of, path: at, .. }
                        if *of == *target && *at == *path =>
                    {
                        Some(others)
                    }
                    _ => None,
                });
                if let Some(others) = same {
                    others.push(id.clone());
                    continue;
                }
            }
            once.push(refusal);
        }
        once
    }

    /// The module concerned, if it is one.
    #[must_use]
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::AlreadyAdded { id }
            | Self::NotInTree { id }
            | Self::NoSourceFolder { id, .. }
            | Self::Broken { id, .. }
            | Self::ConfMissing { id, .. }
            | Self::ConfInvalid { id, .. }
            | Self::HeadersMissing { id, .. }
            | Self::NotPrebuilt { id, .. }
            | Self::Excluded { id, .. }
            | Self::FailedBefore { id, .. }
            | Self::DependenciesMissing { id, .. }
            | Self::DependencyCycle { id, .. }
            | Self::NoKernelFolder { id, .. } => Some(id),
            Self::MatchesItself { .. } | Self::UnknownModule { .. } => None,
        }
    }

    /// The kernel concerned, if it is one.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::HeadersMissing { target, .. }
            | Self::NotPrebuilt { target, .. }
            | Self::Excluded { target, .. }
            | Self::FailedBefore { target, .. }
            | Self::DependenciesMissing { target, .. }
            | Self::NoKernelFolder { target, .. }
            | Self::MatchesItself { target } => Some(target),
            Self::AlreadyAdded { .. }
            | Self::NotInTree { .. }
            | Self::NoSourceFolder { .. }
            | Self::Broken { .. }
            | Self::ConfMissing { .. }
            | Self::ConfInvalid { .. }
            | Self::DependencyCycle { .. }
            | Self::UnknownModule { .. } => None,
        }
    }

    /// The exit code that the command ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoSourceFolder { .. } | Self::MatchesItself { .. } => ExitCode::BAD_OPTION,
            Self::AlreadyAdded { .. } | Self::NotInTree { .. } | Self::UnknownModule { .. } => {
                ExitCode::NOT_IN_TREE
            }
            Self::Broken { .. } | Self::ConfMissing { .. } => ExitCode::BROKEN,
            Self::NoKernelFolder { .. } => ExitCode::CANNOT_INSTALL,
            Self::ConfInvalid { .. } => ExitCode::INVALID_CONF,
            Self::DependenciesMissing { .. } | Self::DependencyCycle { .. } => ExitCode::DEPENDS_MISSING,
            Self::HeadersMissing { .. } => ExitCode::NO_HEADERS,
            Self::NotPrebuilt { .. } => ExitCode::NOT_BUILT,
            Self::Excluded { .. } => ExitCode::EXCLUDED,
            Self::FailedBefore { .. } => ExitCode::MAKE_FAILED,
        }
    }

    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let one = |line: String| vec![line];
        match self {
            Self::AlreadyAdded { id } => {
                one(format!("to replace it: `dkms remove {id} --all`, then add it again"))
            }
            Self::NotInTree { id } => one(format!("`dkms status` lists what is; `dkms add {id}` adds it")),
            Self::NoSourceFolder { path, .. } => {
                one(format!("put the source with its dkms.conf into `{}`", path.display()))
            }
            Self::Broken { id, source_of: Source::Unlinked(_) } => {
                one(format!("`dkms add {id}` puts it back"))
            }
            Self::Broken { id, source_of: Source::Present(path) | Source::Dangling(path) } => one(format!(
                "restore that folder; or remove the module: `mkdir -p {} && dkms remove {id} --all`",
                path.display()
            )),
            Self::ConfMissing { path, .. } => {
                one(format!("restore `{}`, or name another file: `-c FILE`", path.display()))
            }
            Self::ConfInvalid { path, .. } => {
                one(format!("correct `{}`: `man 5 dkms.conf` describes each directive", path.display()))
            }
            Self::MatchesItself { .. } => Vec::new(),
            Self::HeadersMissing { is_named: true, target, .. } => one(format!(
                "`--kernelsourcedir` names no folder of kernel headers, which has `include` in it; without this option they are looked for in `/lib/modules/{}/build`",
                target.kernel
            )),
            Self::HeadersMissing { remedy, .. } => {
                vec![remedy.clone(), "or say where they are with `--kernelsourcedir`".to_owned()]
            }
            Self::NotPrebuilt { id, target, .. } => vec![
                "on a machine that builds:".to_owned(),
                format!(
                    "`dkms mktarball {id} -k {}`, `dkms sign --key KEY` for that tarball, and copy it there",
                    target.kernel
                ),
            ],
            Self::Excluded { .. } => {
                one("its dkms.conf excludes this kernel; a newer version of the module may support it"
                    .to_owned())
            }
            Self::FailedBefore { id, target, failure } => {
                let log = failure.log.iter().map(|log| format!("the log is `{}`", log.display()));
                let again = format!("`dkms install {id} -k {}` tries again", target.kernel);
                log.chain([again]).collect()
            }
            Self::DependenciesMissing { missing, known, target, .. } => missing
                .iter()
                .map(|name| match known.iter().find(|id| id.name == *name) {
                    Some(id) => format!("`dkms install {id} -k {}` installs `{name}`", target.kernel),
                    None => format!(
                        "dkms does not know `{name}` yet: get its source, and install it with `dkms install FOLDER -k {}`",
                        target.kernel
                    ),
                })
                .collect(),
            Self::DependencyCycle { .. } => one("take one of them out of BUILD_DEPENDS".to_owned()),
            Self::NoKernelFolder { target, .. } => one(format!("is kernel {} installed?", target.kernel)),
            Self::UnknownModule { .. } => one("`dkms status` lists what is there".to_owned()),
        }
    }
}
