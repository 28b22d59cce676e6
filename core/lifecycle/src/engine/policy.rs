//! What a batch's failures mean to a package manager. Pure.

use super::run::Outcome;
use crate::conf::settings::OnBuildFailure;
use crate::exit::ExitCode;

/// How an adapter ends: a module that can't be built is reported and recorded, and fails the transaction only
/// where the admin wants that.
#[must_use]
pub fn exit_of_adapter(outcome: &Outcome, policy: OnBuildFailure) -> ExitCode {
    match policy {
        OnBuildFailure::Fail if !outcome.failures.is_empty() => ExitCode::USAGE_OR_RIGHTS,
        OnBuildFailure::Fail | OnBuildFailure::Report => ExitCode::SUCCESS,
    }
}
