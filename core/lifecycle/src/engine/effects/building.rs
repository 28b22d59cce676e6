//! A build of a plan: what it needs to know of kernel, key and tools, and what is noted of it.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::build::{self, BuildSpec, Reuse};
use crate::conf::ModuleConf;
use crate::engine::context::Context;
use crate::engine::error::StepError;
use crate::engine::survey::Survey;
use crate::engine::taking::Wanted;
use crate::engine::{ahead, apport, memory};
use crate::host::Environment;
use crate::id::{ModuleId, ModuleName, Target};
use crate::kernel::{KernelFacts, Toolchain, toolchain};
use crate::plan::Refusal;
use crate::report::{Event, Reporter};
use crate::script::Hook;
use crate::sign::{self, Signer, Signing};
use crate::tree::attempts;

use super::{Effect, Effects, Terms, locked};

impl<'a> Effects<'a> {
    /// The conf and the kernel of a step. The planner has looked at both before it planned the step; a conf
    /// that was read again since comes before the one that it saw.
    pub(super) fn facts(
        &self,
        id: &ModuleId,
        target: &Target,
    ) -> Result<(Cow<'a, ModuleConf>, &'a KernelFacts), StepError> {
        let key = (id.clone(), target.clone());
        let again = locked(&self.read_again).get(&key).cloned();
        let conf = match (again, self.world.confs.get(&key)) {
            (Some(conf), _) => Cow::Owned(conf),
            (None, Some(Ok(conf))) => Cow::Borrowed(conf),
            (None, Some(Err(fault))) => return Err(Refusal::of_conf(id, fault).into()),
            (None, None) => return Err(Refusal::NotInTree { id: id.clone() }.into()),
        };
        let kernel = self.world.kernels.get(target).ok_or_else(|| Refusal::NotInTree { id: id.clone() })?;
        Ok((conf, kernel))
    }

    /// Who signs for a kernel; chosen once, which may make a key.
    pub(super) fn signer(&self, kernel: &KernelFacts, reporter: &dyn Reporter) -> Option<Arc<dyn Signer>> {
        let mut signers = locked(&self.signers);
        if let Some(chosen) = signers.get(&kernel.target) {
            return chosen.clone();
        }
        let Context { settings, environment, distribution, .. } = self.context;
        let signing = match self.context.given_key {
            Some(given) => given.signing(settings, kernel, environment),
            None => sign::choose(settings, kernel, distribution, environment),
        };
        let signer = match signing {
            Signing::Signer(signer) => {
                let told: Vec<_> = signers.values().flatten().flat_map(|other| other.warnings()).collect();
                for warning in signer.warnings().into_iter().filter(|warning| !told.contains(warning)) {
                    reporter.report(Event::warning(warning, []));
                }
                Some(Arc::from(signer))
            }
            Signing::Unsigned(why) => {
                if why.is_warning() {
                    let text = format!("modules for kernel {} are not signed: {why}", kernel.target.kernel);
                    reporter.report(Event::warning(text, why.hint()));
                }
                None
            }
        };
        signers.insert(kernel.target.clone(), signer.clone());
        signer
    }

    /// What a kernel was built with; looked at once, since make may have to be asked.
    pub(in crate::engine) fn toolchain(
        &self,
        kernel: &KernelFacts,
        reporter: &dyn Reporter,
    ) -> Result<Toolchain, StepError> {
        let mut toolchains = locked(&self.toolchains);
        if let Some(known) = toolchains.get(&kernel.target) {
            return Ok(known.clone());
        }
        let toolchain = toolchain::look(&kernel.headers, &kernel.config, self.context.environment)?;
        for fault in &toolchain.unasked {
            let text =
                format!("`{}` does not say which compiler made the kernel: {fault}", fault.path.display());
            reporter.report(Event::warning(text, [format!("fix it with `{}`", fault.mend())]));
        }
        toolchains.insert(kernel.target.clone(), toolchain.clone());
        Ok(toolchain)
    }

