//! `dkms completions SHELL`: from the definition of the command line.

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use dkms_base::exit::ExitCode;

use crate::args::Args;
use crate::failure::Failure;
use crate::session::Session;

/// Prints the completions.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let named = session.invocation.name.as_ref().map_or("", |name| name.as_str());
    let shell = Shell::from_str(named, true).map_err(|_| {
        Failure::new(ExitCode::BAD_OPTION, format!("`{named}` is no shell that completions are known for"))
            .hint("dkms completions bash|zsh|fish")
    })?;
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "dkms", &mut text);
    session.terminal.print(String::from_utf8_lossy(&text).trim_end());
    Ok(())
}
