//! What each action of a plan does, by the modules whose job it is.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::error::StepError;
use super::{afterwards, apport};
use crate::build::{self, BuildSpec};
use crate::conf::ModuleConf;
use crate::id::{ModuleId, Target};
use crate::install::{self, DepmodOutcome, Force, Installed, Options, Place, Put, Uninstalled, VersionCheck};
use crate::kernel::{KernelFacts, toolchain};
use crate::layout::Layout;
use crate::plan::{Action, NewSource, Refusal, World};
use crate::report::{Event, Reporter};
use crate::script::{self, Hook, Outcome, Shell};
use crate::sign::{self, Signer, Signing};
use crate::tree::registration;

/// Whether an action changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Something is different now.
    Changed,
    /// All is as it was.
    Nothing,
}

/// Carries actions out; remembers what a later one needs to know.
pub(super) struct Effects<'a> {
    world: &'a World,
    context: &'a Context<'a>,
    reporter: &'a dyn Reporter,
    /// Installs that can still be taken back.
    installed: BTreeMap<(ModuleId, Target), Installed>,
    /// Who signs, by kernel; `None`: nobody.
    signers: BTreeMap<Target, Option<Box<dyn Signer>>>,
    /// Modules whose notices were given.
    noticed: BTreeSet<ModuleId>,
}

impl<'a> Effects<'a> {
    pub(super) fn new(world: &'a World, context: &'a Context<'a>, reporter: &'a dyn Reporter) -> Self {
        Self {
            world,
            context,
            reporter,
            installed: BTreeMap::new(),
            signers: BTreeMap::new(),
            noticed: BTreeSet::new(),
        }
    }

