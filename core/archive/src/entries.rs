//! The tar format, taken apart entry by entry from a stream: ustar, GNU long names, pax headers. Memory
//! stays bounded whatever the headers claim, and an archive that stops before its end mark is damaged.
//! Judges kinds, not names.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::error::Fault;

/// The largest extended header: a path has 4 KiB, and pax headers carry a few attributes.
const LONGEST_EXTENSION: u64 = 64 << 10;
const BLOCK: usize = 512;

/// One entry's header; its contents are read from [`Entries`] itself.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Folder,
    Link(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
}

/// Why there is no next entry.
#[derive(Debug)]
pub(super) enum Broken {
    /// The very first block is no tar header.
    NoTar,
    /// The stream fails, or ends early.
    Stream(io::Error),
    /// A header that we can't make sense of.
    Header { name: Vec<u8>, reason: &'static str },
    /// An entry that is refused for its kind.
    Entry { name: Vec<u8>, fault: Fault },
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// The entries of a stream. Between two calls of [`Entries::next`] it reads as the contents
/// of the entry at hand.
pub(super) struct Entries<R> {
    stream: R,
    /// Contents of the entry at hand that were not read yet.
    left: u64,
    /// Bytes after them, up to the next block.
    padding: u64,
    begun: bool,
}

/// What extended headers said about the entry that follows them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    mtime: Option<i64>,
    size: Option<u64>,
    sparse: bool,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, left: 0, padding: 0, begun: false }
    }

    /// The next entry; `None` at the end mark, once the rest of the stream was read and found whole.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Broken> {
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            let Some(header) = self.header()? else {
                if extended {
                    return Err(Broken::Header {
                        name: Vec::new(),
                        reason: "an extended header is the last",
                    });
                }
                return Ok(None);
            };
            let name = header.path_bytes().into_owned();
            let size = header.entry_size().map_err(|_| Broken::Header {
                name: name.clone(),
                reason: "the size in its header is no number",
            })?;
            self.left = size;
            self.padding = size.wrapping_neg() % BLOCK as u64;
            let malformed =
                |name: &[u8]| Broken::Entry { name: name.to_owned(), fault: Fault::MalformedExtension };
            match header.entry_type() {
                EntryType::GNULongName => {
                    let text = self.extension(&name)?;
                    extensions.name = Some(until_nul(&text).to_owned());
                }
                EntryType::GNULongLink => {
                    let text = self.extension(&name)?;
                    extensions.link = Some(until_nul(&text).to_owned());
                }
                EntryType::XHeader => {
                    let text = self.extension(&name)?;
                    extensions.take_pax(&text).ok_or_else(|| malformed(&name))?;
                }
                // git writes one with a comment; one that renames what follows has no honest use.
                EntryType::XGlobalHeader => {
                    let text = self.extension(&name)?;
                    let mut global = Extensions::default();
                    global.take_pax(&text).ok_or_else(|| malformed(&name))?;
                    if global.name.or(global.link).is_some() || global.size.is_some() || global.sparse {
                        return Err(malformed(&name));
                    }
                    continue;
                }
                _ => return self.entry(&header, name, extensions).map(Some),
            }
            extended = true;
        }
    }

    fn entry(&self, header: &Header, name: Vec<u8>, extensions: Extensions) -> Result<Entry, Broken> {
        let name = extensions.name.unwrap_or(name);
        let refuse = |fault| Err(Broken::Entry { name: name.clone(), fault });
        let link = || {
            let short = header.link_name_bytes().map(std::borrow::Cow::into_owned);
            extensions.link.clone().or(short).unwrap_or_default()
        };
        let kind = match header.entry_type() {
            _ if extensions.sparse => return refuse(Fault::Sparse),
            EntryType::Regular | EntryType::Continuous => EntryKind::File,
            EntryType::Directory => EntryKind::Folder,
            EntryType::Symlink => EntryKind::Link(link()),
            EntryType::Link => EntryKind::HardLink(link()),
            EntryType::Char | EntryType::Block => return refuse(Fault::Device),
            EntryType::Fifo => EntryKind::Fifo,
            EntryType::GNUSparse => return refuse(Fault::Sparse),
            other => {
                return refuse(Fault::UnknownKind(char::from(other.as_byte()).escape_default().to_string()));
            }
        };
        if extensions.size.is_some_and(|size| size != self.left) {
            return refuse(Fault::MalformedExtension);
        }
        if kind != EntryKind::File && self.left > 0 {
            return refuse(Fault::ContentsOfNoFile);
        }
        let mode = header.mode().map_err(|_| Broken::Header {
            name: name.clone(),
            reason: "the mode in its header is no number",
        })?;
        // A time before 1970 or beyond all calendars is no reason to refuse anything.
        let plain_time = header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        let mtime = extensions.mtime.unwrap_or(plain_time).clamp(0, i64::from(u32::MAX));
        Ok(Entry { name, kind, size: self.left, mode, mtime })
    }

    /// The next header block; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, Broken> {
        io::copy(&mut *self, &mut io::sink())?;
        if io::copy(&mut (&mut self.stream).take(self.padding), &mut io::sink())? < self.padding {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.padding = 0;
        let block = match self.block() {
            Err(error) if !self.begun && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Broken::NoTar);
            }
            other => other?,
        };
        if block == [0; BLOCK] {
            if self.block()? != [0; BLOCK] {
                return Err(Broken::Header {
                    name: Vec::new(),
                    reason: "a single empty block lies between entries",
                });
            }
            // The rest is blocking; reading it makes the decompressor check its sum.
            io::copy(&mut self.stream, &mut io::sink())?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum = |part: &[u8]| part.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
        if header.cksum().ok() != Some(expected) {
            if self.begun {
                return Err(Broken::Header { name: Vec::new(), reason: "a header's checksum is wrong" });
            }
            return Err(Broken::NoTar);
        }
        self.begun = true;
        Ok(Some(header))
    }

    fn block(&mut self) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.stream.read_exact(&mut block)?;
        Ok(block)
    }

    /// The contents of the extended header at hand.
    fn extension(&mut self, name: &[u8]) -> Result<Vec<u8>, Broken> {
        if self.left > LONGEST_EXTENSION {
            return Err(Broken::Entry { name: name.to_owned(), fault: Fault::MalformedExtension });
        }
        let mut text = Vec::new();
        self.read_to_end(&mut text)?;
        Ok(text)
    }
}

/// The contents of the entry at hand.
impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.stream.read(&mut buffer[..wanted])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.left -= n as u64;
                Ok(n)
            }
        }
    }
}

impl Extensions {
    /// Takes the records of a pax header: `LENGTH KEY=VALUE\n`, the length counting itself. `None`
    /// where they aren't that.
    fn take_pax(&mut self, mut text: &[u8]) -> Option<()> {
        while !text.is_empty() {
            let blank = text.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&text[..blank]).ok()?.parse().ok()?;
            let (record, rest) = text.split_at_checked(length)?;
            let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                b"mtime" => {
                    let whole = value.split(|byte| *byte == b'.').next()?;
                    self.mtime = Some(std::str::from_utf8(whole).ok()?.parse().ok()?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
            text = rest;
        }
        Some(())
    }
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}
