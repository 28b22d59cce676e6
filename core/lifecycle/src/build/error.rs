//! Why a build failed. Which exit code that gives is decided at the edge, by matching [`Failure`].

use std::path::PathBuf;

use crate::host::fs::FsError;
use crate::host::process::ProcessError;
use crate::id::{ModuleId, Target};
use crate::kernel::MissingCompiler;
use crate::modfile::CompressError;
use crate::script::Hook;
use crate::verify::Fault;
use dkms_base::diagnose::Diagnosis;

use super::log::LogError;

/// A build that failed: what, for which kernel, why, and where more is to be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot build {} for kernel {} ({}): {failure}", attempt.id, attempt.target.kernel, attempt.target.arch)]
pub struct BuildError {
    /// What was tried.
    pub attempt: Box<Attempt>,
    /// Why it failed.
    #[source]
    pub failure: Failure,
}

/// A build that was tried.
#[derive(Debug)]
pub struct Attempt {
    /// Of which module.
    pub id: ModuleId,
    /// For which kernel.
    pub target: Target,
    /// Its log, where it came as far as to have one.
    pub log: Option<PathBuf>,
    /// What that log says.
    pub diagnosis: Diagnosis,
}

impl BuildError {
    /// One without a log.
    pub(crate) fn new(id: &ModuleId, target: &Target, failure: Failure) -> Self {
        let (log, diagnosis) = (None, Diagnosis::default());
        Self {
            attempt: Box::new(Attempt { id: id.clone(), target: target.clone(), log, diagnosis }),
            failure,
        }
    }

    /// Whether we were asked to stop.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        matches!(self.failure, Failure::Process(ProcessError::Interrupted { .. }))
    }

    /// Whether nothing failed: what it was to come after has.
    #[must_use]
    pub fn is_unwanted(&self) -> bool {
        matches!(self.failure, Failure::NotWanted)
    }

    /// What to show below the message, a line each: the first error of the log, its cause, where the log is.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let diagnosis = &self.attempt.diagnosis;
        let mut hints = diagnosis.lines();
        let has_failed = matches!(self.failure, Failure::ScriptFailed { .. } | Failure::MakeFailed { .. });
        if hints.is_empty() && has_failed {
            let said = diagnosis.last_line.iter();
            hints.extend(said.map(|line| format!("the last line of its output: `{line}`")));
        }
        hints.extend(self.failure.remedy());
        hints.extend(self.attempt.log.iter().map(|log| format!("the log is `{}`", log.display())));
        hints
    }
}

/// Each way in which a build fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is nothing but a dkms.conf (exit code 8).
    #[error("there is no source in `{}`", .0.display())]
    NoSource(PathBuf),
    /// A patch is not in the folder of patches (exit code 5).
    #[error("the patch `{patch}` {fault}")]
    PatchMissing {
        /// As the conf names it.
        patch: String,
        /// What is wrong with it.
        fault: PatchFault,
    },
    /// `patch` refused (exit code 6).
    #[error("the patch `{patch}` does not apply (exit code {code})")]
    PatchFailed {
        /// As the conf names it.
        patch: String,
        /// The exit code of `patch`.
        code: i32,
    },
    /// `PRE_BUILD` or `POST_BUILD` failed (its exit code as it is).
    #[error("the {} script failed with exit code {code}: `{line}`", hook.directive())]
    ScriptFailed {
        /// Which of them.
        hook: Hook,
        /// As one could type it.
        line: String,
        /// Its exit code.
        code: i32,
    },
    /// The make command failed (exit code 10).
    #[error("`{line}` failed with exit code {code}")]
    MakeFailed {
        /// As one could type it.
        line: String,
        /// Its exit code.
        code: i32,
    },
    /// Modules that the conf names are not there although make was content (exit code 7).
    #[error("make did not build {}", names(.0))]
    ModuleNotBuilt(Vec<PathBuf>),
    /// What make left under a module's name is no module, or one of another machine (exit code 7).
    #[error("{}", not_modules(.0))]
    NoModule(Vec<(PathBuf, Fault)>),
    /// It took too long, and was ended (exit code 10).
    #[error("`{line}` still ran when the build had taken {seconds} seconds, and was ended")]
    TimedOut {
        /// As one could type it.
        line: String,
        /// `build_timeout`.
        seconds: u64,
    },
    /// What it left in its folder is deeper or fuller than any build's (exit code 10).
    #[error("the build left {what} in its folder, which no build needs; they are removed")]
    TooMuchLeft {
        /// How much of what.
        what: String,
    },
    /// A module is larger than any module (exit code 10).
    #[error("`{}` has {size} bytes, and the limit is {limit}", module.display())]
    ModuleTooLarge {
        /// The file, as the build saw it.
        module: PathBuf,
        /// Its size, or that of all modules of the build so far.
        size: u64,
        /// What `module_size_max` allows.
        limit: u64,
    },
    /// A module has hardly any bytes on the disk for its size (exit code 10).
    #[error("`{}` is a sparse file: it has {size} bytes, of which {written} were written", module.display())]
    ModuleSparse {
        /// The file, as the build saw it.
        module: PathBuf,
        /// Its size.
        size: u64,
        /// How many of its bytes are not in holes.
        written: u64,
    },
    /// The entry of the build cache that was found has gone or changed before it could be copied. The module
    /// is then built.
    #[error("its entry in the build cache has gone")]
    CacheEntryGone,
    /// The file `build_environment` could not be read to its end (exit code 8).
    #[error("`{}`, the file that `build_environment` names, ended with exit code {code}", file.display())]
    BuildEnvironment {
        /// The file.
        file: PathBuf,
        /// Bash's exit code; 0 where the file ended it.
        code: i32,
    },
    /// Nothing here compiles for the kernel's machine (exit code 10).
    #[error(transparent)]
    NoCompiler(MissingCompiler),
    /// It was built, but something that it was to come after has failed meanwhile: it is
    /// dropped, and no failure.
    #[error("what it was to come after has failed")]
    NotWanted,
    /// A module could not be compressed.
    #[error(transparent)]
    Compress(CompressError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A process could not be run, or we were interrupted.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Why a patch is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchFault {
    /// Not there.
    Missing,
    /// An absolute path.
    Absolute,
    /// `..` in its path.
    Leaves,
}

impl std::fmt::Display for PatchFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "is not in the source's folder `patches`",
            Self::Absolute => "is an absolute path, and must be one below the source's folder `patches`",
            Self::Leaves => "has `..` in its path, and must stay below the source's folder `patches`",
        })
    }
}

