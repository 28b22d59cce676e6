//! Keys and signers.

use std::path::Path;

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
}
