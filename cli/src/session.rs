//! What every command starts with: settings, distribution, environment, and the way from
//! a request to its end.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, fs, processors, signals};
use dkms_base::id::{Arch, KernelRelease, ModuleId, ModuleName, Target};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};
use dkms_base::version;
use dkms_conf::framework::{self, Framework, SettingFault};
use dkms_conf::settings::TrySign;
use dkms_conf::{ConfError, Settings, keys};
use dkms_core::critical::{self, Verdict};
use dkms_core::engine::{self, Context, Outcome, Survey, Task};
use dkms_core::install::Recovery;
use dkms_core::plan::{self, ImageWork, Options, Work};
use dkms_core::tree::{Held, Key, Keys, Mode, Snapshot};
use dkms_hooks::summary;
use dkms_kernel::{self, Distribution, Overrides};
use dkms_signing::GivenKey;

use crate::action::Action;
use crate::args::Args;
use crate::failure::Failure;
use crate::grid::Column;
use crate::invocation::Invocation;
use crate::package_script;
use crate::render::{Terminal, say, warn};

/// A command about to run.
#[derive(Debug)]
pub struct Session<'a> {
    /// What is meant.
    pub invocation: &'a Invocation,
    /// framework.conf, with the options of the line over it.
    pub settings: Settings,
    /// What framework.conf says and can't mean.
    pub setting_faults: Vec<SettingFault>,
    /// The distribution.
    pub distribution: &'a Distribution,
    /// The environment.
    pub environment: &'a Environment,
    /// The folder below `/lib/modules/K` that all modules go to; `None`: where each conf says.
    pub module_folder: Option<String>,
    /// A key that the caller opened.
    pub given_key: Option<GivenKey>,
    /// Where output goes.
    pub terminal: &'a Terminal,
}

impl<'a> Session<'a> {
    /// Reads framework.conf.
    ///
    /// # Errors
    /// [`Failure`] where it can't be read.
    pub fn begin(
        invocation: &'a Invocation,
        distribution: &'a Distribution,
        environment: &'a Environment,
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        let read = if invocation.action == Action::Doctor { framework::examine } else { framework::read };
        let Framework { mut settings, faults } =
            read(&Layout::under("/"), environment).map_err(|error: ConfError| {
                let failure = Failure::new(ExitCode::INVALID_CONF, error.to_string());
                match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            })?;
        // `doctor` tells of them with the rest.
        if invocation.action != Action::Doctor {
            faults.iter().for_each(|value| warn(terminal, value.to_string()));
        }
        let Args { dkmstree, sourcetree, installtree, symlink_modules, modprobe_on_install, jobs, .. } =
            &invocation.args;
        let layout = &mut settings.layout;
        for (option, place) in [
            (dkmstree, &mut layout.dkms_tree),
            (sourcetree, &mut layout.source_tree),
            (installtree, &mut layout.install_tree),
        ] {
            if let Some(dir) = option {
                *place = absolute(dir);
            }
        }
        settings.symlink_modules |= symlink_modules;
        settings.modprobe_on_install |= modprobe_on_install;
        settings.parallel_jobs = jobs.or(settings.parallel_jobs);
        if invocation.action.makes_images() {
            // The tree that such links lead into does not stay.
            settings.symlink_modules = false;
            // No key is made in an image, whatever the settings say.
            let has_key = settings.mok_signing_key.is_some()
                || [keys::OWN, keys::SHIM_SIGNED].iter().any(|(key, _)| fs::exists(&settings.layout.at(key)));
            if settings.try_sign_modules == TrySign::Always && !has_key {
                settings.try_sign_modules = TrySign::NotInChroot;
            }
        }
        if let Some(config) = invocation.args.config.as_deref().filter(|path| !fs::exists(path)) {
            warn(
                terminal,
                format!("`{}` does not exist: no option of the kernel is known", config.display()),
            );
        }
        let module_folder = dkms_kernel::module_folder(&settings.layout, environment, distribution)?;
        Ok(Self {
            invocation,
            settings,
            setting_faults: faults,
            distribution,
            environment,
            module_folder,
            given_key: None,
            terminal,
        })
    }

    /// The options of the line.
    #[must_use]
    pub fn args(&self) -> &Args {
        &self.invocation.args
    }

