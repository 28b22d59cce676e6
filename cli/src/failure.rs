//! How a command ends badly: the one place where errors get their exit code and their hints.

use crate::action::nearest_of;
use dkms_archive::ArchiveError;
use dkms_base::exit::ExitCode;
use dkms_base::host::fs::FsError;
use dkms_base::host::process::ProcessError;
use dkms_base::id::IdError;
use dkms_core::build::{BuildError, Failure as BuildFailure};
use dkms_core::engine::{CarryOutError, NO_SPACE, StepError};
use dkms_core::install::InstallError;
use dkms_core::plan::Refusal;
use dkms_core::tree::LockError;
use dkms_kernel::DistributionError;
use dkms_packaging::PackageError;
use dkms_packaging::skeleton::SkeletonError;
use dkms_signing::SignError;

/// An error as it is shown to the user.
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

    /// A command line that can't be parsed: one line of what clap says, and where the rest is.
    #[must_use]
    pub fn of_command_line(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        let message = line.strip_prefix("error: ").unwrap_or(line);
        let failure = Self::new(ExitCode::BAD_OPTION, message);
        let tips = text.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
        // What clap advises for words that begin with `-` is no option of ours.
        let tips = tips.filter(|tip| !tip.contains("-- "));
        tips.fold(failure, |failure, tip| failure.hint(tip.replace('\'', "`")))
            .hint("`dkms --help` lists the options")
    }

    /// With the name that was probably meant, if `word` is similar to one.
    #[must_use]
    pub fn did_you_mean<'n>(self, word: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        match nearest_of(word, names) {
            Some(name) => self.hint(format!("Did you mean `{name}`?")),
            None => self,
        }
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
        if error.is_no_space() { failure.hint(NO_SPACE) } else { failure }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.exit_code(), message: refusal.to_string(), hints: refusal.hints() }
    }
}

impl From<DistributionError> for Failure {
    fn from(error: DistributionError) -> Self {
        Self::new(ExitCode::BROKEN, error.to_string())
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self { code: error.exit_code(), message: error.to_string(), hints: error.hints() }
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        Self { code: error.exit_code(), message: error.to_string(), hints: error.hints() }
    }
}

impl From<SkeletonError> for Failure {
    fn from(error: SkeletonError) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        let code = match error {
            ProcessError::Interrupted { .. } => ExitCode::INTERRUPTED,
            ProcessError::Start { .. }
            | ProcessError::TimedOut { .. }
            | ProcessError::TooMuchOutput { .. }
            | ProcessError::Refused { .. } => ExitCode::USAGE_OR_RIGHTS,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let code = match &error.failure {
            BuildFailure::PatchMissing { .. } => ExitCode::NOT_ALLOWED,
            BuildFailure::PatchFailed { .. } | BuildFailure::Compress { .. } => ExitCode::CANNOT_INSTALL,
            BuildFailure::NoSource(_) | BuildFailure::BuildEnvironment { .. } => ExitCode::INVALID_CONF,
            BuildFailure::ModuleNotBuilt(_) | BuildFailure::NoModule(_) => ExitCode::NOT_BUILT,
            BuildFailure::MakeFailed { .. }
            | BuildFailure::NoCompiler(_)
            | BuildFailure::TimedOut { .. }
            | BuildFailure::ModuleTooLarge { .. }
            | BuildFailure::ModuleSparse { .. }
            | BuildFailure::CacheEntryGone
            | BuildFailure::TooMuchLeft { .. } => ExitCode::MAKE_FAILED,
            BuildFailure::ScriptFailed { code, .. } => of_script(*code),
            BuildFailure::Process(ProcessError::Interrupted { .. }) => ExitCode::INTERRUPTED,
            BuildFailure::Process(_) | BuildFailure::Fs(_) | BuildFailure::NotWanted => {
                ExitCode::USAGE_OR_RIGHTS
            }
        };
        Self { code, message: error.to_string(), hints: error.hints() }
    }
}

/// A script's exit code is passed on; one that doesn't fit, or means success, becomes 1.
fn of_script(code: i32) -> ExitCode {
    u8::try_from(code).ok().filter(|code| *code != 0).map_or(ExitCode::USAGE_OR_RIGHTS, ExitCode)
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let code = match &error {
            InstallError::PreInstall { .. } => ExitCode::PRE_INSTALL_FAILED,
            InstallError::Process(ProcessError::Interrupted { .. }) => ExitCode::INTERRUPTED,
            InstallError::NoKernelFolder { .. }
            | InstallError::BuiltMissing { .. }
            | InstallError::BuiltDamaged { .. }
            | InstallError::NothingInstalled { .. }
            | InstallError::Depmod { .. }
            | InstallError::Files { .. }
            | InstallError::DepmodFiles { .. }
            | InstallError::Process(_)
            | InstallError::NotUndone { .. } => ExitCode::CANNOT_INSTALL,
        };
        Self { code, message: error.to_string(), hints: error.hints() }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match &error {
            // Where modules are put in place or taken out, what can't be written is reported as there.
            LockError::Files { keys, .. } if keys.has_kernel() => ExitCode::CANNOT_INSTALL,
            LockError::Files { .. } | LockError::TimedOut { .. } => ExitCode::USAGE_OR_RIGHTS,
            LockError::Interrupted { .. } => ExitCode::INTERRUPTED,
        };
        Self { code, message: error.to_string(), hints: error.hints() }
    }
}

impl From<CarryOutError> for Failure {
    fn from(error: CarryOutError) -> Self {
        match error {
            CarryOutError::Fs(error) => error.into(),
            CarryOutError::Lock(error) => error.into(),
            CarryOutError::Interrupted => Self::new(ExitCode::INTERRUPTED, error.to_string()),
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Refused(error) => error.into(),
            StepError::Build(error) => error.into(),
            StepError::Install(error) => error.into(),
            StepError::Bundle(error) => error.into(),
            StepError::Fs(error) => error.into(),
            StepError::Process(error) => error.into(),
            StepError::Script { code, .. } => Self::new(of_script(code), error.to_string()),
            StepError::Bug { .. } => {
                Self { code: ExitCode::USAGE_OR_RIGHTS, message: error.to_string(), hints: error.hints() }
            }
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { code: ExitCode::USAGE_OR_RIGHTS, message: error.to_string(), hints }
    }
}
