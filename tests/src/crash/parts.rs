//! The calls of an action in parts of a minute or two each, which workers share and an earlier run may have
//! passed.

use anyhow::Result;

use super::action::Action;
use super::rehearsal::Rehearsal;
use super::tripwire::Calls;
use super::world::World;
use crate::passed::Passed;
use crate::share;

/// How many calls are one part: to carry out the action undisturbed takes a twentieth of its time.
const CALLS: usize = 40;

/// Some of the calls that an action makes, from `first` to `last`, counted from 1.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The action.
    pub action: Action,
    /// The first call.
    pub first: usize,
    /// The last call; of the last part none, since an action may make more calls another time.
    pub last: Option<usize>,
}

impl Part {
    /// All calls of an action.
    #[must_use]
    pub fn whole(action: Action) -> Self {
        Self { action, first: 1, last: None }
    }

    /// How messages and records call it.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.action.name;
        match (self.first, self.last) {
            (1, None) => name.to_owned(),
            (first, None) => format!("{name}, from call {first}"),
            (first, Some(last)) => format!("{name}, calls {first} to {last}"),
        }
    }

    /// The parts of an action that makes so many calls.
    fn all(action: Action, calls: usize) -> Vec<Self> {
        let firsts: Vec<usize> = (1..=calls.max(1)).step_by(CALLS).collect();
        let last = |first: usize| Some(first + CALLS - 1).filter(|last| *last < calls);
        firsts.into_iter().map(|first| Self { action, first, last: last(first) }).collect()
    }
}

/// The parts of all these actions. Each action is carried out undisturbed to count its calls: that is a point
/// too.
///
/// # Errors
/// As [`Rehearsal::of`], and where a world cannot be made.
pub fn parts(
    actions: Vec<Action>,
    calls: Calls,
    passed: &Passed,
    world: impl Fn() -> Result<World> + Sync,
) -> Result<Vec<Part>> {
    let name = |action: &Action| format!("{}, undisturbed", action.name);
    let (mut counted, left) = passed.sorted(actions, name);
    let count = |world: &World, action: Action| {
        let count = Rehearsal::of(world, action, calls)?.calls.len();
        passed.record(&name(&action), &count)?;
        Ok((action, count))
    };
    counted.extend(share::all(left, world, count)?);
    // The longest come last in the list, and are taken first.
    counted.sort_by_key(|(_, count)| *count);
    Ok(counted.into_iter().flat_map(|(action, count)| Part::all(action, count)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Action, Part};

    #[test]
    fn each_call_is_in_one_part_and_the_last_part_has_no_end() {
        for calls in [0, 1, 39, 40, 41, 80, 81, 404] {
            let parts = Part::all(Action::all("autoinstall")[0], calls);
            let ends: Vec<_> = parts.iter().map(|part| (part.first, part.last)).collect();
            assert_eq!((ends[0].0, ends[ends.len() - 1].1), (1, None), "{calls}");
            for pair in ends.windows(2) {
                assert_eq!(pair[0].1, Some(pair[1].0 - 1), "{calls}: {ends:?}");
            }
            assert_eq!(parts.len(), calls.div_ceil(40).max(1), "{calls}: {ends:?}");
        }
    }
}
