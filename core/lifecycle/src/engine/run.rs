//! Runs a plan: each step when what it waits for has ended, and not at all when something that
//! it needs has failed.
//!
//! One thread decides (`schedule` says what may run) and starts a thread for each step; steps of the kind
//! that takes long run side by side. How far each step is stands in one place, and `Engine` alone changes it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ThreadId};
use std::time::{Duration, Instant};

use super::context::Context;
use super::effects::{Effect, Effects, Terms};
use super::error::StepError;
use super::folders;
use super::schedule::{self, Lane, State, Taking, Turn};
use super::slots::{Demand, Slots};
use crate::build::Jobs;
use crate::host::{memory, signals};
use crate::id::Target;
use crate::plan::{Action, Plan, StepId, World};
use crate::report::{Event, Reporter};
use crate::verify::Proof;

/// How often signals and the memory of running builds are looked at.
const TICK: Duration = Duration::from_millis(200);

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
    /// What was done, in the plan's order.
    pub done: Vec<Action>,
    /// What failed, in the plan's order.
    pub failures: Vec<Failed>,
    /// What was installed and will not be loaded: modules on kernels, judged.
    pub refuted: Vec<Proof>,
    /// Actions that were not tried because something before them failed, or a signal asked us to stop.
    pub pruned: Vec<Action>,
    /// The kernels that a batch was about, also where it found nothing to do; the caller knows them.
    pub about: BTreeSet<Target>,
    /// What is wrong with images that are not remade.
    pub images: Vec<String>,
}

/// What the deciding thread receives.
pub(super) enum Message {
    /// A step has ended.
    Ended { step: StepId, result: Result<Effect, StepError> },
    /// What is left of a build is to become visible: it takes neither slots nor memory any more.
    Landing(StepId),
}

/// Runs a plan to its end, whatever fails; the caller decides what a failure means.
#[must_use]
pub fn run(plan: &Plan, world: &World, context: &Context<'_>, reporter: &dyn Reporter) -> Outcome {
    let mut crowded = if world.private_folders { folders::crowded(plan) } else { BTreeSet::new() };
    let chained;
    let plan = if crowded.is_empty() || folders::can_be_private(context) {
        plan
    } else {
        // The plan hoped for folders that the system refuses.
        crowded.clear();
        chained = folders::one_by_one(plan);
        &chained
    };
    reporter.begin(plan.steps.len());
    let (messages, inbox) = mpsc::channel();
    let builds = plan.steps.iter().filter(|step| matches!(step.action, Action::Build { .. })).count();
    let progress = Progress::new(plan.steps.len());
    let effects = Effects::new(crowded, plan, world, context);
    let engine = Engine {
        plan,
        world,
        remaining: schedule::remaining(plan, world),
        progress: &progress,
        effects: &effects,
        reporter,
        slots: Slots::new(context.jobs, builds),
        messages,
        builds: Vec::new(),
        collecting: None,
        failures: Vec::new(),
    };
    let failures = thread::scope(|scope| engine.run(scope, &inbox));
    let outcome = Outcome { images: effects.said(), ..outcome(plan, &progress.states(), failures) };
    effects.keep();
    reporter.end();
    outcome
}

/// How far all steps are, for those who wait.
struct Progress {
    states: Mutex<Vec<State>>,
    changed: Condvar,
}

impl Progress {
    fn new(steps: usize) -> Self {
        Self { states: Mutex::new(vec![State::Waiting; steps]), changed: Condvar::new() }
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        // Each change of it is whole.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, step: StepId, state: State) {
        self.states()[step.0] = state;
        self.changed.notify_all();
    }

