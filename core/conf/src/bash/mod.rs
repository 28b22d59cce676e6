//! Tier 2: the real bash, for whatever the static reader isn't certain of.
//!
//! One process sources all files of a conf and says what they set; the shell that ran a conf is trusted with
//! nothing but that answer. It stands in a sandbox, where what a conf writes is thrown away.

mod answer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::confined::Confined;
use super::error::ConfError;
use super::found::{Found, Given};
use super::special;
use dkms_base::diagnose::refusals_in;
use dkms_base::host::process::{Process, ProcessError};
use dkms_base::host::root;

use answer::Answer;

/// How long the files of a conf may take together.
const LIMIT: Duration = Duration::from_secs(10);

const PRELUDE: &str = include_str!("prelude.sh");
const READ: &str = include_str!("read.sh");
const AGAIN: &str = include_str!("again.sh");

/// Where and with what bash runs.
#[derive(Debug)]
pub(super) struct Bash<'a> {
    /// The working folder.
    pub(super) dir: &'a Path,
    /// What the confs see.
    pub(super) given: &'a Given<'a>,
    /// What `override_dest_module_location` prints, if not its argument: a function of the 3.x
    /// line that confs call.
    pub(super) dest_override: Option<&'a str>,
    /// The names whose values are wanted.
    pub(super) wanted: &'a [&'static str],
    /// What keeps it in; `None`: nothing.
    pub(super) confined: Option<&'a Confined>,
}

/// The first lines that bash wrote about files: each begins with the file and the line.
fn complaints(said: &str, files: &[PathBuf]) -> Vec<String> {
    const MOST: usize = 3;
    const LONGEST: usize = 300;
    let of_a_file = |line: &str| {
        let rest = files.iter().find_map(|file| line.strip_prefix(&*file.to_string_lossy()))?;
        Some(rest.strip_prefix(": ")?.chars().take(LONGEST).collect())
    };
    said.lines().filter_map(of_a_file).take(MOST).collect()
}

impl Bash<'_> {
    /// Sources `files`, in order, and says what they set.
    ///
    /// # Errors
    /// [`ConfError`], naming the file that went wrong.
    pub(super) fn source(&self, files: &[PathBuf]) -> Result<Found, ConfError> {
        let script = READ.replace("@DUMP@", &self.dump());
        let rest = files.iter().map(|file| file.to_string_lossy().into_owned());
        let blamed = files.first().map_or(Path::new("dkms.conf"), PathBuf::as_path);
        match self.run(&script, rest, blamed, files)? {
            (Answer::Found(found), _) => Ok(self.without_what_was_there(found)),
            (Answer::Syntax { path, line, message }, _) => Err(ConfError::Syntax { path, line, message }),
            (Answer::Exits { path, line }, _) => Err(ConfError::Exits { path, line }),
            (Answer::Began { path }, code) => Err(ConfError::CutShort { path, code }),
            (Answer::Value { .. } | Answer::Nothing, code) => {
                Err(ConfError::CutShort { path: blamed.to_owned(), code })
            }
        }
    }

    /// Expands values once more: each a name, an index, and a text ready to stand between double quotes.
    ///
    /// # Errors
    /// [`ConfError`], naming the directive that went wrong; `file` is the conf that they come from.
    pub(super) fn expand(&self, file: &Path, texts: &[(&str, usize, String)]) -> Result<Found, ConfError> {
        let script = AGAIN.replace("@DUMP@", &self.dump());
        let rest = texts
            .iter()
            .flat_map(|(name, index, text)| [(*name).to_owned(), index.to_string(), text.clone()]);
        match self.run(&script, rest, file, &[])? {
            (Answer::Found(found), _) => Ok(found),
            (Answer::Value { name, index }, _) => {
                let same = |(a, b, _): &&(&str, usize, String)| *a == name && b.to_string() == index;
                let value = texts.iter().find(same).map(|(_, _, text)| text.clone()).unwrap_or_default();
                Err(ConfError::Value { path: file.to_owned(), directive: name, index, value })
            }
            (_, code) => Err(ConfError::CutShort { path: file.to_owned(), code }),
        }
    }

    /// Prints name, index and value of every element of what is wanted.
    fn dump(&self) -> String {
        let one = |name: &&str| {
            format!(
                "for __dkms_at in \"${{!{name}[@]}}\"; do \
                 printf '%s\\0' {name} \"$__dkms_at\" \"${{{name}[$__dkms_at]}}\"; done"
            )
        };
        self.wanted.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// stdin: nothing; stdout: our records; stderr: searched for what a sandbox refused. `blamed` is named
    /// where bash takes too long.
    fn run(
        &self,
        script: &str,
        rest: impl Iterator<Item = String>,
        blamed: &Path,
        files: &[PathBuf],
    ) -> Result<(Answer, i32), ConfError> {
        if !root::may_run_its_programs() {
            return Err(ConfError::NeedsBash { path: blamed.to_owned() });
        }
        let mark = format!("{:032x}", rand::random::<u128>());
        let variables = self.given.variables.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
        let options = ["--noprofile", "--norc", "-O", "extglob", "-c"].map(str::to_owned);
        let args = options
            .into_iter()
            .chain([format!("{PRELUDE}{script}"), "dkms".to_owned(), mark.clone()])
            .chain(["__dkms_dest".to_owned(), self.dest_override.unwrap_or_default().to_owned()])
            .chain(variables)
            .chain(["--".to_owned()])
            .chain(rest);
        let mut sandbox = None;
        let mut process =
            Process::new("/bin/bash", args, self.given.environment).dir(self.dir).time_limit(LIMIT);
        if let Some(confined) = self.confined
            && let Ok(made) = confined.sandbox(self.dir, files, self.given)
        {
            process = process.in_sandbox(&made);
            sandbox = Some(made);
        }
        let ended = if sandbox.is_some() { process.capture_apart() } else { process.capture_stdout() };
        let ended = ended.map_err(|error| match error {
            ProcessError::TimedOut { seconds, .. } => {
                ConfError::TimedOut { path: blamed.to_owned(), seconds }
            }
            ProcessError::Refused { missing, .. } => {
                ProcessError::Refused { line: format!("/bin/bash (for {})", blamed.display()), missing }
                    .into()
            }
            ProcessError::TooMuchOutput { mebibytes, .. } => {
                let line = format!("/bin/bash (for {})", blamed.display());
                ProcessError::TooMuchOutput { line, mebibytes }.into()
            }
            // The command line is our whole script: not a thing to show.
            ProcessError::Start { source, .. } => {
                ProcessError::Start { line: format!("/bin/bash (for {})", blamed.display()), source }.into()
            }
            ProcessError::Interrupted { .. } => {
                ProcessError::Interrupted { line: format!("/bin/bash (for {})", blamed.display()) }.into()
            }
        })?;
        let mut answer = Answer::parse(&ended.output, &mark);
        if let (Answer::Found(found), Some(sandbox)) = (&mut answer, &sandbox) {
            found.unreadable = sandbox.unreadable(&ended.missing);
            let said = String::from_utf8_lossy(&ended.errors);
            found.refused = refusals_in(&said);
            found.complaints = complaints(&said, files);
        }
        Ok((answer, ended.code()))
    }

    /// Without the names that were set before any conf was read.
    fn without_what_was_there(&self, mut found: Found) -> Found {
        found.names.retain(|name| self.given.value(name).is_none() && !special::is_special(name));
        found
    }
}
