//! make.log: a head, then what ran, each command with its line, output, exit code and time. Knows no step's meaning.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::host::fs::{self, FsError};
use crate::host::process::{Ended, Process, ProcessError};
use crate::host::{clock, scratch};
use crate::id::{ModuleId, Target};
use crate::script::naming_line;

/// The log of one build, in the build folder.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
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
        let mut log = Self { path, file };
        log.write(text)?;
        Ok(log)
    }

    /// Runs a command whose output goes here, and is returned besides. `line` is what people may read and type.
    pub(super) fn run(&mut self, what: &str, line: &str, process: &Process) -> Result<Ended, LogError> {
        self.write(&format!("\n# {what}\n# command: {line}\n"))?;
        let begin = self.size()?;
        let file = self.file.try_clone().map_err(|source| self.error("write", source))?;
        let began = Instant::now();
        let result = process.log_to(file).map_err(|error| naming_line(error, line));
        let seconds = began.elapsed().as_secs_f64();
        let output = self.from(begin)?;
        match &result {
            Ok(ended) => {
                self.write(&format!("# exit code: {}\n# elapsed time: {seconds:.1} s\n", ended.code()))?;
            }
            Err(error) => self.write(&format!("# {error}\n# elapsed time: {seconds:.1} s\n"))?,
        }
        Ok(Ended { output, ..result? })
    }

    /// Adds a line of our own.
    pub(super) fn note(&mut self, text: &str) -> Result<(), FsError> {
        self.write(&format!("\n# {text}\n"))
    }

    /// All that was written so far.
    pub(super) fn text(&mut self) -> Result<String, FsError> {
        Ok(String::from_utf8_lossy(&self.from(0)?).into_owned())
    }

    fn size(&self) -> Result<u64, FsError> {
        self.file.metadata().map(|meta| meta.len()).map_err(|source| self.error("look at", source))
    }

    /// What stands at `begin` and behind it. That the place moves doesn't matter: writing is always at the end.
    fn from(&mut self, begin: u64) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(begin)).and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(|source| self.error("read", source))?;
        Ok(bytes)
    }

    /// Puts a copy in its lasting place.
    pub(super) fn keep(&mut self, path: &Path) -> Result<(), FsError> {
        fs::write_whole(path, self.text()?.as_bytes(), 0o644)
    }

    /// Where it is. A build may have taken it away, or put something else there; then it is put back.
    pub(super) fn path(&mut self) -> PathBuf {
        let ours = self.file.metadata().map(|meta| (meta.dev(), meta.ino()));
        let there = fs::lstat(&self.path).ok().flatten().map(|meta| (meta.dev(), meta.ino()));
        if ours.ok() != there {
            // There is a failure to tell already; that its log is missing too is seen when it is looked for.
            drop(self.keep(&self.path.clone()));
        }
        self.path.clone()
    }

    fn write(&mut self, text: &str) -> Result<(), FsError> {
        self.file.write_all(text.as_bytes()).map_err(|source| self.error("write", source))
    }

    fn error(&self, verb: &'static str, source: std::io::Error) -> FsError {
        FsError { verb, path: self.path.clone(), source }
    }
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
        let text = log.text().unwrap();
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
}
