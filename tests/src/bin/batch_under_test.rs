//! Stands for an adapter: tells core that the kernels of the command line have arrived, and runs the
//! one batch that follows.

use std::io::Write;

use anyhow::Result;
use dkms_base::host::Environment;
use dkms_base::id::KernelRelease;
use dkms_base::report::Recorder;
use dkms_core::event::Happening;
use dkms_hooks::{Adapter, Initramfs, Summary};

fn main() -> Result<std::process::ExitCode> {
    let reporter = Recorder::default();
    let adapter = Adapter::begin(Environment::of_this_process(), &reporter)?;
    let told: Vec<Happening> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .skip(1)
        .map(|release| Ok(Happening::KernelArrived(adapter.target(&KernelRelease::new(&release)?)?)))
        .collect::<Result<_>>()?;
    let outcome = adapter.batch(&told, Initramfs::Others, &reporter)?;
    let mut stdout = std::io::stdout();
    for failed in &outcome.failures {
        writeln!(stdout, "{}: {}", failed.action, failed.error)?;
    }
    for line in adapter.judged(Summary::of(&outcome)).boot {
        writeln!(stdout, "{line}")?;
    }
    Ok(std::process::ExitCode::from(adapter.exit_of(&outcome).0))
}
