//! Why a conf could not be read. What is wrong with one that was read says
//! [`InvalidConf`](super::resolve::InvalidConf).

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::fs::FsError;
use dkms_base::host::process::ProcessError;
use dkms_base::host::trusted::Fault;

/// A dkms.conf or framework.conf that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// It isn't there.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The conf.
        path: PathBuf,
    },
    /// It is there, but can't be read, or is no regular file.
    #[error("{0}")]
    Unreadable(#[source] FsError),
    /// It is longer than any conf.
    #[error("`{}` is not a conf: it is longer than {limit} bytes", path.display())]
    TooLarge {
        /// The conf.
        path: PathBuf,
        /// What we read at most.
        limit: u64,
    },
    /// It holds NUL bytes.
    #[error("`{}` is not a conf: line {line} contains a NUL byte", path.display())]
    Binary {
        /// The conf.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// Its lines end in CR alone, as on classic Mac OS: to a shell it is one line.
    #[error("`{}` is one line to bash: its lines end in CR", path.display())]
    LineEnds {
        /// The conf.
        path: PathBuf,
    },
    /// Another user may write it.
    #[error("root does not read `{}`: {fault}; fix it with `{}`", fault.path.display(), fault.mend())]
    Untrusted {
        /// Who may, and where.
        fault: Fault,
    },
    /// Only bash could read it, and that would be a program of the image that is only looked at.
    #[error("`{}` contains more than assignments, and a command that only reads runs no program of an image", path.display())]
    NeedsBash {
        /// The conf.
        path: PathBuf,
    },
    /// Bash can't parse it.
    #[error("`{}`, line {line}: {message}", path.display())]
    Syntax {
        /// The conf.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What bash says of it.
        message: String,
    },
    /// It calls `exit`.
    #[error("`{}`, line {line}: it calls `exit`, so nothing after that line counts", path.display())]
    Exits {
        /// The conf, or the file that it sources.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// Bash ended in some other way before the conf was read to its end, or the conf closed the way back.
    #[error("bash stopped before the end of `{}` (exit code {code})", path.display())]
    CutShort {
        /// The conf that was being read.
        path: PathBuf,
        /// How bash ended, as a shell would report it.
        code: i32,
    },
    /// It took too long.
    #[error("`{}` was not read after {seconds} seconds", path.display())]
    TimedOut {
        /// The conf.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// A value can't be expanded the second time.
    #[error("`{}`: the value of `{directive}[{index}]` can't be expanded: `{value}`", path.display())]
    Value {
        /// The conf.
        path: PathBuf,
        /// The directive.
        directive: String,
        /// Its index.
        index: String,
        /// The value after the first expansion.
        value: String,
    },
    /// Bash could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl ConfError {
    /// What the command exits with because of it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Missing { .. } => ExitCode::BROKEN,
            Self::Process(ProcessError::Interrupted { .. }) => ExitCode::INTERRUPTED,
            Self::Unreadable(_)
            | Self::TooLarge { .. }
            | Self::Binary { .. }
            | Self::LineEnds { .. }
            | Self::Untrusted { .. }
            | Self::NeedsBash { .. }
            | Self::Syntax { .. }
            | Self::Exits { .. }
            | Self::CutShort { .. }
            | Self::TimedOut { .. }
            | Self::Value { .. }
            | Self::Process(_) => ExitCode::INVALID_CONF,
        }
    }

    /// The file that is to blame, if it is one.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Missing { path }
            | Self::TooLarge { path, .. }
            | Self::Binary { path, .. }
            | Self::LineEnds { path }
            | Self::NeedsBash { path }
            | Self::Syntax { path, .. }
            | Self::Exits { path, .. }
            | Self::CutShort { path, .. }
            | Self::TimedOut { path, .. }
            | Self::Value { path, .. } => Some(path),
            Self::Unreadable(error) => Some(&error.path),
            Self::Untrusted { fault } => Some(&fault.path),
            Self::Process(_) => None,
        }
    }

    /// The same about another path: that of a file which bash read a copy of.
    pub(super) fn renamed(mut self, copy: &Path, original: &Path) -> Self {
        if let Self::Syntax { path, .. }
        | Self::Exits { path, .. }
        | Self::CutShort { path, .. }
        | Self::TimedOut { path, .. } = &mut self
            && path == copy
        {
            original.clone_into(path);
        }
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::LineEnds { .. } => Some("convert it: `sed -i 's/\\r/\\n/g' dkms.conf`"),
            Self::Exits { .. } => Some("use `return` to leave a conf early"),
            Self::CutShort { .. } => Some(
                "it may use `exec`, `set -e` or `kill`, or close a descriptor: a conf is sourced, and must end by itself",
            ),
            Self::TimedOut { .. } => Some("a conf must not wait for anything, nor loop for ever"),
            Self::Value { .. } => {
                Some("values are expanded twice: write `\\\\\\$` for a dollar sign that is to stay")
            }
            _ => None,
        }
    }
}
