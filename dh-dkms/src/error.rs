//! What can be wrong, with the file that has to change.

use std::path::PathBuf;

use dkms_base::host::fs::FsError;
use dkms_base::host::process::ProcessError;

/// Why the package can't be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The usage was asked for.
    #[error("{0}")]
    Usage(String),
    /// Options that can't be understood.
    #[error("{0}")]
    Options(String),
    /// Not in a source package.
    #[error("there is no `debian/control` here")]
    NoControl,
    /// `debian/control` can't be read as one.
    #[error("`debian/control`, line {line}: {why}")]
    Control {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A compatibility level that is none, or two of them.
    #[error("the compatibility level of debhelper can't be told: {0}")]
    Compat(String),
    /// A package that isn't in `debian/control`.
    #[error("`debian/control` has no package `{name}`; it has {known}")]
    UnknownPackage {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// One folder for several packages.
    #[error("`-P` names one folder, but there are several packages to act on: {packages}")]
    OneTmpdir {
        /// The packages.
        packages: String,
    },
    /// A list that doesn't name one file.
    #[error("`{}` {why}", file.display())]
    List {
        /// The list.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// More than one file on the command line.
    #[error("one dkms.conf can be named, not {count}: {names}")]
    Files {
        /// How many there were.
        count: usize,
        /// Which.
        names: String,
    },
    /// An executable file of `debian/` failed.
    #[error("`{}` ended with {code}", file.display())]
    Executable {
        /// The file.
        file: PathBuf,
        /// Its exit code.
        code: i32,
    },
    /// A conf without the one or the other.
    #[error("`{}` sets no `{directive}`", file.display())]
    Nameless {
        /// The conf.
        file: PathBuf,
        /// `PACKAGE_NAME` or `PACKAGE_VERSION`.
        directive: &'static str,
    },
    /// Name or version that scripts and paths can't have.
    #[error("`{}`: `{directive}` is `{value}`, which {why}", file.display())]
    Odd {
        /// The conf.
        file: PathBuf,
        /// `PACKAGE_NAME` or `PACKAGE_VERSION`.
        directive: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A changelog without a version.
    #[error("`{}` has no version in its first line", file.display())]
    Changelog {
        /// The changelog.
        file: PathBuf,
    },
    /// `--check` found something.
    #[error("`{}` did not pass the check: {}", file.display(), faults.join("; "))]
    Check {
        /// The conf.
        file: PathBuf,
        /// What it found.
        faults: Vec<String>,
    },
    /// The conf can't be read.
    #[error("{0}")]
    Conf(String),
    /// A file.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A program of dpkg's, or an executable file of `debian/`.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoControl => Some("run it in the source package's folder"),
            Self::List { .. } => {
                Some("the file either is the dkms.conf (it sets PACKAGE_NAME), or names the one file that is")
            }
            Self::Odd { directive: "PACKAGE_VERSION", .. } => {
                Some("versions have letters, digits, `.`, `+`, `:`, `~` and `-`")
            }
            Self::Odd { .. } => Some("names have letters, digits, `.`, `+`, `-`, `_`, `:` and `@`"),
            Self::Usage(_)
            | Self::Options(_)
            | Self::Control { .. }
            | Self::Compat(_)
            | Self::UnknownPackage { .. }
            | Self::OneTmpdir { .. }
            | Self::Files { .. }
            | Self::Executable { .. }
            | Self::Nameless { .. }
            | Self::Changelog { .. }
            | Self::Check { .. }
            | Self::Conf(_)
            | Self::Fs(_)
            | Self::Process(_) => None,
        }
    }
}
