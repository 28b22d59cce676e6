//! SIGINT, SIGTERM and SIGHUP: noted, and passed on to the process groups that we started. Nothing dies in
//! the middle of a file operation: the running process ends, its step fails as interrupted, and the
//! command returns in order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The groups that run, each with the thread that waits for it.
static GROUPS: Mutex<BTreeMap<u32, ThreadId>> = Mutex::new(BTreeMap::new());

/// Begins to listen, the first time that it is called: by a binary that is about to start processes. They are
/// in groups of their own, which a terminal's Ctrl-C doesn't reach.
///
/// # Errors
/// What the system says where no handler can be set or no thread started.
pub fn listen() -> std::io::Result<()> {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if LISTENS.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            groups().keys().for_each(|group| ask_to_end(*group));
        }
    })?;
    Ok(())
}

/// The process groups that a thread has started and waits for.
#[must_use]
pub fn groups_of(thread: ThreadId) -> Vec<u32> {
    groups().iter().filter(|(_, waits)| **waits == thread).map(|(group, _)| *group).collect()
}

fn groups() -> std::sync::MutexGuard<'static, BTreeMap<u32, ThreadId>> {
    // A map of numbers is sound whatever happened to its last user.
    GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether we were asked to stop.
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Asks the process that keeps a group to end it, with all that has left the group meanwhile.
pub(super) fn ask_to_end(group: u32) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // Gone already is what we want.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Ends a process group, whatever is left of it.
pub(super) fn kill_group(group: u32) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // Gone already is what we want.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// While this lives, a signal to us ends the groups.
pub(super) struct Watched(Vec<u32>);

pub(super) fn end_on_signal(pids: &[u32]) -> Watched {
    let thread = thread::current().id();
    groups().extend(pids.iter().map(|pid| (*pid, thread)));
    pids.iter().for_each(|group| super::groups::begun(*group));
    if interrupted() {
        pids.iter().for_each(|group| ask_to_end(*group));
    }
    Watched(pids.to_vec())
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut groups = groups();
        self.0.iter().for_each(|group| {
            groups.remove(group);
            super::groups::ended(*group);
        });
    }
}
