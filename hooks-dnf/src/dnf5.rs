//! dnf 5: its actions plugin in JSON mode. We ask with lines on standard output, and read its answers; people
//! see what we write to standard error.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, fs};
use dkms_base::visible::visible;
use dkms_hooks::Output;
use serde_json::{Value, json};

use crate::incoming::Package;
use crate::offline;
use crate::plugin::{self, Said, Transaction};
use crate::preflight::Verdict;

/// The actions plugin, at the other ends of two pipes.
#[derive(Debug)]
pub struct Plugin<R, W> {
    answers: R,
    questions: W,
}

impl<R: BufRead, W: Write> Plugin<R, W> {
    /// On these.
    pub const fn new(answers: R, questions: W) -> Self {
        Self { answers, questions }
    }

    /// What it answers to a question.
    ///
    /// # Errors
    /// Where it answers nothing, or nothing that can be understood.
    pub fn ask(&mut self, question: &Value) -> Result<Value, String> {
        self.say(question)?;
        let mut line = String::new();
        let read = std::io::Read::take(&mut self.answers, LIMIT).read_line(&mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            return Err("it has hung up".to_owned());
        }
        let answer: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        match answer["status"].as_str() {
            Some("OK") => Ok(answer["return"].clone()),
            _ => Err(answer["message"].as_str().unwrap_or("it gave no answer").to_owned()),
        }
    }

    fn say(&mut self, line: &Value) -> Result<(), String> {
        writeln!(self.questions, "{line}")
            .and_then(|()| self.questions.flush())
            .map_err(|error| error.to_string())
    }

    fn conf(&mut self, key: &str) -> Result<Vec<String>, String> {
        let question = json!({"op": "get", "domain": "conf", "args": {"key": key}});
        let answer = self.ask(&question)?;
        let values = answer["keys_val"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(values.iter().filter_map(|one| one["value"].as_str().map(str::to_owned)).collect())
    }

    /// The root of the system that the transaction is for.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn root(&mut self) -> Result<PathBuf, String> {
        let values = self.conf("installroot")?;
        Ok(values
            .into_iter()
            .next()
            .filter(|root| !root.is_empty())
            .map_or_else(|| "/".into(), PathBuf::from))
    }

    /// The packages of the transaction.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn packages(&mut self) -> Result<Vec<Package>, String> {
        let wanted = ["nevra", "name", "version", "release", "arch", "direction", "location", "repo_id"];
        let question = json!({"op": "get", "domain": "trans_packages", "args": {"output": wanted}});
        let answer = self.ask(&question)?;
        let found = answer["trans_packages"].as_array().cloned().unwrap_or_default();
        let places = self.places();
        Ok(found.iter().map(|one| package(one, &places)).collect())
    }

    /// Where files of packages may lie: folders of caches, files that were named.
    fn places(&mut self) -> Places {
        let cache = self.conf("cachedir").unwrap_or_default();
        let named = json!({"op": "get", "domain": "cmdline_packages_paths", "args": {}});
        let named = self.ask(&named).unwrap_or_default();
        let named = named["cmdline_packages_paths"].as_array().cloned().unwrap_or_default();
        let mut folders = Vec::new();
        for cache in cache.iter().map(Path::new) {
            let repositories = fs::list(cache).unwrap_or_default();
            folders.extend(repositories.into_iter().map(|entry| cache.join(entry.name).join("packages")));
        }
        let local = self.conf("*.baseurl").unwrap_or_default();
        let local = local.iter().filter_map(|url| url.strip_prefix("file://")).map(PathBuf::from).collect();
        let named = named.iter().filter_map(|path| path.as_str().map(PathBuf::from)).collect();
        Places { folders, local, named }
    }
}

/// Larger than any answer.
const LIMIT: u64 = 256 << 20;

#[derive(Debug, Default)]
struct Places {
    folders: Vec<PathBuf>,
    local: Vec<PathBuf>,
    named: Vec<PathBuf>,
}

