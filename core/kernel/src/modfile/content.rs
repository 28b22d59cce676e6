//! The unpacked bytes of a module file. The compression is known by its first bytes, not by its name.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use liblzma::stream::Stream;
use sha2::{Digest as _, Sha256};

use crate::Compression;
use dkms_base::host::fs;

use super::{ModfileError, ModuleObject, NotAModule, without_signature};

/// Larger than any module, small enough for memory: a bomb ends here.
pub const SIZE_LIMIT: u64 = 512 << 20;

/// What is unpacked into memory by those who can read a larger module in pieces.
pub(super) const IN_MEMORY: u64 = 64 << 20;

/// The same where each file may be a hostile one.
const AT_ONCE: u64 = 16 << 20;

/// What liblzma may need for its dictionary: enough for `xz -9`.
const MEMORY_LIMIT: u64 = 72 << 20;

/// The same for zstd: the window of a larger module at its highest level would be larger.
const WINDOW_LOG: u32 = 26;

/// What a signature is looked for in, from the end. One that is longer is none.
const TAIL: usize = 64 << 10;

/// Reads a module file and unpacks it.
///
/// # Errors
/// [`ModfileError`] where it can't be read, its compression is broken or it is larger than [`SIZE_LIMIT`].
pub fn content(path: &Path) -> Result<Vec<u8>, ModfileError> {
    content_within(path, SIZE_LIMIT)
}

/// The same of a module that may not be larger than this, unpacked.
///
/// # Errors
/// As [`content`].
pub fn content_within(path: &Path, limit: u64) -> Result<Vec<u8>, ModfileError> {
    let mut file = BufReader::new(fs::open(path)?);
    let unpacked = file.fill_buf().map(packing).and_then(|packing| match packing {
        Compression::None => Ok(None),
        _ => limited(unpacking(file)?, limit).map(Some),
    });
    match unpacked {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Ok(fs::read_limited(path, limit)?),
        Err(source) => Err(ModfileError::Unpack { path: path.to_owned(), source }),
    }
}

