//! How a program of the system works on a module: on a copy, at a place that the caller chooses.

use std::path::Path;
use std::time::Duration;

use dkms_base::host::fs::{self, FsError};
use dkms_base::host::process::{Ended, Process, ProcessError};
use dkms_base::host::scratch;

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

/// How long a program may take.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Runs them in a private folder beside the module, which is removed again.
#[derive(Debug)]
pub struct Beside;

impl ToolRunner for Beside {
    fn run(
        &self,
        module: &Path,
        command: &dyn Fn(&Path) -> Process,
        suffix: &str,
        result: &Path,
    ) -> Result<Ended, ToolError> {
        let folder = fs::temporary_beside(module);
        scratch::create_private_folder(&folder)?;
        let copy = folder.join(module.file_name().unwrap_or_default());
        let run = || -> Result<Ended, ToolError> {
            fs::copy_file(module, &copy)?;
            let ended = command(&copy).time_limit(TIME_LIMIT).capture()?;
            let mut left = copy.clone().into_os_string();
            left.push(suffix);
            if fs::is_file(Path::new(&left)) {
                fs::copy_file(Path::new(&left), result)?;
            }
            Ok(ended)
        };
        let ended = run();
        fs::remove_any(&folder)?;
        ended
    }
}
