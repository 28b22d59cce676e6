//! One line of a log: is it an error, whose, and where.

use super::loader::unrunnable;

/// An error as a compiler, linker, modpost, make or a shell has printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogError {
    /// What it says.
    pub text: String,
    /// The file concerned, where it names one.
    pub file: Option<String>,
    /// The line in that file.
    pub line: Option<u32>,
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.text),
            (Some(file), None) => write!(f, "{file}: {}", self.text),
            _ => f.write_str(&self.text),
        }
    }
}

impl LogError {
    fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), file: None, line: None }
    }

    fn at(place: &str, text: &str) -> Self {
        let text = text.trim().to_owned();
        let mut parts = place.rsplitn(3, ':').collect::<Vec<_>>();
        parts.reverse();
        let number = |part: &&str| part.parse::<u32>().ok();
        let (file, line) = match parts.as_slice() {
            [file, line, column] if number(line).is_some() && number(column).is_some() => {
                (Some((*file).to_owned()), number(line))
            }
            [rest @ .., line] if !rest.is_empty() && number(line).is_some() => {
                (Some(rest.join(":")), number(line))
            }
            _ => (Some(place.to_owned()), None),
        };
        Self { text, file, line }
    }
}

/// The first error that says what is wrong; failing that, the first that says only that something is.
pub(super) fn first(lines: &[&str]) -> Option<LogError> {
    let telling = lines.iter().enumerate().find_map(|(index, line)| {
        let error = telling(line).or_else(|| configure(line, &lines[index + 1..]))?;
        Some(if error.file.is_none() { with_patched_file(error, &lines[..index]) } else { error })
    });
    telling.or_else(|| lines.iter().find_map(|line| consequence(line)))
}

/// `configure: error:` with its text on the lines below, as macros of Autoconf write a long one (OpenZFS).
fn configure(line: &str, below: &[&str]) -> Option<LogError> {
    line.strip_suffix(": error:").filter(|program| program.ends_with("configure"))?;
    let text = |line: &&str| line.trim_start().trim_start_matches('*').trim().to_owned();
    let said = below.iter().take_while(|line| line.starts_with([' ', '\t'])).map(text);
    let said: Vec<String> = said.take_while(|text| !text.is_empty()).collect();
    Some(LogError::plain(&format!("{line} {}", said.join(" "))))
}

/// A line that names the fault itself.
fn telling(line: &str) -> Option<LogError> {
    if line.ends_with("(ignored)")
        || line.starts_with([' ', '\t']) && !line.trim_start().starts_with("ERROR: ")
    {
        return None;
    }
    compiler(line).or_else(|| make(line)).or_else(|| shell(line)).or_else(|| other(line.trim_start()))
}

/// `FILE:LINE:COLUMN: error: TEXT` of compilers, `PROGRAM: fatal error: TEXT` of their drivers.
fn compiler(line: &str) -> Option<LogError> {
    if let Some((place, _)) = line.split_once(": internal compiler error: ") {
        let is_file = place.rsplit(':').next().is_some_and(|end| end.parse::<u32>().is_ok());
        return Some(if is_file {
            LogError::at(place, &line[place.len() + 2..])
        } else {
            LogError::plain(line)
        });
    }
    for mark in [": fatal error: ", ": Fatal error: ", ": error: ", ": Error: "] {
        let Some((place, text)) = line.split_once(mark) else { continue };
        if place.contains(' ') && !place.contains('/') {
            continue;
        }
        let has_line = place.rsplit(':').next().is_some_and(|end| end.parse::<u32>().is_ok());
        let is_file = has_line || place.ends_with(".o") || place.ends_with(".s");
        return Some(if is_file { LogError::at(place, text) } else { LogError::plain(line) });
    }
    None
}

/// What make says when it finds the fault itself: `*** TEXT.  Stop.`
fn make(line: &str) -> Option<LogError> {
    let (who, text) = line.split_once(": *** ")?;
    let text = text.strip_suffix(".  Stop.")?;
    let is_make = who == "make" || who.starts_with("make[");
    Some(if is_make { LogError::plain(text) } else { LogError::at(who, text) })
}

/// A program that isn't there or can't be run, as shells, make and the dynamic linker say it.
fn shell(line: &str) -> Option<LogError> {
    (missing_program(line).is_some()
        || names_no_file(line)
        || names_no_interpreter(line)
        || unrunnable(line).is_some())
    .then(|| LogError::plain(line))
}

/// Whether a shell says that the file of a redirection, or one to be sourced, is not there.
fn names_no_file(line: &str) -> bool {
    let Some(head) = line.strip_suffix(": No such file or directory") else { return false };
    head.rsplit_once(": ").is_some_and(|(who, file)| is_line_of_shell(who) && is_file_of_data(file))
}

