//! `dkms boot`: what boots next, and what is held back and why; `dkms boot hold K`,
//! `dkms boot release K|all`;
//! `dkms boot reconcile` for kernel-install's plugin, `dkms boot fit` for dkms-fit.service and greenboot.

use dkms_base::exit::ExitCode;
use dkms_base::host::clock;
use dkms_base::id::{KernelRelease, Target};
use dkms_conf::settings::BootGuard;
use dkms_core::boot::{BootError, Decision, Fitness, Guard, Kernels, Report, Row, Stage, notice};
use dkms_core::critical::{self, Standing};
use serde_json::json;

use crate::action::Rights;
use crate::failure::Failure;
use crate::package_script::will_look_at_images;
use crate::render::{JSON_VERSION, say, warn};
use crate::rights;
use crate::session::{Session, unless_interrupted};

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        let error = match error {
            BootError::Lock(error) => return error.into(),
            error => error,
        };
        let failure = Self::new(ExitCode::USAGE_OR_RIGHTS, error.to_string());
        error.hints().into_iter().fold(failure, Self::hint)
    }
}

fn guard<'a>(session: &'a Session<'_>) -> Guard<'a> {
    Guard {
        layout: &session.settings.layout,
        environment: session.environment,
        mode: session.settings.boot_guard,
        lock_timeout: session.settings.lock_timeout,
        reporter: session.terminal,
    }
}

/// After a command that may have changed which modules a kernel has: releases, holds and tells what follows
/// from it. In a script of a package the hook at the end of the transaction does.
pub(super) fn after_change(session: &Session<'_>) {
    let (guard, layout) = (guard(session), &session.settings.layout);
    let concerns = guard.mode == BootGuard::Hold || !guard.held().is_empty() || notice::is_shown(layout);
    if !concerns || session.args().dry_run || will_look_at_images(session.environment, layout) {
        return;
    }
    let lines = match Known::look(session) {
        Ok(known) => guard.reconcile(&known.kernels()),
        Err(failure) if failure.code == ExitCode::INTERRUPTED => return,
        Err(failure) => vec![format!("the boot guard does nothing: {}", failure.message)],
    };
    lines.into_iter().for_each(|line| warn(session.terminal, line));
}

/// Shows, holds or releases.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let guard = guard(session);
    let usage = |text: String| {
        Failure::new(ExitCode::BAD_OPTION, text).hint("dkms boot [status|hold K|release K|all]")
    };
    let words = &session.invocation.ignored;
    let word = session.invocation.name.as_ref().map(|name| name.as_str());
    match (word, words.as_slice()) {
        (None | Some("status"), []) => status(session, &guard),
        (Some("hold"), [kernel]) => hold(session, &guard, &KernelRelease::new(kernel.as_str())?),
        (Some("release"), [kernel]) => release(session, &guard, kernel),
        (Some("reconcile"), []) => reconcile(session, &guard),
        (Some("fit"), []) => fit(session, &guard),
        (Some(command @ ("hold" | "release")), []) => {
            Err(usage(format!("`dkms boot {command}` needs a kernel")))
        }
        (None | Some("status" | "hold" | "release" | "reconcile" | "fit"), [.., other]) => {
            Err(usage(format!("`{other}` is one word too many")))
        }
        (Some(other), _) => {
            let words = ["status", "hold", "release", "reconcile", "fit"];
            Err(usage(format!("`dkms boot` cannot `{other}`")).did_you_mean(other, words))
        }
    }
}

/// What is known of the kernels: slow, and the same whatever becomes of the boot configuration meanwhile.
struct Known {
    installed: Vec<Target>,
    standings: Vec<Standing>,
    has_critical: bool,
}

impl Known {
    fn look(session: &Session<'_>) -> Result<Self, Failure> {
        let (snapshot, survey) = (session.snapshot()?, session.survey());
        let installed = session.installed_targets()?;
        let critical = critical::look(&survey, &snapshot, &installed)?;
        let standings = critical::standings(&critical, &survey, &snapshot, &installed)?;
        unless_interrupted()?;
        Ok(Self { installed, standings, has_critical: critical.names().next().is_some() })
    }

    fn kernels(&self) -> Kernels<'_> {
        let Self { installed, standings, has_critical } = self;
        Kernels { installed, standings, has_critical: *has_critical }
    }
}

