//! zypper: libzypp's commit plugin, which is asked with frames on standard input and answers
//! each on standard output.
//!
//! In classic mode libzypp starts an rpm for each package and keeps our triggers from running, so this is all
//! that calls us. A frame is a command, headers, an empty line, a body, and a zero byte. Nothing that is
//! answered ends a commit.

use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, fs};
use dkms_hooks::Output;
use serde_json::Value;

use crate::incoming::Package;
use crate::plugin::{self, Said, Transaction};

/// No commit comes near it.
const LIMIT: u64 = 256 << 20;
/// Where packages are downloaded to.
const CACHE: &str = "/var/cache/zypp/packages";

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    command: String,
    body: String,
}

/// The next frame; `None` at the end.
fn next(input: &mut impl BufRead) -> std::io::Result<Option<Frame>> {
    let mut bytes = Vec::new();
    input.take(LIMIT).read_until(0, &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(&bytes)).into_owned();
    let text = text.trim_start_matches('\n');
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let command = head.lines().next().unwrap_or_default().trim().to_owned();
    Ok(Some(Frame { command, body: body.to_owned() }))
}

/// Answers until libzypp hangs up. The system is that of the process: libzypp runs plugins
/// in its own root only.
#[must_use]
pub fn run(environment: &Environment, out: &Output) -> ExitCode {
    serve(&mut std::io::stdin().lock(), &mut std::io::stdout(), |frame| match frame.command.as_str() {
        "COMMITBEGIN" => {
            let packages = packages(&frame.body);
            let transaction = Transaction { root: PathBuf::from("/"), packages };
            // It can't be ended from here.
            drop(plugin::before(&transaction, environment.clone(), out));
        }
        "COMMITEND" => {
            let _ = plugin::after(Path::new("/"), environment.clone(), out, Said::Now);
        }
        _ => {}
    })
}

fn serve(input: &mut impl BufRead, answers: &mut impl Write, mut act: impl FnMut(&Frame)) -> ExitCode {
    while let Ok(Some(frame)) = next(input) {
        act(&frame);
        if answers.write_all(b"ACK\n\n\0").and_then(|()| answers.flush()).is_err() {
            break;
        }
        if frame.command == "PLUGINEND" {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// What a commit brings and takes away:
/// `{"TransactionStepList": [{"type": "+", "solvable": {"n": …, "v": …, "r": …, "a": …}}]}`.
fn packages(body: &str) -> Vec<Package> {
    let document: Value = serde_json::from_str(body).unwrap_or_default();
    let steps = document["TransactionStepList"].as_array().cloned().unwrap_or_default();
    let files = downloaded(Path::new(CACHE), 3);
    steps.iter().filter_map(|step| package(step, &files)).collect()
}

fn package(step: &Value, files: &[PathBuf]) -> Option<Package> {
    let comes = match step["type"].as_str()? {
        "+" | "M" => true,
        "-" => false,
        _ => return None,
    };
    let word = |key: &str| step["solvable"][key].as_str().unwrap_or_default().to_owned();
    let (name, version, release, arch) = (word("n"), word("v"), word("r"), word("a"));
    let nevra = format!("{name}-{version}-{release}.{arch}");
    let file_name = format!("{nevra}.rpm");
    let is_it = |file: &&PathBuf| file.file_name().is_some_and(|name| name == file_name.as_str());
    let file = files.iter().find(is_it).filter(|_| comes).cloned();
    Some(Package { nevra, name, version, release, arch, comes, file })
}

/// Files of packages below a folder.
fn downloaded(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() && depth > 0 {
            files.extend(downloaded(&path, depth - 1));
        } else if path.extension().is_some_and(|end| end == "rpm") {
            files.push(path);
        }
    }
    files
}

/// How many packages these bytes of libzypp's tell of: for those who throw any at it.
pub(crate) fn examine(mut input: &[u8]) -> usize {
    let mut count = 0;
    let _ = serve(&mut input, &mut std::io::sink(), |frame| count += packages(&frame.body).len());
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_answered() {
        let mut input: &[u8] = b"PLUGINBEGIN\nuserdata:x\n\n\0COMMITBEGIN\n\n{\"a\": 1}\0\nCOMMITEND\n\n\0PLUGINEND\n\n\0REST\n\n\0";
        let (mut answers, mut seen) = (Vec::new(), Vec::new());
        let _ =
            serve(&mut input, &mut answers, |frame| seen.push(format!("{} {}", frame.command, frame.body)));
        assert_eq!(seen, ["PLUGINBEGIN ", "COMMITBEGIN {\"a\": 1}", "COMMITEND ", "PLUGINEND "]);
        assert_eq!(answers, b"ACK\n\n\0".repeat(4));
    }

    #[test]
    fn a_commit_is_its_packages() {
        let body = r#"{"TransactionStepList":[{"type":"+","stage":"ok","solvable":{"n":"kernel-default","v":"6.4.0","r":"150600.23.33.1","a":"x86_64"}},
            {"type":"-","solvable":{"n":"foo","v":"1","r":"2","a":"noarch"}},{"type":"?"},7]}"#;
        let found = packages(body);
        let texts: Vec<_> = found.iter().map(|one| (one.nevra.as_str(), one.comes)).collect();
        assert_eq!(texts, [("kernel-default-6.4.0-150600.23.33.1.x86_64", true), ("foo-1-2.noarch", false)]);
        assert!(packages("").is_empty() && packages("{\"TransactionStepList\": 7}").is_empty());
    }
}
