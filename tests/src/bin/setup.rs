//! Fetches what the tests need.

use std::process::ExitCode;

use dkms_tests::{command, setup};

fn main() -> ExitCode {
    command::ended(
        setup::run(),
        "What is fetched already is kept. See whether the network and apt's sources are as they should be, then run `make setup` again",
    )
}
