//! What all adapters of package managers share: from what was reported to one batch, the preflight, and
//! the messages about both.
//!
//! - [`Adapter`]: the system that it works on
//! - `identity`: which module a folder of sources is of
//! - `plain`: what happens as plain lines, since package managers log them
//! - [`summary`]: what a batch has done, and what failed, last
//! - `verdict`: what critical modules lack on the kernels that a batch was about
//! - [`unsaid`]: a summary that is kept until it can be shown
//! - `foresee`: critical modules are built before a transaction, to see whether they can be
//! - [`hook`], `stream`: how the process of a hook begins, and where it writes
//! - `module_package`: what scripts of modules' packages tell
//!
//! Knows no package manager.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs::{self, FsError};
use dkms_base::host::inhibitor::Inhibitor;
use dkms_base::host::process::ProcessError;
use dkms_base::host::{Environment, processors};
use dkms_base::id::{Arch, KernelRelease, ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};
use dkms_conf::framework::{self, Framework};
use dkms_conf::settings::OnBuildFailure;
use dkms_conf::{ConfError, Settings};
use dkms_core::engine::{self, CarryOutError, Context, Looked, Outcome, Survey, Task};
use dkms_core::event::{self, Batch, Happening, LookAhead};
use dkms_core::plan::world::ConfFault;
use dkms_core::plan::{Action, ImageWork, Options, Plan, Work};
use dkms_core::tree::{Snapshot, owed};
use dkms_kernel::{Distribution, DistributionError, Machine};

mod foresee;
pub mod hook;
mod identity;
mod images;
mod initramfs;
mod module_package;
mod plain;
mod stream;
pub mod summary;
pub mod unsaid;
mod verdict;

pub use foresee::{ComingHeaders, HeadersComing, Sources};
pub use initramfs::Initramfs;
pub use module_package::ModulePackage;
pub use plain::Plain;
pub use stream::{Output, Stream};
pub use summary::Summary;

/// The system that an adapter works on, and how it is set up.
#[derive(Debug)]
pub struct Adapter {
    /// framework.conf.
    pub settings: Settings,
    /// The distribution.
    pub distribution: Distribution,
    /// The environment of what is run.
    pub environment: Environment,
    /// The architecture of all kernels, where it was named.
    pub arch: Option<Arch>,
    /// A module folder without any of these files is no kernel's: something left one behind. Empty:
    /// each folder is a kernel.
    pub kernel_files: &'static [&'static str],
    /// A version that arrives takes the place of a newer one too, whose package goes later in the
    /// transaction.
    pub replaces_newer: bool,
    /// Kernels without any of them that are known to be some nevertheless.
    pub other_kernels: BTreeSet<KernelRelease>,
    module_folder: Option<String>,
    jobs: u32,
}

/// Why an adapter can't work.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// framework.conf can't be read.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// os-release can't be read.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// Something can't be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Nothing could be begun.
    #[error(transparent)]
    CarryOut(#[from] CarryOutError),
    /// The architecture of a kernel is not known.
    #[error("the architecture of kernel {0} is not known")]
    Arch(KernelRelease),
    /// The program that knows the architecture can't be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl AdapterError {
    /// What to do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Conf(error) => error.hint().map(str::to_owned).into_iter().collect(),
            Self::CarryOut(CarryOutError::Lock(error)) => error.hints(),
            Self::Fs(error) | Self::CarryOut(CarryOutError::Fs(error)) if error.is_no_space() => {
                vec![
                    "free space on that file system; `dkms autoinstall` then builds the missing modules"
                        .to_owned(),
                ]
            }
            Self::Fs(_) | Self::CarryOut(_) | Self::Distribution(_) | Self::Arch(_) | Self::Process(_) => {
                Vec::new()
            }
        }
    }
}

impl Adapter {
    /// Looks at the system below `/`. Invalid values in framework.conf are reported.
    ///
    /// # Errors
    /// [`AdapterError`] where its settings can't be read.
    pub fn begin(environment: Environment, reporter: &dyn Reporter) -> Result<Self, AdapterError> {
        let layout = Layout::under("/");
        let distribution = Distribution::read(&layout)?;
        let Framework { settings, faults } = framework::read(&layout, &environment)?;
        faults.iter().for_each(|value| reporter.report(Event::warning(value.to_string(), [])));
        let module_folder = dkms_kernel::module_folder(&settings.layout, &environment, &distribution)?;
        let jobs = settings.parallel_jobs.unwrap_or_else(processors::count);
        Ok(Self {
            settings,
            distribution,
            environment,
            arch: None,
            kernel_files: &[],
            replaces_newer: false,
            other_kernels: BTreeSet::new(),
            module_folder,
            jobs,
        })
    }

