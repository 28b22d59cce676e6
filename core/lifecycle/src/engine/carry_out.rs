//! From a request to its end: what an interrupted command left is put in order, the world is looked at, a
//! plan is made, what it needs is locked, and it is run.
//!
//! Who had to wait, or finds that the tree has changed since the look, looks and plans again under the locks.
//! Knows neither what a step does nor how it is reported; the caller sees the plan before it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Context;
use super::refused::{self, Judge};
use super::run::{self, Outcome};
use super::survey::Survey;
use crate::host::fs::{self, FsError, Listed};
use crate::host::{groups, signals};
use crate::id::{ModuleId, Target};
use crate::install::{self, Recovery};
use crate::layout::Layout;
use crate::plan::{self, Action, Options, Plan, Request, Work, World, locks};
use crate::report::{Event, Reporter, Silent};
use crate::tree::{Held, Keys, LockError, Snapshot, lock, running, state, sweep};
use crate::verify::{Link, LinkProof, Proof, Verdict, Verifier};

/// The request, and with what to look. All of it may be used more than once.
pub struct Task<'a> {
    /// What is wanted, of a tree as it is then.
    pub work: &'a dyn Fn(&Snapshot) -> Work,
    /// How.
    pub options: &'a Options,
    /// Makes what looks at confs and kernels: one that has looked before remembers.
    pub survey: &'a dyn Fn() -> Survey<'a>,
    /// What is locked already, by the caller.
    pub held: Option<&'a Held>,
}

impl std::fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("options", self.options)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum CarryOutError {
    /// Something can't be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// What the plan needs can't be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A signal asked us to stop; what was read then is not to be believed.
    #[error("interrupted")]
    Interrupted,
}

/// A world, and the plan in it.
#[derive(Debug)]
pub struct Looked {
    /// The world.
    pub world: World,
    /// The plan.
    pub plan: Plan,
}

/// Looks and plans, and changes nothing: all of `--dry-run`.
///
/// # Errors
/// [`CarryOutError::Fs`] and [`CarryOutError::Interrupted`].
pub fn look(task: &Task<'_>, layout: &Layout) -> Result<Looked, CarryOutError> {
    look_at(task, Snapshot::take(layout)?, None)
}

fn look_at(task: &Task<'_>, snapshot: Snapshot, held: Option<&Held>) -> Result<Looked, CarryOutError> {
    let request = Request { work: (task.work)(&snapshot), options: task.options.clone() };
    let world = (task.survey)().world(&request, snapshot, held)?;
    if signals::interrupted() {
        return Err(CarryOutError::Interrupted);
    }
    Ok(Looked { plan: plan::plan(&request, &world), world })
}

/// Carries out the request; `see` is shown plan and world when both are certain, before anything is done.
///
/// # Errors
/// [`CarryOutError`], where nothing was begun. What failed then is in the outcome.
pub fn carry_out(
    task: &Task<'_>,
    context: &Context<'_>,
    reporter: &dyn Reporter,
    see: impl FnOnce(&Plan, &World),
) -> Result<Outcome, CarryOutError> {
    let layout = &context.settings.layout;
    let (Looked { world, plan }, _held) = ready(task, context, layout, reporter)?;
    see(&plan, &world);
    let mut outcome = run::run(&plan, &world, context, reporter);
    tell_refused(&outcome, &world, context, reporter);
    outcome.refuted = refuted(&outcome, &(task.survey)(), layout).unwrap_or_default();
    Ok(outcome)
}

/// Judges what was installed, but for images, which others make later, and signatures (`tell_refused`).
fn refuted(outcome: &Outcome, survey: &Survey<'_>, layout: &Layout) -> Result<Vec<Proof>, FsError> {
    let mut installed: BTreeMap<&Target, Vec<ModuleId>> = BTreeMap::new();
    for action in &outcome.done {
        if let Action::Install { id, target } = action {
            installed.entry(target).or_default().push(id.clone());
        }
    }
    if installed.is_empty() || signals::interrupted() {
        return Ok(Vec::new());
    }
    let snapshot = Snapshot::take(layout)?;
    let verifier = Verifier::new(layout, survey, &snapshot)?;
    let mut refuted = Vec::new();
    for (target, ids) in installed {
        let depmod_comes = fs::exists(&layout.owed_depmod(&target.kernel));
        let counts = |link: &LinkProof| match link.link {
            Link::There | Link::Whole | Link::Kernel | Link::Linked => true,
            Link::Found => !depmod_comes,
            Link::Trusted | Link::Boot => false,
        };
        for mut proof in verifier.proofs(&ids, target)? {
            proof.links.retain(counts);
            if proof.verdict() == Verdict::Refuted {
                refuted.push(proof);
            }
        }
    }
    Ok(refuted)
}

