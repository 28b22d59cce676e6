//! What an image that a system boots holds of some modules: an initramfs, or a unified kernel image with one
//! in its section `.initrd`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::cpio;
use crate::modfile::whole::{NO_BITS, section_named};
use crate::modfile::{content, without_signature};
use dkms_base::host::fs;

/// A section that is in memory when the module is loaded (`SHF_ALLOC`).
const ALLOCATED: u64 = 2;
/// No image is larger.
const LIMIT: u64 = 1 << 30;
/// What is read of a unified image to find its sections.
const TABLES: u64 = 1 << 20;
/// A module that is not larger, unpacked, is read as a whole.
const WHOLE: u64 = 32 << 20;

/// A module's build, known by what is in it: its unpacked bytes without a signature, and what the kernel
/// keeps of them in memory, which stays as it is if debug information is stripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    digest: [u8; 32],
    loaded: Option<[u8; 32]>,
}

impl Build {
    /// Of the bytes of a module file, packed or not. Of a large one only the digest counts.
    ///
    /// # Errors
    /// [`io::Error`] where they can't be unpacked.
    pub fn read(packed: impl Read) -> io::Result<Self> {
        Self::read_counted(packed).map(|(build, _)| build)
    }

    /// The same, and how many bytes it was, unpacked.
    pub(super) fn read_counted(packed: impl Read) -> io::Result<(Self, u64)> {
        let mut reader = content::unpacking(BufReader::new(packed))?;
        let mut bytes = Vec::new();
        let length = reader.by_ref().take(WHOLE + 1).read_to_end(&mut bytes)? as u64;
        if length <= WHOLE {
            let digest = Sha256::digest(without_signature(&bytes)).into();
            return Ok((Self { digest, loaded: loaded(&bytes) }, length));
        }
        let (mut sum, mut length) = (Sha256::new(), 0);
        content::unsigned(Cursor::new(bytes).chain(reader), &mut |piece| {
            sum.update(piece);
            length += piece.len() as u64;
        })?;
        Ok((Self { digest: sum.finalize().into(), loaded: None }, length))
    }

    /// Whether both are of one build.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest || self.loaded.is_some() && self.loaded == other.loaded
    }
}

/// A sum over the sections that are loaded into memory, the id that the linker gave it among them; `None`: it
/// has no such id.
fn loaded(bytes: &[u8]) -> Option<[u8; 32]> {
    use elf::ElfBytes;
    use elf::endian::AnyEndian;
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).ok()?;
    section_named(&file, ".note.gnu.build-id").ok()??;
    let mut sum = Sha256::new();
    for section in file.section_headers()?.iter().filter(|section| section.sh_flags & ALLOCATED != 0) {
        if section.sh_type != NO_BITS {
            sum.update(section.sh_size.to_le_bytes());
            sum.update(file.section_data(&section).ok()?.0);
        }
    }
    Some(sum.finalize().into())
}

/// The builds of these modules in an image. Names are as the kernel has them.
///
/// # Errors
/// [`io::Error`] where it can't be read, or is no image.
pub fn builds(path: &Path, wanted: &BTreeSet<String>) -> io::Result<BTreeMap<String, Vec<Build>>> {
    parse(fs::open(path).map_err(io::Error::other)?, wanted)
}

/// The same of an image's bytes.
fn parse(image: impl Read + Seek, wanted: &BTreeSet<String>) -> io::Result<BTreeMap<String, Vec<Build>>> {
    cpio::modules(initramfs_of(image)?, wanted)
}

/// Whether bytes are an image that can be read: for those who throw any at it.
#[must_use]
pub fn examine(bytes: &[u8]) -> bool {
    parse(Cursor::new(bytes), &BTreeSet::from(["foo".to_owned()])).is_ok()
}

/// The initramfs in an image: all of it, or the section `.initrd` of a program for EFI.
fn initramfs_of(mut image: impl Read + Seek) -> io::Result<impl Read> {
    if image.seek(SeekFrom::End(0))? > LIMIT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    image.seek(SeekFrom::Start(0))?;
    let mut begin = Vec::new();
    image.by_ref().take(2).read_to_end(&mut begin)?;
    let (at, size) = if begin == b"MZ" {
        image.by_ref().take(TABLES).read_to_end(&mut begin)?;
        section(&begin)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no section .initrd"))?
    } else {
        (0, LIMIT)
    };
    image.seek(SeekFrom::Start(at))?;
    Ok(image.take(size))
}

