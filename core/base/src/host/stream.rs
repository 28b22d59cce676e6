//! What a process writes, taken from a pipe while it runs: it never gets a file of ours, and can
//! keep nobody waiting.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// More than any command of a build writes: who writes more is ended.
pub(super) const MOST: u64 = 512 << 20;
/// What is in the pipe when all processes have ended is no more than this.
const LEFT: usize = 4 << 20;

/// Bytes of which the middle is left out where there are too many.
#[derive(Debug, Clone)]
pub struct Bounded {
    begin: Vec<u8>,
    end: VecDeque<u8>,
    left_out: u64,
    most: [usize; 2],
}

impl Bounded {
    /// Keeps so many bytes of the begin and of the end.
    #[must_use]
    pub const fn new(begin: usize, end: usize) -> Self {
        Self { begin: Vec::new(), end: VecDeque::new(), left_out: 0, most: [begin, end] }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.most[0].saturating_sub(self.begin.len()).min(bytes.len());
        let (first, mut rest) = bytes.split_at(room);
        self.begin.extend_from_slice(first);
        let over = (self.end.len() + rest.len()).saturating_sub(self.most[1]);
        self.left_out += over as u64;
        let dropped = over.min(self.end.len());
        self.end.drain(..dropped);
        rest = &rest[over - dropped..];
        self.end.extend(rest);
    }

    /// How many bytes of the begin are there: until it is full, all that was added.
    #[must_use]
    pub fn room_at_begin(&self) -> usize {
        self.most[0].saturating_sub(self.begin.len())
    }

    /// What comes behind the begin: where something was left out, a line that says so, and the end.
    #[must_use]
    pub fn tail(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.end.len() + 64);
        if self.left_out > 0 {
            bytes.extend(format!("\n# {} bytes are left out here\n", self.left_out).bytes());
        }
        bytes.extend(&self.end);
        bytes
    }

    /// All that was kept.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.begin.clone(), self.tail()].concat()
    }
}

/// What is done with each piece of output; [`ControlFlow::Break`]: it is too much.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + Send + 'a;

/// Reads what comes out of `pipe` until nobody can write to it any more, or `stop` is closed; then what is
/// still in it. Says whether it was too much, which sets `enough` at once.
pub(super) fn drain(pipe: &OwnedFd, stop: &OwnedFd, sink: &mut Sink<'_>, enough: &dyn Fn()) -> bool {
    let mut buffer = vec![0; 64 << 10];
    let (mut total, mut too_much, mut left) = (0_u64, false, None);
    loop {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => return too_much,
            Ok(length) => {
                total += length as u64;
                if !too_much && (total > MOST || sink(&buffer[..length]).is_break()) {
                    too_much = true;
                    enough();
                }
                if let Some(left) = &mut left {
                    if *left < length {
                        return too_much;
                    }
                    *left -= length;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if left.is_some() => return too_much,
            Err(Errno::AGAIN) => {
                let mut both = [PollFd::new(pipe, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
                let _ = poll(&mut both, None);
                if !both[1].revents().is_empty() {
                    left = Some(LEFT);
                }
            }
            Err(_) => return too_much,
        }
    }
}

/// Reads all that comes out of `pipe`, as [`drain`] does, and keeps its begin.
pub(super) fn begin_of(pipe: &OwnedFd, stop: &OwnedFd) -> Vec<u8> {
    const MOST_KEPT: usize = 64 << 10;
    let mut kept = Vec::new();
    let mut keep = |bytes: &[u8]| {
        kept.extend_from_slice(&bytes[..bytes.len().min(MOST_KEPT - kept.len())]);
        ControlFlow::Continue(())
    };
    drain(pipe, stop, &mut keep, &|| ());
    kept
}

/// A pipe: our end never waits.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // The other end has an open file description of its own.
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_and_end_are_kept() {
        let mut kept = Bounded::new(3, 4);
        for piece in ["a", "bcd", "efghij", "k", "", "lm"] {
            kept.push(piece.as_bytes());
        }
        assert_eq!(String::from_utf8(kept.bytes()).unwrap(), "abc\n# 6 bytes are left out here\njklm");
        let mut short = Bounded::new(3, 4);
        short.push(b"abcdefg");
        assert_eq!((short.bytes(), short.room_at_begin()), (b"abcdefg".to_vec(), 0));
    }
}
