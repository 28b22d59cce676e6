//! Targets: each takes any bytes, and panics where a promise is broken.
//!
//! - `targets`: one function for each reader of untrusted bytes
//! - `seeds`: inputs to begin with; `mutate`: others made of them

mod mutate;
mod seeds;
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use mutate::Random;

/// An input that takes more time of the processor than this is a failure, however busy the machine is.
pub const LONGEST: Duration = Duration::from_secs(5);
/// More memory than this is one too: in KiB.
pub const MOST_MEMORY: u64 = 300_000;

/// A reader of untrusted bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What takes the bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "archive", run: targets::archive },
    Target { name: "deb", run: targets::deb },
    Target { name: "conf", run: targets::conf },
    Target { name: "ere", run: targets::ere },
    Target { name: "module", run: targets::module },
    Target { name: "signature", run: targets::signature },
    Target { name: "certificate", run: targets::certificate },
    Target { name: "log", run: targets::log },
    Target { name: "initramfs", run: targets::initramfs },
    Target { name: "kernel", run: targets::kernel },
    Target { name: "transactions", run: targets::transactions },
];

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Throws mutated inputs at it for so long; how many there were. The input that is being tried lies in
    /// `current`, so that it is still there after a crash.
    ///
    /// # Panics
    /// Where a promise is broken.
    #[must_use]
    pub fn throw(&self, time: Duration, seed: u64, current: &Path) -> u64 {
        let mut inputs = seeds::of(self.name);
        assert!(!inputs.is_empty(), "{} has no inputs to begin with", self.name);
        let (begin, mut random, mut count) = (Instant::now(), Random::new(seed), 0);
        let first = inputs.len();
        while begin.elapsed() < time {
            let at = usize::try_from(count).unwrap_or(usize::MAX);
            let input = match inputs.get(at).filter(|_| at < first) {
                Some(input) => input.clone(),
                None => mutate::mutated(&inputs, &mut random),
            };
            self.once(&input, current);
            // Mutations of mutations go deeper.
            if random.below(50) == 0 && input.len() < 20_000 {
                let place = first + random.below(200);
                if place < inputs.len() { inputs[place] = input } else { inputs.push(input) }
            }
            count += 1;
        }
        count
    }

    /// Tries one input.
    ///
    /// # Panics
    /// Where a promise is broken.
    pub fn once(&self, input: &[u8], current: &Path) {
        targets::write(current, input);
        let begin = targets::processor_time();
        (self.run)(input);
        let took = targets::processor_time() - begin;
        assert!(took < LONGEST, "{} took {took:?} for {} bytes", self.name, input.len());
        let peak = targets::peak_memory();
        assert!(peak < MOST_MEMORY, "{} took {peak} KiB for {} bytes", self.name, input.len());
    }
}

/// Where inputs to begin with lie.
fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}
