//! What happens while a command runs, as typed events. Core never prints: it tells a [`Reporter`], which has
//! faces for people and for programs.

use crate::id::{ModuleId, Target};

/// One thing that happened, or is worth knowing.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Work on a step begins, said as `Building v4l2loopback/0.12.7 for 6.1.0-47-amd64 (x86_64)`.
    Started {
        /// What is done.
        what: String,
    },
    /// It ended.
    Finished {
        /// What was done, as `build foo/1.0 for 6.1.0-47-amd64 (x86_64)`.
        what: String,
        /// How long it took.
        seconds: f64,
        /// Whether well. If not, the reason is reported when all has ended.
        well: bool,
    },
    /// Said to the user, nothing more: something skipped, something already so.
    Note {
        /// The sentence, without a final period.
        text: String,
    },
    /// Something is wrong, and we go on.
    Warning {
        /// What is wrong, and with what.
        text: String,
        /// What to do about it, a line each.
        hints: Vec<String>,
    },
    /// A step failed, and others go on; the error that ends a command is returned instead.
    Failed {
        /// The module concerned, if one is.
        module: Option<ModuleId>,
        /// For which kernel.
        target: Option<Target>,
        /// What failed.
        text: String,
        /// What to do about it, a line each.
        hints: Vec<String>,
    },
    /// An external command is about to run (shown with `--verbose`).
    Command {
        /// As one could type it.
        line: String,
    },
    /// A build has begun to write its log, while it runs.
    Logging {
        /// Where that is.
        log: std::path::PathBuf,
    },
    /// What a command of a build wrote (shown with `--verbose`; it is in the log besides).
    Output {
        /// All of it, without the last line's end.
        text: String,
    },
}

impl Event {
    /// A [`Event::Note`].
    #[must_use]
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    /// A [`Event::Warning`] with hints.
    #[must_use]
    pub fn warning(text: impl Into<String>, hints: impl IntoIterator<Item = String>) -> Self {
        Self::Warning { text: text.into(), hints: hints.into_iter().collect() }
    }
}

/// Receives the events.
pub trait Reporter: Send + Sync {
    /// Called for each event, from any thread, in the order in which things happen.
    fn report(&self, event: Event);

    /// As [`report`](Self::report), for what happens within a step of a plan: the steps have
    /// their numbers there.
    fn report_of(&self, step: usize, event: Event) {
        let _ = step;
        self.report(event);
    }

    /// A plan is about to be run, with so many steps.
    fn begin(&self, steps: usize) {
        let _ = steps;
    }

    /// It has been run.
    fn end(&self) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event) {}
}

/// Keeps everything, for tests and for summaries.
#[derive(Debug, Default)]
pub struct Recorder(std::sync::Mutex<Vec<Event>>);

impl Recorder {
    /// All that was reported so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Reporter for Recorder {
    fn report(&self, event: Event) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }
}