/// `./pre.sh: line 3`, `/bin/sh: 1`.
fn is_line_of_shell(who: &str) -> bool {
    who.contains("sh: ") && who.rsplit(' ').next().is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Whether what a shell does not find is no program. Of a bare name it would say that the command is not
/// found; of a path it says the same of a program and of a redirection's file.
fn is_file_of_data(path: &str) -> bool {
    const FOLDERS: [&str; 6] = ["/dev/", "/etc/", "/proc/", "/run/", "/sys/", "/var/"];
    const OF_PROGRAMS: [&str; 9] = ["awk", "bash", "bin", "exe", "pl", "py", "rb", "run", "sh"];
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, end)| end).filter(|end| !end.is_empty());
    let is_of_data = |end: &str| end.bytes().all(|b| b.is_ascii_alphabetic()) && !OF_PROGRAMS.contains(&end);
    let is_built = path.contains("/build/");
    !path.contains('/')
        || FOLDERS.iter().any(|folder| path.starts_with(folder)) && !is_built
        || extension.is_some_and(is_of_data)
}

/// Whether a line says that the first line of a script names a program that is not there, as bash says it.
pub(super) fn names_no_interpreter(line: &str) -> bool {
    line.ends_with(": cannot execute: required file not found")
        || line.contains(": bad interpreter: ") && line.to_lowercase().ends_with("no such file or directory")
}

/// The program that a line says is not there.
pub(super) fn missing_program(line: &str) -> Option<&str> {
    let word = |text: &'_ str| !text.is_empty() && !text.contains([' ', ':', '\'']);
    for end in [": command not found", ": Command not found", ": not found"] {
        if let Some(program) =
            line.strip_suffix(end).and_then(|head| head.rsplit_once(": ")).map(|(_, program)| program)
        {
            return word(program).then_some(program);
        }
    }
    let head = line.strip_suffix(": No such file or directory")?;
    let (who, program) = head.rsplit_once(": ")?;
    let is_make = who == "make" || (who.starts_with("make[") && who.ends_with(']'));
    let is_shell = is_line_of_shell(who) && !is_file_of_data(program);
    ((is_make || is_shell) && word(program)).then_some(program)
}

/// Whether a line says that a program of the build folder can't be run, as make, shells and `env` say it.
pub(super) fn is_not_executable(line: &str) -> bool {
    // perl's system and exec, which name the program and nothing else.
    if let Some((_, rest)) = line.split_once("Can't exec \"")
        && let Some((program, why)) = rest.split_once('"')
    {
        return why.starts_with(": Permission denied") && is_own_program(program);
    }
    let Some(head) = line.strip_suffix(": Permission denied") else { return false };
    let head = head.strip_suffix(": bad interpreter").unwrap_or(head);
    let (who, path) = head.rsplit_once(": ").unwrap_or(("", head));
    let who = who.split(": line ").next().unwrap_or(who);
    let (who, does) = who.split_once(": ").unwrap_or((who, ""));
    // make wanted to look at it, or to read it.
    if ["stat", "open", "opendir", "lstat", "fopen"].contains(&does) {
        return false;
    }
    let is_shell = who.rsplit('/').next().is_some_and(|name| name.ends_with("sh") || name == "env");
    let is_make = who == "make" || who.starts_with("make[");
    let path = path.trim_matches(['\'', '‘', '’', '"']);
    (is_shell || is_make) && is_own_program(path)
}

/// Whether a path is one of the source's.
fn is_own_program(path: &str) -> bool {
    path.contains('/') && (!path.starts_with('/') || path.contains("/build/"))
}

/// modpost, the linker, configure, patch, and a process that was killed.
fn other(line: &str) -> Option<LogError> {
    let begins =
        ["ERROR: ", "FATAL: ", "Error! ", "error: ", "configure: error: ", "patch: **** ", "FAILED: "];
    let contains = [
        "undefined reference to",
        "multiple definition of",
        ": cannot find -l",
        "ld: cannot open",
        "can't find file to patch",
        ": Permission denied",
        ": syntax error",
        "SSL error:",
        "No space left on device",
    ];
    let is_hunk = line.starts_with("Hunk #") && line.contains(" FAILED");
    let is_killed = line == "Killed" || line.ends_with(" Killed");
    let found = is_hunk
        || is_killed
        || begins.iter().any(|begin| line.starts_with(begin))
        || contains.iter().any(|part| line.contains(part));
    found.then(|| LogError::plain(line))
}

/// A hunk that fails belongs to the file that was named last.
fn with_patched_file(error: LogError, before: &[&str]) -> LogError {
    if !error.text.starts_with("Hunk #") {
        return error;
    }
    let file = before.iter().rev().find_map(|line| line.strip_prefix("patching file "));
    LogError { file: file.map(str::to_owned), ..error }
}

/// `make: *** [FILE:LINE: TARGET] Error N`: something failed that said nothing itself.
fn consequence(line: &str) -> Option<LogError> {
    let (who, text) = line.split_once(": *** [")?;
    if !(who == "make" || who.starts_with("make[")) {
        return None;
    }
    let Some((place, status)) = text.rsplit_once("] ") else { return Some(LogError::plain(text)) };
    match place.rsplit_once(": ") {
        Some((place, target)) => {
            Some(LogError::at(place, &format!("making `{target}` ended with `{status}`")))
        }
        None => Some(LogError::plain(&format!("making `{place}` ended with `{status}`"))),
    }
}
