//! `dkms mkdeb`

use dkms_archive::Contents;
use dkms_base::exit::ExitCode;
use dkms_packaging::debian::mkdeb::Wrapper;

use super::package::{Subject, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes a package of the source, and of what was built for the kernels that are named.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    let contents = match (args.binaries_only, args.source_only) {
        (true, true) => {
            return Err(Failure::new(
                ExitCode::INVALID_CONF,
                "`--binaries-only` and `--source-only` leave nothing to put into a package",
            ));
        }
        (true, false) => Contents::BinariesOnly,
        (false, true) => Contents::SourceOnly,
        (false, false) => Contents::SourceAndBinaries,
    };
    let subject = Subject::find(session, "deb")?;
    let mut targets = subject.named_targets(session)?;
    if contents == Contents::BinariesOnly && targets.is_empty() {
        targets = subject.default_targets(session)?;
    }
    let module = subject.module(session);
    let wrapper = Wrapper { module: &module, contents, targets: &targets };
    wrapper.check()?;
    if contents != Contents::BinariesOnly {
        subject.warn_of_left_out(session);
    }
    if !only_said(session, &wrapper.path()?) {
        wrote(session, &wrapper.write()?);
    }
    Ok(())
}