impl Places {
    /// The file of a package whose place in its repository this is.
    fn find(&self, location: &str) -> Option<PathBuf> {
        let name = Path::new(location).file_name()?;
        let named = self.named.iter().filter(|path| path.file_name() == Some(name)).cloned();
        let local = self.local.iter().map(|folder| folder.join(location.trim_start_matches('/')));
        let cached = self.folders.iter().map(|folder| folder.join(name));
        named
            .chain([PathBuf::from(location)])
            .chain(local)
            .chain(cached)
            .find(|path| path.is_absolute() && fs::is_file(path))
    }
}

fn package(one: &Value, places: &Places) -> Package {
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let comes = one["direction"].as_str() == Some("IN");
    let file = if comes { places.find(&text("location")) } else { None };
    Package {
        nevra: text("nevra"),
        name: text("name"),
        version: text("version"),
        release: text("release"),
        arch: text("arch"),
        comes,
        file,
    }
}

/// `dnf5 resolved|before|after`. What is only prepared (an offline upgrade, a download) is judged when it is
/// resolved: nobody reads what is printed at boot.
#[must_use]
pub fn run(words: &[&str], environment: Environment, out: &Output) -> ExitCode {
    if words == ["resolved"] && !offline::is_prepared() {
        return ExitCode::SUCCESS;
    }
    let mut dnf = Plugin::new(std::io::stdin().lock(), std::io::stdout());
    let root = match dnf.root() {
        Ok(root) => root,
        Err(error) => {
            out.say(&format!("warning: what dnf says isn't understood: {error}"));
            return ExitCode::SUCCESS;
        }
    };
    match words {
        ["before" | "resolved"] => {
            let packages = dnf.packages().unwrap_or_else(|error| {
                out.say(&format!("warning: what dnf says of its packages isn't understood: {error}"));
                Vec::new()
            });
            match plugin::before(&Transaction { root, packages }, environment, out) {
                Verdict::GoOn => ExitCode::SUCCESS,
                Verdict::Block(why) => {
                    // It hangs up, and ends.
                    drop(dnf.say(&json!({"op": "stop", "args": {"message": visible(&why)}})));
                    ExitCode::SUCCESS
                }
            }
        }
        ["after"] => {
            let code = plugin::after(&root, environment, out, Said::Now);
            if code != ExitCode::SUCCESS {
                let why = "dkms: modules could not be built, and `on_build_failure=fail` is set";
                drop(dnf.say(&json!({"op": "stop", "args": {"message": why}})));
            }
            code
        }
        _ => {
            out.say(&format!("warning: `{}` is no event that is known, and ignored", words.join(" ")));
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answers: &str) -> (Result<PathBuf, String>, String) {
        let mut questions = Vec::new();
        let root = Plugin::new(answers.as_bytes(), &mut questions).root();
        (root, String::from_utf8(questions).unwrap())
    }

    #[test]
    fn a_question_is_a_line() {
        let answer =
            r#"{"op":"reply","status":"OK","return":{"keys_val":[{"key":"installroot","value":"/r"}]}}"#;
        let (root, questions) = answered(&format!("{answer}\n"));
        assert_eq!(root.unwrap(), Path::new("/r"));
        assert_eq!(questions, "{\"args\":{\"key\":\"installroot\"},\"domain\":\"conf\",\"op\":\"get\"}\n");
    }

    #[test]
    fn rubbish_is_an_error_and_nothing_worse() {
        let error = r#"{"op":"reply","status":"ERROR","message":"no such key"}"#;
        for answers in ["", "\n", "{\n", "null\n", "[1]\n", "\u{0}\u{1}\n", error] {
            assert!(answered(answers).0.is_err(), "{answers:?}");
        }
        assert_eq!(answered("{\"status\":\"OK\"}\n").0.unwrap(), Path::new("/"));
    }

    #[test]
    fn a_package_is_found_where_it_was_downloaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.rpm");
        fs::write_whole(&file, b"", 0o644).unwrap();
        let one =
            json!({"nevra": "a-1-1.noarch", "direction": "IN", "location": "Packages/a/a.rpm", "name": 7});
        let places = Places { folders: vec![dir.path().to_owned()], ..Places::default() };
        assert_eq!(package(&one, &places).file, Some(file));
        assert_eq!(package(&one, &Places::default()).file, None);
        assert_eq!(package(&json!(null), &places), Package::default());
    }
}
