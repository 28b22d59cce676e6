//! What package managers tell, and what follows from it: for which modules and kernels
//! something is to be done.
//!
//! Pure: looks at what was reported, at the snapshot of the tree and at the kernels of the system. Knows
//! nothing of confs (whether a module is an `AUTOINSTALL` one, whether it is for a kernel at all): the
//! planner does.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{KernelRelease, ModuleId, ModuleName, Target};
use crate::kernel::PrebuiltComing;
use crate::tree::Snapshot;
use crate::version;

/// One thing that a package manager tells. A transaction is any number of them, in any
/// order, more than once too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happening {
    /// A kernel was installed; one that leaves as well is replaced by another build of the same release.
    KernelArrived(Target),
    /// Another build of a kernel is in place of the one with the same release.
    KernelReplaced(Target),
    /// The headers of a kernel were installed.
    HeadersArrived(Target),
    /// A kernel is about to go, or has just gone.
    KernelLeaving(Target),
    /// A module's source is in place; one that leaves as well is put in place again.
    ModuleArrived(ModuleId, Arrival),
    /// A module's source is about to go, or has just gone.
    ModuleLeaving(ModuleId),
    /// A module was in use on a kernel when all began: scripts of packages may have taken it out since.
    ModuleWasInUse(ModuleName, Target),
}

/// Whether a module was there before in another version, as far as the package manager knows. The
/// tree may know better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arrival {
    /// It was not.
    First,
    /// It was.
    Upgrade,
}

/// The kernels of a system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernels {
    /// Those whose module folder is there.
    pub installed: BTreeMap<Target, Kernel>,
    /// `autoinstall_all_kernels`.
    pub all: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Its headers can be built against.
    pub headers: bool,
    /// It runs.
    pub running: bool,
}

impl Kernels {
    /// The newest one with headers.
    #[must_use]
    pub fn newest(&self) -> Option<&Target> {
        self.with_headers()
            .max_by(|a, b| version::compare(a.kernel.as_str(), b.kernel.as_str()).then_with(|| a.cmp(b)))
    }

    fn with_headers(&self) -> impl Iterator<Item = &Target> {
        let usable =
            self.installed.iter().filter(|(target, kernel)| kernel.headers && !is_boot_kernel(target));
        usable.map(|(target, _)| target)
    }

    /// The kernels that a module which arrives is for.
    #[must_use]
    pub fn for_module(&self, arrival: Arrival) -> BTreeSet<Target> {
        let running = self.installed.iter().find(|(_, kernel)| kernel.running).map(|(target, _)| target);
        let mut targets = match (running, arrival) {
            _ if self.all => self.with_headers().cloned().collect(),
            // An image, or a chroot: whatever will run there is not what runs now.
            (None, Arrival::First) => self.with_headers().cloned().collect(),
            (running, _) => running.into_iter().chain(self.newest()).cloned().collect::<BTreeSet<_>>(),
        };
        targets.retain(|target| !is_boot_kernel(target));
        targets
    }
}

/// The request of a transaction: plain data, duplicates folded, contradictions resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Modules that arrive: registered, and installed on these kernels if they are `AUTOINSTALL` ones.
    pub arriving: BTreeMap<ModuleId, BTreeSet<Target>>,
    /// Those of them whose source was put in place anew: what is built of it is built again.
    pub anew: BTreeSet<ModuleId>,
    /// Modules that leave, each with the version that takes its place, if one does.
    pub leaving: BTreeMap<ModuleId, Option<ModuleId>>,
    /// Kernels that get every `AUTOINSTALL` module.
    pub kernels: BTreeSet<Target>,
    /// Those of them that are another build of the same release: what was built for them is dropped first.
    pub rebuilt_kernels: BTreeSet<Target>,
    /// Kernels that leave, with everything that was built for them.
    pub leaving_kernels: BTreeSet<Target>,
    /// What arrives before its package is configured.
    pub ahead: LookAhead,
}

/// Modules whose packages are unpacked and will ask for them when they are configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookAhead {
    /// Those that this batch builds ahead: what doesn't work is not told and is tried
    /// again at their own turn.
    pub ahead: BTreeSet<ModuleId>,
    /// Those that an earlier batch has looked at: left alone until their own turn, and so is what needs them.
    pub later: BTreeSet<ModuleName>,
    /// Those of which a build notes its inputs ([`crate::tree::ahead`]).
    pub noted: BTreeSet<ModuleId>,
    /// Modules that unpacked packages will put in place prebuilt when they are configured.
    pub prebuilt: PrebuiltComing,
    /// Kernels whose headers are unpacked and not configured, which may complete them: what doesn't work
    /// on those is not told either.
    pub unready: BTreeSet<KernelRelease>,
}

