//! What is packed as the kernel can unpack it: initramfs and the kernel itself. The first bytes tell how.

use std::io::{self, BufRead as _, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

mod ahead;
mod lz4;
mod lzop;

pub(crate) use ahead::Ahead;

/// How many bytes tell how something is packed.
pub(crate) const MAGIC: usize = 6;

/// What a decoder may keep in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// The logarithm of how far zstd may look back, in bytes.
    pub(crate) zstd_window: u32,
    /// Bytes for the dictionary of xz and lzma.
    pub(crate) xz: u64,
}

/// A reader of what is packed here, to its end; what follows that is left. `None`: it isn't packed in
/// a way that is known.
///
/// # Errors
/// [`io::Error`] where it can't be read, or a decoder is not available.
pub(crate) fn unpacking<'a, R: Read>(
    rest: &'a mut Ahead<R>,
    memory: Memory,
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match rest.peek(MAGIC)? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::GzDecoder::new(rest)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            Box::new(XzDecoder::new_stream(rest, Stream::new_stream_decoder(memory.xz, 0)?))
        }
        [0x5d, 0, 0, ..] => Box::new(XzDecoder::new_stream(rest, Stream::new_lzma_decoder(memory.xz)?)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::BzDecoder::new(rest)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(rest)?.single_frame();
            decoder.window_log_max(memory.zstd_window)?;
            Box::new(decoder)
        }
        [0x02, 0x21, 0x4c, 0x18, ..] => {
            rest.consume(4);
            Box::new(lz4::Legacy::new(rest))
        }
        [0x89, b'L', b'Z', b'O', ..] => Box::new(lzop::File::new(rest)?),
        _ => return Ok(None),
    }))
}
