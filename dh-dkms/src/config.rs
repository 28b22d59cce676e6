//! Which file of `debian/` is a package's, and the conf that it is, or names.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_conf::Directive;

use crate::act::Job;
use crate::control::Compat;
use crate::error::Error;

/// Executable files of `debian/` are run instead of read from this level on.
const RUNS_FILES: u32 = 9;
/// Variables in such files mean something from this level on.
const EXPANDS: u32 = 13;

/// The conf of a package; `None`: it has no module.
///
/// # Errors
/// [`Error`] where a file can't be read, or doesn't name one conf.
pub fn find(job: &Job<'_>) -> Result<Option<PathBuf>, Error> {
    let given = || job.options.args.files.first().map(PathBuf::from);
    let Some(file) = package_file(job)?.or_else(given) else { return Ok(None) };
    let text = fs::read_lossy(&file)?;
    if is_conf(&text) {
        return Ok(Some(file));
    }
    named_in(job, &file, text).map(Some)
}

/// `debian/PACKAGE.dkms`, with an architecture or system behind it first; `debian/dkms` for the main package.
fn package_file(job: &Job<'_>) -> Result<Option<PathBuf>, Error> {
    let name = match &job.options.args.name {
        Some(name) => format!("{name}.dkms"),
        None => "dkms".to_owned(),
    };
    let package = job.package;
    let folder = Path::new("debian");
    let begin = format!("{package}.{name}.");
    let is_special = |entry: &fs::Entry| entry.name.to_string_lossy().starts_with(&begin);
    let mut names = Vec::new();
    if fs::list(folder)?.iter().any(is_special) {
        for variable in ["DEB_HOST_ARCH", "DEB_HOST_ARCH_OS"] {
            names.push(format!("{begin}{}", job.host.variable(variable)?));
        }
    }
    names.push(format!("{package}.{name}"));
    let main = job.options.args.mainpackage.as_deref();
    let main = main.or_else(|| job.control.packages.first().map(|package| package.name.as_str()));
    if main == Some(package) {
        names.push(name);
    }
    Ok(names.into_iter().map(|name| folder.join(name)).find(|path| fs::is_file(path)))
}

/// Whether a text is a conf itself: it sets a directive.
fn is_conf(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, _)) = line.split_once('=') else { return false };
        let name = name.trim_end_matches('+').split('[').next().unwrap_or_default();
        name.parse::<Directive>().is_ok()
    })
}

/// The one file that a list names.
fn named_in(job: &Job<'_>, file: &Path, text: String) -> Result<PathBuf, Error> {
    let fault = |why: String| Error::List { file: file.to_owned(), why };
    let runs = job.compat.0 >= RUNS_FILES && fs::is_executable(file);
    let text = if runs {
        let program = fs::canonical(file)?;
        let ended =
            Process::new(program, [] as [&str; 0], job.environment).dir(Path::new(".")).capture_stdout()?;
        if ended.code() != 0 {
            return Err(Error::Executable { file: file.to_owned(), code: ended.code() });
        }
        ended.text()
    } else {
        text
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let word = match words.as_slice() {
        [] => return Err(fault("is no dkms.conf, and names none".to_owned())),
        [word] => expanded(word, job).ok_or_else(|| fault(format!("has an unknown variable in `{word}`")))?,
        several => {
            return Err(fault(format!(
                "names {} files instead of one: {}",
                several.len(),
                several.join(", ")
            )));
        }
    };
    let args = &job.options.args;
    let places = [Some("."), args.sourcedirectory.as_deref(), Some("debian/tmp")];
    for place in places.into_iter().flatten() {
        let found = matching(Path::new(place), &word)?;
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            several => {
                let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
                return Err(fault(format!(
                    "names {} files instead of one: {}",
                    names.len(),
                    names.join(", ")
                )));
            }
        }
    }
    Err(fault(format!("names `{word}`, which does not exist here or in debian/tmp")))
}

/// With `${…}` replaced: variables of dpkg-architecture and of the environment. `None`
/// where one means nothing.
fn expanded(word: &str, job: &Job<'_>) -> Option<String> {
    if job.compat < Compat(EXPANDS) {
        return Some(word.to_owned());
    }
    let (mut out, mut rest) = (String::new(), word);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        match name {
            "Dollar" => out.push('$'),
            "Space" => out.push(' '),
            _ if name.starts_with("DEB_") => out.push_str(&job.host.variable(name).ok()?),
            _ => out.push_str(job.environment.get(name.strip_prefix("env:")?)?),
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// The files below a folder that a word names, `*` and `?` in it standing for any characters of a name.
fn matching(folder: &Path, word: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![folder.to_owned()];
    for part in word.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let mut next = Vec::new();
        for folder in &found {
            if !part.contains(['*', '?']) {
                next.push(folder.join(part));
            } else if fs::is_dir(folder) {
                for entry in fs::list(folder)? {
                    if entry.name.to_str().is_some_and(|name| !name.starts_with('.') && fits(part, name)) {
                        next.push(folder.join(&entry.name));
                    }
                }
            }
        }
        found = next;
    }
    found.retain(|path| fs::is_file(path));
    let plain = |path: &PathBuf| path.strip_prefix(".").unwrap_or(path).to_owned();
    Ok(found.iter().map(plain).collect())
}

/// Whether a name fits a pattern of `*` and `?`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = chars.as_str();
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| fits(rest, &name[at..]))
        }
        Some(c) => {
            let mut others = name.chars();
            others.next().is_some_and(|other| c == '?' || c == other) && fits(chars.as_str(), others.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conf_sets_a_directive() {
        for text in
            ["PACKAGE_NAME=x", "# c\n  PACKAGE_VERSION=\"1\"", "export MAKE[0]+=x", "BUILT_MODULE_NAME[1]=y"]
        {
            assert!(is_conf(text), "{text}");
        }
        for text in ["", "src/dkms.conf", "# PACKAGE_NAME=x", "x=y.conf"] {
            assert!(!is_conf(text), "{text}");
        }
    }

    #[test]
    fn patterns_fit_names() {
        for (pattern, name) in
            [("*", ""), ("*.conf", "dkms.conf"), ("d?m*", "dkms"), ("a*b*c", "axxbyyc"), ("ä?", "äß")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("?", ""), ("*.conf", "dkms"), ("a*b", "abc"), ("", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
