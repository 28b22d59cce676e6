//! Why something could not be put in place or taken out. Each variant is one exit code; which, the cli knows.

use std::path::PathBuf;

use super::Place;
use crate::host::fs::FsError;
use crate::host::process::ProcessError;
use crate::id::{KernelRelease, ModuleId, Target};

/// Which module for which kernel, said as `foo/1.0 for 6.1.0-47-amd64/x86_64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The module.
    pub id: ModuleId,
    /// The kernel.
    pub target: Target,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {}", self.id, self.target)
    }
}

/// An install, uninstall or depmod that failed; the state is the one before.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The kernel has no folder below the install tree (exit code 6).
    #[error("cannot install {on}: the folder `{}` does not exist", path.display())]
    NoKernelFolder {
        /// Which module, for which kernel.
        on: Box<Subject>,
        /// The folder that is missing.
        path: PathBuf,
    },
    /// A module that dkms.conf names is not among the built ones (exit code 6).
    #[error("cannot install {on}: the built module `{module}.ko` is missing in `{}`", dir.display())]
    BuiltMissing {
        /// Which module, for which kernel.
        on: Box<Subject>,
        /// The module file without `.ko`.
        module: String,
        /// Where it should be.
        dir: PathBuf,
    },
    /// A built module is no whole ELF object (exit code 6).
    #[error("cannot install {on}: the built module `{}` is damaged: {why}", path.display())]
    BuiltDamaged {
        /// Which module, for which kernel.
        on: Box<Subject>,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The `PRE_INSTALL` script refused (exit code 101).
    #[error(
        "the PRE_INSTALL script of {on} refused: `{line}` ended with exit code {code}{}",
        after_colon(said)
    )]
    PreInstall {
        /// Which module, for which kernel.
        on: Box<Subject>,
        /// As one could type it.
        line: String,
        /// Its exit code.
        code: i32,
        /// The last line that it wrote.
        said: String,
    },
    /// Every module was skipped; each was reported (exit code 6).
    #[error("nothing was installed of {on}: what is there is the same or newer")]
    NothingInstalled {
        /// Which module, for which kernel.
        on: Box<Subject>,
    },
    /// depmod failed (exit code 6).
    #[error("`{line}` failed for {kernel} with exit code {code}{}", after_colon(output))]
    Depmod {
        /// Which kernel.
        kernel: KernelRelease,
        /// As one could type it.
        line: String,
        /// Its exit code.
        code: i32,
        /// The end of its output.
        output: String,
    },
    /// A file operation failed (exit code 6).
    #[error("cannot {what} {on}: {source}")]
    Files {
        /// `install` or `uninstall`.
        what: &'static str,
        /// Which module, for which kernel.
        on: Box<Subject>,
        /// What failed.
        source: FsError,
    },
    /// A file operation around depmod failed (exit code 6).
    #[error("cannot run depmod for {kernel}: {source}")]
    DepmodFiles {
        /// Which kernel.
        kernel: KernelRelease,
        /// What failed.
        source: FsError,
    },
    /// A program could not be run (exit code 6), or we were asked to stop (130).
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It failed, and not all could be put back.
    #[error("{cause}; undoing the changes failed: {undo}")]
    NotUndone {
        /// Why it failed.
        cause: Box<InstallError>,
        /// Why it could not be taken back.
        undo: FsError,
    },
}

fn after_colon(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {output}") }
}

impl InstallError {
    /// What to do about it, a line each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoKernelFolder { on, .. } => {
                vec![format!("install the kernel {}, or name another one with `-k`", on.target.kernel)]
            }
            Self::BuiltMissing { on, .. } | Self::BuiltDamaged { on, .. } => {
                vec![format!("build it again: `dkms build --force {} -k {}`", on.id, on.target)]
            }
            Self::PreInstall { .. } => vec!["`--force` installs it anyway".to_owned()],
            Self::NothingInstalled { .. } => vec!["`--force` replaces what is there".to_owned()],
            Self::Files { source, .. } | Self::DepmodFiles { source, .. } if source.is_no_space() => {
                vec!["free space on that file system, then try again".to_owned()]
            }
            Self::Files { source, .. } | Self::DepmodFiles { source, .. } if source.is_read_only() => {
                vec!["its file system is mounted read-only: mount it writable, then try again".to_owned()]
            }
            Self::NotUndone { cause, .. } => cause.hints(),
            Self::Depmod { kernel, .. } => {
                vec![format!(
                    "what this command installed for {kernel} is taken back; fix depmod, then try again"
                )]
            }
            Self::Files { .. } | Self::DepmodFiles { .. } | Self::Process(_) => Vec::new(),
        }
    }
}

impl Place<'_> {
    pub(super) fn failed(&self, what: &'static str, source: FsError) -> InstallError {
        InstallError::Files { what, on: self.subject(), source }
    }

    pub(super) fn subject(&self) -> Box<Subject> {
        Box::new(Subject { id: self.id.clone(), target: self.target().clone() })
    }
}
