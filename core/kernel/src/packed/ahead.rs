//! A reader of which more can be seen than has been taken: what follows decides how it is read.

use std::io::{self, BufRead, Read};

/// What is read at a time.
const PIECE: usize = 64 << 10;

/// Bytes that can be looked at before they are taken.
pub(crate) struct Ahead<R> {
    inner: R,
    held: Vec<u8>,
    at: usize,
}

impl<R: Read> Ahead<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, held: Vec::new(), at: 0 }
    }

    /// The next bytes: so many, or more, or all that there are.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let missing = count.saturating_sub(self.held.len() - self.at);
        if missing > 0 {
            self.held.drain(..self.at);
            self.at = 0;
            self.inner.by_ref().take(missing.max(PIECE) as u64).read_to_end(&mut self.held)?;
        }
        Ok(&self.held[self.at..])
    }
}

impl<R: Read> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let next = self.fill_buf()?;
        let count = buffer.len().min(next.len());
        buffer[..count].copy_from_slice(&next[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, count: usize) {
        self.at = self.held.len().min(self.at + count);
    }
}
