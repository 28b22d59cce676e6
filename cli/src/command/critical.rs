//! `dkms critical [M]`: which modules this machine can't boot or be reached without, each with the reason.
//! Reads only.

use dkms_core::critical::{self, Answer};
use dkms_core::plan::Refusal;
use serde_json::json;

use crate::failure::Failure;
use crate::render::{JSON_VERSION, say};
use crate::session::{Session, unless_interrupted};

/// Prints the answers: the critical ones first, then those that are not known.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let snapshot = session.snapshot()?;
    let only = session.invocation.name.as_ref();
    if let Some(name) = only.filter(|name| !snapshot.modules.keys().any(|id| id.name == **name)) {
        return Err(Refusal::UnknownModule { name: name.clone() }.into());
    }
    let names =
        snapshot.modules.keys().map(|id| &id.name).filter(|name| only.is_none_or(|only| only == *name));
    let names = names.cloned().collect();
    let found = critical::look_for(&names, &session.survey(), &snapshot, &session.installed_targets()?)?;
    unless_interrupted()?;
    let mut answers: Vec<_> = found.0.iter().collect();
    answers.sort_by_key(|(_, answer)| match answer.critical {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    });
    if session.args().json {
        let module = |(name, Answer { critical, why }): &(_, &Answer)| json!({"module": name, "critical": critical, "why": why});
        let modules: Vec<_> = answers.iter().map(module).collect();
        session.terminal.print(&json!({"version": JSON_VERSION, "modules": modules}).to_string());
        return Ok(());
    }
    if answers.is_empty() {
        say(session.terminal, "no module is in the tree");
    }
    for (name, Answer { critical, why }) in answers {
        let word = match critical {
            Some(true) => "critical",
            Some(false) => "not critical",
            None => "unknown",
        };
        session.terminal.print(&format!("{name}: {word}: {why}"));
    }
    Ok(())
}
