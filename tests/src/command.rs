//! Runs the tools that tests themselves need (apt-get, dpkg-deb): a failure is an error
//! that shows their output.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, Result, bail};
use dkms_base::host::environment::Environment;
use dkms_base::host::process::{Ended, Process};

/// Runs a program to its end; its output, or an error that shows it.
///
/// # Errors
/// Where the program is missing, or ends with another status than 0.
pub fn must(program: &str, args: &[&str], dir: &Path) -> Result<String> {
    let (line, ended) = run(program, args, dir)?;
    if ended.code() != 0 {
        bail!("`{line}` ended with {}:\n{}", ended.code(), ended.text());
    }
    Ok(ended.text())
}

/// The same for programs whose errors have lines of their own, as apt's and mmdebstrap's have:
/// the error is one line.
///
/// # Errors
/// As [`must`].
pub fn must_briefly(program: &str, args: &[&str], dir: &Path) -> Result<String> {
    let (_, ended) = run(program, args, dir)?;
    if ended.code() != 0 {
        bail!("`{program}` ended with {}: {}", ended.code(), brief(&ended.text()));
    }
    Ok(ended.text())
}

fn run(program: &str, args: &[&str], dir: &Path) -> Result<(String, Ended)> {
    let mut environment = Environment::of_this_process();
    environment.set("LC_ALL", "C.UTF-8");
    environment.set("DEBIAN_FRONTEND", "noninteractive");
    let process = Process::new(program, args, &environment).dir(dir);
    let ended = process.capture().with_context(|| format!("`{}`", process.line()))?;
    Ok((process.line(), ended))
}

/// Of a long output what names the error: the first lines that begin with `E: `, or else the last line.
fn brief(output: &str) -> String {
    let mut errors: Vec<&str> = Vec::new();
    for line in output.lines().map(str::trim).filter(|line| line.starts_with("E: ")) {
        if !errors.contains(&line) {
            errors.push(line);
        }
    }
    errors.truncate(2);
    if errors.is_empty() {
        errors.extend(output.lines().map(str::trim).rfind(|line| !line.is_empty()));
    }
    errors.join("; ")
}

/// Ends a program as a person reads it: an error is `Error: ` and what led to it on one line, below it what
/// to do; never a backtrace.
#[must_use]
pub fn ended(result: Result<(), Error>, what_to_do: &str) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    crate::say(&format!("Error: {error:#}"));
    if !what_to_do.is_empty() {
        crate::say(what_to_do);
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn errors_of_apt_are_found_in_its_output() {
        let output =
            "Reading package lists...\nE: Unable to locate package foo\nE: Unable to locate package foo\n";
        assert_eq!(brief(output), "E: Unable to locate package foo");
        assert_eq!(brief("one\n  two \n\n"), "two");
        assert_eq!(brief(""), "");
    }
}
