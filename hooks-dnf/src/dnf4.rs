//! dnf 4: its plugin hands over the transaction as one JSON document, and shows what we write.

use std::io::Read;
use std::path::PathBuf;

use dkms_base::exit::ExitCode;
use dkms_base::host::Environment;
use dkms_hooks::Output;
use serde::Deserialize;

use crate::incoming::Package;
use crate::plugin::{self, Said, Transaction};
use crate::preflight::Verdict;

/// Larger than a transaction with every package of a distribution.
const LIMIT: u64 = 256 << 20;

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default = "system")]
    installroot: PathBuf,
    #[serde(default)]
    packages: Vec<Package>,
}

fn system() -> PathBuf {
    PathBuf::from("/")
}

/// `dnf4 before|after|end`.
#[must_use]
pub fn run(words: &[&str], environment: Environment, out: &Output) -> ExitCode {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LIMIT).read_to_string(&mut text);
    let document = read.map_err(|error| error.to_string()).and_then(|_| parse(&text));
    let transaction = document.unwrap_or_else(|error| {
        out.say(&format!("warning: what dnf says isn't understood: {error}"));
        Transaction { root: system(), packages: Vec::new() }
    });
    match words {
        ["before"] => match plugin::before(&transaction, environment, out) {
            Verdict::GoOn => ExitCode::SUCCESS,
            Verdict::Block(why) => {
                out.say(why.trim_start_matches("dkms: "));
                ExitCode::USAGE_OR_RIGHTS
            }
        },
        ["after"] => plugin::after(&transaction.root, environment, out, Said::Later),
        ["end"] => {
            plugin::end(&transaction.root, environment, out);
            ExitCode::SUCCESS
        }
        _ => {
            out.say(&format!("warning: `{}` is no event that is known, and ignored", words.join(" ")));
            ExitCode::SUCCESS
        }
    }
}

pub(crate) fn parse(text: &str) -> Result<Transaction, String> {
    let Document { installroot, packages } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Transaction { root: installroot, packages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_understood_and_rubbish_is_not() {
        let text = r#"{"installroot": "/srv/r", "new": 1, "packages": [
            {"nevra": "kernel-core-6.1-1.x86_64", "comes": true, "file": "/x.rpm"},
            {"nevra": "$(touch /x)\n-1-1.noarch", "comes": false, "file": null}]}"#;
        let transaction = parse(text).unwrap();
        assert_eq!((transaction.root.to_str(), transaction.packages.len()), (Some("/srv/r"), 2));
        for rubbish in ["", "null", "7", "{\"packages\": 7}", "{\"packages\": [{}]}", "\u{0}"] {
            assert!(parse(rubbish).is_err(), "{rubbish}");
        }
    }
}
