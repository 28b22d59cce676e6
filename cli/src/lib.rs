//! The `dkms` command: arguments (what was typed) → request (what is meant) → render.
//!
//! - [`args`]: the command line's definition, which is also the help
//! - [`help`]: each action with its options, examples and exit codes
//! - [`action`], [`invocation`]: what is meant by it, contradictions refused
//! - [`brought`]: with `--root`, which side of it a path is on
//! - [`rights`]: where it works, and whether the caller may
//! - [`session`]: from a request through survey and plan to the engine, and what its failures mean
//! - [`command`]: the commands, one file each
//! - [`completion`]: what a shell offers at the end of a command line
//! - [`failure`]: errors become exit code and hints in one place
//! - [`proposed`]: commands of hints, for the tree that the line names
//! - [`render`]: text and JSON; [`progress`]: what moves on a terminal; [`table`]: a plan as a table

pub mod action;
pub mod args;
pub mod brought;
pub mod command;
pub mod completion;
pub mod failure;
pub mod grid;
pub mod help;
pub mod invocation;
mod package_script;
pub mod progress;
pub mod proposed;
pub mod render;
pub mod rights;
pub mod session;
pub mod table;

use std::path::{Path, PathBuf};

use clap::Parser;
use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, fs, root, signals};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};
use dkms_conf::Directive;
use dkms_kernel::Distribution;
use dkms_signing::GivenKey;

use action::Action;
use args::Args;
use brought::Brought;
use failure::Failure;
use invocation::Invocation;
use render::Terminal;
use session::Session;

/// Runs the command; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    if let Some(code) = dkms_vm::guest::main_of_guest() {
        return code;
    }
    // What we make is for everyone to read, whatever the caller's own files are.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let environment = Environment::of_this_command();
    let parsed = Args::try_parse();
    let args = parsed.as_ref().ok().cloned().unwrap_or_default();
    let terminal = Terminal::new(&args, &environment);
    let lost = || Failure::new(ExitCode::USAGE_OR_RIGHTS, "cannot write to standard output");
    let result = run(parsed, &environment, &terminal);
    let code = match result.and_then(|()| if terminal.lost() { Err(lost()) } else { Ok(()) }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let failure = match files_of_the_host(&args) {
                Some(hint) => failure.hint(hint),
                None => failure,
            };
            terminal.failure(&failure);
            failure.code
        }
    };
    std::process::ExitCode::from(code.0)
}

/// For a command that failed: a path that perhaps was meant on the other side of `--root`.
fn files_of_the_host(args: &Args) -> Option<String> {
    let root = args.root.as_ref().filter(|_| root::is_entered())?.display();
    let looks_like_a_path = |path: &&Path| {
        let text = path.to_string_lossy();
        text.starts_with(['.', '/'])
            || text.contains(".tar")
            || text.ends_with(".rpm")
            || text.ends_with(".tgz")
    };
    let Args { words, archive, conf, config, kernelsourcedir, .. } = args;
    let sources = words.iter().map(Path::new).chain(archive.as_deref()).filter(looks_like_a_path);
    let others = [conf, config, kernelsourcedir].into_iter().flatten().map(PathBuf::as_path);
    let missing = |path: &&Path| !fs::exists(path);
    if let Some(path) = others.into_iter().find(missing) {
        let path = path.display();
        return Some(format!(
            "`{path}` is looked up below the root `{root}`: copy it there, or name its path in the root"
        ));
    }
    let path = sources.into_iter().find(|path| missing(path) && !path.is_relative())?.display();
    Some(format!("`{path}` is neither below the root `{root}` nor on this system"))
}

