//! The file format of `lzop`, as the kernel unpacks it: a header, then blocks, each with its sizes and a sum
//! over its unpacked bytes, until one of size 0. The sums aren't checked, as little as the kernel does.
//! Source: lib/decompress_unlzo.c of the kernel, file format of lzop.

use std::io::{self, BufRead as _, Read};

use super::Ahead;

const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
/// The first version whose header has a level and the upper half of the time.
const WITH_LEVEL: u16 = 0x0940;
/// A filter's number follows the flags.
const HAS_FILTER: u32 = 0x0800;
/// No block is larger: the kernel takes no more.
const BLOCK: usize = 256 << 10;

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is cut, or no file of lzop")
}

/// Unpacks a file; what follows it is left.
pub(super) struct File<'a, R> {
    rest: &'a mut Ahead<R>,
    block: Vec<u8>,
    at: usize,
    is_at_end: bool,
}

impl<'a, R: Read> File<'a, R> {
    /// Reads the header.
    pub(super) fn new(rest: &'a mut Ahead<R>) -> io::Result<Self> {
        let mut file = Self { rest, block: Vec::new(), at: 0, is_at_end: false };
        if file.next_bytes(MAGIC.len())? != MAGIC {
            return Err(broken());
        }
        let version = file.next_bytes(2)?;
        let has_level = u16::from_be_bytes([version[0], version[1]]) >= WITH_LEVEL;
        // The library's version, the version needed, the method, the level.
        file.next_bytes(if has_level { 6 } else { 5 })?;
        if file.number()? & HAS_FILTER != 0 {
            file.number()?;
        }
        // Mode and time, name, and the sum over the header.
        file.next_bytes(if has_level { 12 } else { 8 })?;
        let name = usize::from(file.next_bytes(1)?[0]);
        file.next_bytes(name + 4)?;
        Ok(file)
    }

    fn next_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let taken = self.rest.peek(count)?.get(..count).ok_or_else(broken)?.to_vec();
        self.rest.consume(count);
        Ok(taken)
    }

    fn number(&mut self) -> io::Result<u32> {
        self.next_bytes(4)?.try_into().map(u32::from_be_bytes).map_err(|_| broken())
    }

    fn size(&mut self) -> io::Result<usize> {
        usize::try_from(self.number()?).ok().filter(|size| *size <= BLOCK).ok_or_else(broken)
    }

    fn next(&mut self) -> io::Result<()> {
        let size = self.size()?;
        self.at = 0;
        self.block.clear();
        if size == 0 {
            self.is_at_end = true;
            return Ok(());
        }
        let packed = self.size()?;
        self.number()?;
        let packed = self.next_bytes(packed)?;
        if packed.len() == size {
            self.block = packed;
            return Ok(());
        }
        self.block.resize(size, 0);
        match lzokay::decompress::decompress(&packed, &mut self.block) {
            Ok(length) if length == size => Ok(()),
            _ => Err(broken()),
        }
    }
}

impl<R: Read> Read for File<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.is_at_end {
            self.next()?;
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
