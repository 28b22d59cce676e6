//! Asked before a transaction: will each module that is in use be there afterwards, on the kernels that it
//! installs; and a module that it replaces, on the kernels that have it now? Pure.
//!
//! Judges by the world and by what the transaction brings, with the planner's own rules; knows nothing of
//! what a compiler will say. A rule about the configuration of a kernel is judged only where that
//! configuration is known.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use super::world::{ConfFault, World};
use crate::conf::ModuleConf;
use crate::conf::module::Exclusion;
use crate::event::{self, Batch, Happening, Kernels};
use crate::forecast::{Foreseen, Outlook};
use crate::id::{KernelRelease, ModuleId, ModuleName, Target};
use crate::kernel::PrebuiltComing;
use crate::modfile::canonical_name;
use crate::tree::{Snapshot, Source};

pub use super::prospect::{Absent, Prospect, Standing, Unfit};

/// The request.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What the transaction is going to do.
    pub batch: Batch,
    /// The kernels in question.
    pub kernels: BTreeSet<Target>,
    /// Modules of which the transaction brings another version, on the kernels that lose the one they have.
    pub replaced: BTreeMap<Target, BTreeSet<ModuleName>>,
    /// Kernels that come with the transaction.
    pub kernels_coming: BTreeSet<Target>,
    /// Kernels whose headers do.
    pub headers_coming: BTreeSet<Target>,
    /// Kernels that are there now; what is installed on one of them is in use.
    pub installed: BTreeSet<Target>,
    /// Builds that failed the last time: what is known of why.
    pub failed: BTreeMap<(ModuleId, Target), String>,
    /// Modules that are built for a kernel which may refuse them: what is wrong with a file.
    pub unfit: BTreeMap<(ModuleId, Target), Unfit>,
    /// Kernels whose module folders can't be written.
    pub read_only: BTreeSet<Target>,
    /// Modules that packages of the transaction bring prebuilt.
    pub prebuilt_coming: PrebuiltComing,
    /// The versions of the packages that bring headers, where they are known.
    pub headers_versions: BTreeMap<KernelRelease, String>,
    /// What forecasts say that still hold: of modules that were built to see.
    pub foreseen: BTreeMap<(ModuleId, Target), Foreseen>,
}

impl Question {
    /// The question that a transaction poses: about each kernel that comes.
    #[must_use]
    pub fn of(told: &[Happening], snapshot: &Snapshot, kernels: &Kernels) -> Self {
        let coming = |happening: &Happening| match happening {
            Happening::KernelArrived(target) => Some(target.clone()),
            _ => None,
        };
        let kernels_coming: BTreeSet<Target> = told.iter().filter_map(coming).collect();
        let headers = |happening: &Happening| match happening {
            Happening::HeadersArrived(target) => Some(target.clone()),
            _ => None,
        };
        Self {
            batch: event::batch(told, snapshot, kernels),
            kernels: kernels_coming.clone(),
            replaced: BTreeMap::new(),
            kernels_coming,
            headers_coming: told.iter().filter_map(headers).collect(),
            installed: kernels.installed.keys().cloned().collect(),
            failed: BTreeMap::new(),
            unfit: BTreeMap::new(),
            read_only: BTreeSet::new(),
            prebuilt_coming: PrebuiltComing::new(),
            headers_versions: BTreeMap::new(),
            foreseen: BTreeMap::new(),
        }
    }

    /// The same about further kernels, whether or not a package brings them.
    #[must_use]
    pub fn also_about(mut self, targets: &[Target]) -> Self {
        self.batch.kernels.extend(targets.iter().cloned());
        self.kernels.extend(targets.iter().cloned());
        self
    }

    /// The same about versions that leave for another one to come, on each kernel that stays and has one of
    /// them installed.
    #[must_use]
    pub fn replacing(mut self, leaves: impl Fn(&ModuleId) -> bool, snapshot: &Snapshot) -> Self {
        for ((name, target), version) in &snapshot.installed {
            let stays = self.installed.contains(target) && !self.batch.leaving_kernels.contains(target);
            if stays && leaves(&ModuleId::new(name.clone(), version.clone())) {
                self.replaced.entry(target.clone()).or_default().insert(name.clone());
                self.batch.kernels.insert(target.clone());
            }
        }
        self
    }

