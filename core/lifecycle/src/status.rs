//! The states of all modules, as `dkms status` prints them.
//!
//! Knows how states are distinguished, filtered and written; what the installed files look like is known to
//! the caller, since that takes a conf and a look at the kernel's folder.

use std::fmt;

use crate::bake::{BakedModule, FileState, Manifest};
use crate::id::{Arch, KernelRelease, ModuleId, ModuleName, ModuleVersion, Target};
use crate::tree::Snapshot;

/// One line of `dkms status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The module.
    pub id: ModuleId,
    /// Its state.
    pub state: State,
}

/// The state of a module, on one kernel where it is built for some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Registered, and built for no kernel (or not for those that were asked for).
    Added,
    /// Its source is missing.
    Broken,
    /// Built.
    Built {
        /// For which kernel.
        target: Target,
        /// What is worth knowing besides.
        remarks: Vec<Remark>,
    },
    /// Built and installed.
    Installed {
        /// On which kernel.
        target: Target,
        /// What is worth knowing besides.
        remarks: Vec<Remark>,
    },
    /// Another kernel's build serves this one through a weak-updates link.
    InstalledWeak {
        /// The kernel that is served.
        target: Target,
        /// The kernel that it was built for.
        from: KernelRelease,
    },
}

/// What is worth knowing of a built or installed module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// It replaced a module of the kernel, which is kept.
    OriginalsExist,
    /// A module that the conf names is not among the built ones; of an image's module: it is not installed.
    BuiltMissing,
    /// What is installed is not what was built, or isn't there.
    Differ,
}

impl Remark {
    /// As status lines say it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::OriginalsExist => "Original modules exist",
            Self::BuiltMissing => "Built modules are missing in the kernel modules folder",
            Self::Differ => "Differences between built and installed modules",
        }
    }
}

impl State {
    /// The state's word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Broken => "broken",
            Self::Built { .. } => "built",
            Self::Installed { .. } => "installed",
            Self::InstalledWeak { .. } => "installed-weak",
        }
    }

    /// The kernel that it is about.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Added | Self::Broken => None,
            Self::Built { target, .. }
            | Self::Installed { target, .. }
            | Self::InstalledWeak { target, .. } => Some(target),
        }
    }

    /// What is worth knowing besides.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        match self {
            Self::Built { remarks, .. } | Self::Installed { remarks, .. } => remarks,
            Self::Added | Self::Broken | Self::InstalledWeak { .. } => &[],
        }
    }
}

/// The line, byte for byte as programs read it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModuleId { name, version } = &self.id;
        match &self.state {
            State::Added | State::Broken => write!(f, "{name}/{version}: {}", self.state.word()),
            State::InstalledWeak { target, from } => {
                write!(f, "{name}, {version}, {}, {}: installed-weak from {from}", target.kernel, target.arch)
            }
            State::Built { target, remarks } | State::Installed { target, remarks } => {
                let word = self.state.word();
                write!(f, "{name}/{version}, {}, {}: {word}", target.kernel, target.arch)?;
                remarks.iter().try_for_each(|remark| write!(f, " ({})", remark.text()))
            }
        }
    }
}

/// Which modules and kernels are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this module.
    pub name: Option<ModuleName>,
    /// Only this version.
    pub version: Option<ModuleVersion>,
    /// Only these kernels, each on one architecture where one is named.
    pub kernels: Vec<(KernelRelease, Option<Arch>)>,
    /// Only these architectures.
    pub arches: Vec<Arch>,
}

impl Filter {
    /// Whether a module is asked for.
    #[must_use]
    pub fn takes(&self, id: &ModuleId) -> bool {
        self.name.as_ref().is_none_or(|name| *name == id.name)
            && self.version.as_ref().is_none_or(|version| *version == id.version)
    }

    /// Whether a kernel is asked for.
    #[must_use]
    pub fn takes_target(&self, target: &Target) -> bool {
        let kernel_fits =
            self.kernels.is_empty() || self.kernels.iter().any(|kernel| Self::is_kernel(kernel, target));
        kernel_fits && (self.arches.is_empty() || self.arches.contains(&target.arch))
    }

    fn is_kernel((release, arch): &(KernelRelease, Option<Arch>), target: &Target) -> bool {
        *release == target.kernel && arch.as_ref().is_none_or(|arch| *arch == target.arch)
    }

    /// Whether some kernel that is asked for by name is none of `targets`.
    fn asks_for_others(&self, targets: &[&Target]) -> bool {
        self.kernels.iter().any(|kernel| !targets.iter().any(|target| Self::is_kernel(kernel, target)))
    }
}

