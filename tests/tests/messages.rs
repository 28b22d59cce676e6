//! What a user reads when something fails: what failed, for which module and kernel, why, where the log is,
//! and the one command that helps. People have read each text as users read it; a change of one is looked at.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Root, User};
use dkms_tests::tool::Tool;

const HELPERS: &str = r#"
    cd /usr/src/foo-1.0
    conf() { printf '%s\n' "$1" >>/usr/src/foo-1.0/dkms.conf; }
    script() { conf PRE_BUILD=pre.sh; printf '#!/bin/sh\n%s\n' "$1" >pre.sh; chmod +x pre.sh; }
"#;

/// Title, lines of shell, command.
fn failures() -> Vec<(&'static str, &'static str, &'static str)> {
    let each = include_str!("messages.txt").split("\n= ").skip(1).map(|text| {
        let (title, rest) = text.split_once('\n').unwrap();
        let rest = rest.trim_end();
        let (setup, line) = rest.rsplit_once("\n$ ").unwrap_or(("", rest.trim_start_matches("$ ")));
        (title, setup, line)
    });
    each.collect()
}

#[test]
#[ignore = "full tier"]
fn what_fails_is_told_as_a_user_reads_it() {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let failures = failures();
    assert!(failures.len() >= 40);
    let told: Vec<Mutex<String>> = failures.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let some = || {
        while let Some((at, failure)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            failures.get(at).map(|failure| (at, failure))
        } {
            let text = Root::new(&cache, &kernels, &[&ours]).and_then(|root| tell(&root, failure));
            *told[at].lock().unwrap() =
                text.unwrap_or_else(|error| format!("the test itself fails: {error:#}\n"));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(some);
        scope.spawn(some);
    });
    let mut all = String::new();
    for ((title, _, line), told) in failures.iter().zip(told) {
        write!(all, "== {title}\n$ dkms {line}\n{}\n", told.into_inner().unwrap()).unwrap();
    }
    insta::assert_snapshot!(all);
}

/// The end of one command: what it wrote to stderr, and its exit code.
fn tell(root: &Root, (_, setup, line): &(&str, &str, &str)) -> Result<String> {
    Module::new("foo", "1.0").write_to(root)?;
    let script = format!(
        "{HELPERS}\n{{ {setup}\n}} >&2 || exit 99\ncd /; echo :begin: >&2; parallel_jobs=2 \"$DKMS\" {line}"
    );
    let ended = root.shell(&script, User::Root, "/")?;
    let (_, errors) = ended.stderr.split_once(":begin:\n").with_context(|| ended.stderr.clone())?;
    let mut errors = errors.to_owned();
    let Kernels { first, second } = root.kernels();
    let series = first.trim_end_matches("amd64");
    for (text, name) in [(first.as_str(), "{K}"), (second, "{K2}"), (series, "{ABI}-")] {
        errors = errors.replace(text, name);
    }
    Ok(format!("{errors}[{}]\n", ended.code))
}
