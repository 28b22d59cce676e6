//! Time limits. The work runs in a thread, and reports how far it is; whatever it waits for (names,
//! connections, TLS, a body), it does not keep the program longer than this.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fault::Fault;

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From a request to the begin of its answer.
    pub answer: Duration,
    /// How often the speed is looked at.
    pub window: Duration,
    /// Bytes that come in that time at least.
    pub least: u64,
    /// All of it.
    pub whole: Duration,
}

impl Limits {
    /// For a list.
    pub const LIST: Self = Self {
        answer: Duration::from_secs(5),
        window: Duration::from_secs(5),
        least: 5 << 10,
        whole: Duration::from_secs(20),
    };
    /// For a file.
    pub const FILE: Self = Self {
        window: Duration::from_secs(10),
        least: 10 << 10,
        whole: Duration::from_secs(300),
        ..Self::LIST
    };
}

/// How far the work is.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Since when an answer is awaited.
    asked: Option<Instant>,
    bytes: u64,
}

impl Progress {
    /// A request is about to be sent.
    pub fn asks(&self) {
        self.state().asked = Some(Instant::now());
    }

    /// The answer has begun.
    pub fn is_answered(&self) {
        self.state().asked = None;
    }

    /// So many bytes more have come.
    pub fn add(&self, bytes: usize) {
        self.state().bytes += bytes as u64;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Two numbers are sound whatever happened to their last user.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides whether work is too slow, from what is known at a moment.
struct Judge {
    limits: Limits,
    begun: Instant,
    /// When the speed was looked at, and how many bytes had come.
    seen: (Instant, u64),
}

impl Judge {
    fn why_too_slow(&mut self, now: Instant, state: State) -> Option<String> {
        let Limits { answer, window, least, whole } = self.limits;
        if now.duration_since(self.begun) >= whole {
            return Some(format!("it takes longer than {} seconds", whole.as_secs()));
        }
        if let Some(asked) = state.asked {
            self.seen = (now, state.bytes);
            let is_late = now.saturating_duration_since(asked) >= answer;
            return is_late.then(|| format!("no answer within {} seconds", answer.as_secs()));
        }
        if now.duration_since(self.seen.0) < window {
            return None;
        }
        let came = state.bytes - self.seen.1;
        self.seen = (now, state.bytes);
        let seconds = window.as_secs();
        (came < least).then(|| format!("it is too slow: {came} bytes in {seconds} seconds"))
    }
}

/// Does the work within limits.
///
/// # Errors
/// Its own, or [`Fault::Place`]: it takes too long.
pub fn within<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce(&Progress) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let progress = Progress::default();
    let (done, end) = mpsc::channel();
    let own = progress.clone();
    // Nobody waits for it any more if it can't be sent.
    std::thread::spawn(move || drop(done.send(work(&own))));
    let begun = Instant::now();
    let mut judge = Judge { limits, begun, seen: (begun, 0) };
    loop {
        match end.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Fault::Place("its answer cannot be read".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {
                let state = *progress.state();
                if let Some(why) = judge.why_too_slow(Instant::now(), state) {
                    return Err(Fault::Place(why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let judged = |moments: &[(u64, Option<u64>, u64)]| {
            let mut judge = Judge { limits: Limits::FILE, begun, seen: (begun, 0) };
            let mut judge = |(now, asked, bytes): &(u64, Option<u64>, u64)| {
                judge.why_too_slow(at(*now), State { asked: asked.map(at), bytes: *bytes })
            };
            moments.iter().find_map(&mut judge)
        };
        assert_eq!(judged(&[(4, Some(0), 0), (5, Some(4), 0)]), None);
        assert_eq!(judged(&[(5, Some(0), 0)]).as_deref(), Some("no answer within 5 seconds"));
        assert_eq!(judged(&[(4, Some(0), 0), (13, None, 0)]), None);
        assert_eq!(judged(&[(10, None, 10)]).as_deref(), Some("it is too slow: 10 bytes in 10 seconds"));
        assert_eq!(judged(&[(10, None, 11_000), (20, None, 22_000)]), None);
        assert_eq!(
            judged(&[(10, None, 11_000), (20, None, 11_001)]).as_deref(),
            Some("it is too slow: 1 bytes in 10 seconds")
        );
        assert_eq!(judged(&[(300, None, 1 << 30)]).as_deref(), Some("it takes longer than 300 seconds"));
    }

    #[test]
    fn work_that_hangs_is_left() {
        let limits = Limits { answer: Duration::from_millis(200), ..Limits::LIST };
        let hang = |progress: &Progress| {
            progress.asks();
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        assert!(matches!(within(limits, hang), Err(Fault::Place(_))));
        assert_eq!(within(Limits::LIST, |_| Ok(7)), Ok(7));
        let dies = |_: &Progress| -> Result<(), Fault> { Err(Fault::File("x".to_owned())) };
        assert_eq!(within(Limits::LIST, dies), Err(Fault::File("x".to_owned())));
    }
}