    /// Waits until all of `steps` have ended; whether all went well.
    fn all_succeeded(&self, steps: &[StepId]) -> bool {
        let mut states = self.states();
        while !signals::interrupted() {
            if steps.iter().any(|step| states[step.0].has_ended() && !states[step.0].has_succeeded()) {
                return false;
            }
            if steps.iter().all(|step| states[step.0].has_succeeded()) {
                return true;
            }
            let waited = self.changed.wait_timeout(states, TICK);
            states = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// A build that runs.
struct RunningBuild {
    step: StepId,
    thread: ThreadId,
    expected: Option<u64>,
    now: u64,
    /// The build's own thread looks at it when it has ended; 0: not measured.
    peak: Arc<AtomicU64>,
}

/// A build that waits for its job slots.
struct Collecting {
    step: StepId,
    demand: Demand,
    held: usize,
}

struct Engine<'a> {
    plan: &'a Plan,
    world: &'a World,
    /// By step: how long it and what waits for it take.
    remaining: Vec<f64>,
    progress: &'a Progress,
    effects: &'a Effects<'a>,
    reporter: &'a dyn Reporter,
    slots: Slots,
    messages: Sender<Message>,
    builds: Vec<RunningBuild>,
    collecting: Option<Collecting>,
    failures: Vec<(StepId, StepError)>,
}

impl<'a> Engine<'a> {
    fn run<'s>(mut self, scope: &'s Scope<'s, 'a>, inbox: &Receiver<Message>) -> Vec<(StepId, StepError)>
    where
        'a: 's,
    {
        let mut looked = Instant::now();
        loop {
            let running = self.start_what_can(scope);
            let wanted = self.collecting.as_ref().map_or(0, |one| one.demand.tokens.saturating_sub(one.held));
            self.slots.balance(wanted);
            if running == 0 && self.collecting.is_none() {
                break;
            }
            match inbox.recv_timeout(TICK) {
                Ok(Message::Ended { step, result }) => self.ended(step, result),
                Ok(Message::Landing(step)) => self.needs_no_more(step),
                Err(RecvTimeoutError::Timeout) => {}
                // We hold a sender ourselves.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= TICK {
                self.look_at_memory();
                looked = Instant::now();
            }
        }
        self.failures
    }

    /// Starts every step whose turn has come, settles those that will never run, and says how many run.
    fn start_what_can<'s>(&mut self, scope: &'s Scope<'s, 'a>) -> usize
    where
        'a: 's,
    {
        loop {
            let settled = self.settle();
            let mut started = self.collect(scope);
            let ready = self.ready();
            for step in ready {
                match schedule::lane(&self.plan.steps[step.0].action) {
                    Lane::Free => started |= self.start(scope, step, None),
                    Lane::Files if !self.is_busy(Lane::Files) => {
                        started |= self.start(scope, step, None);
                    }
                    Lane::Files => {}
                    Lane::Builds => started |= self.start_build(scope, step),
                }
            }
            if !settled && !started {
                let states = self.progress.states();
                return states.iter().filter(|state| **state == State::Running).count();
            }
        }
    }

    /// Ends the steps that need not run, or can't; whether there was one.
    fn settle(&mut self) -> bool {
        let mut any = false;
        for place in 0..self.plan.steps.len() {
            let mut states = self.progress.states();
            if states[place] != State::Waiting {
                continue;
            }
            let turn = schedule::turn(self.plan, &states, StepId(place), signals::interrupted());
            let state = match (turn, &self.plan.steps[place].action) {
                (Turn::Never, _) => State::Pruned,
                (Turn::Idle, _) => State::Idle,
                // At once, before anything begins that would have to be dropped.
                (Turn::Now, Action::Refuse(refusal)) => {
                    self.failures.push((StepId(place), refusal.clone().into()));
                    State::Failed
                }
                (Turn::NotYet | Turn::Now, _) => continue,
            };
            states[place] = state;
            drop(states);
            self.progress.changed.notify_all();
            if let Some(given_up) = self.collecting.take_if(|collecting| collecting.step.0 == place) {
                self.slots.give_back(given_up.held);
            }
            any = true;
        }
        any
    }

    /// The steps that can run, those first that the most depends on.
    fn ready(&self) -> Vec<StepId> {
        let states = self.progress.states();
        let is_ready = |step: &StepId| {
            states[step.0] == State::Waiting && schedule::turn(self.plan, &states, *step, false) == Turn::Now
        };
        let mut ready: Vec<StepId> = (0..states.len()).map(StepId).filter(is_ready).collect();
        // Where nothing tells them apart the plan's order stands.
        ready.sort_by(|a, b| self.remaining[b.0].total_cmp(&self.remaining[a.0]));
        ready
    }

