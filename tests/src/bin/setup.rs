//! Fetches what the tests need; with words, only installs the programs that they name.

use std::process::ExitCode;

use dkms_tests::{command, setup};

fn main() -> ExitCode {
    let programs: Vec<String> = std::env::args().skip(1).collect();
    let result = if programs.is_empty() { setup::run() } else { setup::install(&programs) };
    command::ended(
        result,
        "What is fetched already is kept. See whether the network and apt's sources are as they should be, then run `make setup` again",
    )
}
