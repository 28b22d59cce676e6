//! The format that the kernel unpacks as lz4 (`lz4 -l`): blocks of up to 8 MiB, each after its packed size,
//! until there is none.

use std::io::{self, Read};

/// What a block may be, unpacked.
const BLOCK: usize = 8 << 20;
const MAGIC: u32 = 0x184c_2102;

/// Unpacks what follows the magic number.
pub(super) struct Legacy<'a, 'b> {
    rest: &'a mut &'b [u8],
    block: Vec<u8>,
    at: usize,
}

impl<'a, 'b> Legacy<'a, 'b> {
    pub(super) fn new(rest: &'a mut &'b [u8]) -> Self {
        Self { rest, block: Vec::new(), at: 0 }
    }

    /// Unpacks the next block; whether there was one.
    fn next(&mut self) -> io::Result<bool> {
        let Some((head, rest)) = self.rest.split_first_chunk::<4>() else { return Ok(false) };
        let size = u32::from_le_bytes(*head);
        if size == MAGIC {
            *self.rest = rest;
            return self.next_of(rest);
        }
        self.next_of(self.rest)
    }

    fn next_of(&mut self, bytes: &'b [u8]) -> io::Result<bool> {
        let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(false) };
        let size = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        // What doesn't begin as a block does is what follows the last one.
        if size == 0 || size > rest.len() || size > BLOCK + BLOCK / 255 + 16 {
            return Ok(false);
        }
        let (packed, rest) = rest.split_at(size);
        self.block.resize(BLOCK, 0);
        let length = lz4_flex::block::decompress_into(packed, &mut self.block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.block.truncate(length);
        self.at = 0;
        *self.rest = rest;
        Ok(true)
    }
}

impl Read for Legacy<'_, '_> {
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
