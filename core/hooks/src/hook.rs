//! What every process that a hook starts begins with.

use super::Plain;
use super::stream::{Output, Stream};
use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, signals};

/// Runs a hook as [`start`] does, and listens to signals before it acts.
#[must_use]
pub fn run(
    stream: impl FnOnce(&[&str], &Environment) -> Stream,
    act: impl FnOnce(&[&str], Environment, &Output) -> ExitCode,
) -> std::process::ExitCode {
    start(stream, |words, environment, out| match listen(out) {
        Some(()) => act(words, environment, out),
        None => ExitCode::USAGE_OR_RIGHTS,
    })
}

/// Listens to signals; `None`, and the reason is reported, if that is not possible.
#[must_use]
pub fn listen(out: &Output) -> Option<()> {
    signals::listen().map_err(|error| out.say(&format!("error: cannot listen to signals: {error}"))).ok()
}

/// Runs a hook with the words of the command line; returns its exit code. `stream` chooses where it writes.
/// The process has one thread until it [listens](listen), so that it can
/// [enter](dkms_base::host::root::enter) a root.
#[must_use]
pub fn start(
    stream: impl FnOnce(&[&str], &Environment) -> Stream,
    act: impl FnOnce(&[&str], Environment, &Output) -> ExitCode,
) -> std::process::ExitCode {
    // What we make is for everyone to read, whatever the package manager's umask is.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let environment = Environment::of_this_command();
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let out = Plain::new(stream(&words, &environment));
    let code = act(&words, environment, &out);
    std::process::ExitCode::from(code.0)
}
