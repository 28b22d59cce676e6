//! Programs of package managers that are asked and run: what they print, or why they failed.

use dkms_base::host::process::{Ended, Process, ProcessError};
use dkms_base::host::{Environment, programs};

/// Why a program of a package manager gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// It could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It failed.
    #[error("`{line}` failed with exit code {code}: {output}")]
    Failed {
        /// The command line.
        line: String,
        /// Its exit code.
        code: i32,
        /// What it printed.
        output: String,
    },
}

/// dnf's program: dnf 5 need not be called `dnf`.
pub(super) fn dnf(environment: &Environment) -> &'static str {
    let is_there = |name: &&str| programs::find(name, environment).is_some();
    ["dnf", "dnf5"].into_iter().find(is_there).unwrap_or("dnf")
}

/// What a program prints to standard output.
///
/// # Errors
/// [`ManagerError`].
pub(super) fn answer(process: &Process) -> Result<String, ManagerError> {
    succeeded(process, process.capture_apart()?)
}

/// The same of a program that ends well with one of these codes.
///
/// # Errors
/// [`ManagerError`].
pub(super) fn answer_of(process: &Process, good: &[i32]) -> Result<String, ManagerError> {
    let ended = process.capture_apart()?;
    if good.contains(&ended.code()) {
        return Ok(ended.text());
    }
    succeeded(process, ended)
}

/// Runs a program for what it does.
///
/// # Errors
/// [`ManagerError`], with what it printed to standard error too.
pub(super) fn run(process: &Process) -> Result<(), ManagerError> {
    succeeded(process, process.capture()?).map(drop)
}

fn succeeded(process: &Process, ended: Ended) -> Result<String, ManagerError> {
    if ended.status.success() {
        return Ok(ended.text());
    }
    let (line, code) = (process.line(), ended.code());
    Err(ManagerError::Failed { line, code, output: ended.text().trim().to_owned() })
}
