//! What each action of a plan does, by the modules whose job it is.

mod building;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::afterwards;
use super::context::Context;
use super::error::StepError;
use super::folders::Folders;
use super::initramfs::Images;
use crate::build::inputs::Digests;
use crate::build::{Jobs, Memory};
use crate::bundles::Taker;
use crate::conf::ModuleConf;
use crate::host::Environment;
use crate::id::{ModuleId, ModuleName, Target};
use crate::install::{self, DepmodOutcome, Force, Installed, Options, Place, Put, Uninstalled, VersionCheck};
use crate::kernel::{KernelFacts, Toolchain};
use crate::layout::Layout;
use crate::modfile::{ModuleFile, canonical_name};
use crate::plan::{Action, ImageWork, NewSource, Plan, World};
use crate::report::Reporter;
use crate::script::{self, Hook, Outcome, Shell};
use crate::sign::Signer;
use crate::tree::images::Removed;
use crate::tree::registration;

/// Whether an action changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Something is different now.
    Changed,
    /// All is as it was.
    Nothing,
}

/// What the engine has to say to a build.
pub(super) struct Terms<'a> {
    /// How make gets its jobs.
    pub(super) jobs: &'a Jobs,
    /// Whether the result is still wanted; waits until that is known.
    pub(super) may_land: &'a dyn Fn() -> bool,
    /// The most memory that the build had so far, in bytes.
    pub(super) peak: &'a dyn Fn() -> Option<u64>,
}

/// Carries actions out, from any thread; remembers what a later one needs to know.
pub(super) struct Effects<'a> {
    pub(super) world: &'a World,
    pub(super) context: &'a Context<'a>,
    folders: Folders<'a>,
    /// Modules with several builds that may run at once.
    crowded: BTreeSet<ModuleId>,
    /// Modules of which a version goes from a kernel by the same plan, so that another may be older.
    swapped: BTreeSet<(ModuleName, Target)>,
    /// Installs that can still be taken back.
    installed: Mutex<BTreeMap<(ModuleId, Target), Installed>>,
    /// Modules that were taken out, as the kernel names them.
    removed: Mutex<BTreeMap<Target, Removed>>,
    /// What is printed at the end about images.
    said: Mutex<Vec<String>>,
    /// Who signs, by kernel; `None`: nobody.
    signers: Mutex<BTreeMap<Target, Option<Arc<dyn Signer>>>>,
    /// By kernel.
    toolchains: Mutex<BTreeMap<Target, Toolchain>>,
    /// Modules whose notices were given.
    noticed: Mutex<BTreeSet<ModuleId>>,
    /// Confs that were read again after the builds of what their modules depend on.
    read_again: Mutex<BTreeMap<(ModuleId, Target), ModuleConf>>,
    /// What such a conf rules out for its kernel.
    ruled_out: Mutex<BTreeSet<(ModuleId, Target)>>,
    /// What all builds share.
    pub(super) memory: Memory,
    /// What was looked at for the keys of what is built ahead.
    digests: Digests,
    /// Takes what others have built.
    pub(super) taker: Taker,
}

