//! The process between us and a program: it ends the program, with all that it has started, when we end
//! it or die ourselves.
//!
//! A process that is killed can't take anything along: what it has started lives on. So the child that the
//! standard library forked stays, as the leader of a session of its own, and waits. System calls only, as
//! in [`super::child`].

use std::os::unix::process::CommandExt;

use rustix::io::{Errno, Result};
use rustix::process::{Pid, Signal, WaitOptions};

use super::child::{close_all_from, code_of, end_children, errno, exit, fork};

/// Who asks a keeper to end what it keeps: us, or the kernel when we have died.
pub(super) const END: Signal = Signal::TERM;

/// How a program is ended when its end is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndBy {
    /// At once.
    Kill,
    /// It is asked to end, and ends what it has started: for our own program, which has files to remove.
    Asking,
}

/// Has a keeper stand between us and the process of `command`. What was registered before
/// happens in the keeper too.
pub fn keep(command: &mut std::process::Command, end: EndBy) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly): nothing is
    // allocated, no lock is taken, nothing unwinds.
    unsafe { command.pre_exec(move || stand_between(parent, end).map_err(Into::into)) };
}

/// Has the process of `command`, which stays in our process group and session, get a signal when we die.
pub fn tell_when_we_die(command: &mut std::process::Command) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly): nothing is
    // allocated, no lock is taken, nothing unwinds.
    unsafe { command.pre_exec(move || tell_when_gone(parent).map_err(Into::into)) };
}

/// Returns in the process that becomes the program.
fn stand_between(parent: Pid, end: EndBy) -> Result<()> {
    begin(parent)?;
    // What a process leaves behind becomes ours, to be ended.
    rustix::process::set_child_subreaper(rustix::process::getpid().into())?;
    let keeper = rustix::process::getpid();
    match fork(0)? {
        None => {
            end_with(keeper);
            unblock();
            Ok(())
        }
        Some(child) => {
            close_all_from(0);
            let ended = watch(child, if end == EndBy::Kill { Signal::KILL } else { END });
            // A script may have started a service that is to stay: only where nobody waits for its end
            // any more it goes too.
            if ended.was_asked {
                end_children();
            }
            exit(ended.code)
        }
    }
}

/// A session without a terminal, which gets a signal when its parent dies. Signals wait until [`watch`] takes
/// them.
///
/// # Errors
/// Where the parent is gone already.
pub(super) fn begin(parent: Pid) -> Result<()> {
    // A process group's leader can't; then it has been done.
    let _ = rustix::process::setsid();
    block();
    tell_when_gone(parent)
}

/// Has the kernel tell us when `parent` dies.
fn tell_when_gone(parent: Pid) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(END))?;
    // It may have died before that.
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH) }
}

/// Ends this process when its parent dies, or at once where it has.
pub(super) fn end_with(parent: Pid) {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if rustix::process::getppid() != Some(parent) {
        exit(128 + END.as_raw());
    }
}

/// How a process that was watched has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    /// Its exit code as a shell would have it.
    pub(super) code: i32,
    /// A signal asked for its end.
    pub(super) was_asked: bool,
}

/// Waits until `child` has ended; ends it, with this signal, when a signal asks for it.
///
/// Needs all signals [blocked](block).
pub(super) fn watch(child: Pid, end: Signal) -> Watched {
    let all = all_signals();
    let mut was_asked = false;
    loop {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == child => {
                    return Watched { code: code_of(status), was_asked };
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return Watched { code: 127, was_asked },
            }
        }
        if next_signal(&all) != libc::SIGCHLD {
            was_asked = true;
            let _ = rustix::process::kill_process(child, end);
        }
    }
}

/// Waits until `child` has ended, and passes every signal on to it but those that stop; its exit code as a
/// shell would have it.
///
/// Needs all signals [blocked](block).
pub(super) fn attend(child: Pid) -> i32 {
    let mut but_stops = all_signals();
    for signal in STOPS {
        // SAFETY: it changes a set that was filled.
        unsafe { libc::sigdelset(&raw mut but_stops, signal) };
    }
    loop {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == child => return code_of(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return 127,
            }
        }
        let signal = next_signal(&but_stops);
        if signal != libc::SIGCHLD {
            // SAFETY: this call takes numbers only.
            unsafe { libc::kill(child.as_raw_nonzero().get(), signal) };
        }
    }
}

/// What stops a terminal's processes stops this one too, in spite of [`block`].
pub(super) fn stop_with_the_terminal() {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the first call fills the set that the others change and read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in STOPS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

const STOPS: [libc::c_int; 4] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGCONT];

fn all_signals() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: it fills the set that it is given, which is as large as it must be.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Signals wait until they are asked for.
pub(super) fn block() {
    let all = all_signals();
    // SAFETY: it reads one set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
}

/// As the standard library has it before it starts a program.
pub(super) fn unblock() {
    let mut none = std::mem::MaybeUninit::uninit();
    // SAFETY: the first call fills the set that the second one reads.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// The next signal of these that came, or comes.
fn next_signal(signals: &libc::sigset_t) -> libc::c_int {
    loop {
        // SAFETY: it reads one set, and writes nothing.
        let signal = unsafe { libc::sigwaitinfo(signals, std::ptr::null_mut()) };
        if signal != -1 {
            return signal;
        }
        if errno() != Errno::INTR {
            // It can't be waited for: asking now and then what has ended is left.
            let pause = rustix::thread::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let _ = rustix::thread::clock_nanosleep_relative(rustix::thread::ClockId::Monotonic, &pause);
            return libc::SIGCHLD;
        }
    }
}
