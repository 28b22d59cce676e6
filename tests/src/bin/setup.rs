//! Fetches what the tests need. With words less of it: `kernels`, `systems NAME...`, or only the
//! programs that they name.

use std::process::ExitCode;

use dkms_tests::cache::Cache;
use dkms_tests::command;
use dkms_tests::setup::{self, systems};

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).skip(1).collect();
    let done = match words.split_first() {
        None => setup::run(),
        Some((word, [])) if word == "kernels" => Cache::open().and_then(|cache| setup::kernels(&cache)),
        Some((word, names)) if word == "systems" => {
            Cache::open().and_then(|cache| systems::make(&cache, names))
        }
        Some(_) => setup::install(&words),
    };
    command::ended(
        done,
        "What is fetched already is kept. See whether the network and apt's sources are as they should be, then run `make setup` again",
    )
}
