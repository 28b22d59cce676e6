//! What every command starts with: settings, distribution, environment, and the way from
//! a request to its end.

mod targets;
mod verdict;

use std::collections::BTreeSet;
use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs::FsError;
use dkms_base::host::{Environment, fs, processors, signals};
use dkms_base::id::{ModuleId, ModuleName, Target};
use dkms_base::layout::Layout;
use dkms_conf::framework::{self, Framework, SettingFault};
use dkms_conf::settings::TrySign;
use dkms_conf::{ConfError, Settings, keys};
use dkms_core::engine::{self, Context, Outcome, Survey, Task};
use dkms_core::install::Recovery;
use dkms_core::plan::{ImageWork, Options, Work};
use dkms_core::tree::{Held, Key, Keys, Mode, Snapshot, images};
use dkms_kernel::{self, Distribution, Overrides};
use dkms_signing::GivenKey;

use crate::action::Action;
use crate::args::Args;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::package_script;
use crate::render::{Terminal, warn};

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
        let is_carried_out = !invocation.action.only_reads() || invocation.action == Action::Plan;
        let read = if is_carried_out { framework::read } else { framework::examine };
        let Framework { mut settings, faults } =
            read(&Layout::under("/"), environment).map_err(|error: ConfError| {
                let failure = Failure::new(ExitCode::INVALID_CONF, error.to_string());
                match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            })?;
        // `doctor` reports them with the rest.
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
        if invocation.args.exempt_nothing {
            settings.exempt_nothing();
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
        self.survey_with(&self.settings)
    }

    /// The same with other settings.
    #[must_use]
    pub fn survey_with<'s>(&'s self, settings: &'s Settings) -> Survey<'s> {
        let mut survey = Survey::new(settings, self.distribution, self.environment);
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

    /// The same for showing states, as [`Snapshot::of_states`] has it.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub fn states(&self, is_built: &dyn Fn(&ModuleId, &Target) -> bool) -> Result<Snapshot, Failure> {
        Ok(Snapshot::of_states(&self.settings.layout, is_built)?)
    }

    /// The folder for temporary files.
    ///
    /// # Errors
    /// [`Failure`] where it is missing, or nothing of ours is safe in it.
    pub fn staging_folder(&self) -> Result<&Path, Failure> {
        self.settings.staging_folder().map_err(no_staging)
    }

    /// A new folder of ours in it.
    ///
    /// # Errors
    /// As [`Self::staging_folder`], or where it can't be made.
    pub fn staging(&self, prefix: &str) -> Result<tempfile::TempDir, Failure> {
        self.settings.staging(prefix).map_err(no_staging)
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
            // Done at boot, and by package managers without hooks of ours; or what an image is kept for
            // comes.
            held_initramfs: matches!(self.invocation.action, Action::Autoinstall)
                || images::holds_any(&self.settings.layout),
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

    /// Plans and carries out the request; with `--dry-run` only prints the plan.
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
            keeps_images: false,
            ahead: Default::default(),
        };
        let outcome = engine::carry_out(task, &context, self.terminal, |plan, _| {
            if args.debug {
                self.terminal.decisions(plan);
            }
            self.terminal.remarks(plan);
        })?;
        if task.options.initramfs_of_removed == Some(ImageWork::Note) {
            package_script::ask_to_look(self.environment, &self.settings.layout);
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
    /// [`Failure`] where it is not available.
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

fn no_staging(error: FsError) -> Failure {
    Failure::from(error).hint("`tmp_location` in framework.conf, or TMPDIR, names another one")
}
