//! How a command ends badly: the one place where errors get their exit code and their hints.

use dkms_core::exit::ExitCode;
use dkms_core::host::fs::FsError;
use dkms_core::id::IdError;
use dkms_core::plan::Refusal;

/// An error as the user is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code of the command.
    pub code: ExitCode,
    /// What failed, without a final period.
    pub message: String,
    /// What to do about it, a line each.
    pub hints: Vec<String>,
}

impl Failure {
    /// An error without hints.
    #[must_use]
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new() }
    }

    /// With one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        Self::new(ExitCode::INVALID_CONF, error.to_string())
    }
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        let failure = Self::new(ExitCode::USAGE_OR_RIGHTS, error.to_string());
        if error.is_no_space() {
            failure.hint("make room on that file system, then run the command again")
        } else {
            failure
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.exit_code(), message: refusal.to_string(), hints: refusal.hints() }
    }
}
