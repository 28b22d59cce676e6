//! Keys and signers.
//!
//! - [`choose()`]: whether modules of a kernel are signed, and by what
//! - [`places`]: where key, certificate and program are, by settings and distribution
//! - [`keys`]: a key pair made on first use; [`certificate`]: what its certificate says
//! - [`KernelSignFile`]: the kernel's own program as a signer
//! - [`chroot`]: whether this is one

pub mod certificate;
pub mod choose;
pub mod chroot;
pub mod keys;
pub mod places;
mod program;

pub use choose::{Generated, Signing, Unsigned, choose, generate_mok};
pub use places::KeyPlaces;
pub use program::KernelSignFile;

use std::path::{Path, PathBuf};

/// Signs module files in place.
///
/// A signer must append the kernel's trailer (`~Module signature appended~`) to the uncompressed `.ko`, or leave the file as
/// it was and return an error.
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// Signs one file with the hash that it was made for.
    ///
    /// # Errors
    /// [`SignError`]; then the file is as it was.
    fn sign(&self, module: &Path) -> Result<(), SignError>;

    /// A line for the log: which program, key and hash.
    fn describe(&self) -> String;
}

/// A module, or a key, that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] crate::host::fs::FsError),
    /// The signing program failed.
    #[error("`{line}` failed with exit code {code}: {output}")]
    Program {
        /// Its command line.
        line: String,
        /// Its exit code.
        code: i32,
        /// The end of its output.
        output: String,
    },
    /// It could not be run.
    #[error(transparent)]
    Process(#[from] crate::host::process::ProcessError),
    /// The signing program ended well, but the module has no signature with that hash.
    #[error("`{line}` left no {hash} signature in `{}`", module.display())]
    NotSigned {
        /// The command line.
        line: String,
        /// The hash.
        hash: String,
        /// The module.
        module: PathBuf,
    },
    /// One half of a key pair is there. It may be in use, so it is not overwritten.
    #[error("the signing key pair is incomplete: `{}` is there, but `{}` is not", there.display(), missing.display())]
    HalfPair {
        /// The half that is there.
        there: PathBuf,
        /// The other one.
        missing: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("cannot make the signing key `{}`: {why}", key.display())]
    Making {
        /// Where it was to be.
        key: PathBuf,
        /// Why.
        why: String,
    },
}

impl SignError {
    /// What to do about it, where that is plain.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::HalfPair { there, .. } => Some(format!(
                "put the missing half back; or remove `{}`, and a new pair is made (which then has to be enrolled)",
                there.display()
            )),
            _ => None,
        }
    }
}
