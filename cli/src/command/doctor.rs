//! `dkms doctor [--fix]`: what is wrong, why, and the command that fixes it; with `--fix`
//! it does what is safe.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::report::{Event, Reporter};
use dkms_core::doctor::{self, Finding, Fix, Severity, mend};
use dkms_core::event::Batch;
use dkms_core::plan::Work;
use dkms_core::tree::owed;
use serde_json::json;

use crate::action::Rights;
use crate::failure::Failure;
use crate::render::{JSON_VERSION, say};
use crate::rights;
use crate::session::{Session, unless_interrupted};

/// Looks, tells, and fixes where that is asked for.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    let found = findings(session)?;
    let fixes: BTreeSet<Fix> = found.iter().filter_map(|finding| finding.fix.clone()).collect();
    if !args.fix || args.dry_run || fixes.is_empty() {
        tell(session, &found, &[]);
        return verdict(&found, "is wrong");
    }
    rights::check_for(Rights::Tree, session.invocation.action, &session.settings)?;
    if !args.json {
        tell(session, &found, &[]);
    }
    let mut mended = Vec::new();
    for fix in &fixes {
        do_one(session, &text(fix), &mut mended, || apply(session, fix))?;
    }
    let left = findings(session)?;
    if args.json {
        tell(session, &left, &mended);
    } else if left.is_empty() {
        session.terminal.print("nothing is left to fix");
    } else {
        session.terminal.print("\nwhat is left:");
        tell(session, &left, &mended);
    }
    verdict(&left, "is still wrong")
}

fn findings(session: &Session<'_>) -> Result<Vec<Finding>, Failure> {
    let survey = session.survey();
    let installed = session.installed_targets()?;
    let facts = doctor::look(&session.settings, &survey, &installed, session.setting_faults.clone())?;
    unless_interrupted()?;
    let mut findings = doctor::examine(&facts);
    for command in findings.iter_mut().filter_map(|finding| finding.command.as_mut()) {
        *command = session.terminal.command(command);
    }
    Ok(findings)
}

/// One repair; that it fails keeps nobody from trying the next, but an interruption does.
fn do_one(
    session: &Session<'_>,
    text: &str,
    mended: &mut Vec<String>,
    repair: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    say(session.terminal, format!("Fixing: {text}"));
    match repair() {
        Ok(()) => {
            mended.push(text.to_owned());
            Ok(())
        }
        Err(failure) if failure.code == ExitCode::INTERRUPTED => Err(failure),
        Err(Failure { message, hints, .. }) => {
            session.terminal.report(Event::Failed { module: None, target: None, text: message, hints });
            Ok(())
        }
    }
}

fn apply(session: &Session<'_>, fix: &Fix) -> Result<(), Failure> {
    match fix {
        Fix::Register(id) => session.carry_out(&Work::Add { id: id.clone(), source: None }),
        Fix::DropKernel(target) => {
            let leaving_kernels = [target.clone()].into();
            session.carry_out(&Work::Batch(Batch { leaving_kernels, ..Batch::default() }))
        }
        Fix::Remove(path) => Ok(mend::remove(path)?),
        Fix::Unlink(link) => Ok(mend::unlink(link)?),
        // The next command that changes something runs what is pending, and puts in order what was
        // interrupted, even if it has nothing else to do.
        Fix::Depmod(target) => {
            owed::note(&session.settings.layout, target)?;
            session.carry_out(&Work::Batch(Batch::default()))
        }
        Fix::Recover => session.carry_out(&Work::Batch(Batch::default())),
    }
}

fn text(fix: &Fix) -> String {
    match fix {
        Fix::Register(id) => format!("add {id}"),
        Fix::DropKernel(target) => format!("drop what was built for kernel {}", target.kernel),
        Fix::Remove(path) | Fix::Unlink(path) => format!("remove `{}`", path.display()),
        Fix::Depmod(target) => format!("depmod for kernel {}", target.kernel),
        Fix::Recover => "finish or undo interrupted work".to_owned(),
    }
}

fn tell(session: &Session<'_>, findings: &[Finding], mended: &[String]) {
    if session.args().json {
        return session.terminal.print(&document(findings, mended));
    }
    if findings.is_empty() {
        session.terminal.print("nothing is wrong");
    }
    lines(findings).iter().for_each(|line| session.terminal.print(line));
}

/// Findings with the same command stand together, with the command below them.
fn lines(findings: &[Finding]) -> Vec<String> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let is_same = |group: &&mut Vec<&Finding>| {
            group.iter().any(|other| other.command.is_some() && other.command == finding.command)
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    let mut lines = Vec::new();
    for group in groups {
        for finding in &group {
            lines.push(format!("{}: {}", finding.severity.word(), finding.what));
            lines.extend(finding.why.iter().map(|why| format!("  why: {why}")));
        }
        let command = group.first().and_then(|finding| finding.command.as_ref());
        lines.extend(command.map(|command| format!("  fix: {command}")));
    }
    lines
}

fn document(findings: &[Finding], mended: &[String]) -> String {
    let list: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "severity": finding.severity.word(),
                "kind": finding.kind,
                "module": finding.module.as_ref().map(|id| &id.name),
                "version": finding.module.as_ref().map(|id| &id.version),
                "kernel": finding.target.as_ref().map(|target| &target.kernel),
                "arch": finding.target.as_ref().map(|target| &target.arch),
                "critical": finding.critical,
                "what": finding.what,
                "why": finding.why,
                "command": finding.command,
                "fixable": finding.fix.is_some(),
            })
        })
        .collect();
    json!({"version": JSON_VERSION, "findings": list, "mended": mended}).to_string()
}

fn verdict(findings: &[Finding], is: &str) -> Result<(), Failure> {
    let problems = findings.iter().filter(|finding| finding.severity == Severity::Problem);
    let (count, fixable) = problems.fold((0, false), |(n, any), one| (n + 1, any || one.fix.is_some()));
    let text = match count {
        0 => return Ok(()),
        1 => format!("one thing {is}"),
        _ => format!("{count} things {}", is.replacen("is", "are", 1)),
    };
    let failure = Failure::new(ExitCode::USAGE_OR_RIGHTS, text);
    Err(if fixable { failure.hint("`dkms doctor --fix` fixes what can be fixed safely") } else { failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_with_the_same_command_stand_together() {
        let finding = |what: &str, command: Option<&str>| Finding {
            severity: Severity::Problem,
            kind: "not-installed",
            module: None,
            target: None,
            what: what.to_owned(),
            why: None,
            command: command.map(str::to_owned),
            critical: None,
            fix: None,
        };
        let found = [
            finding("a is missing", Some("dkms autoinstall -k K")),
            finding("odd", None),
            finding("b is missing", Some("dkms autoinstall -k K")),
            finding("odder", None),
        ];
        let expected = [
            "problem: a is missing",
            "problem: b is missing",
            "  fix: dkms autoinstall -k K",
            "problem: odd",
            "problem: odder",
        ];
        assert_eq!(lines(&found), expected);
    }
}