    fn is_busy(&self, lane: Lane) -> bool {
        let states = self.progress.states();
        let mut steps = self.plan.steps.iter().zip(states.iter());
        steps.any(|(step, state)| *state == State::Running && schedule::lane(&step.action) == lane)
    }

    /// Starts a build if there are slots and memory for it, or sees to it that there will be.
    fn start_build<'s>(&mut self, scope: &'s Scope<'s, 'a>, step: StepId) -> bool
    where
        'a: 's,
    {
        if self.builds.len() >= self.slots.most() || self.collecting.is_some() || !self.fits(step) {
            return false;
        }
        let demand = self.demand(step);
        if demand.tokens == 0 {
            return self.start(scope, step, Some(demand));
        }
        self.collecting = Some(Collecting { step, demand, held: 0 });
        self.collect(scope)
    }

    fn demand(&self, step: StepId) -> Demand {
        let conf = match &self.plan.steps[step.0].action {
            Action::Build { id, target } => self.world.confs.get(&(id.clone(), target.clone())),
            _ => None,
        };
        self.slots.demand(conf.and_then(|conf| conf.as_ref().ok()))
    }

    fn fits(&self, step: StepId) -> bool {
        let running: Vec<Taking> =
            self.builds.iter().map(|build| Taking { expected: build.expected, now: build.now }).collect();
        running.is_empty() || schedule::fits(self.expected(step), &running, memory::available())
    }

    fn expected(&self, step: StepId) -> Option<u64> {
        let module = self.plan.steps[step.0].action.module()?;
        self.world.costs.get(&module.name).and_then(|cost| cost.memory)
    }

    /// Takes what is free for the build that waits for its slots, and starts it when it has all.
    fn collect<'s>(&mut self, scope: &'s Scope<'s, 'a>) -> bool
    where
        'a: 's,
    {
        let Some(mut collecting) = self.collecting.take() else { return false };
        collecting.held += self.slots.take(collecting.demand.tokens.saturating_sub(collecting.held));
        if collecting.held < collecting.demand.tokens {
            self.collecting = Some(collecting);
            return false;
        }
        self.start(scope, collecting.step, Some(collecting.demand))
    }

    /// A build takes neither slots nor memory any more.
    fn needs_no_more(&mut self, step: StepId) {
        self.builds.retain(|build| build.step != step);
        self.slots.end(step);
    }

    /// Runs a step in a thread of its own; always `true`.
    fn start<'s>(&mut self, scope: &'s Scope<'s, 'a>, step: StepId, demand: Option<Demand>) -> bool
    where
        'a: 's,
    {
        self.progress.set(step, State::Running);
        let (plan, effects, progress) = (self.plan, self.effects, self.progress);
        let messages = self.messages.clone();
        let jobs = demand.map_or(Jobs::Unsaid, |demand| self.slots.begin(step, demand));
        let reporter = OfStep { step, inner: self.reporter };
        let peak = Arc::new(AtomicU64::new(0));
        let measured = Arc::clone(&peak);
        let handle = scope.spawn(move || {
            let may_land = || {
                drop(messages.send(Message::Landing(step)));
                progress.all_succeeded(&plan.steps[step.0].lands)
            };
            let peak = || Some(measured.load(Ordering::Relaxed)).filter(|peak| *peak > 0);
            let terms = Terms { jobs: &jobs, may_land: &may_land, peak: &peak };
            let action = &plan.steps[step.0].action;
            let work = || execute(effects, action, &terms, &reporter);
            // A thread that dies without a word would be waited for for ever.
            let result = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(StepError::Bug { what: action.to_string() }));
            // The deciding thread outlives us.
            drop(messages.send(Message::Ended { step, result }));
        });
        if schedule::lane(&self.plan.steps[step.0].action) == Lane::Builds {
            let (thread, expected) = (handle.thread().id(), self.expected(step));
            self.builds.push(RunningBuild { step, thread, expected, now: 0, peak });
        }
        true
    }

    fn look_at_memory(&mut self) {
        if self.builds.is_empty() {
            return;
        }
        let groups: Vec<Vec<u32>> =
            self.builds.iter().map(|build| signals::groups_of(build.thread)).collect();
        let taken = memory::of_groups(&groups.concat());
        for (build, groups) in self.builds.iter_mut().zip(groups) {
            build.now = groups.iter().filter_map(|group| taken.get(group)).sum();
            build.peak.fetch_max(build.now, Ordering::Relaxed);
        }
    }

    fn ended(&mut self, step: StepId, result: Result<Effect, StepError>) {
        self.needs_no_more(step);
        let state = match result {
            Ok(Effect::Changed) => State::Done,
            Ok(Effect::Nothing) => State::Idle,
            Err(StepError::Build(error)) if error.is_unwanted() => State::Pruned,
            Err(error) => {
                self.failures.push((step, error));
                State::Failed
            }
        };
        self.progress.set(step, state);
        if let (State::Failed, Action::Depmod { target }) = (state, &self.plan.steps[step.0].action) {
            self.take_back(target);
        }
    }

    /// What modules.dep doesn't know can't be loaded: the installs of that kernel are undone.
    fn take_back(&mut self, target: &Target) {
        for (place, step) in self.plan.steps.iter().enumerate().rev() {
            let Action::Install { id, target: on } = &step.action else { continue };
            if on != target || self.progress.states()[place] != State::Done {
                continue;
            }
            let step = StepId(place);
            self.progress.set(step, State::Failed);
            let text = format!("Undoing the install of {id} for kernel {} (depmod failed)", on.kernel);
            self.reporter.report_of(place, Event::note(text));
            if let Err(error) = self.effects.take_back(id, on, self.reporter) {
                self.failures.push((step, error));
            }
        }
        // On a full disk it may have written some of its files, about modules that are gone again.
        self.effects.index_again(target, self.reporter);
    }
}

