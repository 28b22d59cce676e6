//! The modules in an archive of an initramfs: cpio "newc", several one after the other, each packed or not.
//! Streams; nothing of it is trusted, and all of it is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

use super::image::Build;
use crate::modfile::{ModuleFile, canonical_name};
use crate::packed::{self, Ahead, MAGIC, Memory};

/// No module is larger, packed as it is in the archive.
const MODULE_LIMIT: u64 = 256 << 20;
/// No path of a file is longer.
const NAME_LIMIT: u64 = 4096;
/// What all archives of an image may be, unpacked.
const TOTAL_LIMIT: u64 = 4 << 30;
/// And how many entries they may have.
const ENTRY_LIMIT: u32 = 1_000_000;
/// How many archives an image may have, and packed parts.
const ARCHIVE_LIMIT: u32 = 1000;
/// What the decoder of zstd may keep of what it has unpacked, and what that of liblzma may need: enough for
/// `xz -9`, more than for `zstd -19`.
const MEMORY: Memory = Memory { zstd_window: 26, xz: 72 << 20 };
const HEADER: usize = 110;

/// Modules by their names as the kernel has them (`-` is `_`), each with the builds that its files are of.
pub(super) type Modules = BTreeMap<String, Vec<Build>>;

/// Reads all archives of an image, for the modules that are wanted. Little of it is in memory at a time.
pub(super) fn modules(reader: impl Read, wanted: &BTreeSet<String>) -> io::Result<Modules> {
    let mut found = Found {
        wanted,
        modules: Modules::new(),
        left: TOTAL_LIMIT,
        entries: ENTRY_LIMIT,
        archives: ARCHIVE_LIMIT,
    };
    let mut rest = Ahead::new(reader);
    let mut any = false;
    loop {
        skip_padding(&mut rest)?;
        if rest.peek(MAGIC)?.is_empty() {
            return if any { Ok(found.modules) } else { Err(broken("it is empty")) };
        }
        found.segment(&mut rest)?;
        any = true;
    }
}

/// Takes the zeros that come next.
fn skip_padding(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let next = reader.fill_buf()?;
        let zeros = next.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(count);
        }
        reader.consume(zeros);
        count += zeros as u64;
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

struct Found<'a> {
    wanted: &'a BTreeSet<String>,
    modules: Modules,
    left: u64,
    entries: u32,
    archives: u32,
}

impl Found<'_> {
    /// Reads what begins here, packed or not, to its end.
    fn segment(&mut self, rest: &mut Ahead<impl Read>) -> io::Result<()> {
        self.begin()?;
        if let [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] = rest.peek(MAGIC)? {
            return self.archive(rest);
        }
        match packed::unpacking(rest, MEMORY)? {
            Some(decoder) => self.packed(decoder),
            None => Err(broken("it is neither a cpio archive nor compressed in a known format")),
        }
    }

    /// Counts an archive, or a packed part that may have some.
    fn begin(&mut self) -> io::Result<()> {
        self.archives = self.archives.checked_sub(1).ok_or_else(|| broken("it has too many archives"))?;
        Ok(())
    }

    /// All archives in what a decoder gives, to its end, so that what follows it is found.
    fn packed(&mut self, decoder: impl Read) -> io::Result<()> {
        let mut reader = io::BufReader::with_capacity(128 << 10, decoder.take(self.left.saturating_add(1)));
        loop {
            let padding = skip_padding(&mut reader)?;
            self.take(padding)?;
            if reader.fill_buf()?.is_empty() {
                return Ok(());
            }
            self.begin()?;
            self.archive(&mut reader)?;
        }
    }

    fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| broken("it holds too much"))?;
        Ok(())
    }

    /// One archive, to its trailer.
    fn archive(&mut self, reader: &mut impl Read) -> io::Result<()> {
        loop {
            self.entries = self.entries.checked_sub(1).ok_or_else(|| broken("it has too many entries"))?;
            let mut header = [0; HEADER];
            reader.read_exact(&mut header)?;
            if !matches!(&header[..6], b"070701" | b"070702") {
                return Err(broken("an entry has no header"));
            }
            let (size, name_size) = (field(&header, 6)?, field(&header, 11)?);
            if name_size == 0 || name_size > NAME_LIMIT {
                return Err(broken("an entry's name is too long"));
            }
            self.take(HEADER as u64 + name_size + size)?;
            let mut name = vec![0; padded(HEADER as u64 + name_size) - HEADER];
            reader.read_exact(&mut name)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name == b"TRAILER!!!" {
                return skip(reader, size);
            }
            self.file(name, size, field(&header, 1)?, reader)?;
            skip(reader, (4 - size % 4) % 4)?;
        }
    }

    fn file(&mut self, path: &[u8], size: u64, mode: u64, reader: &mut impl Read) -> io::Result<()> {
        let name = path.rsplit(|byte| *byte == b'/').next().and_then(|name| std::str::from_utf8(name).ok());
        let module = name.and_then(ModuleFile::from_name).map(|module| canonical_name(&module.stem));
        let module = module.filter(|module| mode & 0o170_000 == 0o100_000 && self.wanted.contains(module));
        let Some(module) = module else { return skip(reader, size) };
        if size > MODULE_LIMIT {
            return Err(broken("a module in it is too large"));
        }
        let mut bytes = reader.take(size);
        let (build, length) = Build::read_counted(&mut bytes)?;
        let left = bytes.limit();
        // A packed module counts as what it is unpacked: a small file may have thousands of large ones.
        self.take(length.saturating_sub(size))?;
        self.modules.entry(module).or_default().push(build);
        skip(reader, left)
    }
}

/// A hexadecimal field of a header: after the magic they have 8 digits each.
fn field(header: &[u8; HEADER], number: usize) -> io::Result<u64> {
    let digits = &header[6 + number * 8..14 + number * 8];
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    let value = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    value.ok_or_else(|| broken("a header is broken"))
}

/// Up to a multiple of 4.
fn padded(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(4)).unwrap_or(usize::MAX)
}

fn skip(reader: &mut impl Read, size: u64) -> io::Result<()> {
    if io::copy(&mut reader.take(size), &mut io::sink())? != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
