//! The format that the kernel unpacks as lz4 (`lz4 -l`): blocks of up to 8 MiB, each after its packed size,
//! until there is none.

use std::io::{self, BufRead, Read};

use super::Ahead;

/// What a block may be, unpacked.
const BLOCK: usize = 8 << 20;
const MAGIC: u32 = 0x184c_2102;

/// Unpacks what follows the magic number.
pub(super) struct Legacy<'a, R> {
    rest: &'a mut Ahead<R>,
    block: Vec<u8>,
    at: usize,
}

impl<'a, R: Read> Legacy<'a, R> {
    pub(super) fn new(rest: &'a mut Ahead<R>) -> Self {
        Self { rest, block: Vec::new(), at: 0 }
    }

    /// Unpacks the next block; whether there was one.
    fn next(&mut self) -> io::Result<bool> {
        let mut size = self.size()?;
        if size == Some(MAGIC) {
            self.rest.consume(4);
            size = self.size()?;
        }
        // What doesn't begin as a block does is what follows the last one.
        let size = size.and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| (1..=BLOCK + BLOCK / 255 + 16).contains(size)) else {
            return Ok(false);
        };
        let Some(packed) = self.rest.peek(4 + size)?.get(4..4 + size) else { return Ok(false) };
        self.block.resize(BLOCK, 0);
        let length = lz4_flex::block::decompress_into(packed, &mut self.block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.block.truncate(length);
        self.at = 0;
        self.rest.consume(4 + size);
        Ok(true)
    }

    /// The packed size of the next block, or what stands in its place.
    fn size(&mut self) -> io::Result<Option<u32>> {
        Ok(self.rest.peek(4)?.first_chunk().map(|head| u32::from_le_bytes(*head)))
    }
}

impl<R: Read> Read for Legacy<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