    pub(super) fn build(
        &self,
        id: &ModuleId,
        target: &Target,
        terms: &Terms<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Effect, StepError> {
        let (mut conf, kernel) = self.facts(id, target)?;
        let signer = self.signer(kernel, reporter);
        let installed: Vec<_> = locked(&self.installed).keys().cloned().collect();
        if self.is_against_new(&conf, target)
            && let Some(again) = self.read_again(id, target)
        {
            locked(&self.read_again).insert((id.clone(), target.clone()), again.clone());
            conf = Cow::Owned(again);
        }
        if let Some(exclusion) = &conf.excluded {
            let text = format!("module `{id}` is not for kernel {}: {exclusion}", target.kernel);
            reporter.report(Event::note(text));
            locked(&self.ruled_out).insert((id.clone(), target.clone()));
            return Ok(Effect::Nothing);
        }
        let dependencies: Vec<_> = conf
            .build_depends
            .iter()
            .filter_map(|name| {
                let here = installed.iter().find(|(id, on)| id.name == *name && on == target);
                let version = match here {
                    Some((id, _)) => Some(&id.version),
                    None => self.world.snapshot.installed_version(name, target),
                };
                Some((name.clone(), version?.clone()))
            })
            .collect();
        let build = Wanted { id, target, conf: &conf, kernel, dependencies: &dependencies };
        if self.take(&build, terms, reporter)? == Effect::Changed {
            return Ok(Effect::Changed);
        }
        self.tell_building(id, target, reporter);
        let toolchain = self.toolchain(kernel, reporter)?;
        let is_crowded = self.crowded.contains(id);
        let folder = if is_crowded { self.folders.begin(id)? } else { self.folders.alone(id) };
        // What it waits for others is no work of its own.
        let waited = Cell::new(Duration::ZERO);
        let may_land = || {
            let began = Instant::now();
            let answer = (terms.may_land)();
            waited.set(waited.get() + began.elapsed());
            answer
        };
        let spec = BuildSpec {
            id,
            target,
            conf: &conf,
            kernel,
            toolchain: &toolchain,
            layout: self.layout(),
            settings: self.context.settings,
            environment: self.context.environment,
            private: &folder,
            alone: !is_crowded,
            jobs: terms.jobs,
            may_land: &may_land,
            signer: signer.as_deref(),
            dependencies: &dependencies,
            directives: &self.world.reading.directives,
            memory: &self.memory,
            reuse: if self.context.force { Reuse::Never } else { Reuse::Allowed },
        };
        let began = Instant::now();
        let mut result = build::build(&spec, reporter);
        let seconds = began.elapsed().saturating_sub(waited.get()).as_secs_f64();
        let is_ahead = self.context.ahead.is_early(id, Some(target));
        if result.is_ok() && self.context.ahead.noted.contains(id) {
            ahead::note(&spec, &self.digests);
        }
        // What fails before its turn is tried again then.
        if result.is_ok() || !is_ahead {
            memory::note_attempt(&spec, &result, seconds, (terms.peak)(), reporter);
        }
        let is_unwanted = result.as_ref().is_err_and(build::BuildError::is_unwanted);
        if is_crowded {
            self.folders.end(id, folder, result.is_err() && !is_unwanted)?;
            if let Err(error) = &mut result {
                // The build folder will show the last failure of the module; each is remembered.
                let remembered = attempts::last(self.layout(), id, target).and_then(|attempt| attempt.log);
                let shown = || self.layout().build_dir(id).join("make.log");
                error.attempt.log = error.attempt.log.take().map(|_| remembered.unwrap_or_else(shown));
            }
        } else if is_unwanted {
            self.folders.empty(id)?;
        }
        match result {
            Ok(_) => Ok(Effect::Changed),
            Err(error) if error.is_interruption() || is_unwanted || is_ahead => Err(error.into()),
            Err(error) => {
                let Context { settings, environment, .. } = self.context;
                apport::file_report(settings, environment, id, target, reporter)?;
                Err(error.into())
            }
        }
    }

    /// Whether this run has installed something that a module is built against.
    pub(in crate::engine) fn is_against_new(&self, conf: &ModuleConf, target: &Target) -> bool {
        let installed = locked(&self.installed);
        let is_new = |name: &ModuleName| installed.keys().any(|(id, on)| id.name == *name && on == target);
        conf.build_depends.iter().any(is_new)
    }

    /// A conf that may look for what its dependencies have built: they have, since it was read.
    pub(super) fn read_again(&self, id: &ModuleId, target: &Target) -> Option<ModuleConf> {
        let Context { settings, distribution, environment, jobs, .. } = self.context;
        let mut survey = Survey::new(settings, distribution, environment);
        survey.jobs = *jobs;
        survey.module_folder.clone_from(&self.context.module_folder);
        let reading = &self.world.reading;
        survey.directives.clone_from(&reading.directives);
        survey.overrides.clone_from(&reading.overrides);
        let own = reading.conf_file.as_ref().filter(|(asked, _)| asked == id);
        survey.conf_file = own.map(|(_, file)| file.clone());
        survey.conf_again(id, target)
    }

    pub(super) fn for_packages(&self) -> Environment {
        self.context.settings.for_packages(self.context.environment)
    }

    /// What scripts around an install see: the kernel's compiler besides, as those of a build do.
    pub(super) fn for_scripts(
        &self,
        conf: &ModuleConf,
        kernel: &KernelFacts,
        reporter: &dyn Reporter,
    ) -> Environment {
        let mut environment = self.for_packages();
        let has_one = [Hook::PreInstall, Hook::PostInstall].iter().any(|hook| hook.value(conf).is_some());
        // A kernel without headers has no compiler that is known.
        if has_one && let Ok(toolchain) = self.toolchain(kernel, reporter) {
            for (name, value) in build::toolchain_variables(&toolchain) {
                environment.set(name, value);
            }
        }
        environment
    }
}
