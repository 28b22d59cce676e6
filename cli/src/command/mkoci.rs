//! `dkms mkoci`

use dkms_packaging::oci::Image;

use super::package::{Subject, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes an OCI image of the modules that were built for the kernels that are named, or
/// for the one that runs.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let subject = Subject::find(session, "oci")?;
    let targets = subject.targets(session)?;
    let module = subject.module(session);
    let image = Image { module: &module, targets: &targets };
    image.check()?;
    if !only_said(session, &image.path()) {
        wrote(session, &image.write()?);
    }
    Ok(())
}