    /// A kernel on the architecture that it is for. What a package says of that is meant for the machine; a
    /// kernel that says otherwise knows better.
    ///
    /// # Errors
    /// [`AdapterError::Arch`] where that isn't known.
    pub fn target(&self, kernel: &KernelRelease) -> Result<Target, AdapterError> {
        let is_meant = |arch: &&Arch| {
            let (meant, own) =
                (Machine::named(arch.as_str()), Machine::of_kernel(kernel, &self.settings.layout));
            meant.is_none() || own.is_none() || meant == own
        };
        if let Some(arch) = self.arch.as_ref().filter(is_meant) {
            return Ok(Target::new(kernel.clone(), arch.clone()));
        }
        let arch =
            dkms_kernel::default_arch(&self.distribution, kernel, &self.settings.layout, &self.environment)?;
        let arch: Arch = arch.ok_or_else(|| AdapterError::Arch(kernel.clone()))?;
        Ok(Target::new(kernel.clone(), arch))
    }

    /// The kernels that are installed.
    ///
    /// # Errors
    /// [`AdapterError`].
    pub fn installed(&self) -> Result<Vec<Target>, AdapterError> {
        let installed = dkms_kernel::installed_kernels(&self.settings.layout)?;
        installed.iter().filter(|kernel| self.is_kernel(kernel)).map(|kernel| self.target(kernel)).collect()
    }

    /// Whether a module folder is a kernel's.
    #[must_use]
    pub fn is_kernel(&self, kernel: &KernelRelease) -> bool {
        let folder = self.settings.layout.kernel_dir(kernel);
        self.kernel_files.is_empty()
            || self.kernel_files.iter().any(|name| fs::is_file(&folder.join(name)))
            || self.other_kernels.contains(kernel)
    }

    /// The module whose source is in a folder of `/usr/src`: as `dkms install` takes it, where its dkms.conf
    /// says another name or version than the folder.
    ///
    /// # Errors
    /// [`AdapterError::Fs`]; what is wrong with the conf, or the folder's name, is inside.
    pub fn module_in(&self, folder: &str) -> Result<Result<ModuleId, ConfFault>, AdapterError> {
        let file = self.settings.layout.source_tree.join(folder).join("dkms.conf");
        let conf = self.survey().identify(&file)?;
        Ok(conf.and_then(|conf| {
            identity::of_folder(folder, &conf).ok_or_else(|| {
                let problem = format!(
                    "its dkms.conf is for module {conf}, and the name of its folder is not of the form NAME-VERSION"
                );
                ConfFault::Invalid { path: file, problems: vec![problem] }
            })
        }))
    }

    /// What is in the tree.
    ///
    /// # Errors
    /// [`AdapterError::Fs`].
    pub fn snapshot(&self) -> Result<Snapshot, AdapterError> {
        Ok(Snapshot::take(&self.settings.layout)?)
    }

    /// How batches are meant; `initramfs`: who makes them.
    fn options(&self, initramfs: &Initramfs, depmod: Depmod) -> Options {
        let by_others = match initramfs {
            Initramfs::OthersFor(targets) => targets.clone(),
            Initramfs::Ours | Initramfs::Others => BTreeSet::new(),
        };
        let images = if self.settings.remake_initrd { ImageWork::Remake } else { ImageWork::Report };
        Options {
            modprobe: self.settings.modprobe_on_install,
            initramfs: (*initramfs != Initramfs::Others).then_some(images),
            initramfs_of_removed: Some(match initramfs {
                Initramfs::Others => ImageWork::Note,
                Initramfs::Ours | Initramfs::OthersFor(_) => images,
            }),
            initramfs_by_others: by_others,
            held_initramfs: true,
            post_transaction: self.settings.post_transaction.is_some(),
            no_depmod: depmod == Depmod::Later,
            continue_on_error: true,
            respect_failures: true,
            ..Options::default()
        }
    }

