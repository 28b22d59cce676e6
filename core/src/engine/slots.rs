//! Job slots: all builds of a run together use no more than the jobs that were asked for.
//!
//! A GNU make jobserver holds a token for each job. A build takes one before it begins, which is the job that its make has
//! for itself (the manual of GNU make, "Job Slots"); further ones its make takes and gives back. A conf whose command asks for N
//! jobs of its own gets as many tokens, and keeps them.

use std::sync::mpsc::Sender;

use jobserver::{Acquired, Client, HelperThread};

use super::run::Message;
use crate::build::{Jobs, jobs_of_its_own};
use crate::conf::ModuleConf;

/// The slots of a run.
pub(super) enum Slots {
    /// Only one build at all, which is told its jobs on make's own line, or no limit was set.
    Untold(u32),
    /// Several.
    Served(Server),
}

/// A jobserver, and the thread that waits for its tokens.
pub(super) struct Server {
    client: Client,
    limit: usize,
    waiting: HelperThread,
    asked: usize,
}

/// What a build holds while it runs; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Acquired>);

/// How a build's make gets its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// Tokens that it needs before it begins.
    pub(super) tokens: usize,
    /// It takes further ones from the server.
    shares: bool,
    /// It asks for jobs on its own line.
    own: bool,
}

impl Slots {
    /// Slots for `builds` builds; `jobs` 0 is no limit. Where no jobserver can be made they run one after the other.
    pub(super) fn new(jobs: u32, builds: usize, messages: &Sender<Message>) -> Self {
        if builds < 2 || jobs == 0 {
            return Self::Untold(jobs);
        }
        let limit = usize::try_from(jobs).unwrap_or(usize::MAX).min(4096);
        Server::new(limit, messages).map_or(Self::Untold(jobs), Self::Served)
    }

    /// How many builds may run at once, whatever else allows it.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Untold(0) => usize::MAX,
            Self::Untold(_) => 1,
            Self::Served(server) => server.limit,
        }
    }

    /// What a build with this conf needs.
    pub(super) fn demand(&self, conf: Option<&ModuleConf>) -> Demand {
        let Self::Served(server) = self else { return Demand { tokens: 0, shares: false, own: false } };
        let make = conf.and_then(|conf| conf.make.as_deref()).filter(|make| !make.trim().is_empty());
        match make.map(jobs_of_its_own) {
            None => Demand { tokens: 1, shares: true, own: false },
            // What isn't plainly make gets no jobs from us: its author may have meant it to have none.
            Some(None) => {
                Demand { tokens: 1, shares: make.is_some_and(|make| make.starts_with("make")), own: false }
            }
            Some(Some(jobs)) => {
                let jobs = usize::try_from(jobs).unwrap_or(usize::MAX);
                let tokens = if jobs == 0 { server.limit } else { jobs.min(server.limit) };
                Demand { tokens, shares: false, own: true }
            }
        }
    }

    /// What its make is told.
    pub(super) fn jobs(&self, demand: Demand) -> Jobs {
        match self {
            Self::Untold(jobs) => Jobs::Own(*jobs),
            Self::Served(server) if demand.shares => Jobs::Shared(server.client.clone()),
            Self::Served(server) if demand.own => Jobs::Own(u32::try_from(server.limit).unwrap_or(0)),
            Self::Served(_) => Jobs::Unsaid,
        }
    }

    /// Asks for one more token, unless it was; it comes as a message.
    pub(super) fn ask(&mut self) {
        if let Self::Served(server) = self
            && server.asked == 0
        {
            server.asked += 1;
            server.waiting.request_token();
        }
    }

    /// A token has come.
    pub(super) fn came(&mut self) {
        if let Self::Served(server) = self {
            server.asked = server.asked.saturating_sub(1);
        }
    }

    /// No build runs, so every token that isn't in `held` is here, or was lost with a make that was killed.
    pub(super) fn refill(&self, held: usize) {
        if let Self::Served(server) = self
            && let Ok(here) = server.client.available()
        {
            for _ in (here + held + server.asked)..server.limit {
                // A pipe that takes no token now leaves us slower, not wrong.
                drop(server.client.release_raw());
            }
        }
    }
}

impl Server {
    fn new(limit: usize, messages: &Sender<Message>) -> Option<Self> {
        let client = Client::new(limit).ok()?;
        let messages = messages.clone();
        let waiting = client.clone().into_helper_thread(move |token| {
            // Where the run has ended nobody needs it any more.
            drop(messages.send(Message::Token(token.ok())));
        });
        Some(Self { client, limit, waiting: waiting.ok()?, asked: 0 })
    }
}

impl Held {
    pub(super) fn add(&mut self, token: Acquired) {
        self.0.push(token);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn give_back(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_asks_for_jobs_gets_their_tokens() {
        let (messages, inbox) = std::sync::mpsc::channel();
        let mut slots = Slots::new(4, 2, &messages);
        assert_eq!(slots.most(), 4);
        let of = |make: &str| {
            let mut conf = ModuleConf::empty(&crate::id::ModuleId::parse("foo", "1.0").unwrap());
            conf.make = Some(make.to_owned());
            let demand = slots.demand(Some(&conf));
            (demand.tokens, matches!(slots.jobs(demand), Jobs::Shared(_)))
        };
        assert_eq!([of(""), of("make all"), of("'make' all")], [(1, true), (1, true), (1, false)]);
        assert_eq!([of("make -j3"), of("make -j9"), of("make -j")], [(3, false), (4, false), (4, false)]);
        let mut held = Held::default();
        for _ in 0..4 {
            slots.ask();
            let Message::Token(Some(token)) = inbox.recv().unwrap() else { panic!() };
            slots.came();
            held.add(token);
        }
        slots.ask();
        assert!(inbox.recv_timeout(std::time::Duration::from_millis(50)).is_err());
        held.give_back();
        assert!(matches!(inbox.recv().unwrap(), Message::Token(Some(_))));
        assert_eq!(Slots::new(0, 9, &messages).most(), usize::MAX);
        assert_eq!(Slots::new(4, 1, &messages).most(), 1);
    }
}
