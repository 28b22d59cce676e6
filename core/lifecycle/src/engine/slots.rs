//! Job slots: all builds of a run together use no more than the jobs that were asked for.
//!
//! The tokens are numbers here. A build needs one before it begins, which is the job that its make has for
//! itself; a conf whose command asks for N jobs of its own needs as many, and keeps them. Further ones stand
//! in the pipe of each build that shares ([`JobPipe`]), moved from those that have some to spare to those
//! that have none. When a build ends, all that it was given is free again, whatever it did with its pipe.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::build::{Jobs, jobs_of_its_own};
use crate::conf::ModuleConf;
use crate::host::jobs::JobPipe;
use crate::plan::StepId;

/// The slots of a run.
#[derive(Debug)]
pub(super) enum Slots {
    /// Only one build at all, which gets its number of jobs on make's command line, or no limit was set.
    Untold(u32),
    /// Several.
    Counted(Tokens),
}

/// The tokens of a run.
#[derive(Debug)]
pub(super) struct Tokens {
    limit: usize,
    free: usize,
    /// What each running build was given.
    given: BTreeMap<StepId, Given>,
}

#[derive(Debug)]
struct Given {
    /// What it keeps until it ends.
    kept: usize,
    /// Where it takes more from, and how many we put there.
    shared: Option<(Arc<JobPipe>, usize)>,
}

/// How a build's make gets its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// Tokens that it needs before it begins.
    pub(super) tokens: usize,
    /// It takes further ones from its pipe.
    shares: bool,
    /// It asks for jobs on its own line.
    own: bool,
}

impl Slots {
    /// Slots for `builds` builds; `jobs` 0 is no limit.
    pub(super) fn new(jobs: u32, builds: usize) -> Self {
        if builds < 2 || jobs == 0 {
            return Self::Untold(jobs);
        }
        let limit = usize::try_from(jobs).unwrap_or(usize::MAX).min(4096);
        Self::Counted(Tokens { limit, free: limit, given: BTreeMap::new() })
    }

    /// How many builds may run at once, whatever else allows it.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Untold(0) => usize::MAX,
            Self::Untold(_) => 1,
            Self::Counted(tokens) => tokens.limit,
        }
    }

    /// What a build with this conf needs.
    pub(super) fn demand(&self, conf: Option<&ModuleConf>) -> Demand {
        let Self::Counted(tokens) = self else { return Demand { tokens: 0, shares: false, own: false } };
        let make = conf.and_then(|conf| conf.make.as_deref()).filter(|make| !make.trim().is_empty());
        match make.map(jobs_of_its_own) {
            None => Demand { tokens: 1, shares: true, own: false },
            // What isn't plainly make gets no jobs from us: its author may have meant it to have none.
            Some(None) => {
                Demand { tokens: 1, shares: make.is_some_and(|make| make.starts_with("make")), own: false }
            }
            Some(Some(jobs)) => {
                let jobs = usize::try_from(jobs).unwrap_or(usize::MAX);
                let tokens = if jobs == 0 { tokens.limit } else { jobs.min(tokens.limit) };
                Demand { tokens, shares: false, own: true }
            }
        }
    }

    /// At most so many free tokens, which are the caller's until it [gives them back](Self::give_back) or a
    /// build begins with them.
    pub(super) fn take(&mut self, most: usize) -> usize {
        let Self::Counted(tokens) = self else { return 0 };
        let taken = most.min(tokens.free);
        tokens.free -= taken;
        taken
    }

    /// Tokens that were taken for a build that doesn't begin.
    pub(super) fn give_back(&mut self, count: usize) {
        if let Self::Counted(tokens) = self {
            tokens.free += count;
        }
    }

    /// A build begins, with the tokens that it demanded; what its make receives.
    pub(super) fn begin(&mut self, step: StepId, demand: Demand) -> Jobs {
        let tokens = match self {
            Self::Untold(jobs) => return Jobs::Own(*jobs),
            Self::Counted(tokens) => tokens,
        };
        // Without a pipe its make has the one job that it has anyway.
        let pipe = if demand.shares { JobPipe::new().ok().map(Arc::new) } else { None };
        let jobs = match &pipe {
            Some(pipe) => Jobs::Shared(Arc::clone(pipe)),
            None if demand.own => Jobs::Own(u32::try_from(tokens.limit).unwrap_or(0)),
            None => Jobs::Unsaid,
        };
        let shared = pipe.map(|pipe| (pipe, 0));
        tokens.given.insert(step, Given { kept: demand.tokens, shared });
        jobs
    }

    /// A build needs no jobs any more.
    pub(super) fn end(&mut self, step: StepId) {
        if let Self::Counted(tokens) = self
            && let Some(given) = tokens.given.remove(&step)
        {
            tokens.free += given.kept + given.shared.map_or(0, |(_, count)| count);
        }
    }

    /// Moves tokens to where they are needed: `wanted` for a build that is to begin, the others to those
    /// that have none to spare.
    pub(super) fn balance(&mut self, wanted: usize) {
        let Self::Counted(tokens) = self else { return };
        tokens.drop_what_is_not_ours();
        if wanted > 0 {
            return tokens.reclaim(wanted);
        }
        let is_hungry = |given: &Given| given.shared.as_ref().is_some_and(|(pipe, _)| pipe.idle() == 0);
        let hungry: Vec<StepId> =
            tokens.given.iter().filter(|(_, given)| is_hungry(given)).map(|(step, _)| *step).collect();
        if hungry.is_empty() {
            let all: Vec<StepId> = tokens.given.keys().copied().collect();
            tokens.spread(&all);
        } else {
            // Half of what is idle, so that nobody is left without.
            let idle = tokens.idle();
            if tokens.free < hungry.len() {
                tokens.reclaim(idle.div_ceil(2));
            }
            tokens.spread(&hungry);
        }
    }
}

