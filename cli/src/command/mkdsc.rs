//! `dkms mkdsc`

use dkms_base::exit::ExitCode;
use dkms_packaging::debian::mkdsc;

use super::package::{Subject, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes a source package.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    if args.binaries_only {
        return Err(Failure::new(
            ExitCode::INVALID_CONF,
            "`mkdsc` packs the source, and `--binaries-only` leaves nothing of it",
        ));
    }
    if args.archive.is_some() {
        return Err(Failure::new(
            ExitCode::BAD_OPTION,
            "a source package is several files, whose names dpkg wants as they are: `--archive` can't name it",
        ));
    }
    let subject = Subject::find(session, "dsc")?;
    let module = subject.module(session);
    let paths = mkdsc::paths(&module)?;
    subject.warn_of_left_out(session);
    if !args.dry_run {
        mkdsc::write(&module)?;
    }
    for path in paths.iter() {
        if !only_said(session, path) {
            wrote(session, path);
        }
    }
    Ok(())
}
