//! `apt-cache show --no-all-versions '?name(^linux-)' | kernel-offers FLAVOUR`: the kernels that can be had,
//! the newest first, a line each: release, package of the headers, package of the image. Without any it says
//! what was looked for, and ends with 1.

use std::io::{Read, Write};
use std::process::ExitCode;

use dkms_offers::{Line, kernels};

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).skip(1);
    let (Some(flavour), None) = (words.next(), words.next()) else {
        return fail("usage: kernel-offers FLAVOUR <APT-CACHE-SHOW");
    };
    let mut answer = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut answer) {
        return fail(&format!("Error: can't read apt's answer: {error}"));
    }
    let line = Line::by_abi(&flavour);
    let found = kernels(&String::from_utf8_lossy(&answer), &line);
    if found.is_empty() {
        return fail(&format!("Error: apt offers no {}", line.describe()));
    }
    let mut stdout = std::io::stdout().lock();
    for kernel in found {
        if writeln!(stdout, "{} {} {}", kernel.release, kernel.headers, kernel.image).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn fail(line: &str) -> ExitCode {
    // A closed stderr changes nothing.
    let _ = writeln!(std::io::stderr(), "{line}");
    ExitCode::FAILURE
}
