//! Stands for an adapter: tells core that the kernels of the command line have arrived, and runs the one batch that follows.

use std::io::Write;

use anyhow::Result;
use dkms_core::conf::framework;
use dkms_core::engine::{self, Context, Survey, Task};
use dkms_core::event::{self, Happening};
use dkms_core::host::Environment;
use dkms_core::id::Target;
use dkms_core::kernel::{self, Distribution};
use dkms_core::layout::Layout;
use dkms_core::plan::{Options, Work};
use dkms_core::report::Recorder;

fn main() -> Result<std::process::ExitCode> {
    let layout = Layout::under("/");
    let environment = Environment::of_this_process();
    let settings = framework::read(&layout, &environment)?.settings;
    let distribution = Distribution::read(&layout)?;
    let arch = rustix::system::uname().machine().to_string_lossy().into_owned();
    let target = |release: &str| Target::parse(release, &arch);
    let told: Vec<Happening> = std::env::args()
        .skip(1)
        .map(|release| Ok(Happening::KernelArrived(target(&release)?)))
        .collect::<Result<_>>()?;
    let installed: Vec<Target> = kernel::installed_kernels(&layout)?
        .iter()
        .map(|release| Ok(target(release.as_str())?))
        .collect::<Result<_>>()?;
    let jobs = u32::try_from(std::thread::available_parallelism()?.get())?;
    let survey = || {
        let mut survey = Survey::new(&settings, &distribution, &environment);
        survey.jobs = jobs;
        survey
    };
    let kernels = survey().kernels(&installed)?;
    let options = Options { continue_on_error: true, respect_failures: true, ..Options::default() };
    let task = Task {
        work: &|snapshot| Work::Batch(event::batch(&told, snapshot, &kernels)),
        options: &options,
        survey: &survey,
        held: None,
    };
    let context = Context {
        settings: &settings,
        environment: &environment,
        distribution: &distribution,
        module_folder: kernel::module_folder(&layout, &environment, &distribution)?,
        force: false,
        force_version_override: false,
        no_depmod: false,
        jobs,
    };
    let told = Recorder::default();
    let outcome = engine::carry_out(&task, &context, &told, |_, _| {})?;
    let mut stdout = std::io::stdout();
    for failed in &outcome.failures {
        writeln!(stdout, "{}: {}", failed.action, failed.error)?;
    }
    Ok(std::process::ExitCode::from(engine::policy::exit_of_adapter(&outcome, settings.on_build_failure).0))
}
