//! `dkms boot`: what boots next, and what is held back and why; `dkms boot hold K`,
//! `dkms boot release K|all`.

use dkms_base::exit::ExitCode;
use dkms_base::host::clock;
use dkms_base::id::KernelRelease;
use dkms_conf::settings::BootGuard;
use dkms_core::boot::{BootError, Decision, Fitness, Guard, Report, Row};
use dkms_core::critical;
use serde_json::json;

use crate::action::Rights;
use crate::failure::Failure;
use crate::render::{JSON_VERSION, say, warn};
use crate::rights;
use crate::session::{Session, unless_interrupted};

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        Self::new(ExitCode::USAGE_OR_RIGHTS, error.to_string())
    }
}

/// Shows, holds or releases.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let guard = Guard {
        layout: &session.settings.layout,
        environment: session.environment,
        mode: session.settings.boot_guard,
    };
    let usage = |text: String| {
        Failure::new(ExitCode::BAD_OPTION, text).hint("dkms boot [status|hold K|release K|all]")
    };
    let words = &session.invocation.ignored;
    let word = session.invocation.name.as_ref().map(|name| name.as_str());
    match (word, words.as_slice()) {
        (None | Some("status"), []) => status(session, &guard),
        (Some("hold"), [kernel]) => hold(session, &guard, &KernelRelease::new(kernel.as_str())?),
        (Some("release"), [kernel]) => release(session, &guard, kernel),
        (Some(command @ ("hold" | "release")), []) => {
            Err(usage(format!("`dkms boot {command}` needs a kernel")))
        }
        (None | Some("status" | "hold" | "release"), [.., other]) => {
            Err(usage(format!("`{other}` is one word too many")))
        }
        (Some(other), _) => Err(usage(format!("`dkms boot` cannot `{other}`"))),
    }
}

fn look(session: &Session<'_>, guard: &Guard<'_>) -> Result<Report, Failure> {
    let (snapshot, survey, installed) = (session.snapshot()?, session.survey(), session.installed_targets()?);
    let critical = critical::look(&survey, &snapshot, &installed)?;
    let standings = critical::standings(&critical, &survey, &snapshot, &installed)?;
    unless_interrupted()?;
    Ok(guard.look(&installed, &standings, critical.names().next().is_some()))
}

fn status(session: &Session<'_>, guard: &Guard<'_>) -> Result<(), Failure> {
    let report = look(session, guard)?;
    if session.args().json {
        session.terminal.print(&document(guard, &report).to_string());
        return Ok(());
    }
    session.terminal.print(&match &report.menu.next {
        Some(next) => format!("boots next: {next} ({})", report.menu.loader.word()),
        None => format!("what boots next is not known (boot loader: {})", report.menu.loader.word()),
    });
    if let Some(unclear) = &report.menu.unclear {
        session.terminal.print(&format!("nothing is held: {unclear}"));
    }
    for row in &report.rows {
        lines(&report, row).iter().for_each(|line| session.terminal.print(line));
    }
    Ok(())
}

fn word(fitness: Fitness) -> &'static str {
    match fitness {
        Fitness::Fit => "proven",
        Fitness::Unfit => "refuted",
        Fitness::Unclear => "unknown",
    }
}

fn marks(report: &Report, row: &Row) -> Vec<&'static str> {
    let is = |kernel: &Option<KernelRelease>| kernel.as_ref() == Some(&row.kernel);
    let all = [
        (is(&report.state.running), "running"),
        (is(&report.menu.next), "boots next"),
        (is(&report.state.last_good), "last good"),
        (report.state.explicit.contains(&row.kernel), "default set by the admin"),
        (row.hold.is_some(), "held"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).collect()
}

fn lines(report: &Report, row: &Row) -> Vec<String> {
    let marks = marks(report, row);
    let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
    let mut lines = vec![format!("{}{marks}: {}", row.kernel, word(row.fitness))];
    lines.extend(row.modules.iter().map(|module| format!("  {module}")));
    if let Some(hold) = &row.hold {
        lines.push(format!("  held since {}: {}", clock::rfc2822(hold.when), hold.why));
    }
    match row.decision {
        Decision::Warn => lines.push(format!("  `dkms boot hold {}` holds it back", row.kernel)),
        Decision::Refuse(why) => lines.push(format!("  it is not held: {why}")),
        Decision::Keep | Decision::Stay | Decision::Hold | Decision::Release => {}
    }
    lines
}

fn document(guard: &Guard<'_>, report: &Report) -> serde_json::Value {
    let kernel = |row: &Row| {
        let modules: Vec<_> = row
            .modules
            .iter()
            .map(|module| {
                json!({
                    "module": module.id.name,
                    "version": module.id.version,
                    "critical": module.critical,
                    "verdict": module.verdict.word(),
                    "reason": module.reason,
                })
            })
            .collect();
        let marks = marks(report, row);
        json!({
            "kernel": row.kernel,
            "entries": row.entries,
            "verdict": word(row.fitness),
            "modules": modules,
            "running": marks.contains(&"running"),
            "next": marks.contains(&"boots next"),
            "last_good": marks.contains(&"last good"),
            "explicit": marks.contains(&"default set by the admin"),
            "held": row.hold.is_some(),
            "why": row.hold.as_ref().map(|hold| &hold.why),
            "when": row.hold.as_ref().map(|hold| hold.when),
            "refused": match row.decision {
                Decision::Refuse(why) => Some(why.to_string()),
                _ => None,
            },
        })
    };
    let mode = match guard.mode {
        BootGuard::Warn => "warn",
        BootGuard::Hold => "hold",
        BootGuard::Off => "off",
    };
    json!({
        "version": JSON_VERSION,
        "boot_guard": mode,
        "loader": report.menu.loader.word(),
        "next": report.menu.next,
        "running": report.state.running,
        "unclear": report.menu.unclear,
        "kernels": report.rows.iter().map(kernel).collect::<Vec<_>>(),
    })
}

fn hold(session: &Session<'_>, guard: &Guard<'_>, kernel: &KernelRelease) -> Result<(), Failure> {
    rights::check_for(Rights::Root, session.invocation.action, &session.settings)?;
    let report = look(session, guard)?;
    if report.rows.iter().any(|row| row.kernel == *kernel && row.hold.is_some()) {
        say(session.terminal, format!("kernel {kernel} is held already"));
        return Ok(());
    }
    if session.args().dry_run {
        return Ok(());
    }
    let warning = guard.hold(&report, kernel, "by hand: `dkms boot hold`", true)?;
    warning.into_iter().for_each(|text| warn(session.terminal, text));
    say(
        session.terminal,
        format!("kernel {kernel} is held; `dkms boot release {kernel}` puts back what was before"),
    );
    Ok(())
}

fn release(session: &Session<'_>, guard: &Guard<'_>, word: &str) -> Result<(), Failure> {
    rights::check_for(Rights::Root, session.invocation.action, &session.settings)?;
    let kernels = match word {
        "all" => guard.held().into_iter().map(|(kernel, _)| kernel).collect(),
        kernel => vec![KernelRelease::new(kernel)?],
    };
    if kernels.is_empty() {
        say(session.terminal, "no kernel is held");
    }
    for kernel in kernels.iter().filter(|_| !session.args().dry_run) {
        guard.release(kernel)?.into_iter().for_each(|text| warn(session.terminal, text));
        say(session.terminal, format!("kernel {kernel} is released"));
    }
    Ok(())
}
