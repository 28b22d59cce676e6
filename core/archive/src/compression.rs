//! The compressions of an archive: found by magic when it is read, by suffix when it is written.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use liblzma::stream::{CONCATENATED, Check, Stream};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

/// As many bytes as [`Compression::of_magic`] wants to see.
pub const MAGIC_LENGTH: usize = 6;

impl Compression {
    /// By the first bytes of a file. What is no compression that we know counts as plain.
    #[must_use]
    pub fn of_magic(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// By a file's suffix; any that we don't know means plain.
    #[must_use]
    pub fn of_suffix(file: &Path) -> Self {
        match file.extension().and_then(|suffix| suffix.to_str()) {
            Some("gz" | "tgz") => Self::Gzip,
            Some("bz2" | "tbz" | "tbz2") => Self::Bzip2,
            Some("xz" | "txz") => Self::Xz,
            Some("zst" | "tzst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// A reader of what `packed` holds, several streams in a row included, that uses no more than `window`
    /// bytes of memory to look back.
    ///
    /// # Errors
    /// Where the decompressor can't be set up.
    pub(super) fn decoder<'r>(self, packed: impl Read + 'r, window: u64) -> io::Result<Box<dyn Read + 'r>> {
        let packed = BufReader::with_capacity(64 << 10, packed);
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(window, CONCATENATED).map_err(io::Error::other)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed)?;
                decoder.window_log_max(window.ilog2())?;
                Box::new(decoder)
            }
        })
    }
}

/// A compressor on a file. The same input gives the same bytes: one thread, no time, no name.
pub struct Encoder(Inner);

enum Inner {
    Plain(File),
    Gzip(flate2::write::GzEncoder<File>),
    Bzip2(bzip2::write::BzEncoder<File>),
    Xz(liblzma::write::XzEncoder<File>),
    Zstd(zstd::Encoder<'static, File>),
}

impl Encoder {
    /// Begins on an empty file.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(compression: Compression, file: File) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => Inner::Plain(file),
            Compression::Gzip => {
                Inner::Gzip(flate2::GzBuilder::new().mtime(0).write(file, flate2::Compression::default()))
            }
            Compression::Bzip2 => {
                Inner::Bzip2(bzip2::write::BzEncoder::new(file, bzip2::Compression::best()))
            }
            Compression::Xz => {
                let stream = Stream::new_easy_encoder(6, Check::Crc64).map_err(io::Error::other)?;
                Inner::Xz(liblzma::write::XzEncoder::new_stream(file, stream))
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Inner::Zstd(encoder)
            }
        }))
    }

    /// Writes what is left and gives the file back.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(self) -> io::Result<File> {
        match self.0 {
            Inner::Plain(file) => Ok(file),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Bzip2(encoder) => encoder.finish(),
            Inner::Xz(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Plain(file) => file.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Bzip2(encoder) => encoder.write(bytes),
            Inner::Xz(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Inner::Plain(file) => file.flush(),
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Bzip2(encoder) => encoder.flush(),
            Inner::Xz(encoder) => encoder.flush(),
            Inner::Zstd(encoder) => encoder.flush(),
        }
    }
}
