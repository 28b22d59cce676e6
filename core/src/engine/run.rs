//! Runs a plan: each step when what it waits for has ended, and not at all when something that it needs has failed.
//!
//! A step is in one of four states, and `Engine::run` alone changes them. Steps run one after the other, in the plan's
//! order, which is one that respects all edges.

use std::collections::BTreeSet;

use super::context::Context;
use super::effects::{Effect, Effects};
use super::error::StepError;
use crate::host::signals;
use crate::id::Target;
use crate::plan::{Action, Plan, StepId, World};
use crate::report::{Event, Reporter};

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its turn has not come.
    Waiting,
    /// It did what it should.
    Done,
    /// It found nothing to do.
    Idle,
    /// It failed.
    Failed,
    /// Something that it needs did not succeed, or we were asked to stop.
    Pruned,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failed {
    /// What was tried.
    pub action: Action,
    /// Why it failed.
    pub error: StepError,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What failed, in order.
    pub failures: Vec<Failed>,
    /// Actions that were not tried because something before them failed, or a signal asked us to stop.
    pub pruned: Vec<Action>,
}

/// Runs a plan to its end, whatever fails; the caller decides what a failure means.
#[must_use]
pub fn run(plan: &Plan, world: &World, context: &Context<'_>, reporter: &dyn Reporter) -> Outcome {
    let states = vec![State::Waiting; plan.steps.len()];
    Engine { plan, states, effects: Effects::new(world, context, reporter), reporter }.run()
}

struct Engine<'a> {
    plan: &'a Plan,
    states: Vec<State>,
    effects: Effects<'a>,
    reporter: &'a dyn Reporter,
}

impl Engine<'_> {
    fn run(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        for (place, step) in self.plan.steps.iter().enumerate() {
            let failed_before = |id: &StepId| !matches!(self.states[id.0], State::Done | State::Idle);
            let changed = |id: &StepId| self.states[id.0] == State::Done;
            let is_cut_off = signals::interrupted() && !is_finishing(&step.action);
            self.states[place] = if is_cut_off || step.needs.iter().any(failed_before) {
                outcome.pruned.push(step.action.clone());
                State::Pruned
            } else if is_finishing(&step.action) && !step.after.is_empty() && !step.after.iter().any(changed)
            {
                State::Idle
            } else {
                self.execute(&step.action, &mut outcome)
            };
            if let (State::Failed, Action::Depmod { target }) = (self.states[place], &step.action) {
                self.take_back(target, &mut outcome);
            }
        }
        self.effects.keep();
        outcome
    }

    fn execute(&mut self, action: &Action, outcome: &mut Outcome) -> State {
        if !matches!(action, Action::Refuse(_)) {
            self.reporter.report(Event::Started { what: action.doing() });
        }
        match self.effects.execute(action) {
            Ok(Effect::Changed) => {
                self.reporter.report(Event::Finished { what: action.to_string() });
                State::Done
            }
            Ok(Effect::Nothing) => State::Idle,
            Err(error) => {
                outcome.failures.push(Failed { action: action.clone(), error });
                State::Failed
            }
        }
    }

    /// What modules.dep doesn't know can't be loaded: the installs of that kernel are undone.
    fn take_back(&mut self, target: &Target, outcome: &mut Outcome) {
        for (place, step) in self.plan.steps.iter().enumerate().rev() {
            let Action::Install { id, target: on } = &step.action else { continue };
            if on != target || self.states[place] != State::Done {
                continue;
            }
            self.states[place] = State::Failed;
            self.reporter
                .report(Event::note(format!("Taking {id} back from kernel {} (depmod failed)", on.kernel)));
            if let Err(error) = self.effects.take_back(id, on) {
                outcome.failures.push(Failed { action: step.action.clone(), error });
            }
        }
        // On a full disk it may have written some of its files, about modules that are gone again.
        self.effects.index_again(target);
    }
}

/// Steps that only follow up on others, and have nothing to do where those did nothing.
fn is_finishing(action: &Action) -> bool {
    matches!(
        action,
        Action::Depmod { .. }
            | Action::Load { .. }
            | Action::SweepKernel { .. }
            | Action::PostTransaction { .. }
    )
}

impl Outcome {
    /// Whether a signal ended the run before all was tried.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        signals::interrupted() && !self.pruned.is_empty()
    }

    /// Modules that were not tried because of another's failure, each named once.
    #[must_use]
    pub fn left_out(&self) -> BTreeSet<String> {
        self.pruned.iter().filter_map(|action| action.module().map(ToString::to_string)).collect()
    }
}
