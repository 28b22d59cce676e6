//! `dkms mkkmp`

use dkms_packaging::mkrpm::kmp::Kmp;

use super::package::{Subject, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes the source package of a kernel module package.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let subject = Subject::find(session, "rpm")?;
    let module = subject.module(session);
    let kmp = Kmp::new(&module, session.args().spec.as_deref())?;
    subject.warn_of_left_out(session);
    if !only_said(session, &kmp.path()) {
        wrote(session, &kmp.write()?);
    }
    Ok(())
}