    /// The kernels of which anything is asked.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<Target> {
        self.kernels.iter().chain(self.replaced.keys()).cloned().collect()
    }

    fn is_replaced(&self, name: &ModuleName, target: &Target) -> bool {
        self.replaced.get(target).is_some_and(|names| names.contains(name))
    }

    /// The names of the modules in use: installed on a kernel that is there, and not about to go for good.
    fn in_use(&self, snapshot: &Snapshot) -> BTreeSet<ModuleName> {
        let goes = |name: &ModuleName, version: &crate::id::ModuleVersion| {
            let id = ModuleId::new(name.clone(), version.clone());
            self.batch.leaving.get(&id).is_some_and(Option::is_none)
        };
        let used = snapshot
            .installed
            .iter()
            .filter(|((name, target), version)| self.installed.contains(target) && !goes(name, version));
        used.map(|((name, _), _)| name.clone()).collect()
    }
}

/// What becomes of every module in use on every kernel in question; ordered by kernel and module.
#[must_use]
pub fn preflight(question: &Question, world: &World) -> Vec<Prospect> {
    let candidates = question.batch.candidates(&world.snapshot);
    let by_name = candidates.into_iter().map(|id| (id.name.clone(), id)).collect();
    let mut judge = Judge { question, world, by_name, judged: BTreeMap::new() };
    let mut prospects = Vec::new();
    for target in &question.targets() {
        let is_asked =
            |name: &ModuleName| question.kernels.contains(target) || question.is_replaced(name, target);
        for name in question.in_use(&world.snapshot).into_iter().filter(is_asked) {
            let Some(id) = judge.version(&name) else { continue };
            let is_there = judge.is_there(&id, target);
            if is_there || judge.is_wanted(&id, target) {
                let brought_by = if is_there { None } else { judge.brought_by(&id, target) };
                let absent = if is_there {
                    judge.unfit(&id, target)
                } else if brought_by.is_some() {
                    None
                } else {
                    judge.absent(&id, target)
                };
                let foreseen = judge.foreseen(&id, target).filter(|_| !is_there && brought_by.is_none());
                let foreseen = foreseen.filter(|_| absent.is_none()).cloned();
                let standing = judge.standing(&id, target, is_there);
                let target = target.clone();
                let critical = None;
                prospects.push(Prospect { id, target, absent, brought_by, critical, foreseen, standing });
            }
        }
    }
    prospects
}

struct Judge<'a> {
    question: &'a Question,
    world: &'a World,
    by_name: BTreeMap<ModuleName, ModuleId>,
    /// While one is being judged it counts as absent: a circle never gets there.
    judged: BTreeMap<(ModuleName, Target), bool>,
}