/// Looks at what a module file shows besides `.modinfo`; of a large one only a part is in memory at a time.
/// `limit`: the most bytes that it may have, unpacked.
///
/// # Errors
/// [`ModfileError`] as with [`content_within`]; inside, why it is no whole module.
pub fn object_within(path: &Path, limit: u64) -> Result<Result<ModuleObject, NotAModule>, ModfileError> {
    let unpack = |source| ModfileError::Unpack { path: path.to_owned(), source };
    if !is_packed(path)? {
        let file = fs::open(path)?;
        if file.metadata().map_err(unpack)?.len() > limit {
            return Err(fs::too_large(path).into());
        }
        return Ok(ModuleObject::read(BufReader::new(file)));
    }
    let reader = unpacking(BufReader::new(fs::open(path)?)).map_err(unpack)?;
    match limited(reader, limit.min(AT_ONCE)) {
        Ok(bytes) => Ok(ModuleObject::parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge && limit > AT_ONCE => {
            let mut reader = Anew::open(path).map_err(unpack)?;
            if reader.seek(SeekFrom::End(0)).map_err(unpack)? > limit {
                return Err(unpack(error));
            }
            reader.seek(SeekFrom::Start(0)).map_err(unpack)?;
            Ok(ModuleObject::read(reader))
        }
        Err(error) => Err(unpack(error)),
    }
}

/// Whether a file is compressed, whatever its name says.
///
/// # Errors
/// [`ModfileError`] where it can't be read.
pub fn is_packed(path: &Path) -> Result<bool, ModfileError> {
    let mut file = BufReader::new(fs::open(path)?);
    let first = file.fill_buf();
    let first = first.map_err(|source| ModfileError::Unpack { path: path.to_owned(), source })?;
    Ok(packing(first) != Compression::None)
}

/// A sum over the unpacked bytes without their signature; little of them is in memory at a time.
///
/// # Errors
/// As [`content`].
pub fn unsigned_digest(path: &Path) -> Result<[u8; 32], ModfileError> {
    let mut sum = Sha256::new();
    each_unsigned(path, &mut |bytes| sum.update(bytes))?;
    Ok(sum.finalize().into())
}

/// Gives the unpacked bytes without their signature, in order and in pieces; returns the signature, with its
/// trailer (empty: there is none).
///
/// # Errors
/// As [`content`].
pub fn each_unsigned(path: &Path, then: &mut dyn FnMut(&[u8])) -> Result<Vec<u8>, ModfileError> {
    let file = BufReader::new(fs::open(path)?);
    unpacking(file)
        .and_then(|reader| unsigned(reader, then))
        .map_err(|source| ModfileError::Unpack { path: path.to_owned(), source })
}

/// The same of bytes that are unpacked already.
///
/// # Errors
/// If they cannot be read, or are more than [`SIZE_LIMIT`].
pub fn unsigned(mut reader: impl Read, then: &mut dyn FnMut(&[u8])) -> io::Result<Vec<u8>> {
    let (mut held, mut length) = (Vec::new(), 0);
    loop {
        let count = reader.by_ref().take(TAIL as u64).read_to_end(&mut held)?;
        if count == 0 {
            let end = without_signature(&held).len();
            then(&held[..end]);
            return Ok(held.split_off(end));
        }
        length += count as u64;
        if length > SIZE_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let settled = held.len().saturating_sub(TAIL);
        then(&held[..settled]);
        held.drain(..settled);
    }
}

/// The first unpacked bytes of a module file, at most so many.
///
/// # Errors
/// As [`content`].
pub fn begin(path: &Path, most: u64) -> Result<Vec<u8>, ModfileError> {
    let mut bytes = Vec::new();
    let read = unpacking(BufReader::new(fs::open(path)?));
    read.and_then(|reader| reader.take(most).read_to_end(&mut bytes))
        .map_err(|source| ModfileError::Unpack { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// A reader of a file's unpacked bytes, to the end or to that limit.
///
/// # Errors
/// If it can't be opened.
pub fn reader(path: &Path, limit: u64) -> io::Result<impl BufRead> {
    let file = BufReader::new(fs::open(path).map_err(io::Error::other)?);
    Ok(BufReader::new(unpacking(file)?.take(limit)))
}

/// The unpacked bytes of a file, to be read at any place: for what lies before, it is unpacked again.
pub(super) struct Anew<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    at: u64,
}

impl<'a> Anew<'a> {
    pub(super) fn open(path: &'a Path) -> io::Result<Self> {
        Ok(Self { path, reader: Self::unpack(path)?, at: 0 })
    }

    fn unpack(path: &Path) -> io::Result<Box<dyn Read>> {
        let unpacked = unpacking(BufReader::new(fs::open(path).map_err(io::Error::other)?))?;
        Ok(Box::new(unpacked.take(SIZE_LIMIT + 1)))
    }
}

impl Read for Anew<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Anew<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => to,
            SeekFrom::End(0) => u64::MAX,
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
            SeekFrom::End(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        if to < self.at {
            (self.reader, self.at) = (Self::unpack(self.path)?, 0);
        }
        self.at += io::copy(&mut self.reader.by_ref().take(to - self.at), &mut io::sink())?;
        Ok(self.at)
    }
}

/// A reader of the unpacked bytes. The compression is known by the first of them.
///
/// # Errors
/// If the first bytes can't be read, or there is no memory for a decoder.
pub fn unpacking<'a>(mut packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing(packed.fill_buf()?) {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(MEMORY_LIMIT, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
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

/// Unpacks bytes that may be packed.
///
/// # Errors
/// They are broken, or more than `limit` when unpacked.
pub fn unpack(bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    match packing(&bytes) {
        Compression::None => Ok(bytes),
        _ => limited(unpacking(bytes.as_slice())?, limit),
    }
}

pub(super) fn limited(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modfile::testing::packed;
    use proptest::prelude::*;

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

    #[test]
    fn in_pieces_it_is_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.ko");
        let signature =
            [&[7; 300][..], &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 44], crate::modfile::signature::MAGIC]
                .concat();
        for length in [0, 1, TAIL - 1, TAIL, TAIL + 1, 5 * TAIL + 3] {
            let module: Vec<u8> = (0..length).map(|i| (i % 251).to_le_bytes()[0]).collect();
            for compression in [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd] {
                let whole = [&module[..], &signature].concat();
                fs::write_whole(&path, &packed(&whole, compression), 0o644).unwrap();
                let expected: [u8; 32] = Sha256::digest(&module).into();
                assert_eq!(unsigned_digest(&path).unwrap(), expected, "{length} {compression:?}");
                assert_eq!(begin(&path, 10).unwrap(), whole[..10]);
                let mut anew = Anew::open(&path).unwrap();
                assert_eq!(anew.seek(SeekFrom::End(0)).unwrap(), whole.len() as u64);
                let (middle, mut rest) = (whole.len() / 2, Vec::new());
                anew.seek(SeekFrom::Start(middle as u64)).unwrap();
                anew.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, whole[middle..]);
            }
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
