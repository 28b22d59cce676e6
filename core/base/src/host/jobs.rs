//! A pipe of job tokens that one build's makes take theirs from (the manual of GNU make, "Job
//! Slots"), one byte a token.
//!
//! The build has the same pipe and may do with it what it likes: fill it, empty it, keep what is in it. So
//! our ends are open file descriptions of our own, which never block; and what is in the pipe is a hint,
//! never a number that anything relies on.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

/// The pipe.
#[derive(Debug)]
pub struct JobPipe {
    /// Read and write end, as the build gets them.
    given: [OwnedFd; 2],
    /// The same for us.
    ours: [OwnedFd; 2],
}

impl JobPipe {
    /// An empty one.
    ///
    /// # Errors
    /// What the system says, also where `/proc` isn't there.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let again = |end: &OwnedFd, flags: OFlags| {
            let path = format!("/proc/self/fd/{}", end.as_raw_fd());
            rustix::fs::open(path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        };
        let ours = [again(&read, OFlags::RDONLY)?, again(&write, OFlags::WRONLY)?];
        Ok(Self { given: [read, write], ours })
    }

    /// How many tokens nobody uses, as the pipe has it.
    #[must_use]
    pub fn idle(&self) -> usize {
        let bytes = rustix::io::ioctl_fionread(&self.ours[0]).unwrap_or(0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Puts so many tokens in; how many it took.
    #[must_use]
    pub fn put(&self, count: usize) -> usize {
        rustix::io::write(&self.ours[1], &vec![b'+'; count]).unwrap_or(0)
    }

    /// Takes at most so many tokens out; how many there were.
    #[must_use]
    pub fn take(&self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        if most == 0 { 0 } else { rustix::io::read(&self.ours[0], &mut bytes).unwrap_or(0) }
    }

    /// Lets the process of `command` have the pipe.
    pub(super) fn apply_to(self: &Arc<Self>, command: &mut Command) {
        crate::sys::pass_on(self.given.each_ref().map(AsRawFd::as_raw_fd), Arc::clone(self), command);
    }

    /// What `MAKEFLAGS` says of it.
    pub(super) fn flags(&self) -> String {
        let [read, write] = self.given.each_ref().map(AsRawFd::as_raw_fd);
        // Before 4.2 make had another name for it.
        format!("-j --jobserver-fds={read},{write} --jobserver-auth={read},{write}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_done_to_it_we_go_on() {
        let pipe = JobPipe::new().unwrap();
        assert_eq!((pipe.put(3), pipe.idle(), pipe.take(2), pipe.take(9), pipe.take(1)), (3, 3, 2, 1, 0));
        // Another process fills it to the brim, and has it block again.
        rustix::io::ioctl_fionbio(&pipe.given[1], true).unwrap();
        while rustix::io::write(&pipe.given[1], &[b'x'; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&pipe.given[1], false).unwrap();
        assert_eq!(pipe.put(1), 0);
        assert_eq!(pipe.take(2), 2);
        // Another process takes all.
        rustix::io::ioctl_fionbio(&pipe.given[0], true).unwrap();
        while rustix::io::read(&pipe.given[0], &mut [0; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&pipe.given[0], false).unwrap();
        assert_eq!((pipe.idle(), pipe.take(1)), (0, 0));
    }
}