    fn survey(&self) -> Survey<'_> {
        let mut survey = Survey::new(&self.settings, &self.distribution, &self.environment);
        survey.jobs = self.jobs;
        // The user who upgrades a system didn't write it.
        survey.advises_authors = false;
        survey.module_folder.clone_from(&self.module_folder);
        survey
    }

    fn with_task<T>(
        &self,
        work: &dyn Fn(&Snapshot) -> Work,
        options: Options,
        act: impl FnOnce(&Task<'_>) -> Result<T, CarryOutError>,
    ) -> Result<T, AdapterError> {
        let task = Task { work, options: &options, survey: &|| self.survey(), held: None };
        Ok(act(&task)?)
    }

    /// What [`batch`](Self::batch) would do; changes nothing.
    ///
    /// # Errors
    /// [`AdapterError`].
    pub fn look(&self, told: &[Happening], initramfs: Initramfs) -> Result<Looked, AdapterError> {
        let kernels = self.survey().kernels(&self.installed()?)?;
        let work = |snapshot: &Snapshot| Work::Batch(event::batch(told, snapshot, &kernels));
        let options = self.options(&initramfs, Depmod::Now);
        self.with_task(&work, options, |task| engine::look(task, &self.settings.layout))
    }

    /// Does all that follows from what was reported, as one batch. What fails is in the outcome.
    ///
    /// # Errors
    /// [`AdapterError`], where nothing was begun.
    pub fn batch(
        &self,
        told: &[Happening],
        initramfs: Initramfs,
        reporter: &dyn Reporter,
    ) -> Result<Outcome, AdapterError> {
        self.batch_of(told, &LookAhead::default(), initramfs, Depmod::Now, reporter)
    }

    /// Does the same where another batch of the same transaction follows, which runs depmod for both. Should
    /// it never come to that, the next command that changes modules does.
    ///
    /// # Errors
    /// [`AdapterError`], where nothing was begun.
    pub fn batch_before_another(
        &self,
        told: &[Happening],
        reporter: &dyn Reporter,
    ) -> Result<Outcome, AdapterError> {
        self.batch_of(told, &LookAhead::default(), Initramfs::Others, Depmod::Later, reporter)
    }

    /// Whether the modules.dep of a kernel that is there is behind.
    #[must_use]
    pub fn owes_depmod(&self) -> bool {
        !owed::unattended(&self.settings.layout, None).is_empty()
    }

    /// That of a kernel that has gone no longer matters.
    pub fn forget_gone_kernels(&self) {
        owed::sweep(&self.settings.layout);
    }

    /// Does the same, with modules and headers whose packages are not configured yet. What fails of those
    /// isn't in the outcome, since it is tried again when they are. Besides: the kernels whose headers are
    /// such, and on which something failed.
    ///
    /// # Errors
    /// [`AdapterError`], where nothing was begun.
    pub fn batch_ahead(
        &self,
        told: &[Happening],
        ahead: &LookAhead,
        initramfs: Initramfs,
        reporter: &dyn Reporter,
    ) -> Result<(Outcome, BTreeSet<KernelRelease>), AdapterError> {
        let mut outcome = self.batch_of(told, ahead, initramfs, Depmod::Now, reporter)?;
        let undone = outcome.failures.iter().map(|failed| &failed.action).chain(&outcome.pruned);
        let kernels = undone.filter_map(Action::target).map(|target| target.kernel.clone());
        let waiting = kernels.filter(|kernel| ahead.unready.contains(kernel)).collect();
        let is_told =
            |action: &Action| !action.module().is_some_and(|id| ahead.is_early(id, action.target()));
        outcome.failures.retain(|failed| is_told(&failed.action));
        outcome.pruned.retain(is_told);
        Ok((outcome, waiting))
    }

    /// Whether everything that is built of a module was built ahead, and of the inputs that are there now.
    ///
    /// # Errors
    /// [`AdapterError::Fs`].
    pub fn is_as_built_ahead(&self, id: &ModuleId, snapshot: &Snapshot) -> Result<bool, AdapterError> {
        Ok(self.survey().is_as_built_ahead(id, snapshot)?)
    }

    fn batch_of(
        &self,
        told: &[Happening],
        ahead: &LookAhead,
        initramfs: Initramfs,
        depmod: Depmod,
        reporter: &dyn Reporter,
    ) -> Result<Outcome, AdapterError> {
        let options = self.options(&initramfs, depmod);
        let kernels = self.survey().kernels(&self.installed()?)?;
        let work = |snapshot: &Snapshot| {
            let batch = event::batch(told, snapshot, &kernels);
            Work::Batch(Batch { ahead: ahead.clone(), ..batch })
        };
        let layout = &self.settings.layout;
        images::before(told, &initramfs, layout);
        // The newer one that is in place is the one that goes.
        let overrides = self.replaces_newer || event::has_downgrade(told);
        let mut outcome = self.act(&work, options, ahead, overrides, reporter)?;
        images::after(told, &initramfs, &outcome, layout);
        outcome.about = verdict::about(told, &outcome);
        Ok(outcome)
    }

    /// Does something else that a package manager asks for; `work` is what, in a tree as it is then.
    ///
    /// # Errors
    /// [`AdapterError`], where nothing was begun.
    pub fn carry_out(
        &self,
        work: &dyn Fn(&Snapshot) -> Work,
        initramfs: Initramfs,
        reporter: &dyn Reporter,
    ) -> Result<Outcome, AdapterError> {
        let options = Options { initramfs_of_removed: None, ..self.options(&initramfs, Depmod::Now) };
        self.act(work, options, &LookAhead::default(), false, reporter)
    }

    /// Sees to the images of which it was noted that they may hold modules which were taken out, or that
    /// another process was asked to make. `None`: there is none.
    ///
    /// # Errors
    /// [`AdapterError`], where nothing was begun.
    pub fn settle_images(&self, reporter: &dyn Reporter) -> Result<Option<Outcome>, AdapterError> {
        let layout = &self.settings.layout;
        // Most runs of a package manager touch neither a kernel nor a module.
        if !dkms_core::tree::images::is_any_noted(layout) {
            return Ok(None);
        }
        let (there, gone): (Vec<_>, Vec<_>) =
            dkms_core::tree::images::pending(layout, &self.snapshot()?, self.settings.remake_initrd)
                .into_iter()
                .partition(|kernel| fs::is_dir(&layout.kernel_dir(kernel)));
        gone.iter().for_each(|kernel| dkms_core::tree::images::settle(layout, kernel));
        let targets: Vec<Target> = there.iter().filter_map(|kernel| self.target(kernel).ok()).collect();
        if targets.is_empty() {
            return Ok(None);
        }
        let work = |_: &Snapshot| Work::Images { targets: targets.clone() };
        let options = self.options(&Initramfs::Ours, Depmod::Now);
        self.act(&work, options, &LookAhead::default(), false, reporter).map(Some)
    }

    fn act(
        &self,
        work: &dyn Fn(&Snapshot) -> Work,
        options: Options,
        ahead: &LookAhead,
        force_version_override: bool,
        reporter: &dyn Reporter,
    ) -> Result<Outcome, AdapterError> {
        let context = Context {
            settings: &self.settings,
            environment: &self.environment,
            distribution: &self.distribution,
            module_folder: self.module_folder.clone(),
            force: false,
            force_version_override,
            no_depmod: false,
            jobs: self.jobs,
            given_key: None,
            keeps_images: true,
            ahead: ahead.clone(),
        };
        // Held until the batch has ended.
        let mut inhibitor = None;
        let outcome = self.with_task(work, options, |task| {
            engine::carry_out(task, &context, reporter, |plan, _| {
                if let Some(line) = headline(plan) {
                    reporter.report(Event::note(line));
                    inhibitor = Inhibitor::take("building kernel modules", &self.environment);
                }
                plan.remarks.iter().for_each(|remark| reporter.report(remark.event()));
            })
        });
        drop(inhibitor);
        outcome
    }

    /// What a failure is to the package manager, as `on_build_failure` wants it.
    #[must_use]
    pub fn failed(&self) -> ExitCode {
        match self.settings.on_build_failure {
            OnBuildFailure::Report => ExitCode::SUCCESS,
            OnBuildFailure::Fail => ExitCode::USAGE_OR_RIGHTS,
        }
    }

    /// The exit code that a package manager gets, as `on_build_failure` wants it.
    #[must_use]
    pub fn exit_of(&self, outcome: &Outcome) -> ExitCode {
        engine::policy::exit_of_adapter(outcome, self.settings.on_build_failure)
    }
}

/// Said before a batch that builds: it takes a while, and package managers show nothing else meanwhile.
fn headline(plan: &Plan) -> Option<String> {
    let (mut modules, mut kernels) = (BTreeSet::new(), BTreeSet::new());
    for step in &plan.steps {
        if let Action::Build { id, target } = &step.action {
            modules.insert(id.to_string());
            kernels.insert(target.kernel.to_string());
        }
    }
    let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    (!modules.is_empty()).then(|| format!("building {} for {}", list(modules), list(kernels)))
}

/// When modules.dep is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depmod {
    /// At the end of the batch.
    Now,
    /// At the end of one that follows.
    Later,
}