    /// `--force`; under rpm's upgrade order the old version's modules are still in place, and an
    /// install replaces them.
    fn force(&self) -> bool {
        self.args().force || self.args().rpm_safe_upgrade && self.invocation.action == Action::Install
    }

    /// Parallel jobs; 0: no limit.
    #[must_use]
    pub fn jobs(&self) -> u32 {
        self.settings.parallel_jobs.unwrap_or_else(processors::count)
    }

    /// What looks at confs and kernels, with the options of the line.
    #[must_use]
    pub fn survey(&self) -> Survey<'_> {
        let mut survey = Survey::new(&self.settings, self.distribution, self.environment);
        survey.conf_file = self.args().conf.as_deref().map(absolute);
        survey.directives.clone_from(&self.args().directives);
        survey.overrides = Overrides {
            source_dir: self.args().kernelsourcedir.as_deref().map(absolute),
            config: self.args().config.as_deref().map(absolute),
        };
        survey.jobs = self.jobs();
        survey.module_folder.clone_from(&self.module_folder);
        survey
    }

    /// What is on disk.
    ///
    /// # Errors
    /// [`Failure`] where the tree can't be read.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        Ok(Snapshot::take(&self.settings.layout)?)
    }

    /// The kernels that `-k` and `-a` name, each with its architecture; without `-k`
    /// [`dkms_kernel::default_kernels`].
    ///
    /// # Errors
    /// [`Failure`] with code 12 where no architecture is known, with 21 where no kernel has headers.
    pub fn targets(&self) -> Result<Vec<Target>, Failure> {
        let named = &self.invocation.kernels;
        if named.is_empty() { self.with_arches(&self.default_kernels()?) } else { self.with_arches(named) }
    }

    /// The same for what takes away or packs what is built of a module: that needs no headers. In a system
    /// that does not have the running kernel, it is every kernel that the module is built for.
    ///
    /// # Errors
    /// [`Failure`] with code 12 where no architecture is known.
    pub fn targets_of(&self, id: &ModuleId, snapshot: &Snapshot) -> Result<Vec<Target>, Failure> {
        let named = &self.invocation.kernels;
        if !named.is_empty() {
            return self.with_arches(named);
        }
        if dkms_kernel::running_kernel_here(&self.settings.layout).is_none() {
            let arches = &self.invocation.arches;
            let mut built = snapshot.targets(id);
            built.retain(|target| arches.is_empty() || arches.contains(&target.arch));
            if !built.is_empty() {
                return Ok(built);
            }
        }
        self.with_arches(&[(dkms_kernel::running_kernel()?, None)])
    }

    pub(crate) fn with_arches(
        &self,
        kernels: &[(KernelRelease, Option<Arch>)],
    ) -> Result<Vec<Target>, Failure> {
        let arches = &self.invocation.arches;
        let with_arch = kernels.iter().enumerate().map(|(place, (release, arch))| {
            let given = if arches.len() == 1 { arches.first() } else { arches.get(place) };
            let arch = match arch.as_ref().or(given) {
                Some(arch) => arch.clone(),
                None => self.default_arch(release)?,
            };
            Ok(Target::new(release.clone(), arch))
        });
        with_arch.collect()
    }

    /// The kernels of commands without `-k`.
    fn default_kernels(&self) -> Result<Vec<(KernelRelease, Option<Arch>)>, Failure> {
        let alone = |kernel| vec![(kernel, None)];
        // With headers that are named, the running kernel can be meant.
        if self.args().kernelsourcedir.is_some() {
            return Ok(alone(dkms_kernel::running_kernel()?));
        }
        let kernels = dkms_kernel::default_kernels(&self.settings.layout)?;
        if !kernels.is_empty() {
            return Ok(kernels.into_iter().map(|kernel| (kernel, None)).collect());
        }
        if !self.brings_modules_in()? {
            return Ok(alone(dkms_kernel::running_kernel()?));
        }
        let tree = self.settings.layout.install_tree.display();
        Err(Failure::new(
            ExitCode::NO_HEADERS,
            format!("this system has no kernel: there is none below `{tree}`"),
        )
        .hint("install the kernel that this system will run, and its headers; or name a kernel with `-k`"))
    }

    /// Whether the command, without a kernel to work on, would end without the modules that are asked for.
    fn brings_modules_in(&self) -> Result<bool, Failure> {
        Ok(match self.invocation.action {
            Action::Build | Action::Install | Action::Match | Action::Add => true,
            // What is switched off says so, and ends well.
            Action::Autoinstall if fs::exists(&self.settings.layout.no_autoinstall()) => false,
            Action::Autoinstall => !self.snapshot()?.newest().is_empty(),
            _ => false,
        })
    }

    /// Every kernel that is installed.
    ///
    /// # Errors
    /// [`Failure`] with code 12 where the architecture of one is not known.
    pub fn installed_targets(&self) -> Result<Vec<Target>, Failure> {
        let kernels = dkms_kernel::installed_kernels(&self.settings.layout)?;
        let with_arch = |release: KernelRelease| {
            let arch = self.default_arch(&release)?;
            Ok(Target::new(release, arch))
        };
        kernels.into_iter().map(with_arch).collect()
    }

    /// The kernels that `verify` judges: those that are named, with `--all` every one that is installed, else
    /// the running kernel, or where this system does not have it, its own.
    ///
    /// # Errors
    /// [`Failure`] with code 12 where the architecture of one is not known.
    pub fn verified_targets(&self) -> Result<Vec<Target>, Failure> {
        let named = &self.invocation.kernels;
        if !named.is_empty() {
            return self.with_arches(named);
        }
        if self.args().all {
            return self.installed_targets();
        }
        let kernels = dkms_kernel::default_kernels(&self.settings.layout)?;
        self.with_arches(&kernels.into_iter().map(|kernel| (kernel, None)).collect::<Vec<_>>())
    }

    /// Kernels as columns of a grid, in the order of their releases.
    ///
    /// # Errors
    /// [`Failure`] where the architecture of an installed kernel is not known.
    pub fn columns<'t>(&self, targets: impl IntoIterator<Item = &'t Target>) -> Result<Vec<Column>, Failure> {
        let by_release = |a: &Target, b: &Target| version::compare(a.kernel.as_str(), b.kernel.as_str());
        let newest = self.installed_targets()?.into_iter().max_by(|a, b| by_release(a, b));
        let running = dkms_kernel::running_kernel_here(&self.settings.layout);
        let mut targets: Vec<&Target> = targets.into_iter().collect();
        targets.sort_by(|a, b| by_release(a, b));
        let column = |target: &Target| Column {
            is_running: running.as_ref() == Some(&target.kernel),
            is_newest: newest.as_ref().is_some_and(|newest| newest.kernel == target.kernel),
            target: target.clone(),
        };
        Ok(targets.into_iter().map(column).collect())
    }

    /// What is done about images.
    fn images(&self) -> Option<ImageWork> {
        let how = if self.settings.remake_initrd { ImageWork::Remake } else { ImageWork::Report };
        (!self.args().no_initrd).then_some(how)
    }

    /// What is done about images where modules are taken out. A script of a package notes it: what takes the
    /// module's place may come in the same transaction, at whose end a hook of ours looks at them.
    fn images_of_removed(&self) -> Option<ImageWork> {
        match self.invocation.action {
            Action::KernelPreinst | Action::KernelPrerm => None,
            _ if package_script::will_look_at_images(self.environment, &self.settings.layout) => {
                self.images().map(|_| ImageWork::Note)
            }
            _ => self.images(),
        }
    }

    /// How requests are meant, by options and settings.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            // Done at boot, and by package managers without hooks of ours.
            held_initramfs: matches!(self.invocation.action, Action::Autoinstall),
            force: self.force(),
            no_depmod: self.args().no_depmod,
            modprobe: self.settings.modprobe_on_install,
            initramfs: self.images(),
            initramfs_of_removed: self.images_of_removed(),
            initramfs_by_others: BTreeSet::new(),
            post_transaction: self.settings.post_transaction.is_some(),
            continue_on_error: self.settings.continue_on_error,
            respect_failures: false,
        }
    }

    fn default_arch(&self, kernel: &KernelRelease) -> Result<Arch, Failure> {
        let arch =
            dkms_kernel::default_arch(self.distribution, kernel, &self.settings.layout, self.environment);
        arch.map_err(|error| Failure::new(ExitCode::INTERRUPTED, error.to_string()))?.ok_or_else(|| {
            Failure::new(ExitCode::NO_ARCH, format!("the architecture of kernel {kernel} is not known"))
                .hint("name it with `-a`")
        })
    }

    /// Plans and does what is asked; with `--dry-run` only prints the plan.
    ///
    /// # Errors
    /// [`Failure`] where something can't be looked at or locked, or where what was done failed.
    pub fn carry_out(&self, work: &Work) -> Result<(), Failure> {
        self.carry_out_holding(&|_| work.clone(), None)
    }

    /// As [`carry_out`](Self::carry_out), for work that depends on what is in the tree, and with locks
    /// that we have already.
    ///
    /// # Errors
    /// As there.
    pub fn carry_out_holding(
        &self,
        work: &dyn Fn(&Snapshot) -> Work,
        held: Option<&Held>,
    ) -> Result<(), Failure> {
        let options = self.options();
        let task = Task { work, options: &options, survey: &|| self.survey(), held };
        if self.args().dry_run {
            let looked = engine::look(&task, &self.settings.layout)?;
            self.terminal.plan(&looked.plan);
            return self.verdict_of_plan(&looked.plan);
        }
        self.verdict(self.outcome(&task)?)
    }

    /// Plans and carries out the request; the caller decides what its failures mean.
    ///
    /// # Errors
    /// [`Failure`] where something can't be looked at or locked.
    pub fn outcome(&self, task: &Task<'_>) -> Result<Outcome, Failure> {
        let args = self.args();
        let context = Context {
            settings: &self.settings,
            environment: self.environment,
            distribution: self.distribution,
            module_folder: self.module_folder.clone(),
            force: self.force(),
            force_version_override: args.force_version_override,
            no_depmod: args.no_depmod,
            jobs: self.jobs(),
            given_key: self.given_key.as_ref(),
            ahead: Default::default(),
        };
        let outcome = engine::carry_out(task, &context, self.terminal, |plan, _| {
            if args.debug {
                self.terminal.decisions(plan);
            }
            self.terminal.remarks(plan);
        })?;
        if task.options.initramfs_of_removed == Some(ImageWork::Note) {
            package_script::ask_to_look_at_images(self.environment, &self.settings.layout);
        }
        Ok(outcome)
    }

    /// Whether root asks to bring modules up where they all are: at each boot of a system whose
    /// trees can't be written.
    ///
    /// # Errors
    /// [`Failure`] where something can't be looked at.
    pub fn needs_no_writing(&self) -> Result<bool, Failure> {
        let is_autoinstall = matches!(self.invocation.action, Action::Autoinstall | Action::KernelPostinst);
        let is_root = rustix::process::geteuid().is_root();
        let layout = &self.settings.layout;
        // A system whose modules are in its image may have no tree.
        let has_modules = fs::is_dir(&layout.dkms_tree) || fs::is_file(&layout.baked_manifest());
        if !is_autoinstall || !is_root || !has_modules {
            return Ok(false);
        }
        let work = Work::Autoinstall { targets: self.targets()? };
        let options = self.options();
        let task = Task { work: &|_| work.clone(), options: &options, survey: &|| self.survey(), held: None };
        Ok(engine::look(&task, &self.settings.layout)?.plan.steps.is_empty())
    }

    /// Locks a module for a command that changes it without a plan.
    ///
    /// # Errors
    /// [`Failure`] where it can't be had.
    pub fn lock(&self, name: &ModuleName) -> Result<Held, Failure> {
        let keys = Keys::default().with(Key::Module(name.clone()), Mode::Exclusive);
        let recovery = Recovery {
            layout: &self.settings.layout,
            family: self.distribution.family,
            environment: self.environment,
            held: None,
        };
        Ok(engine::hold(&keys, &recovery, self.settings.lock_timeout, self.terminal)?)
    }

    /// How the command would end, as far as the plan knows.
    fn verdict_of_plan(&self, plan: &plan::Plan) -> Result<(), Failure> {
        let refusals = plan.steps.iter().filter_map(|step| match &step.action {
            plan::Action::Refuse(refusal) => Some(Failure::from(refusal.clone())),
            _ => None,
        });
        let refusals: Vec<Failure> = refusals.collect();
        let codes: Vec<ExitCode> = refusals.iter().map(|refusal| refusal.code).collect();
        match refusals.into_iter().next() {
            None => Ok(()),
            Some(first) if self.is_batch() => Err(Failure { code: self.code_of_batch(&codes), ..first }),
            Some(first) => Err(first),
        }
    }

    /// What the failures of a run mean for the command.
    fn verdict(&self, outcome: Outcome) -> Result<(), Failure> {
        let left_out = outcome.left_out();
        let is_batch = self.is_batch();
        for text in &outcome.images {
            warn(self.terminal, text);
        }
        if is_batch && outcome.failures.iter().any(|failed| failed.action.module().is_some()) {
            self.lacking(&outcome)?;
        }
        if is_batch {
            summary::done(&outcome.done).into_iter().for_each(|line| say(self.terminal, line));
            for summary::Failure { text, hints } in summary::refuted(&outcome.refuted) {
                self.terminal.report(Event::warning(text, hints));
            }
        }
        let is_interrupted = outcome.is_interrupted();
        let mut failures = outcome.failures.into_iter();
        let Some(first) = failures.next() else {
            return if is_interrupted { Err(interrupted()) } else { Ok(()) };
        };
        if !is_batch {
            for failed in failures {
                self.terminal.failure(&failed.error.into());
            }
            return Err(first.error.into());
        }
        let mut codes = Vec::new();
        let mut names = Vec::new();
        for failed in std::iter::once(first).chain(failures) {
            names.push(failed.action.module().map_or_else(|| failed.action.to_string(), ToString::to_string));
            let failure = Failure::from(failed.error);
            if failure.code == ExitCode::INTERRUPTED {
                return Err(failure);
            }
            codes.push(failure.code);
            self.terminal.failure(&failure);
        }
        let code = self.code_of_batch(&codes);
        names.sort_unstable();
        names.dedup();
        let mut failure =
            Failure::new(code, format!("{} failed for {}", self.invocation.action.name(), names.join(", ")));
        let others: Vec<_> = left_out.into_iter().filter(|name| !names.contains(name)).collect();
        if !others.is_empty() {
            failure = failure.hint(format!("not tried, since they need one of these: {}", others.join(", ")));
        }
        Err(failure)
    }

    /// Says first what the machine can't boot or be reached without.
    fn lacking(&self, outcome: &Outcome) -> Result<(), Failure> {
        let failed = outcome.failures.iter().map(|failed| &failed.action).chain(&outcome.pruned);
        let kernels: BTreeSet<Target> = failed.filter_map(plan::Action::target).cloned().collect();
        let kernels: Vec<Target> = kernels.into_iter().collect();
        let (snapshot, survey) = (self.snapshot()?, self.survey());
        let critical = critical::look(&survey, &snapshot, &self.installed_targets()?)?;
        for standing in critical::standings(&critical, &survey, &snapshot, &kernels)? {
            if standing.verdict == Verdict::Refuted {
                let hints: Vec<String> = standing.remedy.clone().into_iter().collect();
                self.terminal.report(Event::warning(standing.to_string(), hints));
            }
        }
        Ok(())
    }

    /// What several failures are together, where all modules of a kernel were asked for.
    fn code_of_batch(&self, codes: &[ExitCode]) -> ExitCode {
        match self.invocation.action {
            Action::KernelPreinst | Action::KernelPrerm => ExitCode::KERNEL_HOOK_FAILED,
            _ if codes.iter().all(|code| *code == ExitCode::NO_HEADERS) => ExitCode::NO_HEADERS,
            _ => ExitCode::AUTOINSTALL_FAILED,
        }
    }

    fn is_batch(&self) -> bool {
        matches!(
            self.invocation.action,
            Action::Autoinstall
                | Action::KernelPreinst
                | Action::KernelPostinst
                | Action::KernelPrerm
                | Action::Plan
        )
    }
}

/// Ends the command where a signal has ended what it was reading: what was read then is not to be believed.
///
/// # Errors
/// [`Failure`] with code 130.
pub fn unless_interrupted() -> Result<(), Failure> {
    if signals::interrupted() { Err(interrupted()) } else { Ok(()) }
}

pub(crate) fn interrupted() -> Failure {
    Failure::new(ExitCode::INTERRUPTED, "interrupted")
}

/// A path as the processes that we start must see it: they run in other folders.
#[must_use]
pub fn absolute(path: &std::path::Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
