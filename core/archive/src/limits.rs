//! How large an archive may become: limits, and the reader that holds a stream to them while it is
//! decompressed. Knows nothing of entries.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// How large an archive may become. The defaults leave room for the largest real modules built
/// for dozens of kernels.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Entries, with the folders that they imply.
    pub entries: usize,
    /// Bytes of all names and link targets.
    pub name_bytes: usize,
    /// Bytes that one compressed byte may become, judged once `ratio_from` bytes have come out.
    pub ratio: u64,
    /// What may be unpacked at any ratio.
    pub ratio_from: u64,
    /// Memory for a decompressor's window.
    pub window: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            entries: 65_536,
            name_bytes: 8 << 20,
            ratio: 200,
            ratio_from: 64 << 20,
            window: 72 << 20,
        }
    }
}

/// Which limit was exceeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Too many bytes.
    #[error("unpacked it is larger than {0} bytes")]
    Bytes(u64),
    /// Too many entries.
    #[error("it has more than {0} entries")]
    Entries(usize),
    /// Names too long altogether.
    #[error("its names are longer than {0} bytes altogether")]
    NameBytes(usize),
    /// A decompression bomb.
    #[error("it unpacks to more than {0} times its size")]
    Ratio(u64),
}

/// A reader that counts what went through it.
pub(super) struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Counted<R> {
    /// Counts what is read from `inner`; the count is shared with the owner of the second half.
    pub(super) fn new(inner: R) -> (Self, Rc<Cell<u64>>) {
        let count = Rc::new(Cell::new(0));
        (Self { inner, count: Rc::clone(&count) }, count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// A decompressed stream that fails with [`Exceeded`] inside its error when it grows too large.
pub(super) struct Metered<R> {
    inner: R,
    out: u64,
    packed: Rc<Cell<u64>>,
    limits: Limits,
}

impl<R: Read> Metered<R> {
    /// `packed` counts what went into the decompressor.
    pub(super) fn new(inner: R, packed: Rc<Cell<u64>>, limits: Limits) -> Self {
        Self { inner, out: 0, packed, limits }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.out += n as u64;
        // Headers and padding come on top of the entries' contents: 1 KiB each, and the blocking at the end.
        if self.out > self.limits.bytes + 1024 * self.limits.entries as u64 + (1 << 20) {
            return Err(io::Error::other(Exceeded::Bytes(self.limits.bytes)));
        }
        if self.out > self.limits.ratio_from && self.out / self.limits.ratio > self.packed.get() {
            return Err(io::Error::other(Exceeded::Ratio(self.limits.ratio)));
        }
        Ok(n)
    }
}

/// The limit behind an error of a [`Metered`] reader.
pub(super) fn exceeded(error: &io::Error) -> Option<Exceeded> {
    error.get_ref()?.downcast_ref::<Exceeded>().cloned()
}