impl LookAhead {
    /// Whether something that is done about a module is before its turn: where it doesn't work that is not
    /// told and not remembered, since it is tried again.
    #[must_use]
    pub fn is_early(&self, id: &ModuleId, target: Option<&Target>) -> bool {
        self.ahead.contains(id) || target.is_some_and(|target| self.unready.contains(&target.kernel))
    }
}

/// Kernels of installation media (`…BOOT`) get no modules by themselves.
fn is_boot_kernel(target: &Target) -> bool {
    target.kernel.as_str().ends_with("BOOT")
}

impl Batch {
    /// The version of each module that is to be brought up where nothing else is said: the one that arrives,
    /// else the newest that stays.
    #[must_use]
    pub fn candidates(&self, snapshot: &Snapshot) -> Vec<ModuleId> {
        let mut staying = snapshot.clone();
        staying.modules.retain(|id, _| !self.leaving.contains_key(id));
        let newest = staying.newest().into_iter().cloned();
        let mut by_name: BTreeMap<_, _> = newest.map(|id| (id.name.clone(), id)).collect();
        by_name.retain(|name, _| !self.ahead.later.contains(name));
        by_name.extend(self.newest_arriving().into_iter().map(|id| (id.name.clone(), id)));
        by_name.into_values().collect()
    }

    /// The newest version of each module that arrives.
    #[must_use]
    pub fn newest_arriving(&self) -> Vec<ModuleId> {
        let mut by_name: BTreeMap<&ModuleName, &ModuleId> = BTreeMap::new();
        for id in self.arriving.keys() {
            let best = by_name.entry(&id.name).or_insert(id);
            if version::compare(best.version.as_str(), id.version.as_str()).is_lt() {
                *best = id;
            }
        }
        by_name.into_values().cloned().collect()
    }

    /// Every kernel that something is to be installed on.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<Target> {
        self.arriving.values().flatten().chain(&self.kernels).cloned().collect()
    }

    /// What is, or may be, taken out.
    #[must_use]
    pub fn taken_out(&self, snapshot: &Snapshot) -> BTreeSet<(ModuleId, Target)> {
        let from_kernels = self
            .leaving_kernels
            .iter()
            .chain(&self.rebuilt_kernels)
            .flat_map(|target| snapshot.built_on(target).map(move |id| (id.clone(), target.clone())));
        let of_modules = self
            .leaving
            .keys()
            .flat_map(|id| snapshot.targets(id).into_iter().map(move |target| (id.clone(), target)));
        from_kernels.chain(of_modules).collect()
    }
}

/// Whether an older version of a module takes the place of a newer one.
#[must_use]
pub fn has_downgrade(told: &[Happening]) -> bool {
    let is_older = |new: &ModuleId, old: &ModuleId| {
        new.name == old.name && version::compare(new.version.as_str(), old.version.as_str()).is_lt()
    };
    told.iter().any(|happening| match happening {
        Happening::ModuleArrived(new, _) => {
            told.iter().any(|other| matches!(other, Happening::ModuleLeaving(old) if is_older(new, old)))
        }
        _ => false,
    })
}

