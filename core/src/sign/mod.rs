//! Keys and signers.
//!
//! - [`mod@choose`]: who signs for a kernel, with which key
//! - [`program`]: the kernel's own program; [`key`]: making a key pair; [`chroot`]: where nobody wants signatures

pub mod choose;
pub mod chroot;
pub mod key;
pub mod program;

use std::path::{Path, PathBuf};

use crate::host::fs::FsError;
use crate::host::process::ProcessError;

pub use choose::{KeyPair, Signing, choose, key_pair, provide};
pub use key::{Pair, ensure_pair};

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

/// A module that could not be signed, or a key that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
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
    /// It said that all is well, and there is no signature.
    #[error("`{line}` left `{}` unsigned", module.display())]
    NotSigned {
        /// Its command line.
        line: String,
        /// The module.
        module: PathBuf,
    },
    /// It could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Key without certificate, or certificate without key.
    #[error("there is `{}`, but its other half `{}` is missing", there.display(), missing.display())]
    HalfAPair {
        /// The half that is there.
        there: PathBuf,
        /// The one that isn't.
        missing: PathBuf,
    },
    /// A key pair could not be made.
    #[error("cannot make the signing key `{}`: {why}", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl SignError {
    /// What to do about it, where that is plain.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::HalfAPair { there, .. } => Some(format!(
                "put the missing half back; or remove `{}`, and a new pair is made (which then has to be enrolled)",
                there.display()
            )),
            _ => None,
        }
    }
}