    fn layout(&self) -> &'a Layout {
        &self.context.settings.layout
    }

    pub(super) fn execute(&mut self, action: &Action) -> Result<Effect, StepError> {
        if let Action::Add { id, .. } | Action::Build { id, .. } | Action::Install { id, .. } = action {
            self.give_notices(id);
        }
        match action {
            Action::Add { id, source } => self.add(id, source.as_ref()),
            Action::Build { id, target } => self.build(id, target),
            Action::Install { id, target } => self.install(id, target),
            Action::Uninstall { id, target } => self.uninstall(id, target),
            Action::Unbuild { id, target } => {
                registration::drop_build(self.layout(), id, target)?;
                Ok(Effect::Changed)
            }
            Action::Forget { id } => {
                registration::forget(self.layout(), id)?;
                Ok(Effect::Changed)
            }
            Action::Depmod { target } => self.depmod(target),
            Action::Load { .. } => {
                afterwards::load_for_devices(self.context.settings, self.context.environment, self.reporter)?;
                Ok(Effect::Changed)
            }
            Action::SweepKernel { target } => {
                registration::remove_empty_folders(&self.layout().kernel_dir(&target.kernel))?;
                Ok(Effect::Changed)
            }
            Action::PostTransaction { targets } => {
                let Context { settings, environment, .. } = self.context;
                afterwards::post_transaction(settings, environment, targets, self.reporter)?;
                Ok(Effect::Changed)
            }
            Action::Refuse(refusal) => Err(refusal.clone().into()),
        }
    }

    fn give_notices(&mut self, id: &ModuleId) {
        if self.noticed.insert(id.clone()) {
            let notices = self.world.notices.get(id).into_iter().flatten();
            notices.for_each(|event| self.reporter.report(event.clone()));
        }
    }

    fn add(&mut self, id: &ModuleId, source: Option<&NewSource>) -> Result<Effect, StepError> {
        match source {
            Some(new) => registration::add_copy(self.layout(), id, &new.folder)?,
            None => registration::add(self.layout(), id)?,
        }
        let Some(Ok(conf)) = self.world.plain_confs.get(id) else { return Ok(Effect::Changed) };
        let shell = Shell {
            layout: self.layout(),
            id,
            target: None,
            headers: None,
            environment: self.context.environment,
        };
        match script::run(Hook::PostAdd, conf, &self.layout().source_link(id), &shell, self.reporter)? {
            Outcome::Ran { line, code, .. } if code != 0 => {
                Err(StepError::Script { hook: Hook::PostAdd.directive(), id: id.clone(), line, code })
            }
            _ => Ok(Effect::Changed),
        }
    }

    /// The conf and the kernel of a step. The planner has looked at both before it planned the step.
    fn facts(&self, id: &ModuleId, target: &Target) -> Result<(&'a ModuleConf, &'a KernelFacts), StepError> {
        let conf = match self.world.confs.get(&(id.clone(), target.clone())) {
            Some(Ok(conf)) => conf,
            Some(Err(fault)) => return Err(Refusal::of_conf(id, fault).into()),
            None => return Err(Refusal::NotInTree { id: id.clone() }.into()),
        };
        let kernel = self.world.kernels.get(target).ok_or_else(|| Refusal::NotInTree { id: id.clone() })?;
        Ok((conf, kernel))
    }

    /// Chooses who signs for a kernel, once.
    fn choose_signer(&mut self, id: &ModuleId, kernel: &KernelFacts) -> Result<(), StepError> {
        if self.signers.contains_key(&kernel.target) {
            return Ok(());
        }
        let Context { settings, environment, distribution, .. } = self.context;
        let signing = sign::choose(settings, kernel, distribution, environment)
            .map_err(|source| StepError::Sign { id: id.clone(), source })?;
        let signer = match signing {
            Signing::Signer(signer) => Some(signer),
            Signing::Unsigned(why) => {
                if why.is_warning() {
                    let text = format!("modules for kernel {} are not signed: {why}", kernel.target.kernel);
                    self.reporter.report(Event::warning(text, []));
                }
                None
            }
        };
        self.signers.insert(kernel.target.clone(), signer);
        Ok(())
    }

    fn build(&mut self, id: &ModuleId, target: &Target) -> Result<Effect, StepError> {
        let (conf, kernel) = self.facts(id, target)?;
        self.choose_signer(id, kernel)?;
        let dependencies: Vec<_> = conf
            .build_depends
            .iter()
            .filter_map(|name| {
                let here = self.installed.keys().find(|(id, on)| id.name == *name && on == target);
                let version = match here {
                    Some((id, _)) => Some(&id.version),
                    None => self.world.snapshot.installed_version(name, target),
                };
                Some((name.clone(), version?.clone()))
            })
            .collect();
        let toolchain = toolchain::look(&kernel.headers, &kernel.config, self.context.environment)?;
        let spec = BuildSpec {
            id,
            target,
            conf,
            kernel,
            toolchain: &toolchain,
            layout: self.layout(),
            settings: self.context.settings,
            environment: self.context.environment,
            jobs: Some(self.context.jobs),
            signer: self.signers.get(target).and_then(Option::as_deref),
            dependencies: &dependencies,
        };
        match build::build(&spec, self.reporter) {
            Ok(_) => Ok(Effect::Changed),
            Err(error) if error.is_interruption() => Err(error.into()),
            Err(error) => {
                let Context { settings, environment, .. } = self.context;
                apport::file_report(settings, environment, id, target, self.reporter)?;
                Err(error.into())
            }
        }
    }

    fn place<'b>(&'b self, id: &'b ModuleId, kernel: &'b KernelFacts) -> Place<'b> {
        Place {
            id,
            kernel,
            layout: self.layout(),
            environment: self.context.environment,
            family: self.context.distribution.family,
            module_folder: self.context.module_folder.as_deref(),
            owes_depmod: !self.context.no_depmod,
        }
    }

    fn install(&mut self, id: &ModuleId, target: &Target) -> Result<Effect, StepError> {
        let (conf, kernel) = self.facts(id, target)?;
        let context = self.context;
        let options = Options {
            force: if context.force { Force::Yes } else { Force::No },
            version_check: if context.force_version_override {
                VersionCheck::Overridden
            } else {
                VersionCheck::Enforced
            },
            put: if context.settings.symlink_modules { Put::Linked } else { Put::Copied },
        };
        let installed = install::install(&self.place(id, kernel), conf, options, self.reporter)?;
        self.installed.insert((id.clone(), target.clone()), installed);
        Ok(Effect::Changed)
    }

    fn uninstall(&self, id: &ModuleId, target: &Target) -> Result<Effect, StepError> {
        let (conf, kernel) = self.facts(id, target)?;
        match install::uninstall(&self.place(id, kernel), Some(conf), self.reporter)? {
            Uninstalled::NotInstalled => Ok(Effect::Nothing),
            Uninstalled::Done { .. } => Ok(Effect::Changed),
        }
    }

    fn depmod(&mut self, target: &Target) -> Result<Effect, StepError> {
        let Some(kernel) = self.world.kernels.get(target) else { return Ok(Effect::Nothing) };
        let outcome = install::depmod(kernel, self.layout(), self.context.environment, self.reporter)?;
        Ok(match outcome {
            DepmodOutcome::Ran | DepmodOutcome::Emptied => Effect::Changed,
            DepmodOutcome::Skipped => Effect::Nothing,
        })
    }

    /// Makes the index of a kernel's modules anew after a depmod that failed; that this fails too was told then.
    pub(super) fn index_again(&self, target: &Target) {
        if let Some(kernel) = self.world.kernels.get(target) {
            drop(install::index(kernel, self.layout(), self.context.environment, self.reporter));
        }
    }

    /// Undoes an install of this run.
    pub(super) fn take_back(&mut self, id: &ModuleId, target: &Target) -> Result<(), StepError> {
        let Some(installed) = self.installed.remove(&(id.clone(), target.clone())) else { return Ok(()) };
        let (conf, kernel) = self.facts(id, target)?;
        Ok(installed.undo(&self.place(id, kernel), conf, self.reporter)?)
    }

    /// Everything that was installed stays.
    pub(super) fn keep(self) {
        self.installed.into_values().for_each(Installed::keep);
    }
}
