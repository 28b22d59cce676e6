//! The sections of a module's ELF object, read one at a time: what is in memory doesn't depend on
//! how large the file is.

use std::io::{self, Read, Seek, SeekFrom};

use elf::endian::AnyEndian;
use elf::file::FileHeader;
use elf::section::SectionHeader;
use elf::{ElfStream, ParseError};

use super::budget::SECTION_LIMIT;
use super::object::NotAModule;
use super::whole::{NO_BITS, RELOCATABLE, has_small_tables, is_named, lies_within};

/// What tells text from other files that are no module.
const BEGIN: usize = 64 << 10;

/// An ELF object, whose sections all lie within the file.
pub(super) struct Sections<R> {
    reader: R,
    pub(super) header: FileHeader<AnyEndian>,
    pub(super) sections: Vec<SectionHeader>,
    names: Vec<u8>,
}

impl<R: Read + Seek> Sections<R> {
    pub(super) fn open(mut reader: R) -> Result<Self, NotAModule> {
        let length = look(&mut reader)?;
        if !has_small_tables(&mut reader).map_err(unread)? {
            return Err(NotAModule::Cut("it has no sections, or more than any module".to_owned()));
        }
        let object = ElfStream::<AnyEndian, _>::open_stream(&mut reader).map_err(|error| match error {
            ParseError::IOError(_) | ParseError::SliceReadError(_) | ParseError::BadOffset(_) => {
                NotAModule::Cut("the section table lies beyond its end".to_owned())
            }
            other => NotAModule::Invalid(other.to_string()),
        })?;
        let (header, sections) = (object.ehdr, object.section_headers().clone());
        match header.e_type {
            RELOCATABLE => {}
            2 | 3 => return Err(NotAModule::Linked("a program or a library")),
            4 => return Err(NotAModule::Linked("a core dump")),
            _ => return Err(NotAModule::Linked("an ELF file of another kind")),
        }
        if sections.is_empty() {
            return Err(NotAModule::Cut("it has no sections".to_owned()));
        }
        if let Some(number) = sections.iter().position(|section| !lies_within(section, length)) {
            return Err(NotAModule::Cut(format!("section {number} lies beyond its end")));
        }
        let names = match header.e_shstrndx {
            // More sections than its field can tell.
            u16::MAX => sections.first().map(|first| first.sh_link as usize),
            number => Some(usize::from(number)),
        };
        let names = names.and_then(|number| sections.get(number)).copied();
        let names = names.ok_or_else(|| NotAModule::Invalid("its sections have no names".to_owned()))?;
        let mut file = Self { reader, header, sections, names: Vec::new() };
        file.names = file.data(&names, "section names")?;
        Ok(file)
    }

    /// The first section of that name.
    pub(super) fn find(&self, name: &str) -> Option<SectionHeader> {
        self.sections.iter().find(|section| is_named(section, &self.names, name)).copied()
    }

    /// Its number.
    pub(super) fn position(&self, name: &str) -> Option<u16> {
        let place = self.sections.iter().position(|section| is_named(section, &self.names, name))?;
        u16::try_from(place).ok()
    }

    /// What is in the first section of that name.
    pub(super) fn named(&mut self, name: &str) -> Result<Option<Vec<u8>>, NotAModule> {
        let Some(section) = self.find(name) else { return Ok(None) };
        self.data(&section, name).map(Some)
    }

    /// What is in a section.
    pub(super) fn data(&mut self, section: &SectionHeader, name: &str) -> Result<Vec<u8>, NotAModule> {
        if section.sh_type == NO_BITS {
            return Ok(Vec::new());
        }
        if section.sh_size > SECTION_LIMIT {
            let why = format!("its section `{name}` is larger than that of any module");
            return Err(NotAModule::Invalid(why));
        }
        let mut bytes = Vec::new();
        self.reader.seek(SeekFrom::Start(section.sh_offset)).map_err(unread)?;
        self.reader.by_ref().take(section.sh_size).read_to_end(&mut bytes).map_err(unread)?;
        Ok(bytes)
    }
}

/// The file's length, if it begins as an ELF file.
fn look(reader: &mut (impl Read + Seek)) -> Result<u64, NotAModule> {
    let mut begin = Vec::new();
    reader.by_ref().take(BEGIN as u64).read_to_end(&mut begin).map_err(unread)?;
    if begin.is_empty() {
        return Err(NotAModule::Empty);
    }
    if !begin.starts_with(b"\x7fELF") {
        let is_text = match std::str::from_utf8(&begin) {
            Ok(_) => true,
            // A character may be cut.
            Err(error) => begin.len() == BEGIN && error.error_len().is_none(),
        };
        return Err(if is_text && !begin.contains(&0) { NotAModule::Text } else { NotAModule::NotElf });
    }
    let length = reader.seek(SeekFrom::End(0)).map_err(unread)?;
    reader.seek(SeekFrom::Start(0)).map_err(unread)?;
    Ok(length)
}

fn unread(error: io::Error) -> NotAModule {
    NotAModule::Packed(error.to_string())
}
