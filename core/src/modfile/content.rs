//! The unpacked bytes of a module file. What it is packed with is told by its first bytes, not by its name.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use liblzma::stream::Stream;

use crate::host::fs;
use crate::kernel::Compression;

use super::ModfileError;

/// Larger than any module, small enough for memory: a bomb ends here.
pub const SIZE_LIMIT: u64 = 512 << 20;

/// What liblzma and zstd may need for their dictionaries.
const MEMORY_LIMIT: u64 = 256 << 20;

/// Reads a module file and unpacks it.
///
/// # Errors
/// [`ModfileError`] where it can't be read, its compression is broken or it is larger than [`SIZE_LIMIT`].
pub fn content(path: &Path) -> Result<Vec<u8>, ModfileError> {
    let mut file = BufReader::new(fs::open(path)?);
    let unpacked = file.fill_buf().map(packing).and_then(|packing| match packing {
        Compression::None => Ok(None),
        _ => limited(unpacking(file)?, SIZE_LIMIT).map(Some),
    });
    match unpacked {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Ok(fs::read_limited(path, SIZE_LIMIT)?),
        Err(source) => Err(ModfileError::Unpack { path: path.to_owned(), source }),
    }
}

/// A reader of the unpacked bytes. What they are packed with is told by the first of them.
pub(super) fn unpacking<'a>(mut packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing(packed.fill_buf()?) {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(MEMORY_LIMIT, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
    })
}

/// How bytes are packed.
#[must_use]
pub fn packing(bytes: &[u8]) -> Compression {
    match bytes {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

pub(crate) fn unpack(bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    match packing(&bytes) {
        Compression::None => Ok(bytes),
        _ => limited(unpacking(bytes.as_slice())?, limit),
    }
}

fn limited(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    pub(crate) fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
        match compression {
            Compression::None => bytes.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => liblzma::encode_all(bytes, 6).unwrap(),
            Compression::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let zeros = vec![0; 1 << 20];
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let bomb = packed(&zeros, compression);
            assert!(bomb.len() < 10_000);
            let error = unpack(bomb.clone(), 1 << 19).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{compression:?}");
            assert_eq!(unpack(bomb, 1 << 20).unwrap(), zeros);
        }
    }

    proptest! {
        #[test]
        fn cut_and_broken_bytes_are_errors_or_bytes(cut in 0_usize..200, at in 0_usize..200, byte: u8) {
            for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
                let whole = packed(b"some module that is packed, some module", compression);
                let end = whole.len() - 1 - cut % (whole.len() - 8);
                prop_assert!(unpack(whole[..end].to_vec(), 1000).is_err(), "{:?} cut at {}", compression, end);
                let mut broken = whole;
                let at = at % broken.len();
                broken[at] = byte;
                let _ = unpack(broken, 1000);
            }
        }
    }
}
