//! What every hook starts with, how batches are run and told, and what a failure means to dpkg.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::host::{Environment, signals};
use dkms_base::id::{Arch, KernelRelease, Target};
use dkms_base::layout::Layout;
use dkms_core::engine::Outcome;
use dkms_core::event::Happening;
use dkms_core::plan::{Action, Work};
use dkms_core::tree::{Snapshot, turns};
use dkms_hooks::{Adapter, AdapterError, Initramfs, Output, Stream, Summary, unsaid};

use crate::ahead::Ahead;
use crate::frontend;
use crate::pending::{self, Pending};

/// Standard output; where that is debconf's (a module package may talk to it while it calls
/// us), standard error.
#[must_use]
pub fn stream(environment: &Environment) -> Stream {
    match environment.get_filled("DEBIAN_HAS_FRONTEND") {
        Some(_) => Stream::error(),
        None => Stream::out(),
    }
}

/// Says an error, and what to do about it.
pub fn say_error(out: &Output, error: &AdapterError) {
    say(out, &failure_of(error));
}

fn say(out: &Output, summary: &Summary) {
    summary.lines().iter().for_each(|line| out.say(line));
}

fn failure_of(error: &AdapterError) -> Summary {
    Summary::failure(error.to_string(), error.hints())
}

/// A hook at work.
#[derive(Debug)]
pub struct Session<'a> {
    /// The system.
    pub adapter: Adapter,
    /// Where it writes.
    pub out: &'a Output,
}

/// How a batch ended.
#[derive(Debug)]
pub struct Ended {
    /// What was done.
    pub done: Vec<Action>,
    /// Nothing was begun: what was asked for is still to be done.
    pub is_due: bool,
    /// The exit code for dpkg.
    pub code: ExitCode,
    /// Kernels on which something is to be tried again when their headers are configured.
    pub waiting: BTreeSet<KernelRelease>,
}

impl<'a> Session<'a> {
    /// Looks at the system.
    ///
    /// # Errors
    /// [`AdapterError`] where its settings can't be read.
    pub fn begin(environment: Environment, out: &'a Output) -> Result<Self, AdapterError> {
        Ok(Self { adapter: Adapter::begin(environment, out)?, out })
    }

    /// The same for kernels of this architecture.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn on(&self, arch: Arch) -> Result<Self, AdapterError> {
        let mut adapter = Adapter::begin(self.environment().clone(), self.out)?;
        adapter.arch = Some(arch);
        Ok(Self { adapter, out: self.out })
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.adapter.settings.layout
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.adapter.environment
    }

    /// The kernel that a hook was given, as its first word; says what is wrong with it.
    #[must_use]
    pub fn kernel(&self, words: &[&str]) -> Option<Target> {
        let text = words.first().copied().unwrap_or_default();
        let target = match KernelRelease::new(text) {
            Ok(release) => self.adapter.target(&release).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        target.map_err(|error| self.out.say(&format!("error: {error}"))).ok()
    }

    /// Does what follows from what was reported, as one batch, and prints how it went.
    #[must_use]
    pub fn batch(&self, told: &[Happening], initramfs: Initramfs) -> Ended {
        self.conclude(self.adapter.batch(told, initramfs, self.out))
    }

    /// The same with what is built before its package is configured.
    #[must_use]
    pub fn batch_ahead(&self, told: &[Happening], ahead: &Ahead, initramfs: Initramfs) -> Ended {
        let told: Vec<Happening> = told.iter().chain(&ahead.told).cloned().collect();
        self.note_early(ahead);
        let mut waiting = BTreeSet::new();
        let result = self.adapter.batch_ahead(&told, &ahead.look, initramfs, self.out);
        let result = result.map(|(outcome, kernels)| {
            waiting = kernels;
            outcome
        });
        let ended = Ended { waiting, ..self.conclude(result) };
        if !ended.is_due && !signals::interrupted() {
            ahead.done(self, &told, &ended.waiting);
            let replaced = told.iter().filter_map(|happening| match happening {
                Happening::KernelReplaced(target) => Some(Pending::replaced(&target.kernel)),
                _ => None,
            });
            drop(pending::done(self.layout(), replaced.collect::<Vec<_>>().iter()));
        }
        ended
    }

    /// Notes what this batch registers before its package is configured.
    fn note_early(&self, ahead: &Ahead) {
        if ahead.look.ahead.is_empty() {
            return;
        }
        let snapshot = self.adapter.snapshot().unwrap_or_default();
        let new = ahead.look.ahead.iter().filter(|id| snapshot.get(id).is_none());
        // One that isn't noted stays if its package is never configured.
        new.for_each(|id| drop(turns::note_early(self.layout(), id)));
    }

    /// The same for something else.
    #[must_use]
    pub fn carry_out(&self, work: &dyn Fn(&Snapshot) -> Work) -> Ended {
        self.conclude(self.adapter.carry_out(work, Initramfs::Others, self.out))
    }

    /// Tells how a batch went.
    #[must_use]
    pub fn conclude(&self, result: Result<Outcome, AdapterError>) -> Ended {
        match result {
            Ok(outcome) => {
                let (summary, code) = match outcome.is_interrupted() {
                    true => (Summary::of_interrupted(&outcome), self.failed()),
                    false => (Summary::of(&outcome), self.adapter.exit_of(&outcome)),
                };
                self.tell(summary);
                Ended { done: outcome.done, is_due: false, code, waiting: BTreeSet::new() }
            }
            Err(error) => {
                self.tell(failure_of(&error));
                // A user who stops us doesn't want it to begin again at once.
                Ended {
                    done: Vec::new(),
                    is_due: !signals::interrupted(),
                    code: self.failed(),
                    waiting: BTreeSet::new(),
                }
            }
        }
    }

    /// What a failure is to dpkg.
    #[must_use]
    pub fn failed(&self) -> ExitCode {
        self.adapter.failed()
    }

    /// At the end of apt's run, where that ends with us; otherwise now.
    pub fn tell(&self, summary: Summary) {
        if !frontend::is_above(self.layout()) {
            say(self.out, &self.adapter.judged(unsaid::take(self.layout()).and(summary)));
        } else if unsaid::leave(self.layout(), &summary).is_err() {
            say(self.out, &summary);
        }
    }

    /// Says what was kept until now.
    pub fn say_kept(&self) {
        say(self.out, &self.adapter.judged(unsaid::take(self.layout())));
    }
}
