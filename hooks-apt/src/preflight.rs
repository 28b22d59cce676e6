//! What apt is about to do, before anything has changed: will the modules in use be there on the kernels that come?

use std::io::Read;

use dkms_core::adapter::AdapterError;
use dkms_core::conf::settings::PreflightPolicy;
use dkms_core::event::Happening;
use dkms_core::exit::ExitCode;
use dkms_core::plan::preflight::Prospect;
use dkms_core::report::{Event, Reporter};

use crate::session::Session;
use crate::transaction::{self, Change, KernelPackage};
use crate::{dpkg, frontend};

/// Ends apt's run; see `apt.conf`. Nothing else that may happen to us does.
const STOP: ExitCode = ExitCode(10);

/// More than any transaction's list.
const LIMIT: u64 = 64 << 20;

/// `preflight`, with the transaction on standard input.
pub fn run(session: &Session<'_>, _: &[&str]) -> ExitCode {
    // What an earlier run has left, having been killed, is not this one's.
    session.say_kept();
    drop(frontend::begins(session.layout()));
    if session.adapter.settings.preflight == PreflightPolicy::Off {
        return ExitCode::SUCCESS;
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(LIMIT).read_to_end(&mut text).map_err(|error| error.to_string());
    let parse = |_| transaction::parse(&String::from_utf8_lossy(&text)).map_err(|error| error.to_string());
    let absent = read.and_then(parse).and_then(|changes| {
        let told = told(session, &changes).map_err(|error| error.to_string())?;
        if told.is_empty() {
            return Ok(Vec::new());
        }
        absent(session, &told, &changes).map_err(|error| error.to_string())
    });
    match absent {
        Ok(absent) => verdict(session, &absent),
        Err(error) => {
            let text = format!("it can't be told what becomes of modules in this transaction: {error}");
            session.out.report(Event::warning(text, []));
            ExitCode::SUCCESS
        }
    }
}

fn verdict(session: &Session<'_>, absent: &[Prospect]) -> ExitCode {
    for prospect in absent {
        session.out.report(Event::warning(prospect.to_string(), []));
    }
    if absent.is_empty() || session.adapter.settings.preflight != PreflightPolicy::Block {
        return ExitCode::SUCCESS;
    }
    session.out.say("error: `preflight=block` in framework.conf ends this transaction; nothing has changed");
    STOP
}

/// What the transaction does to kernels.
fn told(session: &Session<'_>, changes: &[Change]) -> Result<Vec<Happening>, AdapterError> {
    let mut told = Vec::new();
    for Change { package, old_arch, comes } in changes {
        match transaction::kernel_package(package) {
            Some(KernelPackage::Image(kernel)) => {
                let target = session.adapter.target(&kernel)?;
                if old_arch.is_some() {
                    told.push(Happening::KernelLeaving(target.clone()));
                }
                if *comes {
                    told.push(Happening::KernelArrived(target));
                }
            }
            Some(KernelPackage::Headers(kernel)) if *comes => {
                told.push(Happening::HeadersArrived(session.adapter.target(&kernel)?));
            }
            Some(KernelPackage::Headers(_)) | None => {}
        }
    }
    Ok(told)
}

/// The modules in use that will not be there. Those whose package comes or goes as well can't be judged by what is there of them now.
fn absent(
    session: &Session<'_>,
    told: &[Happening],
    changes: &[Change],
) -> Result<Vec<Prospect>, AdapterError> {
    let mut absent = session.adapter.preflight(told)?;
    absent.retain(|prospect| prospect.absent.is_some());
    if !absent.is_empty() {
        let modules = |change: &Change| match &change.old_arch {
            Some(arch) => dpkg::modules_of(&change.package, arch, session.layout()),
            None => Vec::new(),
        };
        let changing: Vec<String> = changes.iter().flat_map(modules).collect();
        absent.retain(|prospect| !changing.contains(&prospect.id.dir_name()));
    }
    Ok(absent)
}
