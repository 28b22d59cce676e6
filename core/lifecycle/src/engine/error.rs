//! Why a step failed.

use crate::build::BuildError;
use crate::host::fs::FsError;
use crate::host::process::ProcessError;
use crate::id::ModuleId;
use crate::install::InstallError;
use crate::plan::Refusal;

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
    /// A prebuilt module can't be put into the tree.
    #[error(transparent)]
    Bundle(#[from] dkms_archive::ArchiveError),
    /// A change of the tree failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A process could not be run, or we were interrupted.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl StepError {
    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused(error) => error.hints(),
            Self::Build(error) => error.hints(),
            Self::Install(error) => error.hints(),
            Self::Fs(error) if error.is_no_space() => vec![NO_SPACE.to_owned()],
            Self::Bug { .. } => vec!["please report it, with the lines above".to_owned()],
            Self::Script { .. } | Self::Bundle(_) | Self::Fs(_) | Self::Process(_) => Vec::new(),
        }
    }
}

/// What helps where a file system is full.
pub const NO_SPACE: &str = "free space on that file system, then run the command again";
