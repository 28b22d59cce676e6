//! `dkms preflight`: which modules in use will not be there on a kernel, why, and what
//! would help. Reads only.

use dkms_base::exit::ExitCode;
use dkms_core::event::Happening;
use dkms_core::plan::preflight::{self, Prospect, Question};
use serde_json::json;

use crate::failure::Failure;
use crate::render::{JSON_VERSION, Terminal};
use crate::session::{Session, unless_interrupted};

/// Prints what becomes of the modules in use.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    let targets = session.targets()?;
    let mut told = Vec::new();
    for target in &targets {
        if args.kernel_coming {
            told.push(Happening::KernelArrived(target.clone()));
        }
        if args.headers_coming {
            told.push(Happening::HeadersArrived(target.clone()));
        }
    }
    let snapshot = session.snapshot()?;
    let survey = session.survey();
    let kernels = survey.kernels(&session.installed_targets()?)?;
    let question = Question::of(&told, &snapshot, &kernels).also_about(&targets);
    let asked: Vec<_> = question.kernels.iter().map(|target| target.kernel.to_string()).collect();
    let prospects = survey.prospects(question, session.options(), snapshot)?;
    unless_interrupted()?;
    if args.json {
        session.terminal.print(&document(session.terminal, &prospects));
    } else if prospects.is_empty() {
        session.terminal.print("no module is in use");
    } else {
        prospects
            .iter()
            .for_each(|prospect| session.terminal.print(&session.terminal.sentence(&prospect.to_string())));
    }
    let absent = prospects.iter().filter(|prospect| prospect.absent.is_some()).count();
    if absent == 0 {
        return Ok(());
    }
    let modules = if absent == 1 { "1 module".to_owned() } else { format!("{absent} modules") };
    Err(Failure::new(
        ExitCode::USAGE_OR_RIGHTS,
        format!("{modules} in use will not be there on kernel {}", asked.join(", ")),
    ))
}

fn document(terminal: &Terminal, prospects: &[Prospect]) -> String {
    let modules: Vec<_> = prospects
        .iter()
        .map(|prospect| {
            let Prospect { id, target, absent, brought_by, critical, foreseen, standing } = prospect;
            json!({
                "module": id.name,
                "version": id.version,
                "kernel": target.kernel,
                "arch": target.arch,
                "there": absent.is_none(),
                "standing": standing.word(),
                "brought_by": brought_by,
                "critical": critical,
                "forecast": foreseen.as_ref().map(ToString::to_string),
                "reason": absent.as_ref().map(preflight::Absent::word),
                "text": absent.as_ref().map(ToString::to_string),
                "remedy": prospect.remedy().map(|remedy| terminal.sentence(&remedy)),
            })
        })
        .collect();
    json!({"version": JSON_VERSION, "modules": modules}).to_string()
}