fn execute(
    effects: &Effects<'_>,
    action: &Action,
    terms: &Terms<'_>,
    reporter: &OfStep<'_>,
) -> Result<Effect, StepError> {
    let began = Instant::now();
    if effects.has_work(action) {
        reporter.report(Event::Started { what: effects.doing(action) });
    }
    let result = effects.execute(action, terms, reporter);
    if let (Err(error), false) = (&result, effects.tells_of(action)) {
        reporter.report(Event::Output { text: format!("{action}: postponed: {error}") });
        return result;
    }
    reporter.report(Event::Finished {
        what: action.to_string(),
        seconds: began.elapsed().as_secs_f64(),
        well: result.is_ok(),
    });
    result
}

/// Tells which step it is that something happens in.
struct OfStep<'a> {
    step: StepId,
    inner: &'a dyn Reporter,
}

impl Reporter for OfStep<'_> {
    fn report(&self, event: Event) {
        self.inner.report_of(self.step.0, event);
    }
}

/// What became of it all, in the plan's order. A build that failed where something that it was to come after
/// failed too would not have been begun one after the other: it was not tried.
fn outcome(plan: &Plan, states: &[State], mut failures: Vec<(StepId, StepError)>) -> Outcome {
    failures.sort_by_key(|(step, _)| *step);
    let mut outcome = Outcome::default();
    let mut pruned: Vec<StepId> =
        (0..states.len()).map(StepId).filter(|step| states[step.0] == State::Pruned).collect();
    for (step, error) in failures {
        if plan.steps[step.0].lands.iter().all(|before| states[before.0].has_succeeded()) {
            outcome.failures.push(Failed { action: plan.steps[step.0].action.clone(), error });
        } else {
            pruned.push(step);
        }
    }
    pruned.sort_unstable();
    let actions =
        |steps: Vec<StepId>| steps.into_iter().map(|step| plan.steps[step.0].action.clone()).collect();
    outcome.pruned = actions(pruned);
    outcome.done =
        actions((0..states.len()).map(StepId).filter(|step| states[step.0] == State::Done).collect());
    outcome
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