/// Where the section `.initrd` lies, and how many bytes it has.
fn section(bytes: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let short = |at: usize| number(at).map(|value| (value & 0xffff) as usize);
    let head = usize::try_from(number(0x3c)?).ok()?;
    if bytes.get(head..head.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let (count, optional) = (short(head + 6)?, short(head + 20)?);
    let table = head + 24 + optional;
    for entry in (0..count).map(|place| table + place * 40) {
        if bytes.get(entry..entry + 8)? == b".initrd\0" {
            let (virtual_size, raw_size, at) = (number(entry + 8)?, number(entry + 16)?, number(entry + 20)?);
            let size = if virtual_size == 0 { raw_size } else { virtual_size.min(raw_size) };
            return Some((at.into(), size.into()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::archive;
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
        for chunk in bytes.chunks(8 << 20) {
            let block = lz4_flex::block::compress(chunk);
            packed.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
            packed.extend(block);
        }
        packed
    }

    fn packings(bytes: &[u8]) -> [Vec<u8>; 6] {
        let xz = liblzma::encode_all(bytes, 6).unwrap();
        let zstd = zstd::encode_all(bytes, 3).unwrap();
        [bytes.to_vec(), gzip(bytes), xz, zstd, bzip2(bytes), lz4(bytes)]
    }

    fn wanted() -> BTreeSet<String> {
        ["foo_x", "bar"].map(str::to_owned).into()
    }

    fn count(bytes: &[u8]) -> Vec<(String, usize)> {
        let found = parse(Cursor::new(bytes), &wanted()).unwrap();
        found.into_iter().map(|(name, builds)| (name, builds.len())).collect()
    }

    const MAIN: [(&str, &[u8]); 4] = [
        ("usr/lib/modules/6.1/updates/foo-x.ko", b"one"),
        ("usr/lib/modules/6.1/other.ko", b"two"),
        ("bar", b"no module"),
        ("init", b"#!/bin/sh"),
    ];

    #[test]
    fn a_module_is_found_however_the_image_is_packed() {
        let early = archive(&[("kernel/x86/microcode/AuthenticAMD.bin", b"123")]);
        for packed in packings(&archive(&MAIN)) {
            let expected = [("foo_x".to_owned(), 1)];
            assert_eq!(count(&packed), expected);
            assert_eq!(count(&[&early[..], &packed[..]].concat()), expected);
            let more = gzip(&archive(&[("lib/modules/6.1/bar.ko", b"bar")]));
            let both = [&early[..], &packed[..], &more[..]].concat();
            assert_eq!(count(&both), [("bar".to_owned(), 1), ("foo_x".to_owned(), 1)]);
        }
    }

    #[test]
    fn a_unified_image_has_it_in_a_section() {
        let inner = gzip(&archive(&MAIN));
        let mut bytes = vec![0; 0x80];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x46] = 2;
        bytes.resize(0x40 + 24, 0);
        for (name, size, at) in [(b".linux\0\0", 3_u32, 0x200_u32), (b".initrd\0", inner.len() as u32, 0x400)]
        {
            bytes.extend(name);
            for value in [size, 0, (size + 511) & !511, at, 0, 0, 0, 0] {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes.resize(0x400, 0);
        bytes.extend(&inner);
        bytes.resize(0x400 + ((inner.len() + 511) & !511), 0);
        assert_eq!(count(&bytes), [("foo_x".to_owned(), 1)]);
        assert!(parse(Cursor::new(&bytes[..0x300]), &wanted()).is_err());
    }

    #[test]
    fn a_build_is_known_by_its_content_packed_or_not() {
        let plain = Build::read(&b"module"[..]).unwrap();
        assert!(plain.is_same(&Build::read(&gzip(b"module")[..]).unwrap()));
        assert!(!plain.is_same(&Build::read(&b"other"[..]).unwrap()));
    }

    #[test]
    fn an_image_has_limits() {
        let refused = |bytes: &[u8]| parse(Cursor::new(bytes), &wanted()).unwrap_err().to_string();
        let archives = [archive(&MAIN), gzip(&[]).repeat(1001)].concat();
        assert_eq!(refused(&archives), "it has too many archives");
        assert_eq!(refused(&gzip(&archive(&[]).repeat(1001))), "it has too many archives");
        let large = [0, 5 << 20, 40 << 20].map(|more| vec![b'x'; (32 << 20) - 3 + more]);
        for module in large {
            let packed = gzip(&module);
            let image = archive(&[("usr/lib/modules/6.1/bar.ko.gz", &packed)]);
            let found = parse(Cursor::new(image), &wanted()).unwrap();
            assert!(found["bar"][0].is_same(&Build::read(&module[..]).unwrap()));
        }
        let mut wide = zstd::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(&archive(&MAIN)).unwrap();
        assert!(parse(Cursor::new(wide.finish().unwrap()), &wanted()).is_err());
    }

    proptest! {
        #[test]
        fn whatever_an_image_is_it_ends(cut in 0_usize..2000, at in 0_usize..2000, byte: u8) {
            for packed in packings(&archive(&MAIN)) {
                let mut bytes = packed[..packed.len() - cut % packed.len()].to_vec();
                if let Some(place) = bytes.len().checked_sub(1) {
                    bytes[at % (place + 1)] = byte;
                }
                let _ = examine(&bytes);
            }
        }
    }
}