fn status(session: &Session<'_>, guard: &Guard<'_>) -> Result<(), Failure> {
    let report = guard.look(&Known::look(session)?.kernels());
    if session.args().json {
        session.terminal.print(&document(guard, &report).to_string());
        return Ok(());
    }
    session.terminal.print(&match &report.menu.next {
        Some(next) => format!("boots next: {next} ({})", report.menu.loader.word()),
        None => format!("what boots next is not known (boot loader: {})", report.menu.loader.word()),
    });
    if let Some(unclear) = &report.menu.unclear {
        session.terminal.print(&format!("no kernel will be held: {unclear}"));
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
        lines.push(match hold.stage {
            Stage::Held => format!("  held since {}: {}", clock::rfc2822(hold.when), hold.why),
            Stage::Holding | Stage::Releasing => format!(
                "  a command that held or released it was interrupted: `dkms boot release {}` finishes it",
                row.kernel
            ),
        });
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
    let known = Known::look(session)?;
    if session.args().dry_run {
        return Ok(());
    }
    let _locked = guard.lock()?;
    guard.finish(&known.kernels()).into_iter().for_each(|line| warn(session.terminal, line));
    let report = guard.look(&known.kernels());
    if report.rows.iter().any(|row| row.kernel == *kernel && row.hold.is_some()) {
        say(session.terminal, format!("kernel {kernel} is held already"));
        return Ok(());
    }
    guard.hold(&report, kernel, "by hand: `dkms boot hold`", true)?;
    guard.notify(&known.kernels());
    say(
        session.terminal,
        format!("kernel {kernel} is held; `dkms boot release {kernel}` puts back what was before"),
    );
    Ok(())
}

fn release(session: &Session<'_>, guard: &Guard<'_>, word: &str) -> Result<(), Failure> {
    rights::check_for(Rights::Root, session.invocation.action, &session.settings)?;
    let only = match word {
        "all" => None,
        kernel => Some(KernelRelease::new(kernel)?),
    };
    // What stays held beside it needs to know what it is held for.
    let known = only.is_some().then(|| Known::look(session)).transpose()?;
    if session.args().dry_run {
        return Ok(());
    }
    let _locked = guard.lock()?;
    let was_held = only.as_ref().is_some_and(|kernel| guard.held().iter().any(|(held, _)| held == kernel));
    if let Some(known) = &known {
        guard.finish(&known.kernels()).into_iter().for_each(|line| warn(session.terminal, line));
    }
    let kernels = match only {
        None => guard.held().into_iter().map(|(kernel, _)| kernel).collect(),
        Some(kernel) => vec![kernel],
    };
    if kernels.is_empty() {
        say(session.terminal, "no kernel is held");
    }
    for kernel in &kernels {
        let report = known.as_ref().map(|known| guard.look(&known.kernels()));
        match guard.release(kernel, report.as_ref()) {
            // A command that was killed had begun to release it.
            Err(BootError::NotHeld(_)) if was_held => {}
            result => result?,
        }
        say(session.terminal, format!("kernel {kernel} is released"));
    }
    match &known {
        Some(known) => guard.notify(&known.kernels()),
        None => notice::forget(&session.settings.layout),
    }
    Ok(())
}

/// What is held stays held, whatever kernel-install has written; nothing else is decided.
fn reconcile(session: &Session<'_>, guard: &Guard<'_>) -> Result<(), Failure> {
    rights::check_for(Rights::Root, session.invocation.action, &session.settings)?;
    if guard.held().is_empty() {
        return Ok(());
    }
    let known = Known::look(session)?;
    guard.restore(&known.kernels())?.into_iter().for_each(|line| warn(session.terminal, line));
    Ok(())
}

/// Whether the running kernel has each critical module. Fails only with `boot_guard=hold`: a module that is
/// wrongly taken for critical must cost no more than a warning.
fn fit(session: &Session<'_>, guard: &Guard<'_>) -> Result<(), Failure> {
    let known = Known::look(session)?;
    let Some((running, lacking)) = guard.check_running(&known.kernels()) else {
        say(session.terminal, "the running kernel is not installed in this system: nothing is checked");
        return Ok(());
    };
    if lacking.is_empty() {
        say(session.terminal, format!("kernel {running} lacks no module that this machine needs"));
        return Ok(());
    }
    match guard.mode {
        BootGuard::Hold => Err(Failure::new(ExitCode::REFUTED, lacking.join("; "))
            .hint("`dkms boot` shows each kernel; with `boot_guard=hold` this boot does not count as good")),
        BootGuard::Warn => {
            lacking.into_iter().for_each(|line| warn(session.terminal, line));
            Ok(())
        }
        BootGuard::Off => Ok(()),
    }
}