fn run(
    parsed: Result<Args, clap::Error>,
    environment: &Environment,
    terminal: &Terminal,
) -> Result<(), Failure> {
    // What the caller opens is outside of the root, and is opened before it is entered.
    let given_key = parsed.as_ref().map_or(Ok(None), |args| key_of_caller(args, environment))?;
    let mut brought = Brought::default();
    if let Ok(args @ Args { root: Some(image), .. }) = &parsed {
        brought = Brought::open(args)?;
        if let Some(warning) = rights::enter_root(image)? {
            terminal.report(Event::warning(warning, []));
        }
    }
    let distribution = Distribution::read(&Layout::under("/"))?;
    let mut args = parsed.map_err(|error| Failure::of_command_line(&error))?;
    let copies = brought.copy_into(&mut args)?;
    for path in &copies.typed {
        render::say(terminal, format!("`{}` is taken from this system, not from the root", path.display()));
    }
    if args.print_version {
        terminal.print(concat!("dkms-", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    if args.print_help || args.words.first().is_some_and(|word| word == "help") {
        let (text, further) = help::for_words(&args.words)?;
        for word in further {
            render::warn(terminal, format!("`{word}` is ignored: `dkms help` takes one action"));
        }
        terminal.print(text.trim_end());
        return Ok(());
    }
    if let [action, what, words @ ..] = args.words.as_slice()
        && (action.as_str(), what.as_str()) == ("completions", "candidates")
    {
        let offered = completion::candidates(words, &completion::Known::look(words));
        offered.iter().for_each(|word| terminal.print(word));
        return Ok(());
    }
    warn_of_options(&args, terminal);
    let invocation = Invocation::understand(args)?;
    // Those of `boot` are its own, and that of an archive which is not there is its error.
    let is_told = match invocation.action {
        Action::Boot => false,
        Action::Ldtarball => invocation.source.is_some(),
        _ => true,
    };
    invocation.ignored.iter().filter(|_| is_told).for_each(|word| {
        let because = ignored_because(word, invocation.action);
        render::warn(terminal, format!("`{word}` is ignored: {because}"));
    });
    signals::listen().map_err(|error| {
        Failure::new(ExitCode::USAGE_OR_RIGHTS, format!("cannot listen to signals: {error}"))
    })?;
    if invocation.action.only_reads() || invocation.args.dry_run {
        root::only_read();
    }
    let mut session = Session::begin(&invocation, &distribution, environment, terminal)?;
    session.given_key = given_key;
    let is_named = invocation.source.is_some() || invocation.args.matrix.is_some();
    if invocation.action.needs_module() && !is_named {
        invocation.module()?;
    }
    if !invocation.args.dry_run
        && let Err(refused) = rights::check(invocation.action, &session.settings)
        && !session.needs_no_writing()?
    {
        return Err(refused);
    }
    command::run(&session)
}

/// The key that an action signs with, if its caller has one for it.
fn key_of_caller(args: &Args, environment: &Environment) -> Result<Option<GivenKey>, Failure> {
    let takes_key = args.words.iter().filter_map(|word| Action::from_word(word)).any(Action::takes_key);
    match &args.mok_key {
        None if !takes_key => Ok(None),
        None => Ok(GivenKey::of_caller(environment)?),
        Some(_) if !takes_key => {
            Err(Failure::new(ExitCode::BAD_OPTION, "this action does not take `--mok-key`")
                .hint("name the key with `mok_signing_key` in framework.conf"))
        }
        Some(key) if key.to_string_lossy().starts_with("pkcs11:") => {
            Err(Failure::new(ExitCode::BAD_OPTION, "`--mok-key` takes a file, not a token"))
        }
        Some(key) => Ok(Some(GivenKey::read(key, args.mok_certificate.as_deref())?)),
    }
}

/// Why a word is ignored.
fn ignored_because(word: &str, action: Action) -> String {
    let path = Path::new(word);
    if path.is_absolute() && fs::is_dir(path) {
        return "it has no dkms.conf, so it is no source of a module".to_owned();
    }
    if path.is_absolute() && !fs::exists(path) {
        return "it does not exist".to_owned();
    }
    let name = action.name();
    if action.takes_no_word() {
        return format!("`{name}` takes no module");
    }
    if action.needs_module() && !path.is_absolute() {
        return format!("`{name}` takes one module");
    }
    "it is not understood".to_owned()
}

/// Options that are taken and mean nothing: not any more, or because of a slip.
fn warn_of_options(args: &Args, terminal: &Terminal) {
    let Args { no_initrd, no_clean_kernel, no_prepare_kernel, .. } = args;
    if *no_initrd {
        render::warn(
            terminal,
            "`--no-initrd` is deprecated: set `remake_initrd=no` in framework.conf instead",
        );
    }
    for (given, name) in [(no_clean_kernel, "no-clean-kernel"), (no_prepare_kernel, "no-prepare-kernel")] {
        if *given {
            render::warn(terminal, format!("`--{name}` is deprecated and has no effect"));
        }
    }
    for text in args.directives.iter().filter(|text| !is_directive(text)) {
        render::warn(
            terminal,
            format!("`--directive {text}` is ignored: it is no `NAME=value` of a directive"),
        );
    }
}

/// Whether a text is `NAME=value` or `NAME[i]=value` of a directive.
fn is_directive(text: &str) -> bool {
    let name = text.split_once('=').map_or("", |(name, _)| name.trim_end_matches('+'));
    name.split('[').next().is_some_and(|name| name.parse::<Directive>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_word_is_ignored() {
        for (word, action, why) in [
            ("f2/1.0", Action::Install, "`install` takes one module"),
            ("foo", Action::Doctor, "`doctor` takes no module"),
            ("/nonexist", Action::Install, "it does not exist"),
            ("foo", Action::Status, "it is not understood"),
        ] {
            assert_eq!(ignored_because(word, action), why, "{word}");
        }
    }

    #[test]
    fn a_slip_in_a_directive_is_seen() {
        for text in ["MAKE=make a=b", "BUILT_MODULE_NAME[1]=x", "PATCH[0]+=x", "CLEAN="] {
            assert!(is_directive(text), "{text}");
        }
        for text in ["", "MAKE", "MAK=make", "=x", "nonsense"] {
            assert!(!is_directive(text), "{text}");
        }
    }
}