/// With the modules that the image of this system was made with, in the same order. What the tree has
/// installed on a kernel counts instead.
#[must_use]
pub fn with_baked(
    mut lines: Vec<Status>,
    filter: &Filter,
    manifest: &Manifest,
    mut state: impl FnMut(&BakedModule) -> FileState,
) -> Vec<Status> {
    let is_installed = |lines: &[Status], id: &ModuleId, target: &Target| {
        let mut same = lines.iter().filter(|line| line.id.name == id.name);
        same.any(|line| matches!(&line.state, State::Installed { target: on, .. } if on == target))
    };
    for ((id, target), baked) in &manifest.modules {
        if !filter.takes(id) || !filter.takes_target(target) || is_installed(&lines, id, target) {
            continue;
        }
        let remarks = match state(baked) {
            FileState::Same => Vec::new(),
            FileState::Missing => vec![Remark::BuiltMissing],
            FileState::Different => vec![Remark::Differ],
        };
        // It is there without being registered or built.
        lines.retain(|line| {
            line.id != *id || !matches!(&line.state, State::Built { target: on, .. } if on == target)
        });
        lines.push(Status { id: id.clone(), state: State::Installed { target: target.clone(), remarks } });
    }
    lines.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.state.target().cmp(&b.state.target())));
    lines
}

/// The states of the modules that a filter takes, ordered by module, version, kernel and architecture.
///
/// `remarks` is asked for each built module, with whether it is installed; `weak` lists what
/// weak-updates links serve.
#[must_use]
pub fn states(
    snapshot: &Snapshot,
    filter: &Filter,
    weak: &[(ModuleId, Target, KernelRelease)],
    mut remarks: impl FnMut(&ModuleId, &Target, bool) -> Vec<Remark>,
) -> Vec<Status> {
    let mut lines = Vec::new();
    for (id, registration) in snapshot.modules.iter().filter(|(id, _)| filter.takes(id)) {
        let mut push = |state| lines.push(Status { id: id.clone(), state });
        if registration.is_broken() {
            push(State::Broken);
            continue;
        }
        let targets: Vec<&Target> =
            registration.built.keys().filter(|target| filter.takes_target(target)).collect();
        if targets.is_empty() || filter.asks_for_others(&targets) {
            push(State::Added);
        }
        for target in targets {
            let installed = snapshot.is_installed(id, target);
            let (target, remarks) = (target.clone(), remarks(id, target, installed));
            push(if installed {
                State::Installed { target, remarks }
            } else {
                State::Built { target, remarks }
            });
        }
        for (_, target, from) in weak.iter().filter(|(module, ..)| module == id) {
            if filter.takes_target(target) {
                push(State::InstalledWeak { target: target.clone(), from: from.clone() });
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tree::{Built, Registration, Source};

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        let target = |kernel: &str| Target::parse(kernel, "x86_64").unwrap();
        for (module, kernels) in
            [("foo/1.0", &["6.10.0", "6.9.0"][..]), ("foo/2.0", &["6.9.0"]), ("bar/1", &[])]
        {
            let (name, version) = module.split_once('/').unwrap();
            let built = kernels.iter().map(|kernel| (target(kernel), Built::default())).collect();
            let source = Source::Present("/usr/src/x".into());
            snapshot.modules.insert(ModuleId::parse(name, version).unwrap(), Registration { source, built });
        }
        let broken = Registration { source: Source::Dangling("/x".into()), built: BTreeMap::new() };
        snapshot.modules.insert(ModuleId::parse("zed", "1").unwrap(), broken);
        let foo = ModuleId::parse("foo", "1.0").unwrap();
        snapshot.installed.insert((foo.name, target("6.9.0")), foo.version);
        snapshot
    }

    fn shown(filter: &Filter) -> String {
        let remarks = |_: &ModuleId, _: &Target, installed: bool| {
            if installed { vec![Remark::OriginalsExist, Remark::Differ] } else { Vec::new() }
        };
        let weak = [(
            ModuleId::parse("foo", "2.0").unwrap(),
            Target::parse("6.11.0", "x86_64").unwrap(),
            KernelRelease::new("6.9.0").unwrap(),
        )];
        let lines = states(&snapshot(), filter, &weak, remarks);
        lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_state_has_its_line() {
        insta::assert_snapshot!(shown(&Filter::default()), @r"
        bar/1: added
        foo/1.0, 6.10.0, x86_64: built
        foo/1.0, 6.9.0, x86_64: installed (Original modules exist) (Differences between built and installed modules)
        foo/2.0, 6.9.0, x86_64: built
        foo, 2.0, 6.11.0, x86_64: installed-weak from 6.9.0
        zed/1: broken
        ");
    }

    #[test]
    fn a_kernel_that_it_is_not_built_for_shows_added() {
        let kernel = |text| (KernelRelease::new(text).unwrap(), None);
        let filter = Filter { kernels: vec![kernel("6.10.0")], ..Filter::default() };
        insta::assert_snapshot!(shown(&filter), @r"
        bar/1: added
        foo/1.0, 6.10.0, x86_64: built
        foo/2.0: added
        zed/1: broken
        ");
        let filter = Filter {
            name: Some(ModuleName::new("foo").unwrap()),
            version: Some(ModuleVersion::new("1.0").unwrap()),
            kernels: vec![kernel("6.10.0"), kernel("5.0.0")],
            ..Filter::default()
        };
        assert_eq!(shown(&filter), "foo/1.0: added\nfoo/1.0, 6.10.0, x86_64: built");
        let filter = Filter { arches: vec![Arch::new("i686").unwrap()], ..Filter::default() };
        assert!(shown(&filter).starts_with("bar/1: added\nfoo/1.0: added\nfoo/2.0: added"));
    }
}
