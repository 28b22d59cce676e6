//! `dkms mkrpm`

use dkms_core::exit::ExitCode;
use dkms_packaging::mkrpm;

use super::package::{Subject, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes an rpm package of the source.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    if args.binaries_only || !session.invocation.kernels.is_empty() {
        return Err(Failure::new(
            ExitCode::INVALID_CONF,
            "`mkrpm` packs the source alone: built modules can't go in yet",
        ));
    }
    let subject = Subject::find(session, "rpm")?;
    let module = subject.module(session);
    if !only_said(session, &mkrpm::path(&module)?) {
        wrote(session, &mkrpm::write(&module)?);
    }
    Ok(())
}