impl Failure {
    /// Whether a command failed, so that what it wrote last says why.
    pub(super) fn is_told_by_log(&self) -> bool {
        match self {
            Self::PatchFailed { .. }
            | Self::ScriptFailed { .. }
            | Self::MakeFailed { .. }
            | Self::ModuleNotBuilt(_)
            | Self::NoModule(_) => true,
            Self::NoSource(_)
            | Self::PatchMissing { .. }
            | Self::BuildEnvironment { .. }
            | Self::NoCompiler(_)
            | Self::TooMuchLeft { .. }
            | Self::ModuleTooLarge { .. }
            | Self::ModuleSparse { .. }
            | Self::CacheEntryGone
            | Self::TimedOut { .. }
            | Self::NotWanted
            | Self::Compress(_)
            | Self::Fs(_)
            | Self::Process(_) => false,
        }
    }

    /// What to do, where that does not depend on the log.
    fn remedy(&self) -> Option<String> {
        match self {
            Self::ModuleNotBuilt(_) => Some(
                "compare BUILT_MODULE_NAME and BUILT_MODULE_LOCATION in dkms.conf with what make built"
                    .to_owned(),
            ),
            Self::NoModule(files) => files
                .iter()
                .flat_map(|(_, fault)| fault.hints())
                .next()
                .or_else(|| Some("correct the module's Makefile, or MAKE in dkms.conf".to_owned())),
            Self::PatchMissing { .. } => Some(
                "put it into the folder `patches` of the source, or correct PATCH in dkms.conf".to_owned(),
            ),
            Self::NoSource(_) => Some("put the module's source there, or add the module again".to_owned()),
            Self::TimedOut { .. } => {
                Some("`build_timeout` in framework.conf says how long a build may take".to_owned())
            }
            Self::NoCompiler(missing) => Some(missing.remedy()),
            Self::ModuleTooLarge { .. } => {
                Some("`module_size_max` in framework.conf sets how large a module may be".to_owned())
            }
            Self::Fs(error) if error.is_no_space() => Some("free space on that file system".to_owned()),
            _ => None,
        }
    }
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

fn not_modules(files: &[(PathBuf, Fault)]) -> String {
    let files = files.iter().map(|(path, fault)| format!("`{}` {fault}", path.display()));
    format!("what make built cannot be loaded: {}", files.collect::<Vec<_>>().join("; "))
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Fs(error) => Self::Fs(error),
            LogError::Process(error) => Self::Process(error),
        }
    }
}

impl From<CompressError> for Failure {
    /// What isn't the compressor's own is reported as everywhere else, so that a full disk and an
    /// interruption are seen as such.
    fn from(error: CompressError) -> Self {
        match error {
            CompressError::Fs(error) => Self::Fs(error),
            CompressError::Process(error) => Self::Process(error),
            error => Self::Compress(error),
        }
    }
}
