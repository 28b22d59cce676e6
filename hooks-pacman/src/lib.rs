//! pacman's transactions as batches: the helper of the alpm hooks in `files/`.
//!
//! A hook gets no more than paths, once before and once after a transaction, and not whether a path is about
//! to go for good: [docs/pacman.md](../../docs/pacman.md) says how that is enough.
//!
//! - [`targets`]: what a hook receives
//! - [`owners`]: which package a path belongs to; [`pacman_conf`]: where the database is
//! - [`system`]: what is there now; [`record`]: what was there before; [`tell`]: what has happened, then;
//!   [`settle`]: what of it is still to be dealt with
//! - [`before`], [`after`]: the hooks
//! - [`initramfs`]: whether another hook makes one after us

use std::io::Read;
use std::time::Instant;

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, signals};
use dkms_base::report::{Event, Reporter};
use dkms_hooks::{AdapterError, Plain};

pub mod after;
pub mod before;
pub mod initramfs;
pub mod owners;
pub mod pacman_conf;
pub mod record;
pub mod settle;
pub mod system;
pub mod targets;
pub mod tell;

use system::System;
use targets::Targets;

/// More is no list of targets.
const INPUT_LIMIT: u64 = 256 << 20;

const USAGE: &str = "usage: hooks-pacman coming|leaving|done|plan <TARGETS, as alpm hooks get them; hooks-pacman finish; \
    hooks-pacman --version";

/// When we are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before a transaction that brings something.
    Coming,
    /// Before a transaction that takes something away.
    Leaving,
    /// After one that has brought something.
    Done,
    /// At boot.
    Finish,
    /// A user wants to know what would be done after a transaction that brings something.
    Plan,
}

/// Runs the helper with the words of the command line; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    // What we make is for everyone to read, whatever pacman's umask is.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let plain = Plain::new(std::io::stdout());
    let moment = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["coming"] => Moment::Coming,
        ["leaving"] => Moment::Leaving,
        ["done"] => Moment::Done,
        ["finish"] => Moment::Finish,
        ["plan"] => Moment::Plan,
        ["--version"] => {
            let library =
                owners::library().map_or("without libalpm".to_owned(), |of| format!("libalpm {of}"));
            plain.say(&format!("hooks-pacman {}, {library}", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS.0.into();
        }
        _ => {
            plain.say(USAGE);
            return ExitCode::BAD_OPTION.0.into();
        }
    };
    match run(moment, &plain) {
        Ok(code) => code.0.into(),
        Err(error) => {
            plain.report(Event::Failed {
                module: None,
                target: None,
                text: error.to_string(),
                hints: error.hints(),
            });
            // A transaction isn't to fail because of us, unless that is wanted; then a person
            // has decided so above.
            let code = if moment == Moment::Coming { ExitCode::SUCCESS } else { ExitCode::USAGE_OR_RIGHTS };
            code.0.into()
        }
    }
}

fn run<W: std::io::Write + Send>(moment: Moment, plain: &Plain<W>) -> Result<ExitCode, AdapterError> {
    let began = Instant::now();
    if let Err(error) = signals::listen() {
        plain.report(Event::warning(format!("cannot listen to signals: {error}"), []));
    }
    let targets = if moment == Moment::Finish { Targets::default() } else { read(plain) };
    for odd in &targets.odd {
        plain.report(Event::warning(format!("`{odd}` is skipped: nothing of ours can have that name"), []));
    }
    if moment != Moment::Finish && targets.things.is_empty() && !targets.ourselves {
        if targets.odd.is_empty() && targets.prebuilt.is_empty() {
            plain.say("no module, kernel or headers among the targets on standard input: nothing is done");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut system = System::look(Environment::of_this_command(), plain)?;
    match moment {
        Moment::Coming => before::coming(&mut system, &targets, plain),
        Moment::Leaving => before::leaving(&mut system, &targets, plain),
        Moment::Done => after::done(&mut system, &targets.things, plain),
        Moment::Finish => after::finish(&mut system, plain),
        Moment::Plan => {
            let code = after::plan(&mut system, &targets.things, plain)?;
            plain.say(&format!("planned in {:.1} ms", began.elapsed().as_secs_f64() * 1000.0));
            Ok(code)
        }
    }
}

fn read(reporter: &dyn Reporter) -> Targets {
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().lock().take(INPUT_LIMIT).read_to_end(&mut input) {
        reporter.report(Event::warning(format!("cannot read standard input: {error}"), []));
    }
    Targets::parse(&input)
}
