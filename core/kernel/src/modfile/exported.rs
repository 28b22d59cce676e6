//! How a module exports its symbols: CRC, licence and namespace of each, from the symbols that
//! `EXPORT_SYMBOL` leaves in it. Source: include/linux/export.h and export-internal.h of the kernel.

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use dkms_base::host::fs;
use elf::endian::EndianParse;
use elf::symbol::SymbolTable;

use super::budget::Budget;
use super::content;
use super::object::{NotAModule, SYMBOLS, name_at, too_many};
use super::sections::Sections;
use crate::exports::Exports;
use crate::exports::ksymtab::{GPL_ONLY, name_at as text_at};

/// A symbol that stands for a number, not for a place (`SHN_ABS`).
const ABSOLUTE: u16 = 0xfff1;

/// The exports of a module file; `None`: it cannot be read, or it is no module.
#[must_use]
pub fn exported(path: &Path, limit: u64) -> Option<Exports> {
    if content::is_packed(path).ok()? {
        let bytes = content::content_within(path, limit).ok()?;
        return read(Cursor::new(bytes)).ok();
    }
    read(BufReader::new(fs::open(path).ok()?)).ok()
}

/// The exports of a module's unpacked bytes.
fn read(reader: impl Read + Seek) -> Result<Exports, NotAModule> {
    let mut file = Sections::open(reader)?;
    let Some(table) = file.sections.iter().find(|section| section.sh_type == SYMBOLS).copied() else {
        return Ok(Exports::new());
    };
    let Some(names) = file.sections.get(table.sh_link as usize).copied() else { return Ok(Exports::new()) };
    let (names, symbols) = (file.data(&names, "symbol names")?, file.data(&table, "symbols")?);
    let strings = file.named("__ksymtab_strings")?.unwrap_or_default();
    let flags = file.named("__kflagstab")?.unwrap_or_default();
    let endian = file.header.endianness;
    let gpl_table = file.position("__ksymtab_gpl");
    let entry = file.find("__ksymtab").map_or(0, |section| section.sh_size);
    let entry = entry.checked_div(flags.len() as u64).unwrap_or(0);
    let mut sums: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for name in ["__kcrctab", "__kcrctab_gpl"] {
        if let Some((number, bytes)) = file.position(name).zip(file.named(name)?) {
            sums.insert(number, bytes);
        }
    }
    let mut exports = Exports::new();
    let mut budget = Budget::default();
    for symbol in SymbolTable::new(endian, file.header.class, &symbols).iter() {
        let name = name_at(&names, symbol.st_name as usize)?;
        let mut take =
            |name: &str| -> Result<(), NotAModule> { budget.take(name.as_bytes()).map_err(too_many) };
        if let Some(name) = name.strip_prefix("__ksymtab_") {
            take(name)?;
            let place = symbol.st_value.checked_div(entry).and_then(|place| usize::try_from(place).ok());
            let flagged = place.and_then(|place| flags.get(place)).is_some_and(|flags| flags & GPL_ONLY != 0);
            let is_gpl = Some(symbol.st_shndx) == gpl_table || flagged;
            exports.entry(name.to_owned()).or_default().gpl_only = is_gpl;
        } else if let Some(name) = name.strip_prefix("__kstrtabns_") {
            take(name)?;
            let text = usize::try_from(symbol.st_value).ok().and_then(|at| text_at(&strings, at));
            exports.entry(name.to_owned()).or_default().namespace =
                text.filter(|text| !text.is_empty()).map(str::to_owned);
        } else if let Some(name) = name.strip_prefix("__crc_") {
            take(name)?;
            let crc = match symbol.st_shndx {
                ABSOLUTE => u32::try_from(symbol.st_value & 0xffff_ffff).ok(),
                number => sums.get(&number).and_then(|bytes| {
                    let mut at = usize::try_from(symbol.st_value).ok()?;
                    endian.parse_u32_at(&mut at, bytes).ok()
                }),
            };
            exports.entry(name.to_owned()).or_default().crc = crc;
        }
    }
    Ok(exports)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fabricated;
    use super::*;

    #[test]
    fn a_module_without_such_symbols_exports_nothing() {
        let bytes = Fabricated::new("name=x\0").needs(&["a"]).bytes();
        assert!(read(Cursor::new(bytes)).unwrap().is_empty());
        assert!(exported(Path::new("/nonexistent/x.ko"), 1 << 20).is_none());
    }
}
