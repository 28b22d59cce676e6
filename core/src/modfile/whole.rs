//! Whether a file is a whole ELF object: what root signs must be one from its first byte to its last section.

use elf::ElfBytes;
use elf::endian::AnyEndian;

/// An object that is linked into something else, as every module is (`ET_REL`).
const RELOCATABLE: u16 = 1;
/// A section without bytes in the file (`SHT_NOBITS`).
const NO_BITS: u32 = 8;

/// Whether these are the bytes of a whole relocatable ELF file: every section lies in it.
#[must_use]
pub fn is_whole_object(bytes: &[u8]) -> bool {
    let Ok(file) = ElfBytes::<AnyEndian>::minimal_parse(bytes) else { return false };
    let Some(sections) = file.section_headers() else { return false };
    let length = bytes.len() as u64;
    let fits = |begin: u64, size: u64| begin.checked_add(size).is_some_and(|end| end <= length);
    file.ehdr.e_type == RELOCATABLE
        && !sections.is_empty()
        && sections
            .iter()
            .all(|section| section.sh_type == NO_BITS || fits(section.sh_offset, section.sh_size))
}

#[cfg(test)]
mod tests {
    use super::super::info::tests::module;
    use super::*;

    #[test]
    fn a_cut_module_is_not_whole() {
        let whole = module(b"name=x\0");
        assert!(is_whole_object(&whole));
        assert!(is_whole_object(&[&whole[..], b"signature"].concat()));
        for end in 0..whole.len() {
            assert!(!is_whole_object(&whole[..end]), "{end}");
        }
        assert!(!is_whole_object(b"garbage"));
        let mut program = whole;
        program[16] = 2;
        assert!(!is_whole_object(&program));
    }
}
