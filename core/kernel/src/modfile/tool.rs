//! How a program of the system works on a module: on a copy, at a place that the caller chooses.

use std::path::Path;

use dkms_base::host::fs::FsError;
use dkms_base::host::process::{Ended, Process, ProcessError};

/// Runs programs on copies of modules.
pub trait ToolRunner {
    /// Runs the command that `command` makes of the path of a copy of `module`. What it leaves under
    /// that path, with `suffix` behind it, is copied to `result`, which must not be there yet; nothing
    /// is if it leaves no file.
    ///
    /// # Errors
    /// [`ToolError`]. That the command fails is none.
    fn run(
        &self,
        module: &Path,
        command: &dyn Fn(&Path) -> Process,
        suffix: &str,
        result: &Path,
    ) -> Result<Ended, ToolError>;
}

/// A command could not be run on a copy.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The copy could not be made, or not be taken.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The program could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Runs them in a temporary folder, for tests.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Temporary;

#[cfg(test)]
impl ToolRunner for Temporary {
    fn run(
        &self,
        module: &Path,
        command: &dyn Fn(&Path) -> Process,
        suffix: &str,
        result: &Path,
    ) -> Result<Ended, ToolError> {
        use dkms_base::host::fs;
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join(module.file_name().unwrap());
        fs::copy_file(module, &copy)?;
        let ended = command(&copy).capture()?;
        let left = format!("{}{suffix}", copy.display());
        if fs::is_file(Path::new(&left)) {
            fs::copy_file(Path::new(&left), result)?;
        }
        Ok(ended)
    }
}