/// Each change of what is shared is whole, whatever became of the thread that made it.
fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Effects<'a> {
    pub(super) fn new(
        crowded: BTreeSet<ModuleId>,
        plan: &Plan,
        world: &'a World,
        context: &'a Context<'a>,
    ) -> Self {
        let goes = |action: &Action| match action {
            Action::Unbuild { id, target } if world.snapshot.is_installed(id, target) => {
                Some((id.name.clone(), target.clone()))
            }
            _ => None,
        };
        Self {
            swapped: plan.steps.iter().filter_map(|step| goes(&step.action)).collect(),
            world,
            context,
            folders: Folders::new(&context.settings.layout),
            crowded,
            installed: Mutex::default(),
            removed: Mutex::default(),
            said: Mutex::default(),
            signers: Mutex::default(),
            toolchains: Mutex::default(),
            noticed: Mutex::default(),
            read_again: Mutex::default(),
            ruled_out: Mutex::default(),
            memory: Memory::default(),
            digests: Digests::by_stat(),
            taker: Taker::default(),
        }
    }

    pub(super) fn layout(&self) -> &'a Layout {
        &self.context.settings.layout
    }

    /// Whether a failure of an action is told: not where the module's own package, or the kernel's headers,
    /// have yet to ask for it.
    pub(super) fn tells_of(&self, action: &Action) -> bool {
        !action.module().is_some_and(|id| self.context.ahead.is_early(id, action.target()))
    }

    pub(super) fn execute(
        &self,
        action: &Action,
        terms: &Terms<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Effect, StepError> {
        if let Action::Add { id, .. } | Action::Build { id, .. } | Action::Install { id, .. } = action {
            self.give_notices(id, reporter);
        }
        match action {
            Action::Add { id, source } => self.add(id, source.as_ref(), reporter),
            Action::Build { id, target } => self.build(id, target, terms, reporter),
            Action::Install { id, target } => self.install(id, target, reporter),
            Action::Uninstall { id, target } => self.uninstall(id, target, reporter),
            Action::Unbuild { id, target } => {
                registration::drop_build(self.layout(), id, target)?;
                Ok(Effect::Changed)
            }
            Action::Forget { id } => {
                registration::forget(self.layout(), id)?;
                Ok(Effect::Changed)
            }
            Action::Depmod { target } => self.depmod(target, reporter),
            Action::Initramfs { target, how } => self.initramfs(target, *how, reporter),
            Action::Load { .. } => {
                afterwards::load_for_devices(self.context.settings, self.context.environment, reporter)?;
                Ok(Effect::Changed)
            }
            Action::SweepKernel { target } => {
                registration::remove_empty_folders(&self.layout().kernel_dir(&target.kernel))?;
                Ok(Effect::Changed)
            }
            Action::PostTransaction { targets } => {
                let Context { settings, environment, .. } = self.context;
                afterwards::post_transaction(settings, environment, targets, reporter)?;
                Ok(Effect::Changed)
            }
            Action::Refuse(refusal) => Err(refusal.clone().into()),
        }
    }

    /// Sees to the images of a kernel, by what this run has installed on it and taken out of it.
    fn initramfs(
        &self,
        target: &Target,
        how: ImageWork,
        reporter: &dyn Reporter,
    ) -> Result<Effect, StepError> {
        let ids: Vec<ModuleId> =
            locked(&self.installed).keys().filter(|(_, on)| on == target).map(|(id, _)| id.clone()).collect();
        let facts: Vec<_> = ids.iter().filter_map(|id| self.facts(id, target).ok()).collect();
        let folder = self.context.module_folder.as_deref();
        let files = facts
            .iter()
            .flat_map(|(conf, kernel)| install::installed_files(&kernel.module_dir, conf, folder));
        let images = Images {
            target,
            layout: self.layout(),
            environment: self.context.environment,
            confs: self
                .world
                .confs
                .iter()
                .filter(|((_, on), _)| on == target)
                .filter_map(|((id, _), conf)| Some((id, conf.as_ref().ok()?)))
                .collect(),
            keeps: self.context.keeps_images,
            installed: files.collect(),
            is_asked: facts.iter().any(|(conf, _)| conf.remake_initrd),
            removed: locked(&self.removed).get(target).cloned().unwrap_or_default(),
        };
        let (effect, said) = images.work(how, reporter)?;
        locked(&self.said).extend(said);
        Ok(effect)
    }

    /// What is printed at the end about images that are out of date.
    pub(super) fn said(&self) -> Vec<String> {
        locked(&self.said).clone()
    }

    fn give_notices(&self, id: &ModuleId, reporter: &dyn Reporter) {
        if locked(&self.noticed).insert(id.clone()) {
            let notices = self.world.notices.get(id).into_iter().flatten();
            notices.for_each(|event| reporter.report(event.clone()));
        }
    }

    fn add(
        &self,
        id: &ModuleId,
        source: Option<&NewSource>,
        reporter: &dyn Reporter,
    ) -> Result<Effect, StepError> {
        match source {
            Some(new) => registration::add_copy(self.layout(), id, &new.folder)?,
            None => registration::add(self.layout(), id)?,
        }
        let Some(Ok(conf)) = self.world.plain_confs.get(id) else { return Ok(Effect::Changed) };
        let environment = self.for_packages();
        let shell =
            Shell { layout: self.layout(), id, target: None, headers: None, environment: &environment };
        match script::run(Hook::PostAdd, conf, &self.layout().source_link(id), &shell, reporter)? {
            Outcome::Ran { line, code, .. } if code != 0 => {
                Err(StepError::Script { hook: Hook::PostAdd.directive(), id: id.clone(), line, code })
            }
            _ => Ok(Effect::Changed),
        }
    }

    fn place<'b>(
        &'b self,
        id: &'b ModuleId,
        kernel: &'b KernelFacts,
        environment: &'b Environment,
    ) -> Place<'b> {
        Place {
            id,
            kernel,
            layout: self.layout(),
            environment,
            family: self.context.distribution.family,
            module_folder: self.context.module_folder.as_deref(),
            owes_depmod: !self.context.no_depmod,
        }
    }

    fn install(&self, id: &ModuleId, target: &Target, reporter: &dyn Reporter) -> Result<Effect, StepError> {
        if locked(&self.ruled_out).contains(&(id.clone(), target.clone())) {
            return Ok(Effect::Nothing);
        }
        let (conf, kernel) = self.facts(id, target)?;
        let context = self.context;
        let options = Options {
            force: if context.force { Force::Yes } else { Force::No },
            version_check: match self.swapped.contains(&(id.name.clone(), target.clone())) {
                _ if context.force_version_override => VersionCheck::Overridden,
                true => VersionCheck::Swapped,
                false => VersionCheck::Enforced,
            },
            put: if context.settings.symlink_modules { Put::Linked } else { Put::Copied },
        };
        let environment = self.for_scripts(&conf, kernel, reporter);
        let installed = install::install(&self.place(id, kernel, &environment), &conf, options, reporter)?;
        locked(&self.installed).insert((id.clone(), target.clone()), installed);
        Ok(Effect::Changed)
    }

    fn uninstall(
        &self,
        id: &ModuleId,
        target: &Target,
        reporter: &dyn Reporter,
    ) -> Result<Effect, StepError> {
        let (conf, kernel) = self.facts(id, target)?;
        let environment = self.for_packages();
        match install::uninstall(&self.place(id, kernel, &environment), Some(&conf), reporter)? {
            Uninstalled::NotInstalled => Ok(Effect::Nothing),
            Uninstalled::Done { removed, .. } => {
                let names = removed.iter().filter_map(|file| ModuleFile::from_path(file));
                let names = names.map(|file| (canonical_name(&file.stem), Some(id.name.clone())));
                locked(&self.removed).entry(target.clone()).or_default().extend(names);
                Ok(Effect::Changed)
            }
        }
    }

    /// Whether a step does anything; a depmod without an index to make again says so, and nothing else.
    pub(super) fn has_work(&self, action: &Action) -> bool {
        let Action::Depmod { target } = action else { return true };
        self.world.kernels.get(target).is_some_and(install::has_index)
    }

    fn depmod(&self, target: &Target, reporter: &dyn Reporter) -> Result<Effect, StepError> {
        let Some(kernel) = self.world.kernels.get(target) else { return Ok(Effect::Nothing) };
        let outcome = install::depmod(kernel, self.layout(), self.context.environment, reporter)?;
        Ok(match outcome {
            DepmodOutcome::Ran | DepmodOutcome::Emptied => Effect::Changed,
            DepmodOutcome::Skipped => Effect::Nothing,
        })
    }

    /// Makes the index of a kernel's modules again after a depmod that failed; that this
    /// fails too was reported then.
    pub(super) fn index_again(&self, target: &Target, reporter: &dyn Reporter) {
        if let Some(kernel) = self.world.kernels.get(target) {
            drop(install::index(kernel, self.layout(), self.context.environment, reporter));
        }
    }

    /// Undoes an install of this run.
    pub(super) fn take_back(
        &self,
        id: &ModuleId,
        target: &Target,
        reporter: &dyn Reporter,
    ) -> Result<(), StepError> {
        let Some(installed) = locked(&self.installed).remove(&(id.clone(), target.clone())) else {
            return Ok(());
        };
        let (conf, kernel) = self.facts(id, target)?;
        let environment = self.for_packages();
        Ok(installed.undo(&self.place(id, kernel, &environment), &conf, reporter)?)
    }

    /// Everything that was installed stays.
    pub(super) fn keep(self) {
        let installed = self.installed.into_inner().unwrap_or_else(PoisonError::into_inner);
        installed.into_values().for_each(Installed::keep);
    }
}