/// Reports what was installed and will not load.
fn tell_refused(outcome: &Outcome, world: &World, context: &Context<'_>, reporter: &dyn Reporter) {
    let installed = outcome.done.iter().filter_map(|action| {
        let Action::Install { id, target } = action else { return None };
        let kernel = world.kernels.get(target)?;
        let conf = world.confs.get(&(id.clone(), target.clone()))?.as_ref().ok()?;
        let folder = context.module_folder.as_deref();
        Some((id, kernel, install::installed_files(&kernel.module_dir, conf, folder)))
    });
    let installed: Vec<_> = installed.collect();
    if !installed.is_empty() {
        let judge = Judge::new(context.settings, context.distribution, context.environment);
        refused::tell(&judge, &installed, reporter);
    }
}

/// Locks what a command changes without a plan, and puts in order what an interrupted one has left there.
///
/// # Errors
/// [`CarryOutError`]; then nothing is held.
pub fn hold(
    keys: &Keys,
    recovery: &Recovery<'_>,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<Held, CarryOutError> {
    end_what_is_left(recovery.layout, reporter);
    let held = lock::acquire(recovery.layout, keys, limit, reporter)?;
    install::recover(&Recovery { held: Some(&held), ..*recovery }, reporter)?;
    sweep::sweep(recovery.layout, Some(&held), reporter);
    Ok(held)
}

/// Ends what an interrupted command left running, before anything is looked at; notes what
/// we start from now on.
fn end_what_is_left(layout: &Layout, reporter: &dyn Reporter) {
    let folder = layout.groups_dir();
    let count = groups::end_left(&folder);
    if count > 0 {
        reporter.report(Event::note(format!(
            "Ended {count} processes that an interrupted command has left running"
        )));
    }
    // Where nothing can be noted, the attempt to lock reports it.
    if state::create_folder(layout, &folder).is_ok() {
        groups::note_in(&folder);
    }
}

fn recovery<'a>(context: &'a Context<'_>, held: Option<&'a Held>) -> Recovery<'a> {
    let Context { settings, environment, distribution, .. } = context;
    Recovery { layout: &settings.layout, family: distribution.family, environment, held }
}

/// A plan that holds, with all that it needs.
fn ready(
    task: &Task<'_>,
    context: &Context<'_>,
    layout: &Layout,
    reporter: &dyn Reporter,
) -> Result<(Looked, Option<Held>), CarryOutError> {
    let nothing = Keys::default();
    let given = task.held.map_or(&nothing, Held::keys);
    // What is not locked may be looked at in the middle of another command's change: then a refusal counts
    // when it is seen twice.
    let mut refused: Option<Plan> = None;
    let mut is_certain = |Looked { plan, world }: &Looked| -> Result<bool, FsError> {
        let refuses = plan.steps.iter().any(|step| matches!(step.action, Action::Refuse(_)));
        Ok(!refuses
            || refused.replace(plan.clone()).as_ref() == Some(plan)
            || !running::is_anybody_else(layout) && Snapshot::take(layout)? == world.snapshot)
    };
    end_what_is_left(layout, reporter);
    let mut is_first = true;
    loop {
        install::recover(&recovery(context, task.held), reporter)?;
        // What stays is reported once.
        let hears: &dyn Reporter = if is_first { reporter } else { &Silent };
        let listed = Listed::default();
        sweep::sweep_listed(layout, task.held, &listed, hears);
        is_first = false;
        let looked = look_at(task, Snapshot::take_listed(layout, &listed)?, task.held)?;
        if !is_certain(&looked)? {
            continue;
        }
        let needed = locks::needed(&looked.plan, &looked.world).without(given);
        if needed.is_empty() {
            return Ok((looked, None));
        }
        let held = lock::acquire(layout, &needed, context.settings.lock_timeout, reporter)?;
        // The command that had the locks before may have been killed.
        let recovered = install::recover(&recovery(context, Some(&held)), reporter)?;
        let snapshot = Snapshot::take(layout)?;
        if !held.waited() && !recovered && snapshot == looked.world.snapshot {
            return Ok((looked, Some(held)));
        }
        let anew = look_at(task, snapshot, Some(&held))?;
        let is_covered = held.keys().covers(&locks::needed(&anew.plan, &anew.world).without(given));
        if is_covered && is_certain(&anew)? {
            return Ok((anew, Some(held)));
        }
        // It needs more than before, or refuses: all is given back and begun again, since locks
        // are taken in one order.
    }
}