impl Judge<'_> {
    /// The version that would be there: the newest that is sound, or a broken one where there is no other.
    fn version(&self, name: &ModuleName) -> Option<ModuleId> {
        let any = || self.world.snapshot.versions(name).last().map(|id| (*id).clone());
        self.by_name.get(name).cloned().or_else(any)
    }

    fn conf(&self, id: &ModuleId, target: &Target) -> Option<&Result<ModuleConf, ConfFault>> {
        self.world.confs.get(&(id.clone(), target.clone()))
    }

    /// Whether it is there now, in this version, and stays.
    fn is_there(&self, id: &ModuleId, target: &Target) -> bool {
        self.is_kept(id, target) && self.world.snapshot.is_installed(id, target)
            || self.world.weak.contains(&(id.clone(), target.clone()))
    }

    /// Whether what there is of it for a kernel stays.
    fn is_kept(&self, id: &ModuleId, target: &Target) -> bool {
        !self.question.batch.rebuilt_kernels.contains(target) && !self.question.is_replaced(&id.name, target)
    }

    /// What a forecast has shown, where it is not built yet.
    fn foreseen(&self, id: &ModuleId, target: &Target) -> Option<&Foreseen> {
        self.question.foreseen.get(&(id.clone(), target.clone())).filter(|_| !self.is_built(id, target))
    }

    /// Whether it is built, and stays so.
    fn is_built(&self, id: &ModuleId, target: &Target) -> bool {
        self.world.snapshot.is_built(id, target) && self.is_kept(id, target)
    }

    fn standing(&self, id: &ModuleId, target: &Target, is_there: bool) -> Standing {
        match is_there {
            true => Standing::Installed,
            false if self.is_built(id, target) => Standing::Built,
            false => Standing::Untried,
        }
    }

    /// Whether a batch will try to install it by itself. What can't be read counts: it is in use.
    fn is_wanted(&self, id: &ModuleId, target: &Target) -> bool {
        !matches!(self.conf(id, target), Some(Ok(conf)) if !conf.autoinstall)
    }

    fn unfit(&self, id: &ModuleId, target: &Target) -> Option<Absent> {
        self.question.unfit.get(&(id.clone(), target.clone())).cloned().map(Absent::Unfit)
    }

    /// The package that has it prebuilt, or that comes with each of its modules. The version of what comes
    /// is not known: packages of that kind follow the driver.
    fn brought_by(&self, id: &ModuleId, target: &Target) -> Option<String> {
        if let Some(found) = self.world.prebuilt.get(&(id.clone(), target.clone())) {
            return Some(found.package.clone());
        }
        let conf = self.conf(id, target)?.as_ref().ok()?;
        let coming =
            |name: &str| self.question.prebuilt_coming.get(&(target.kernel.clone(), canonical_name(name)));
        let packages: Option<Vec<_>> = conf.modules.iter().map(|module| coming(&module.dest_name)).collect();
        packages?.first().map(|package| (*package).clone())
    }

    fn absent(&mut self, id: &ModuleId, target: &Target) -> Option<Absent> {
        let key = (id.clone(), target.clone());
        if let Some(found) = self.world.snapshot.get(id)
            && found.is_broken()
            && !(self.question.batch.arriving.contains_key(id) && matches!(found.source, Source::Unlinked(_)))
        {
            return Some(Absent::Unusable(Refusal::broken(id, found)));
        }
        let conf = match self.world.confs.get(&key) {
            Some(Ok(conf)) => conf,
            Some(Err(fault)) => return Some(Absent::Unusable(Refusal::of_conf(id, fault))),
            None => return Some(Absent::Unusable(Refusal::NotInTree { id: id.clone() })),
        };
        let facts = self.world.kernels.get(target);
        if let Some(exclusion) = exclusion(conf, facts.is_some_and(|facts| facts.config.path.is_some())) {
            return Some(Absent::Excluded(exclusion.clone()));
        }
        if !self.is_built(id, target) {
            if let Some(why) = self.question.failed.get(&key).filter(|_| !self.world.may_be_taken(id, target))
            {
                return Some(Absent::FailedBefore(why.clone()));
            }
            let may_be_taken = self.world.may_be_taken(id, target);
            if self.world.only_taken_from.is_some() {
                if !may_be_taken {
                    return Refusal::of_building(self.world, id, target).map(Absent::Unusable);
                }
            } else if !may_be_taken
                && !self.world.has_headers(target)
                && !self.question.headers_coming.contains(target)
            {
                return Some(Absent::NoHeaders(self.world.headers_remedy.get(target).cloned()));
            }
            match self.foreseen(id, target) {
                Some(foreseen) if foreseen.outlook != Outlook::Builds => {
                    return Some(Absent::Foreseen(foreseen.clone()));
                }
                _ => {}
            }
            if let Some(name) = conf.build_depends.iter().find(|name| !self.will_be_there(name, target)) {
                return Some(Absent::Dependency(name.clone()));
            }
        }
        if !self.question.batch.rebuilt_kernels.contains(target)
            && let Some(unfit) = self.unfit(id, target)
        {
            return Some(unfit);
        }
        let has_folder = facts.is_some_and(|facts| facts.module_dir_exists);
        if !has_folder && !self.question.kernels_coming.contains(target) {
            return Some(Absent::NoKernel);
        }
        self.question.read_only.contains(target).then_some(Absent::ReadOnly)
    }

    /// Whether a dependency will be there, or be left out for good reasons.
    fn will_be_there(&mut self, name: &ModuleName, target: &Target) -> bool {
        let key = (name.clone(), target.clone());
        if let Some(known) = self.judged.get(&key) {
            return *known;
        }
        self.judged.insert(key.clone(), false);
        let verdict = match self.by_name.get(name).cloned() {
            None => false,
            Some(id) if self.is_there(&id, target) => true,
            Some(id) => match self.absent(&id, target) {
                Some(Absent::Foreseen(foreseen)) => foreseen.outlook == Outlook::Excluded,
                Some(absent) => matches!(absent, Absent::Excluded(_)),
                None => self.is_wanted(&id, target) || self.world.snapshot.installed.contains_key(&key),
            },
        };
        self.judged.insert(key, verdict);
        verdict
    }
}

/// The rule that keeps a module off a kernel; where its configuration isn't known, rules about
/// that are not judged.
fn exclusion(conf: &ModuleConf, config_known: bool) -> Option<&Exclusion> {
    let excluded = conf.excluded.as_ref()?;
    let by_config = |rule: &Exclusion| rule.directive.starts_with("BUILD_EXCLUSIVE_CONFIG");
    let mut rules = conf.modules.iter().filter_map(|module| module.excluded.as_ref()).chain([excluded]);
    (config_known || !rules.any(by_config)).then_some(excluded)
}
