//! make.log: a head, then what ran, each command with its line, output, exit code and time.
//! Knows no step's meaning.
//!
//! What counts is in memory, begin and end where it is too long. The file in the build folder is for people
//! who watch; a build may do with it what it likes, and at the end it is written again.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::host::fs::{self, FsError};
use crate::host::process::{Ended, Process, ProcessError};
use crate::host::stream::Bounded;
use crate::host::{clock, scratch};
use crate::id::{ModuleId, Target};
use crate::script::naming_line;

/// What is kept of a log from its begin, where the first error is, and from its end.
const KEPT: [usize; 2] = [4 << 20, 2 << 20];

/// The log of one build, in the build folder.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    kept: Bounded,
    /// What the last command wrote.
    last: Bounded,
}

/// A command could not be run, or not be logged.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl Log {
    /// Begins the log of a build, in place of what may be there.
    pub(super) fn begin(path: PathBuf, id: &ModuleId, target: &Target) -> Result<Self, FsError> {
        let date = clock::rfc2822(clock::unix_seconds());
        let head = format!(
            "dkms-{}: build of {id} for kernel {} ({})\n{date}\n",
            env!("CARGO_PKG_VERSION"),
            target.kernel,
            target.arch
        );
        Self::resume(path, &head)
    }

    /// Begins a log with the text of another one, in place of what may be there.
    pub(super) fn resume(path: PathBuf, text: &str) -> Result<Self, FsError> {
        fs::remove_any(&path)?;
        let file = scratch::create_log(&path)?;
        let [kept, last] = [KEPT, KEPT].map(|[begin, end]| Bounded::new(begin, end));
        let mut log = Self { path, file, kept, last };
        log.write(text)?;
        Ok(log)
    }

    /// Runs a command whose output goes here, and is returned besides. `line` is what
    /// people may read and type.
    pub(super) fn run(&mut self, what: &str, line: &str, process: &Process) -> Result<Ended, LogError> {
        self.write(&format!("\n# {what}\n# command: {line}\n"))?;
        self.last = Bounded::new(KEPT[0], KEPT[1]);
        let began = Instant::now();
        let result = process.stream_to(&mut |bytes| {
            // A full disk fails the build by itself, and is reported below.
            drop(add(&mut self.kept, &mut self.file, bytes));
            self.last.push(bytes);
        });
        let result = result.map_err(|error| naming_line(error, line));
        let seconds = began.elapsed().as_secs_f64();
        match &result {
            Ok(ended) => {
                self.write(&format!("# exit code: {}\n# elapsed time: {seconds:.1} s\n", ended.code()))?;
            }
            Err(error) => self.write(&format!("# {error}\n# elapsed time: {seconds:.1} s\n"))?,
        }
        Ok(Ended { output: self.last.bytes(), ..result? })
    }

    /// Adds a line of our own.
    pub(super) fn note(&mut self, text: &str) -> Result<(), FsError> {
        self.write(&format!("\n# {text}\n"))
    }

    /// All that was written so far, as far as it is kept.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.bytes()).into_owned()
    }

    /// What the last command wrote, as far as it is kept.
    pub(super) fn last(&self) -> String {
        String::from_utf8_lossy(&self.last.bytes()).into_owned()
    }

    /// Puts a copy in its lasting place.
    pub(super) fn keep(&self, path: &Path) -> Result<(), FsError> {
        fs::write_whole(path, &self.kept.bytes(), 0o644)
    }

    /// Where it is, as we have written it: the build may have taken it away, or put something else there.
    pub(super) fn path(&self) -> PathBuf {
        // There is a failure to tell already; that its log is missing too is seen when it is looked for.
        drop(fs::remove_any(&self.path).and_then(|()| self.keep(&self.path)));
        self.path.clone()
    }

    fn write(&mut self, text: &str) -> Result<(), FsError> {
        let written = add(&mut self.kept, &mut self.file, text.as_bytes());
        written.map_err(|source| FsError { verb: "write", path: self.path.clone(), source })
    }
}

/// Keeps bytes, and writes them to the file as long as that holds no more than the begin.
fn add(kept: &mut Bounded, file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    let room = kept.room_at_begin().min(bytes.len());
    kept.push(bytes);
    file.write_all(&bytes[..room])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Environment;

    #[test]
    fn a_log_tells_what_ran_and_survives_its_folder_being_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("make.log");
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let target = Target::parse("6.1.0-1-amd64", "x86_64").unwrap();
        fs::write_whole(&path, b"shipped with the source", 0o644).unwrap();
        let mut log = Log::begin(path.clone(), &id, &target).unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let line = "echo hello; rm make.log; exit 3";
        let ended = log.run("Cleaning", line, &Process::shell(line, &environment).dir(dir.path())).unwrap();
        assert_eq!((ended.code(), ended.text().as_str()), (3, "hello\n"));
        let text = log.text();
        assert!(
            text.starts_with("dkms-4.0.0: build of foo/1.0 for kernel 6.1.0-1-amd64 (x86_64)\n"),
            "{text}"
        );
        assert!(
            text.contains("# Cleaning\n# command: echo hello; rm make.log; exit 3\nhello\n# exit code: 3\n")
        );
        assert!(!fs::exists(&path));
        assert_eq!(fs::read_lossy(&log.path()).unwrap(), text);
    }

    /// A log that is all one line of a build, on a file that the build has made its own.
    #[test]
    fn a_log_is_no_longer_than_its_begin_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("make.log");
        let mut log = Log::resume(path.clone(), "head\n").unwrap();
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let line = "yes 0123456789 | head -c 30000000; truncate -s 2G make.log; echo last";
        let ended = log.run("Flooding", line, &Process::shell(line, &environment).dir(dir.path())).unwrap();
        assert!(ended.text().ends_with("last\n") && ended.output.len() < 7 << 20);
        let text = fs::read_lossy(&log.path()).unwrap();
        assert!(text.starts_with("head\n") && text.len() < 7 << 20);
        assert!(text.contains(" bytes are left out here\n") && text.contains("last\n# exit code: 0\n"));
    }
}
