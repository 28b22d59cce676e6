//! Why a step failed.

use crate::build::BuildError;
use crate::host::fs::FsError;
use crate::host::process::ProcessError;
use crate::id::ModuleId;
use crate::install::InstallError;
use crate::plan::Refusal;
use crate::sign::SignError;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It was decided not to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The build failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Putting in place or taking out failed, or depmod.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The key pair can't be used.
    #[error("module `{id}` can't be signed: {source}")]
    Sign {
        /// The module.
        id: ModuleId,
        /// Why.
        source: SignError,
    },
    /// A script failed.
    #[error("the {hook} script of module `{id}` failed: `{line}` ended with exit code {code}")]
    Script {
        /// The directive.
        hook: &'static str,
        /// The module.
        id: ModuleId,
        /// The command.
        line: String,
        /// Its exit code.
        code: i32,
    },
    /// We have a bug.
    #[error("an internal error of dkms: it could not {what}")]
    Bug {
        /// What was tried.
        what: String,
    },
    /// A change of the tree failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A process could not be run, or we were interrupted.
    #[error(transparent)]
    Process(#[from] ProcessError),
}
