//! How long a process may run, and how long it may be silent. Pure.

use std::time::Duration;

/// Limits of a process; what is `None` has no end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// From its start to its end.
    pub(super) whole: Option<Duration>,
    /// From its start to its first output, and from one output to the next.
    pub(super) silence: Option<[Duration; 2]>,
}

impl Limits {
    /// What is left before the first limit that it would exceed, and that limit. `ran`: since its start;
    /// `heard`: from its start to its last output.
    pub(super) fn left(&self, ran: Duration, heard: Option<Duration>) -> Option<(Duration, Duration)> {
        let silent = ran.saturating_sub(heard.unwrap_or_default());
        let of_silence = self.silence.map(|[first, next]| if heard.is_some() { next } else { first });
        let limits = [self.whole.map(|limit| (limit, ran)), of_silence.map(|limit| (limit, silent))];
        let left = |(limit, used): (Duration, Duration)| (limit.saturating_sub(used), limit);
        limits.into_iter().flatten().map(left).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_counts() {
        let [none, whole, silence, both] =
            [(None, None), (Some(10), None), (None, Some([3, 5])), (Some(10), Some([3, 5]))].map(
                |(whole, silence): (Option<u64>, Option<[u64; 2]>)| Limits {
                    whole: whole.map(Duration::from_secs),
                    silence: silence.map(|limits| limits.map(Duration::from_secs)),
                },
            );
        for (limits, ran, heard, expected) in [
            (none, 100, None, None),
            (whole, 4, None, Some((6, 10))),
            (whole, 12, Some(12), Some((0, 10))),
            (silence, 1, None, Some((2, 3))),
            (silence, 3, None, Some((0, 3))),
            (silence, 7, Some(4), Some((2, 5))),
            (silence, 9, Some(4), Some((0, 5))),
            (both, 2, None, Some((1, 3))),
            (both, 8, Some(7), Some((2, 10))),
            (both, 7, Some(3), Some((1, 5))),
        ] {
            let left = limits.left(Duration::from_secs(ran), heard.map(Duration::from_secs));
            let expected =
                expected.map(|(left, limit)| (Duration::from_secs(left), Duration::from_secs(limit)));
            assert_eq!(left, expected, "{limits:?} after {ran} s, heard at {heard:?}");
        }
    }
}
