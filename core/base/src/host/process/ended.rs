//! How a process has ended, or why there was none.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::host::fs;
use crate::host::sandbox::Missing;

/// A process that could not be started, or was cut short.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It didn't start.
    #[error("cannot run `{line}`: {source}")]
    Start {
        /// The command line.
        line: String,
        /// Why.
        source: io::Error,
    },
    /// It was to run in a strict sandbox, and the system can't give one.
    #[error("`{line}` is not run: `sandbox=strict` requires all isolation layers, but there is {missing}")]
    Refused {
        /// The command line.
        line: String,
        /// What is not available.
        missing: Missing,
    },
    /// We were asked to stop while it ran, and ended it.
    #[error("interrupted while `{line}` ran")]
    Interrupted {
        /// The command line.
        line: String,
    },
    /// It wrote more than any program has to say, and we ended it.
    #[error("`{line}` was ended: it wrote more than {mebibytes} MiB")]
    TooMuchOutput {
        /// The command line.
        line: String,
        /// How much it was.
        mebibytes: u64,
    },
    /// It didn't end in time, and we ended it.
    #[error("`{line}` did not end within {seconds} seconds")]
    TimedOut {
        /// The command line.
        line: String,
        /// How long it had.
        seconds: u64,
    },
}

impl ProcessError {
    /// Whether the program isn't there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the program is not to blame: it was interrupted, or could not start for what the system lacked
    /// ([`fs::is_shortage`]).
    #[must_use]
    pub fn is_of_the_moment(&self) -> bool {
        match self {
            Self::Start { source, .. } => fs::is_shortage(source),
            Self::Interrupted { .. } => true,
            Self::Refused { .. } | Self::TooMuchOutput { .. } | Self::TimedOut { .. } => false,
        }
    }
}

/// What a process that has ended leaves.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote, where it was captured; stdout and stderr together.
    pub output: Vec<u8>,
    /// The begin of what it wrote to stderr, where that was captured apart.
    pub errors: Vec<u8>,
    /// What its sandbox lacked.
    pub missing: Missing,
}

impl Ended {
    /// The exit code as a shell would report it: 128 + N for a signal N.
    #[must_use]
    pub fn code(&self) -> i32 {
        exit_code(self.status)
    }

    /// The output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// The exit code of a status as a shell would report it: 128 + N for a signal N.
#[must_use]
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_lacked_says_nothing_of_the_program() {
        let start =
            |code| ProcessError::Start { line: "x".to_owned(), source: io::Error::from_raw_os_error(code) };
        for code in [libc::ENOSPC, libc::EIO, libc::ENOMEM, libc::EMFILE] {
            assert!(start(code).is_of_the_moment(), "{code}");
        }
        for code in [libc::ENOENT, libc::EACCES, libc::ENOEXEC] {
            assert!(!start(code).is_of_the_moment(), "{code}");
        }
        assert!(ProcessError::Interrupted { line: String::new() }.is_of_the_moment());
        assert!(!ProcessError::TimedOut { line: String::new(), seconds: 1 }.is_of_the_moment());
    }
}
