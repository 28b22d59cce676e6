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

/// Larger than any commit.
const LIMIT: u64 = 256 << 20;
/// Where packages are downloaded to, and where zypper keeps those that were named by their files.
const CACHES: [&str; 2] = ["/var/cache/zypp/packages", "/var/cache/zypper/RPMS"];
const SETTINGS: &str = "/etc/zypp/zypp.conf";
const REPOSITORIES: &str = "/etc/zypp/repos.d";
/// How deep packages lie below such a folder.
const DEPTH: u32 = 4;

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
    let files: Vec<PathBuf> = places(Path::new("/")).iter().flat_map(|place| files(place, DEPTH)).collect();
    steps.iter().filter_map(|step| package(step, &files)).collect()
}

/// The folders that may have the file of a package when a commit begins. libzypp downloads later: what was
/// downloaded before is there, and what lies in a repository of this machine.
fn places(root: &Path) -> Vec<PathBuf> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let mut places: Vec<PathBuf> = CACHES.iter().map(|path| at(path)).collect();
    let settings = fs::read_lossy(&at(SETTINGS)).unwrap_or_default();
    places.extend(values(&settings, "packagesdir").map(&at));
    places.extend(values(&settings, "cachedir").map(|folder| at(folder).join("packages")));
    for entry in fs::list(&at(REPOSITORIES)).unwrap_or_default() {
        let text = fs::read_lossy(&at(REPOSITORIES).join(entry.name)).unwrap_or_default();
        if values(&text, "enabled").any(|value| ["0", "no", "false", "off"].contains(&value)) {
            continue;
        }
        let base = values(&text, "baseurl").next().unwrap_or_default();
        let folder = ["file:", "dir:"].iter().find_map(|scheme| base.strip_prefix(scheme));
        let folder = folder.map(|path| format!("/{}", path.trim_start_matches('/')));
        let path = values(&text, "path").next().unwrap_or_default().trim_start_matches('/');
        places.extend(folder.map(|folder| at(&folder).join(path)));
    }
    places
}

/// What is assigned to a name in a file with sections.
fn values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter(move |(key, _)| key.trim() == name).map(|(_, value)| value.trim())
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
fn files(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() && depth > 0 {
            found.extend(files(&path, depth - 1));
        } else if path.extension().is_some_and(|end| end == "rpm") {
            found.push(path);
        }
    }
    found
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
    fn files_lie_in_caches_and_in_repositories_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        };
        write("etc/zypp/zypp.conf", "[main]\n# packagesdir = /no\npackagesdir = /srv/cache\n");
        write("etc/zypp/repos.d/a.repo", "[a]\nenabled=1\nbaseurl=file:///srv/a\npath=/sub\n");
        write("etc/zypp/repos.d/b.repo", "[b]\nenabled=0\nbaseurl=dir:///srv/b\n");
        write("etc/zypp/repos.d/c.repo", "[c]\nbaseurl=https://example.org/c\n");
        write("etc/zypp/repos.d/d.repo", "[d]\nbaseurl=dir:///srv/d\n");
        let places = places(dir.path());
        let places: Vec<_> = places.iter().map(|place| place.strip_prefix(dir.path()).unwrap()).collect();
        let expected =
            ["var/cache/zypp/packages", "var/cache/zypper/RPMS", "srv/cache", "srv/a/sub", "srv/d"];
        assert_eq!(places, expected.map(Path::new));
        write("srv/d/suse/x86_64/k-1-1.x86_64.rpm", "");
        assert_eq!(files(&dir.path().join("srv/d"), DEPTH).len(), 1);
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
