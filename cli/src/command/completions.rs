//! `dkms completions SHELL`: the script that makes a shell complete command lines of `dkms`.

use dkms_base::exit::ExitCode;

use crate::completion::SCRIPTS;
use crate::failure::Failure;
use crate::session::Session;

/// Prints it.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let named = session.invocation.name.as_ref().map_or("", |name| name.as_str());
    let Some((_, script)) = SCRIPTS.iter().find(|(shell, _)| shell.eq_ignore_ascii_case(named)) else {
        let text = format!("`{named}` is no shell that completions are known for");
        return Err(Failure::new(ExitCode::BAD_OPTION, text).hint("dkms completions bash|zsh|fish"));
    };
    session.terminal.print(script.trim_end());
    Ok(())
}
