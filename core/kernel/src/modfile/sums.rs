//! The CRCs that a module built with `CONFIG_MODVERSIONS` expects of the symbols that it uses: the section
//! `__versions`, or of newer kernels `__version_ext_crcs` with `__version_ext_names`.
//! Source: include/linux/module.h (`struct modversion_info`), kernel/module/version.c of the kernel.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use elf::endian::EndianParse;
use elf::file::Class;

use super::budget::Budget;
use super::object::{NotAModule, too_many};
use super::sections::Sections;

/// The sections that have CRCs.
pub(super) const TABLES: [&str; 2] = ["__versions", "__version_ext_crcs"];

/// An entry of `__versions`: the CRC in a machine word, and the name.
const ENTRY: usize = 64;

/// CRCs by the names of symbols; empty: it has none.
pub(super) fn read(
    file: &mut Sections<impl Read + Seek>,
    budget: &mut Budget,
) -> Result<BTreeMap<String, u32>, NotAModule> {
    let endian = file.header.endianness;
    let number = |bytes: &[u8]| endian.parse_u32_at(&mut 0, bytes).unwrap_or_default();
    let wide = file.header.class == Class::ELF64;
    let mut sums = BTreeMap::new();
    let mut keep = |name: &[u8], sum: u32| {
        budget.take(name).map_err(too_many)?;
        sums.insert(String::from_utf8_lossy(name).into_owned(), sum);
        Ok(())
    };
    if let (Some(crcs), Some(names)) = (file.named("__version_ext_crcs")?, file.named("__version_ext_names")?)
    {
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        for (name, crc) in names.zip(crcs.chunks_exact(4)) {
            keep(name, number(crc))?;
        }
        return Ok(sums);
    }
    for entry in file.named("__versions")?.unwrap_or_default().chunks_exact(ENTRY) {
        // On a machine of 64 bits the word's lower half has the CRC.
        let (crc, name) = match (wide, endian.is_little()) {
            (true, true) => (&entry[..4], &entry[8..]),
            (true, false) => (&entry[4..8], &entry[8..]),
            (false, _) => (&entry[..4], &entry[4..]),
        };
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        keep(&name[..end], number(crc))?;
    }
    Ok(sums)
}
