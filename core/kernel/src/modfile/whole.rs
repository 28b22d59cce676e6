//! Whether a file is a whole ELF object: what root signs must be one from its first byte to its last section.
//! Of a file only the tables are read, however large it is.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use elf::endian::AnyEndian;
use elf::section::SectionHeader;
use elf::{ElfBytes, ElfStream, ParseError};

use dkms_base::host::fs::{self, FsError};

use super::ModfileError;
use super::content::Anew;

/// The length of an ELF header of 64 bits.
const HEADER_LENGTH: usize = 64;

/// An object that is linked into something else, as every module is (`ET_REL`).
pub(super) const RELOCATABLE: u16 = 1;
/// A section without bytes in the file (`SHT_NOBITS`).
pub(crate) const NO_BITS: u32 = 8;

/// Whether these are the bytes of a whole relocatable ELF file: every section lies in it.
#[must_use]
pub fn is_whole_object(bytes: &[u8]) -> bool {
    let Ok(file) = ElfBytes::<AnyEndian>::minimal_parse(bytes) else { return false };
    let Some(sections) = file.section_headers() else { return false };
    let length = bytes.len() as u64;
    file.ehdr.e_type == RELOCATABLE
        && !sections.is_empty()
        && sections.iter().all(|section| lies_within(&section, length))
}

/// Whether this is a file that [`is_whole_object`].
///
/// # Errors
/// [`FsError`] if it cannot be read.
pub fn is_whole_file(path: &Path) -> Result<bool, FsError> {
    let file = fs::open(path)?;
    let io = |source| FsError { verb: "read", path: path.to_owned(), source };
    let length = file.metadata().map_err(io)?.len();
    is_whole(file, length).map_err(io)
}

/// Whether the unpacked content of a module file, packed or not, [`is_whole_object`]. Little of it is in
/// memory at a time.
///
/// # Errors
/// [`ModfileError`] if it cannot be read or unpacked.
pub fn is_whole_module(path: &Path) -> Result<bool, ModfileError> {
    let unpack = |source| ModfileError::Unpack { path: path.to_owned(), source };
    let mut reader = Anew::open(path).map_err(unpack)?;
    let length = reader.seek(SeekFrom::End(0)).map_err(unpack)?;
    reader.seek(SeekFrom::Start(0)).map_err(unpack)?;
    is_whole(reader, length).map_err(unpack)
}

/// What makes a module file none that a kernel could load, or `None` if it [`is_whole_module`].
#[must_use]
pub fn damage(path: &Path) -> Option<String> {
    match is_whole_module(path) {
        Ok(true) => None,
        Ok(false) => Some("it is not a whole ELF object".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

fn is_whole(mut reader: impl Read + Seek, length: u64) -> std::io::Result<bool> {
    if !has_small_tables(&mut reader)? {
        return Ok(false);
    }
    let Ok(object) = ElfStream::<AnyEndian, _>::open_stream(reader) else { return Ok(false) };
    let sections = object.section_headers();
    Ok(object.ehdr.e_type == RELOCATABLE
        && !sections.is_empty()
        && sections.iter().all(|section| lies_within(section, length)))
}

/// Whether a section has a name, by the table of names. Only as many bytes are looked at as the name has: a
/// table may have no end to any name.
pub(super) fn is_named(section: &SectionHeader, names: &[u8], name: &str) -> bool {
    let rest = names.get(section.sh_name as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
    rest.is_some_and(|rest| rest.first() == Some(&0))
}

/// The first section of that name.
///
/// # Errors
/// [`ParseError`] if the table of names is broken.
pub fn section_named(
    file: &ElfBytes<'_, AnyEndian>,
    name: &str,
) -> Result<Option<SectionHeader>, ParseError> {
    let Some(sections) = file.section_headers().filter(|sections| !sections.is_empty()) else {
        return Ok(None);
    };
    let number = match file.ehdr.e_shstrndx {
        // More sections than its field can tell.
        u16::MAX => sections.get(0)?.sh_link as usize,
        number => usize::from(number),
    };
    let (names, _) = file.section_data(&sections.get(number)?)?;
    Ok(sections.iter().find(|section| is_named(section, names, name)))
}

/// Whether the content of a section, if it has any in the file, ends within a file of this length.
pub(super) fn lies_within(section: &SectionHeader, length: u64) -> bool {
    let end = section.sh_offset.checked_add(section.sh_size);
    section.sh_type == NO_BITS || end.is_some_and(|end| end <= length)
}

/// Whether the numbers of sections and program headers are in the ELF header itself, so that both tables are
/// small. The kernel loads no module with more, and a reader would allocate them. Something that is shorter
/// than an ELF header counts as small.
pub(super) fn has_small_tables(reader: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    let mut header = Vec::with_capacity(HEADER_LENGTH);
    reader.take(HEADER_LENGTH as u64).read_to_end(&mut header)?;
    reader.seek(SeekFrom::Start(0))?;
    if header.len() < HEADER_LENGTH || !header.starts_with(b"\x7fELF") {
        return Ok(true);
    }
    let (programs, sections) = if header[4] == 1 { (0x2c, 0x30) } else { (0x38, 0x3c) };
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1]];
        if header[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    };
    Ok(number(programs) != u16::MAX && number(sections) != 0)
}

#[cfg(test)]
mod tests {
    use super::super::info::tests::module;
    use super::super::testing::packed;
    use super::*;
    use crate::Compression;

    #[test]
    fn a_cut_module_is_not_whole() {
        let whole = module(b"name=x\0");
        assert!(is_whole_object(&whole));
        assert!(is_whole_object(&[&whole[..], b"signature"].concat()));
        for end in 0..whole.len() {
            assert!(!is_whole_object(&whole[..end]), "{end}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.ko");
        for (bytes, expected) in [(&whole[..], true), (&whole[..whole.len() - 1], false), (b"x", false)] {
            fs::write_whole(&path, bytes, 0o644).unwrap();
            assert_eq!(is_whole_file(&path).unwrap(), expected);
            for compression in [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd] {
                fs::write_whole(&path, &packed(bytes, compression), 0o644).unwrap();
                assert_eq!(is_whole_module(&path).unwrap(), expected, "{compression:?}");
            }
        }
        // The number of sections in the first section: as many as the file has room for.
        let mut many = whole.clone();
        many[0x3c..0x3e].fill(0);
        fs::write_whole(&path, &many, 0o644).unwrap();
        assert!(!is_whole_file(&path).unwrap());
        assert!(!is_whole_object(b"garbage"));
        let mut program = whole;
        program[16] = 2;
        assert!(!is_whole_object(&program));
    }
}
