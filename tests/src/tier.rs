//! How much a run tries: the part that every run takes, or everything (`make test-full`).
//!
//! What only the full tier runs is a test of its own, `#[ignore = "full tier"]`. A test that goes through
//! many points of one kind (scenarios, packages, calls, sizes) takes a part of them, and all of them where
//! [`is_full`]. Which part it is changes from day to day, so that in time every point has its turn.

use std::path::PathBuf;

use dkms_base::host::{Environment, clock};

use crate::say;

/// Whether a test takes all of its points: `DKMS_TEST_FULL`.
#[must_use]
pub fn is_full() -> bool {
    Environment::of_this_process().get_filled("DKMS_TEST_FULL").is_some()
}

/// Whether no point counts as passed because an earlier run passed it (see [`passed`](crate::passed)):
/// `DKMS_TEST_ANEW`.
#[must_use]
pub fn is_anew() -> bool {
    Environment::of_this_process().get_filled("DKMS_TEST_ANEW").is_some()
}

/// The file in which the tests of a run count their points, for the line at the end of `make test-full`:
/// `DKMS_TEST_TALLY`.
#[must_use]
pub fn tally() -> Option<PathBuf> {
    Environment::of_this_process().get_filled("DKMS_TEST_TALLY").map(PathBuf::from)
}

/// What the names of the points that are taken contain, if not all are: `DKMS_TEST_ONLY`.
#[must_use]
pub fn only() -> Option<String> {
    Environment::of_this_process().get_filled("DKMS_TEST_ONLY").map(str::to_owned)
}

/// Whose turn it is among the points that a run takes in turns: the number of the day, or
/// `DKMS_TEST_TURN`. The output says it.
///
/// # Panics
/// Where `DKMS_TEST_TURN` is no number.
#[must_use]
pub fn turn() -> usize {
    let environment = Environment::of_this_process();
    let turn = match environment.get_filled("DKMS_TEST_TURN") {
        Some(text) => text.parse().expect("DKMS_TEST_TURN is a number"),
        None => usize::try_from(clock::unix_seconds() / 86_400).unwrap_or_default(),
    };
    say(&format!("a part is tried: DKMS_TEST_TURN={turn} repeats it, DKMS_TEST_FULL=1 tries all"));
    turn
}

/// Of some points every so many-th, beginning with one that moves with the turn.
#[must_use]
pub fn taken<T>(points: Vec<T>, turn: usize, of: usize) -> Vec<T> {
    let of = of.max(1);
    points.into_iter().skip(turn % of).step_by(of).collect()
}

/// Of some points every so many-th, in turns; all of them where [`is_full`].
#[must_use]
pub fn part<T>(points: Vec<T>, of: usize) -> Vec<T> {
    if is_full() { points } else { taken(points, turn(), of) }
}

/// Of all combinations of two kinds of points every so many-th, all of them where [`is_full`]: each point of
/// either kind is taken each time as long as the other kind has at least so many.
#[must_use]
pub fn combined<A: Clone, B: Clone>(first: &[A], second: &[B], of: usize) -> Vec<(A, B)> {
    let turn = if is_full() { None } else { Some(turn()) };
    let is_due = |at: usize| turn.is_none_or(|turn| (at + turn).is_multiple_of(of));
    let pairs = first.iter().enumerate().flat_map(|(i, a)| {
        second
            .iter()
            .enumerate()
            .filter(move |(j, _)| is_due(i + j))
            .map(move |(_, b)| (a.clone(), b.clone()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::taken;

    #[test]
    fn in_so_many_turns_each_point_is_taken_once() {
        let points: Vec<u32> = (0..7).collect();
        let mut all: Vec<u32> = (5..8).flat_map(|turn| taken(points.clone(), turn, 3)).collect();
        all.sort_unstable();
        assert_eq!(all, points);
    }
}
