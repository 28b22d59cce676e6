//! Runs the tools that tests themselves need (apt-get, dpkg-deb): a failure is an error that shows their output.

use std::path::Path;

use anyhow::{Context, Result, bail};
use dkms_core::host::environment::Environment;
use dkms_core::host::process::Process;

/// Runs a program to its end; its output, or an error that shows it.
///
/// # Errors
/// Where the program is missing, or ends with another status than 0.
pub fn must(program: &str, args: &[&str], dir: &Path) -> Result<String> {
    let mut environment = Environment::of_this_process();
    environment.set("LC_ALL", "C.UTF-8");
    environment.set("DEBIAN_FRONTEND", "noninteractive");
    let process = Process::new(program, args, &environment).dir(dir);
    let ended = process.capture().with_context(|| format!("`{}`", process.line()))?;
    if ended.code() != 0 {
        bail!("`{}` ended with {}:\n{}", process.line(), ended.code(), ended.text());
    }
    Ok(ended.text())
}
