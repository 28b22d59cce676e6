//! `dkms mkbmdeb`

use dkms_base::exit::ExitCode;
use dkms_packaging::debian::mkbmdeb::BuiltModules;

use super::package::{Subject, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes a package of the built modules for each kernel that is named, or for the one that runs.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    if args.source_only {
        return Err(Failure::new(
            ExitCode::INVALID_CONF,
            "`mkbmdeb` packs what was built, and `--source-only` leaves nothing of it",
        ));
    }
    let subject = Subject::find(session, "bmdeb")?;
    let targets = subject.targets(session)?;
    if args.archive.is_some() && targets.len() > 1 {
        return Err(Failure::new(
            ExitCode::BAD_OPTION,
            format!(
                "{} packages, one for each kernel, can't all be the one file of `--archive`",
                targets.len()
            ),
        )
        .hint("name one kernel with `-k`"));
    }
    let module = subject.module(session);
    let packages: Vec<_> = targets.iter().map(|target| BuiltModules { module: &module, target }).collect();
    // All or, where one can't be had, none that wasn't there before.
    packages.iter().try_for_each(|package| package.check())?;
    for package in packages {
        if !only_said(session, &package.path()?) {
            wrote(session, &package.write()?);
        }
    }
    Ok(())
}
