//! The scripts around an install and uninstall: which may refuse, and which only warn.

use std::path::PathBuf;

use super::{Force, InstallError, Place};
use crate::conf::ModuleConf;
use crate::host::process::ProcessError;
use crate::report::{Event, Reporter};
use crate::script::{self, Hook, Outcome, Shell};

/// Runs `PRE_INSTALL`; where it fails, nothing is installed, unless by force.
pub(super) fn pre_install(
    place: &Place<'_>,
    conf: &ModuleConf,
    force: Force,
    reporter: &dyn Reporter,
) -> Result<(), InstallError> {
    let outcome =
        script::run(Hook::PreInstall, conf, &source(place), &shell(place, Hook::PreInstall), reporter)?;
    let said = outcome.last_line();
    let Outcome::Ran { line, code, .. } = outcome else { return Ok(()) };
    if code == 0 {
        return Ok(());
    }
    let refusal = InstallError::PreInstall { on: place.subject(), line, code, said };
    if force == Force::No {
        return Err(refusal);
    }
    reporter.report(Event::warning(format!("{refusal}; installed anyway, because of `--force`"), []));
    Ok(())
}

/// Runs a script whose failure is only a warning.
pub(super) fn run_hook(
    place: &Place<'_>,
    conf: &ModuleConf,
    hook: Hook,
    reporter: &dyn Reporter,
) -> Result<(), InstallError> {
    let trouble = match script::run(hook, conf, &source(place), &shell(place, hook), reporter) {
        Ok(Outcome::Ran { line, code, .. }) if code != 0 => format!("`{line}` ended with exit code {code}"),
        Ok(_) => return Ok(()),
        Err(error @ ProcessError::Interrupted { .. }) => return Err(error.into()),
        Err(error) => error.to_string(),
    };
    let text =
        format!("the {} script of {} for {} failed: {trouble}", hook.directive(), place.id, place.target());
    reporter.report(Event::warning(text, []));
    Ok(())
}

/// Scripts run in the `source` link.
fn source(place: &Place<'_>) -> PathBuf {
    place.layout.source_link(place.id)
}

fn shell<'a>(place: &Place<'a>, hook: Hook) -> Shell<'a> {
    let target = (hook != Hook::PostRemove).then_some(&place.kernel.target);
    let headers = target.map(|_| place.kernel.headers.as_path());
    Shell { layout: place.layout, id: place.id, target, headers, environment: place.environment }
}
