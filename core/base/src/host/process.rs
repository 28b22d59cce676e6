//! Processes: the one way to run one. Arguments are a list, never a shell line, unless the program *is* the
//! shell that a dkms.conf asks for; standard input is empty unless given; each runs in a process group of its
//! own that is ended whole.

mod ended;
mod limits;

use std::ffi::{CString, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use ended::{Ended, ProcessError, exit_code};

use self::limits::Limits;
use super::environment::Environment;
use super::jobs::JobPipe;
use super::sandbox::{Missing, Sandbox};
use super::stream::{self, Bounded};
use super::{root, signals};
pub use crate::sys::Overmounts;
use crate::sys::{EndBy, Overmount, Report};

/// A command to run.
#[derive(Debug, Clone)]
pub struct Process {
    program: OsString,
    args: Vec<OsString>,
    called: Option<String>,
    dir: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    environment: Environment,
    limits: Limits,
    overmount: Option<Overmount>,
    sandbox: Option<Sandbox>,
    jobs: Option<Arc<JobPipe>>,
    end: EndBy,
}

impl Process {
    /// A program with its arguments, in the given environment (`PATH` there finds the program).
    #[must_use]
    pub fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = A>,
        environment: &Environment,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            called: None,
            dir: None,
            stdin: None,
            environment: environment.clone(),
            limits: Limits::default(),
            overmount: None,
            sandbox: None,
            jobs: None,
            end: EndBy::Kill,
        }
    }

    /// A line for `sh -c`: only where a dkms.conf or framework.conf defines it so.
    #[must_use]
    pub fn shell(line: &str, environment: &Environment) -> Self {
        Self::new("/bin/sh", ["-c", line], environment)
    }

    /// What messages call it instead of its whole command line, which may name files that are gone by then.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.called = Some(name.into());
        self
    }

    /// In this folder.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// With this variable set.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.set(name, value);
        self
    }

    /// Ended, with everything in its group, when it still runs after `limit`: then
    /// [`ProcessError::TimedOut`].
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limits.whole = Some(limit);
        self
    }

    /// The same where nothing comes from it on the streams that are read: from its start until `first`, or
    /// later for as long as `next`.
    #[must_use]
    pub fn silence_limit(mut self, first: Duration, next: Duration) -> Self {
        self.limits.silence = Some([first, next]);
        self
    }

    /// Our own program: if its end is asked for it has a moment to end what it has started and to
    /// remove its temporary files. Others are ended at once.
    #[must_use]
    pub fn ours(mut self) -> Self {
        self.end = EndBy::Asking;
        self
    }

    /// With each of these folders in the place of the one behind it, seen so by this process
    /// and its children only.
    #[must_use]
    pub fn seeing(self, shown: &[(&Path, &Path)]) -> Self {
        self.seeing_through(&Overmounts { shown, ..Overmounts::default() })
    }

    /// The same, through layers. A process that isn't root gets a user namespace for it.
    #[must_use]
    pub fn seeing_through(mut self, wanted: &Overmounts<'_>) -> Self {
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("/"));
        // A path with a NUL byte can't be a process's folder either: then it doesn't start, and says so.
        self.overmount = Overmount::new(wanted, &dir).ok();
        self
    }

    /// In a sandbox, which shows it what it may see in what place.
    #[must_use]
    pub fn in_sandbox(mut self, sandbox: &Sandbox) -> Self {
        self.environment = sandbox.adapted(self.environment);
        self.sandbox = Some(sandbox.clone());
        self
    }

    /// Every make below it takes its jobs from this pipe.
    #[must_use]
    pub fn jobs_from(mut self, pipe: &Arc<JobPipe>) -> Self {
        self.jobs = Some(Arc::clone(pipe));
        self
    }

    /// With these bytes on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The command as one could type it, or what messages call it.
    #[must_use]
    pub fn line(&self) -> String {
        if let Some(name) = &self.called {
            return name.clone();
        }
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    fn expression(&self, report: Option<&Arc<Report>>) -> duct::Expression {
        let mut environment = self.environment.clone();
        if let Some(jobs) = &self.jobs {
            let callers = environment.get_filled("MAKEFLAGS").filter(|flags| !flags.contains("--jobserver"));
            let flags = callers.map_or_else(|| jobs.flags(), |callers| format!("{callers} {}", jobs.flags()));
            environment.set("MAKEFLAGS", flags);
        }
        let command = duct::cmd(&self.program, &self.args).full_env(environment.iter());
        let command = match &self.stdin {
            Some(bytes) => command.stdin_bytes(bytes.clone()),
            None => command.stdin_null(),
        };
        let (overmount, jobs, end) = (self.overmount.clone(), self.jobs.clone(), self.end);
        let sandbox = self.sandbox.clone().zip(report.cloned());
        let dir = self.dir.as_deref().unwrap_or(Path::new("/"));
        // A path with a NUL byte can't be a process's folder either: then it doesn't start, and says so.
        let dir = CString::new(dir.as_os_str().as_bytes()).unwrap_or_default();
        let mut expression = command.unchecked().before_spawn(move |command| {
            if let Some(overmount) = overmount.clone() {
                overmount.apply_to(command);
            }
            // Before the descriptors of the jobs are let through: those that are open now aren't.
            match &sandbox {
                Some((sandbox, report)) => sandbox.apply_to(report, dir.clone(), command),
                None => crate::sys::keep(command, end),
            }
            if let Some(jobs) = &jobs {
                jobs.apply_to(command);
            }
            Ok(())
        });
        if let Some(dir) = &self.dir {
            expression = expression.dir(dir);
        }
        expression
    }

    /// Runs it, stdout and stderr captured together; the middle of it is left out where
    /// there is far too much.
    ///
    /// # Errors
    /// [`ProcessError`]; a status other than 0 is no error here.
    pub fn capture(&self) -> Result<Ended, ProcessError> {
        let mut output = Bounded::new(LONGEST_CAPTURE / 2, LONGEST_CAPTURE / 2);
        let mut ended = self.run(Streams::Both, &mut |bytes| {
            output.push(bytes);
            ControlFlow::Continue(())
        })?;
        ended.output = output.bytes();
        Ok(ended)
    }

    /// Runs it, stdout captured, stderr discarded. It is ended where it writes more than any answer has.
    ///
    /// # Errors
    /// [`ProcessError`]; a status other than 0 is no error here.
    pub fn capture_stdout(&self) -> Result<Ended, ProcessError> {
        self.capture_answer(Streams::Out)
    }

    /// The same; the begin of stderr is captured apart.
    ///
    /// # Errors
    /// [`ProcessError`]; a status other than 0 is no error here.
    pub fn capture_apart(&self) -> Result<Ended, ProcessError> {
        self.capture_answer(Streams::Apart)
    }

    /// Runs it; what it writes to stdout goes to `sink`, piece by piece, from another thread, until that says
    /// that it is enough: then the program is ended. The begin of stderr is captured.
    ///
    /// # Errors
    /// [`ProcessError`]; a status other than 0 is no error here.
    pub fn stream_stdout_to(
        &self,
        sink: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
    ) -> Result<Ended, ProcessError> {
        self.run(Streams::Apart, sink)
    }

    fn capture_answer(&self, streams: Streams) -> Result<Ended, ProcessError> {
        let mut output = Vec::new();
        let mut ended = self.run(streams, &mut |bytes| {
            output.extend_from_slice(bytes);
            if output.len() > LONGEST_CAPTURE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        ended.output = output;
        Ok(ended)
    }

    /// Runs it; what it writes to stdout and stderr goes to `sink`, piece by piece, from another thread.
    ///
    /// # Errors
    /// [`ProcessError`]; a status other than 0 is no error here.
    pub fn stream_to(&self, sink: &mut (dyn FnMut(&[u8]) + Send)) -> Result<Ended, ProcessError> {
        self.run(Streams::Both, &mut |bytes| {
            sink(bytes);
            ControlFlow::Continue(())
        })
    }

    /// Runs it on our own terminal, in our own process group: it may ask, and a key that
    /// interrupts us interrupts it. A signal that only we get, or our death, asks it to end. The thread that
    /// calls this must live as long as the process.
    ///
    /// # Errors
    /// [`ProcessError`]; a status other than 0 is no error here.
    pub fn interact(&self) -> Result<Ended, ProcessError> {
        self.may_start()?;
        let start_error = |source| ProcessError::Start { line: self.line(), source };
        let command = duct::cmd(&self.program, &self.args).full_env(self.environment.iter());
        let overmount = self.overmount.clone();
        let command = command.unchecked().before_spawn(move |command| {
            if let Some(overmount) = overmount.clone() {
                overmount.apply_to(command);
            }
            // After that: who enters a user namespace would lose it (prctl(2)).
            crate::sys::tell_when_we_die(command);
            Ok(())
        });
        let handle = command.start().map_err(start_error)?;
        let _watched = signals::end_on_signal(&handle.pids());
        let output = handle.wait().map_err(start_error)?;
        if signals::interrupted() {
            return Err(ProcessError::Interrupted { line: self.line() });
        }
        Ok(Ended {
            status: output.status,
            output: Vec::new(),
            errors: Vec::new(),
            missing: Missing::default(),
        })
    }

    /// No program of an image is started by a command that only reads it: to the caller it isn't there.
    fn may_start(&self) -> Result<(), ProcessError> {
        if root::may_run_its_programs() {
            return Ok(());
        }
        let source = io::Error::new(io::ErrorKind::NotFound, "an image that is only read runs no program");
        Err(ProcessError::Start { line: self.line(), source })
    }

    fn run(&self, streams: Streams, sink: &mut stream::Sink<'_>) -> Result<Ended, ProcessError> {
        self.may_start()?;
        if signals::interrupted() {
            return Err(ProcessError::Interrupted { line: self.line() });
        }
        let start_error = |source| ProcessError::Start { line: self.line(), source };
        let report = self.sandbox.as_ref().map(|sandbox| sandbox.report().map(Arc::new)).transpose();
        let report = report.map_err(start_error)?;
        let missing = || report.as_deref().map(Missing::of).unwrap_or_default();
        let (output, written) = stream::pipe().map_err(start_error)?;
        let apart = if streams == Streams::Apart { Some(stream::pipe().map_err(start_error)?) } else { None };
        let (errors, errors_written) = apart.unzip();
        if let Some(owner) = self.sandbox.as_ref().and_then(Sandbox::owner) {
            // Who opens `/dev/stderr` opens this.
            for written in std::iter::once(&written).chain(&errors_written) {
                let _ = rustix::fs::fchown(written, Some(owner.uid), Some(owner.gid));
            }
        }
        let expression = self.expression(report.as_ref());
        let expression = match (streams, errors_written) {
            (Streams::Both, _) => expression.stderr_to_stdout(),
            (_, Some(written)) => expression.stderr_file(written),
            (_, None) => expression.stderr_null(),
        };
        let expression = expression.stdout_file(written);
        let handle = when_no_longer_written(|| expression.start()).map_err(|source| {
            let missing = missing();
            let is_strict = self.sandbox.as_ref().is_some_and(Sandbox::is_strict);
            if !is_strict || missing.is_empty() || source.kind() != io::ErrorKind::PermissionDenied {
                return start_error(source);
            }
            ProcessError::Refused { line: self.line(), missing }
        })?;
        let groups: Vec<u32> = handle.pids();
        let _watched = signals::end_on_signal(&groups);
        let (stop, stopped) = stream::pipe().map_err(start_error)?;
        let ask_to_end = || groups.iter().for_each(|group| signals::ask_to_end(*group));
        let heard = Mutex::new(None);
        let mut sink = |bytes: &[u8]| {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            sink(bytes)
        };
        let (ended, too_much, errors) = std::thread::scope(|scope| {
            let of_errors = errors.as_ref().map(|errors| scope.spawn(|| stream::begin_of(errors, &stop)));
            let reader = scope.spawn(|| stream::drain(&output, &stop, &mut sink, &ask_to_end));
            let ended = self.until_ended(&handle, &groups, &heard);
            // What it left running goes too: no child outlives the command.
            groups.iter().for_each(|group| signals::kill_group(*group));
            drop(stopped);
            // A reader that has died has read nothing more.
            let errors = of_errors.and_then(|reader| reader.join().ok()).unwrap_or_default();
            (ended, reader.join().unwrap_or_default(), errors)
        });
        let ended = ended.map_err(start_error)?;
        let line = || self.line();
        if signals::interrupted() {
            return Err(ProcessError::Interrupted { line: line() });
        }
        if too_much {
            let most = if streams == Streams::Both { stream::MOST } else { LONGEST_CAPTURE as u64 };
            return Err(ProcessError::TooMuchOutput { line: line(), mebibytes: most >> 20 });
        }
        match ended {
            Ok(status) => Ok(Ended { status, output: Vec::new(), errors, missing: missing() }),
            Err(limit) => Err(ProcessError::TimedOut { line: line(), seconds: limit.as_secs() }),
        }
    }

    /// Waits for its end; `Err`: the limit that it has exceeded. Who is asked to end and doesn't is not
    /// waited for for ever. `heard`: when it has written last.
    fn until_ended(
        &self,
        handle: &duct::Handle,
        groups: &[u32],
        heard: &Mutex<Option<Instant>>,
    ) -> io::Result<Result<ExitStatus, Duration>> {
        let began = Instant::now();
        let mut asked: Option<Instant> = None;
        let mut exceeded: Option<Duration> = None;
        loop {
            let heard = *heard.lock().unwrap_or_else(PoisonError::into_inner);
            let heard = heard.map(|at| at.saturating_duration_since(began));
            let left = self.limits.left(began.elapsed(), heard).filter(|_| exceeded.is_none());
            let pause = left.map_or(PAUSE, |(left, _)| left.min(PAUSE));
            if let Some(output) = handle.wait_timeout(pause)? {
                return Ok(exceeded.map_or(Ok(output.status), Err));
            }
            exceeded = exceeded.or(left.filter(|(left, _)| left.is_zero()).map(|(_, limit)| limit));
            if exceeded.is_none() && !signals::interrupted() {
                continue;
            }
            let asked = *asked.get_or_insert_with(|| {
                groups.iter().for_each(|group| signals::ask_to_end(*group));
                Instant::now()
            });
            if asked.elapsed() > PATIENCE {
                groups.iter().for_each(|group| signals::kill_group(*group));
            }
            if asked.elapsed() > 2 * PATIENCE {
                return Ok(Err(exceeded.unwrap_or_default()));
            }
        }
    }
}

/// What is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    /// Both as one.
    Both,
    /// stdout alone.
    Out,
    /// stdout, and the begin of stderr by itself.
    Apart,
}

/// Starts a program, waiting for those who still write its file (`ETXTBSY`, execve(2)). A program that we
/// have written and closed is open for writing for a moment in each child that another thread has forked
/// meanwhile, until that child executes its own.
fn when_no_longer_written<T>(start: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        match start() {
            Err(source)
                if source.kind() == io::ErrorKind::ExecutableFileBusy && began.elapsed() < LONGEST_WRITE =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            started => return started,
        }
    }
}

/// How long a program's file may be open for writing when it is to start.
const LONGEST_WRITE: Duration = Duration::from_secs(2);
/// More than any answer, or any message that a person reads.
const LONGEST_CAPTURE: usize = 16 << 20;
/// How often a waiting thread looks at signals and time limits.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a process has to end what it has started.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether we have the right to mount (`CAP_SYS_ADMIN`, capabilities(7)), without which no folder can be
/// shown in another's place; whether it works is only known when it is [tried](can_see_privately).
#[must_use]
pub fn may_mount() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    has_capability(CAP_SYS_ADMIN)
}

/// Whether a capability is in effect for us.
#[must_use]
pub(super) fn has_capability(number: u32) -> bool {
    let status = super::fs::read_lossy(Path::new("/proc/self/status")).unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> number & 1 == 1)
}

/// Whether this system lets us show a process a folder in another's place (a mount namespace, see
/// mount_namespaces(7)).
#[must_use]
pub fn can_see_privately(folder: &Path, environment: &Environment) -> bool {
    let process = Process::new("true", [] as [&str; 0], environment).dir(folder).seeing(&[(folder, folder)]);
    process.capture().is_ok_and(|ended| ended.code() == 0)
}

/// A word as a POSIX shell reads it back.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