impl Tokens {
    /// How many are in pipes, as far as they can be ours.
    fn idle(&self) -> usize {
        let shared = self.given.values().filter_map(|given| given.shared.as_ref());
        shared.map(|(pipe, count)| pipe.idle().min(*count)).sum()
    }

    /// Takes out of the pipes what we never put there: a full one would have the build's own
    /// makes wait for ever.
    fn drop_what_is_not_ours(&self) {
        for (pipe, count) in self.given.values().filter_map(|given| given.shared.as_ref()) {
            let excess = pipe.idle().saturating_sub(*count);
            let _ = pipe.take(excess);
        }
    }

    /// Takes idle tokens out of the pipes: never more from one than we put there.
    fn reclaim(&mut self, mut wanted: usize) {
        for (pipe, count) in self.given.values_mut().filter_map(|given| given.shared.as_mut()) {
            let taken = pipe.take(wanted.min(*count));
            *count -= taken;
            self.free += taken;
            wanted -= taken;
        }
    }

    /// Gives what is free to these, evenly.
    fn spread(&mut self, steps: &[StepId]) {
        let mut left = steps.len();
        for step in steps {
            let share = self.free.div_ceil(left.max(1));
            left -= 1;
            if let Some((pipe, count)) = self.given.get_mut(step).and_then(|given| given.shared.as_mut()) {
                let put = pipe.put(share).min(share);
                *count += put;
                self.free -= put;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(slots: &Slots, make: &str) -> Demand {
        let mut conf = ModuleConf::empty(&crate::id::ModuleId::parse("foo", "1.0").unwrap());
        conf.make = Some(make.to_owned());
        slots.demand(Some(&conf))
    }

    /// Begins a build as the engine does.
    fn begun(slots: &mut Slots, step: usize, make: &str) -> Jobs {
        let demand = demand(slots, make);
        assert_eq!(slots.take(demand.tokens), demand.tokens);
        slots.begin(StepId(step), demand)
    }

    fn free(slots: &Slots) -> usize {
        let Slots::Counted(tokens) = slots else { panic!() };
        tokens.free
    }

    #[test]
    fn a_command_that_asks_for_jobs_gets_their_tokens() {
        let mut slots = Slots::new(4, 2);
        assert_eq!(slots.most(), 4);
        let tokens = |make: &str| demand(&slots, make).tokens;
        assert_eq!([tokens(""), tokens("make all"), tokens("'make' all")], [1, 1, 1]);
        assert_eq!([tokens("make -j3"), tokens("make -j9"), tokens("make -j")], [3, 4, 4]);
        assert!(matches!(begun(&mut slots, 0, "make all"), Jobs::Shared(_)));
        assert!(matches!(begun(&mut slots, 1, "'make' all"), Jobs::Unsaid));
        assert!(matches!(begun(&mut slots, 2, "make -j2"), Jobs::Own(4)));
        assert_eq!(slots.take(1), 0);
        slots.end(StepId(2));
        assert_eq!((slots.take(9), slots.take(1)), (2, 0));
        assert_eq!((Slots::new(0, 9).most(), Slots::new(4, 1).most()), (usize::MAX, 1));
    }

    #[test]
    fn what_is_free_goes_to_who_has_none_and_comes_back() {
        let mut slots = Slots::new(8, 3);
        let Jobs::Shared(first) = begun(&mut slots, 0, "make") else { panic!() };
        slots.balance(0);
        assert_eq!((first.idle(), free(&slots)), (7, 0));
        slots.balance(1);
        assert_eq!((first.idle(), free(&slots)), (6, 1));
        let Jobs::Shared(second) = begun(&mut slots, 1, "make") else { panic!() };
        slots.balance(0);
        assert_eq!((first.idle(), second.idle()), (3, 3));
        slots.end(StepId(0));
        slots.balance(0);
        assert_eq!(second.idle(), 7);
    }

    #[test]
    fn who_keeps_floods_or_takes_all_takes_nothing_from_others() {
        let mut slots = Slots::new(4, 3);
        let Jobs::Shared(bad) = begun(&mut slots, 0, "make") else { panic!() };
        slots.balance(0);
        assert_eq!(bad.take(9), 3, "a build that keeps all its tokens");
        slots.end(StepId(0));
        assert_eq!(free(&slots), 4);
        let Jobs::Shared(bad) = begun(&mut slots, 1, "make") else { panic!() };
        assert!(bad.put(60_000) > 9, "a build that makes its own");
        slots.balance(3);
        assert_eq!((free(&slots), bad.idle()), (3, 0), "none of which counts");
        begun(&mut slots, 2, "make");
        slots.balance(0);
        slots.end(StepId(1));
        slots.end(StepId(2));
        assert_eq!(free(&slots), 4);
    }
}
