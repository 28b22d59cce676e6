//! Which step may run next. Pure: looks at the plan and at how far each step is.

use crate::plan::{Action, Plan, StepId, World};

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its turn has not come.
    Waiting,
    /// It is being done.
    Running,
    /// It did what it should.
    Done,
    /// It found nothing to do.
    Idle,
    /// It failed.
    Failed,
    /// Something that it needs did not succeed, or we were asked to stop.
    Pruned,
}

impl State {
    pub(super) fn has_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    pub(super) fn has_succeeded(self) -> bool {
        matches!(self, Self::Done | Self::Idle)
    }
}

/// What a waiting step can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It waits on.
    NotYet,
    /// It can run.
    Now,
    /// It has nothing to do.
    Idle,
    /// It will never run.
    Never,
}

/// Whether a waiting step can run.
pub(super) fn turn(plan: &Plan, states: &[State], step: StepId, interrupted: bool) -> Turn {
    let step = &plan.steps[step.0];
    let state = |id: &StepId| states[id.0];
    let has_failed = |id: &StepId| state(id).has_ended() && !state(id).has_succeeded();
    if interrupted && !is_finishing(&step.action) || step.needs.iter().chain(&step.lands).any(has_failed) {
        return Turn::Never;
    }
    let all_ended = step.needs.iter().chain(&step.after).all(|id| state(id).has_ended());
    if !all_ended {
        return Turn::NotYet;
    }
    // What an interrupted command left pending comes after nothing.
    let follows = is_finishing(&step.action) && !step.after.is_empty();
    if follows && !step.after.iter().any(|id| state(id) == State::Done) {
        return Turn::Idle;
    }
    Turn::Now
}

/// Steps that only follow up on others, and have nothing to do where those did nothing.
pub(super) fn is_finishing(action: &Action) -> bool {
    matches!(
        action,
        Action::Depmod { .. }
            | Action::Initramfs { .. }
            | Action::Load { .. }
            | Action::SweepKernel { .. }
            | Action::PostTransaction { .. }
    )
}

/// What can run at the same time as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// As many as there are jobs and memory.
    Builds,
    /// One at a time: what changes the tree, a kernel's folder, or modprobe.d.
    Files,
    /// Whenever their turn has come: the edges of the plan keep apart what must be.
    Free,
}

pub(super) fn lane(action: &Action) -> Lane {
    match action {
        Action::Build { .. } => Lane::Builds,
        Action::Add { .. }
        | Action::Install { .. }
        | Action::Uninstall { .. }
        | Action::Unbuild { .. }
        | Action::Forget { .. } => Lane::Files,
        Action::Depmod { .. }
        | Action::Initramfs { .. }
        | Action::Load { .. }
        | Action::SweepKernel { .. }
        | Action::PostTransaction { .. }
        | Action::Refuse(_) => Lane::Free,
    }
}

/// For each step, how many seconds it and the longest row of steps that wait for it will take.
pub(super) fn remaining(plan: &Plan, world: &World) -> Vec<f64> {
    let mut remaining = vec![0.0; plan.steps.len()];
    for (place, step) in plan.steps.iter().enumerate().rev() {
        // What waits for this one stands behind it, and has been reckoned.
        remaining[place] += seconds(&step.action, world);
        for before in step.waits_for() {
            remaining[before.0] = f64::max(remaining[before.0], remaining[place]);
        }
    }
    remaining
}

/// A guess; only its order of magnitude matters where nothing was measured.
fn seconds(action: &Action, world: &World) -> f64 {
    match action {
        Action::Build { id, .. } => world.costs.get(&id.name).map_or(10.0, |cost| cost.seconds),
        Action::Depmod { .. } => 2.0,
        Action::Initramfs { .. } => 20.0,
        _ => 0.1,
    }
}

/// What a build whose like was never measured is taken to need, in bytes: a compiler or two.
const UNKNOWN: u64 = 200 << 20;

/// Whether memory allows one more build: what it is expected to take, and what those that run are still
/// expected to take, must be available. The first always may run.
pub(super) fn fits(expected: Option<u64>, running: &[Taking], available: Option<u64>) -> bool {
    let Some(available) = available else { return true };
    let still: u64 =
        running.iter().map(|build| build.expected.unwrap_or(UNKNOWN).saturating_sub(build.now)).sum();
    running.is_empty() || expected.unwrap_or(UNKNOWN).saturating_add(still) <= available
}

/// A running build's memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking {
    /// What past builds took at their peak.
    pub(super) expected: Option<u64>,
    /// What it takes now.
    pub(super) now: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ModuleId, Target};
    use crate::plan::Step;

    fn build(needs: &[usize], lands: &[usize]) -> Step {
        let ids = |list: &[usize]| list.iter().map(|id| StepId(*id)).collect();
        let (id, target) = (ModuleId::parse("m", "1").unwrap(), Target::parse("6.1", "x86_64").unwrap());
        Step {
            action: Action::Build { id, target },
            why: String::new(),
            needs: ids(needs),
            after: Vec::new(),
            lands: ids(lands),
        }
    }

    fn plan(steps: Vec<Step>) -> Plan {
        Plan { steps, remarks: Vec::new() }
    }

    #[test]
    fn a_build_may_begin_before_what_it_lands_after() {
        let plan = plan(vec![build(&[], &[]), build(&[], &[0]), build(&[1], &[])]);
        let turns = |states: &[State]| [1, 2].map(|step| turn(&plan, states, StepId(step), false));
        use State::{Done, Failed, Pruned, Running, Waiting};
        assert_eq!(turns(&[Running, Waiting, Waiting]), [Turn::Now, Turn::NotYet]);
        assert_eq!(turns(&[Failed, Waiting, Waiting]), [Turn::Never, Turn::NotYet]);
        assert_eq!(turns(&[Done, Pruned, Waiting])[1], Turn::Never);
        assert_eq!(turn(&plan, &[Done, Done, Waiting], StepId(2), true), Turn::Never);
    }

    #[test]
    fn what_follows_up_has_nothing_to_do_where_nothing_was_done() {
        let mut plan = plan(vec![build(&[], &[])]);
        plan.steps.push(Step {
            action: Action::Depmod { target: Target::parse("6.1", "x86_64").unwrap() },
            why: String::new(),
            needs: Vec::new(),
            after: vec![StepId(0)],
            lands: Vec::new(),
        });
        let of = |state| turn(&plan, &[state, State::Waiting], StepId(1), true);
        assert_eq!(
            [State::Running, State::Failed, State::Done].map(of),
            [Turn::NotYet, Turn::Idle, Turn::Now]
        );
    }

    #[test]
    fn memory_bounds_how_many_run() {
        let gib = 1_u64 << 30;
        let taking = |expected, now| Taking { expected: Some(expected), now };
        assert!(fits(Some(100 * gib), &[], Some(gib)));
        assert!(fits(Some(gib), &[taking(2 * gib, gib)], Some(2 * gib)));
        assert!(!fits(Some(gib), &[taking(3 * gib, gib)], Some(2 * gib)));
        assert!(!fits(None, &[taking(0, 0)], Some(1 << 20)));
        assert!(fits(None, &[taking(gib, 0)], None));
    }
}
