//! `dkms completions SHELL`: the script that makes a shell complete command lines of `dkms`.

use dkms_base::exit::ExitCode;

use crate::completion::SCRIPTS;
use crate::failure::Failure;
use crate::session::Session;

/// Prints it.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let named = session.invocation.name.as_ref().map_or("", |name| name.as_str());
    let Some((_, script)) = SCRIPTS.iter().find(|(shell, _)| shell.eq_ignore_ascii_case(named)) else {
        let shells: Vec<_> = SCRIPTS.iter().map(|(shell, _)| *shell).collect();
        let text = match named {
            "" => "no shell is named".to_owned(),
            _ => format!("there are no completions for the shell `{named}`"),
        };
        return Err(Failure::new(ExitCode::BAD_OPTION, text)
            .did_you_mean(named, shells.iter().copied())
            .hint(format!("name one of them: `dkms completions {}`", shells.join("|"))));
    };
    session.terminal.print(script.trim_end());
    Ok(())
}
