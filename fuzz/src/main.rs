//! `fuzz TARGET SECONDS [SEED]`: throws mutated inputs at a target. `fuzz TARGET FILE`: only that one.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use dkms_base::host::{clock, fs};
use dkms_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (Some(target), Some(what)) = (words.first().and_then(|name| Target::named(name)), words.get(1))
    else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        say(&format!("usage: fuzz TARGET SECONDS [SEED] | fuzz TARGET FILE\ntargets: {}", names.join(" ")));
        return ExitCode::FAILURE;
    };
    let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    if let Err(error) = fs::create_dir_all(&artifacts) {
        say(&error.to_string());
        return ExitCode::FAILURE;
    }
    let current = artifacts.join(target.name);
    match what.parse() {
        Ok(seconds) => {
            let seed = words.get(2).and_then(|seed| seed.parse().ok()).unwrap_or_else(clock::unix_seconds);
            say(&format!("{}: seed {seed}; what fails lies in {}", target.name, current.display()));
            let count = target.throw(Duration::from_secs(seconds), seed, &current);
            say(&format!("{}: {count} inputs in {seconds} s, all well", target.name));
            drop(fs::remove_file(&current));
        }
        Err(_) => match fs::read(Path::new(what)) {
            Ok(input) => {
                let again = tempfile::NamedTempFile::new();
                let Ok(again) = again else { return ExitCode::FAILURE };
                target.once(&input, again.path());
            }
            Err(error) => {
                say(&error.to_string());
                return ExitCode::FAILURE;
            }
        },
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
