//! `dkms generate_mok`: makes the signing key and its certificate.

use dkms_core::sign::{self, Pair};

use crate::failure::Failure;
use crate::render::say;
use crate::session::Session;

/// Makes the pair for the kernel that runs (settings may name one for each kernel), where there is none.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    for target in session.targets()? {
        let kernel = session.survey().kernel(&target)?;
        let pair = sign::key_pair(&session.settings, &kernel, session.distribution, session.environment);
        let (key, certificate) = (&pair.key, pair.certificate.display());
        if session.args().dry_run {
            session.terminal.only_step(&format!("make `{key}` and `{certificate}` where they are missing"));
            continue;
        }
        match sign::provide(&pair, session.distribution, session.environment)? {
            Pair::Kept => say(
                session.terminal,
                format!("The key `{key}` and its certificate `{certificate}` are there"),
            ),
            Pair::Made => say(
                session.terminal,
                format!(
                    "Made the key `{key}` and its certificate `{certificate}`; to enrol it: `mokutil --import {certificate}`"
                ),
            ),
        }
    }
    Ok(())
}