/// What has to be done for what was reported.
///
/// ```
/// use dkms_base::id::Target;
/// use dkms_core::event::{Happening, Kernel, Kernels, batch};
/// use dkms_core::tree::Snapshot;
///
/// // The headers come before their kernel: one kernel, once.
/// let target = Target::parse("6.1.0-9-amd64", "x86_64")?;
/// let told = [Happening::HeadersArrived(target.clone()), Happening::KernelArrived(target.clone())];
/// let installed = [(target.clone(), Kernel { headers: true, running: false })].into();
/// let batch = batch(&told, &Snapshot::default(), &Kernels { installed, all: false });
/// assert_eq!(batch.targets(), [target].into());
/// # Ok::<(), dkms_base::id::IdError>(())
/// ```
#[must_use]
pub fn batch(told: &[Happening], snapshot: &Snapshot, kernels: &Kernels) -> Batch {
    let told: BTreeSet<&Happening> = told.iter().collect();
    let mut batch = Batch::default();
    let (mut leaving, mut arriving) = (BTreeSet::new(), BTreeMap::new());
    let (mut was_in_use, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    for happening in told {
        match happening {
            Happening::KernelArrived(target) | Happening::HeadersArrived(target) => {
                batch.kernels.insert(target.clone());
                if matches!(happening, Happening::KernelArrived(_)) {
                    batch.rebuilt_kernels.insert(target.clone());
                }
            }
            Happening::KernelReplaced(target) => {
                batch.kernels.insert(target.clone());
                replaced.insert(target.clone());
            }
            Happening::KernelLeaving(target) => {
                batch.leaving_kernels.insert(target.clone());
            }
            // Upgrades come after firsts: who knows of another version is right.
            Happening::ModuleArrived(id, arrival) => {
                arriving.insert(id.clone(), *arrival);
            }
            Happening::ModuleLeaving(id) => {
                leaving.insert(id.clone());
            }
            Happening::ModuleWasInUse(name, target) => {
                was_in_use.insert((name, target));
            }
        }
    }
    batch.rebuilt_kernels.retain(|target| batch.leaving_kernels.contains(target));
    replaced.retain(|target| !batch.leaving_kernels.contains(target));
    batch.rebuilt_kernels.extend(replaced);
    batch.leaving_kernels.retain(|target| !batch.rebuilt_kernels.contains(target));
    batch.kernels.retain(|target| !batch.leaving_kernels.contains(target));
    let staying = Kernels {
        installed: kernels
            .installed
            .iter()
            .filter(|(target, _)| !batch.leaving_kernels.contains(target))
            .map(|(target, kernel)| (target.clone(), *kernel))
            .collect(),
        all: kernels.all,
    };
    batch.anew = arriving.keys().filter(|id| leaving.remove(*id)).cloned().collect();
    batch.arriving = arriving.keys().map(|id| (id.clone(), BTreeSet::new())).collect();
    // Only one version of a module can be in use on a kernel; others are added.
    let newest = batch.newest_arriving();
    let successor = |old: &ModuleId| newest.iter().find(|id| id.name == old.name).cloned();
    batch.leaving = leaving.into_iter().map(|old| (old.clone(), successor(&old))).collect();
    for id in newest {
        let arrival = arriving[&id];
        // Its package's script may have registered it before this batch; only what was built, for a kernel
        // that stays, shows that it was there before.
        let is_built = |id: &ModuleId| {
            snapshot.targets(id).into_iter().any(|target| !batch.leaving_kernels.contains(&target))
        };
        let was_there = |other: &ModuleId| other.name == id.name && (*other != id || is_built(other));
        let is_known =
            snapshot.modules.keys().any(was_there) || batch.leaving.keys().any(|other| other.name == id.name);
        let mut targets = staying.for_module(if is_known { Arrival::Upgrade } else { arrival });
        // Where it is in use now it stays in use.
        let replaced = snapshot.modules.keys().filter(|other| {
            **other == id && batch.anew.contains(&id) || batch.leaving.get(other) == Some(&Some(id.clone()))
        });
        for other in replaced {
            let in_use =
                snapshot.targets(other).into_iter().filter(|target| snapshot.is_installed(other, target));
            targets.extend(in_use.filter(|target| staying.installed.contains_key(target)));
        }
        let was_in_use = was_in_use
            .iter()
            .filter(|(name, target)| **name == id.name && staying.installed.contains_key(*target));
        targets.extend(was_in_use.map(|(_, target)| (*target).clone()));
        batch.arriving.insert(id, targets);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kernel: &str) -> Target {
        Target::parse(kernel, "x86_64").unwrap()
    }

    fn kernels(running: &str) -> Kernels {
        let all = [("6.1.0-9", true), ("6.1.0-10", true), ("6.2.0", false), ("5.10.0", true)];
        let kernel =
            |(name, headers): (&str, bool)| (target(name), Kernel { headers, running: name == running });
        Kernels { installed: all.map(kernel).into(), all: false }
    }

    fn names(targets: &BTreeSet<Target>) -> String {
        targets.iter().map(|target| target.kernel.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_waits_for_its_package_or_its_kernels_headers_is_early() {
        let [foo, bar] = ["foo", "bar"].map(|name| ModuleId::parse(name, "1.0").unwrap());
        let [one, two] = ["6.1.0-1", "6.1.0-2"].map(|name| Target::parse(name, "x86_64").unwrap());
        let unready = [one.kernel.clone()].into();
        let ahead = LookAhead { ahead: [foo.clone()].into(), unready, ..LookAhead::default() };
        for (id, target, is_early) in [
            (&foo, Some(&two), true),
            (&foo, None, true),
            (&bar, Some(&one), true),
            (&bar, Some(&two), false),
        ] {
            assert_eq!(ahead.is_early(id, target), is_early, "{id} {target:?}");
        }
    }

    #[test]
    fn a_module_is_for_the_running_and_the_newest_kernel() {
        let cases = [
            ("5.10.0", Arrival::First, false, "5.10.0 6.1.0-10"),
            ("5.10.0", Arrival::Upgrade, false, "5.10.0 6.1.0-10"),
            ("6.2.0", Arrival::First, false, "6.1.0-10 6.2.0"),
            ("5.10.0", Arrival::First, true, "5.10.0 6.1.0-10 6.1.0-9"),
            ("elsewhere", Arrival::First, false, "5.10.0 6.1.0-10 6.1.0-9"),
            ("elsewhere", Arrival::Upgrade, false, "6.1.0-10"),
            ("elsewhere", Arrival::Upgrade, true, "5.10.0 6.1.0-10 6.1.0-9"),
        ];
        for (running, arrival, all, expected) in cases {
            let kernels = Kernels { all, ..kernels(running) };
            assert_eq!(names(&kernels.for_module(arrival)), expected, "{running} {arrival:?} {all}");
        }
        assert_eq!(names(&Kernels::default().for_module(Arrival::First)), "");
        let mut boot = kernels("5.10.0");
        boot.installed.insert(target("7.0.0-BOOT"), Kernel { headers: true, running: false });
        assert_eq!(names(&boot.for_module(Arrival::First)), "5.10.0 6.1.0-10", "not the installer's");
    }

    #[test]
    fn a_downgrade_is_known() {
        let id = |version| ModuleId::parse("foo", version).unwrap();
        let told =
            |new, old| [Happening::ModuleArrived(id(new), Arrival::First), Happening::ModuleLeaving(id(old))];
        assert!(has_downgrade(&told("9.0", "10.0")));
        assert!(!has_downgrade(&told("10.0", "9.0")) && !has_downgrade(&told("9.0", "9.0")));
    }

    #[test]
    fn a_module_that_its_package_registers_has_come_for_the_first_time() {
        let id = ModuleId::parse("foo", "2.0").unwrap();
        let registered = |version: &str| {
            let id = ModuleId::parse("foo", version).unwrap();
            let source = crate::tree::snapshot::Source::Present("/usr/src/foo".into());
            let found = crate::tree::snapshot::Registration { source, built: BTreeMap::new() };
            Snapshot { modules: [(id, found)].into(), ..Snapshot::default() }
        };
        let targets = |snapshot: &Snapshot| {
            let told = [Happening::ModuleArrived(id.clone(), Arrival::First)];
            names(&batch(&told, snapshot, &kernels("elsewhere")).arriving[&id])
        };
        assert_eq!(targets(&registered("2.0")), "5.10.0 6.1.0-10 6.1.0-9", "as without `dkms add`");
        assert_eq!(targets(&registered("1.0")), "6.1.0-10", "another version was there");
    }

    #[test]
    fn what_leaves_and_arrives_is_told_apart() {
        let id = |version| ModuleId::parse("foo", version).unwrap();
        let told = [
            Happening::ModuleArrived(id("9.0"), Arrival::First),
            Happening::ModuleArrived(id("10.0"), Arrival::First),
            Happening::ModuleLeaving(id("9.0")),
            Happening::ModuleLeaving(id("8.0")),
            Happening::KernelLeaving(target("6.1.0-10")),
            Happening::KernelLeaving(target("5.10.0")),
            Happening::KernelArrived(target("5.10.0")),
            Happening::HeadersArrived(target("6.2.0")),
            Happening::HeadersArrived(target("6.1.0-10")),
            Happening::KernelReplaced(target("6.1.0-9")),
            Happening::KernelReplaced(target("6.1.0-10")),
            Happening::ModuleWasInUse(ModuleName::new("foo").unwrap(), target("6.2.0")),
            Happening::ModuleWasInUse(ModuleName::new("foo").unwrap(), target("6.1.0-10")),
            Happening::ModuleWasInUse(ModuleName::new("bar").unwrap(), target("5.10.0")),
        ];
        let batch = batch(&told, &Snapshot::default(), &kernels("elsewhere"));
        assert_eq!(names(&batch.kernels), "5.10.0 6.1.0-9 6.2.0");
        assert_eq!(names(&batch.rebuilt_kernels), "5.10.0 6.1.0-9");
        assert_eq!(names(&batch.leaving_kernels), "6.1.0-10");
        assert_eq!(batch.anew, [id("9.0")].into());
        assert_eq!(batch.leaving, [(id("8.0"), Some(id("10.0")))].into());
        assert_eq!(batch.arriving[&id("9.0")].len(), 0, "it is only added");
        assert_eq!(
            names(&batch.arriving[&id("10.0")]),
            "6.1.0-9 6.2.0",
            "an upgrade, in an image; and where it was"
        );
    }
}
