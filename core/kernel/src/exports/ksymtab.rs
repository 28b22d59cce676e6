//! The tables of exported symbols in a linked kernel: `__ksymtab` and `__ksymtab_gpl` with an entry each,
//! their names in `__ksymtab_strings`, and where there are versions a CRC for each entry in `__kcrctab` and
//! `__kcrctab_gpl`. Newer kernels have one table, and a byte of flags for each entry in `__kflagstab`.
//!
//! Source: include/linux/export.h, include/linux/export-internal.h and kernel/module/internal.h of the kernel
//! (`struct kernel_symbol`, `enum ksym_flags`).

use elf::ElfBytes;
use elf::endian::{AnyEndian, EndianParse};
use elf::file::Class;

use super::{Export, Exports};

/// No name of a symbol or a namespace has more bytes (`KSYM_NAME_LEN`).
pub(super) const NAME_LIMIT: usize = 512;
/// No kernel exports more symbols; they are about 20,000.
pub(super) const MOST: usize = 1 << 17;
/// Nor have their names more bytes in all: linkers merge strings, so many names may lie in one long text.
pub(super) const NAMES_LIMIT: usize = 16 << 20;
/// The flag of a symbol that only GPL-compatible modules may use (`KSYM_FLAG_GPL_ONLY`).
pub(crate) const GPL_ONLY: u8 = 1;

/// How an entry of a table is written. What is exported by assembly may have no namespace at all: 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Signed distances of 32 bits, each from the field's own place (`CONFIG_HAVE_ARCH_PREL32_RELOCATIONS`).
    Relative {
        /// How many fields: value, name and, since 5.4, namespace.
        fields: u64,
    },
    /// Addresses of the machine's width.
    Absolute {
        /// As above.
        fields: u64,
        /// Bytes of an address.
        width: u64,
    },
}

impl Entry {
    /// Those that a machine may have, the newest first.
    fn all(class: Class) -> [Self; 4] {
        let width = if class == Class::ELF64 { 8 } else { 4 };
        [
            Self::Relative { fields: 3 },
            Self::Absolute { fields: 3, width },
            Self::Relative { fields: 2 },
            Self::Absolute { fields: 2, width },
        ]
    }

    /// Bytes of a field.
    fn width(self) -> u64 {
        match self {
            Self::Relative { .. } => 4,
            Self::Absolute { width, .. } => width,
        }
    }

    fn size(self) -> u64 {
        match self {
            Self::Relative { fields } | Self::Absolute { fields, .. } => fields * self.width(),
        }
    }

    fn has_namespace(self) -> bool {
        matches!(self, Self::Relative { fields: 3 } | Self::Absolute { fields: 3, .. })
    }
}

/// A section: where it is in memory, and its bytes.
#[derive(Clone, Copy)]
struct Section<'a> {
    address: u64,
    bytes: &'a [u8],
}

/// Why the tables of an image can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTables {
    /// The ELF file is broken.
    #[error("it is not a valid ELF file: {0}")]
    Elf(String),
    /// It has no tables.
    #[error("it has no table of exported symbols")]
    None,
    /// The tables contradict each other.
    #[error("its tables of exported symbols are not in a known format")]
    Format,
}

/// The symbols that a linked kernel (`vmlinux`, an ELF file that still has its sections) exports.
///
/// # Errors
/// [`NoTables`] where its tables are missing or in no known format.
pub fn parse(bytes: &[u8]) -> Result<Exports, NoTables> {
    let broken = |error: elf::ParseError| NoTables::Elf(error.to_string());
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(broken)?;
    let section = |name: &str| -> Result<Option<Section<'_>>, NoTables> {
        let Some(header) = file.section_header_by_name(name).map_err(broken)? else { return Ok(None) };
        let (bytes, _) = file.section_data(&header).map_err(broken)?;
        Ok(Some(Section { address: header.sh_addr, bytes }))
    };
    let strings = section("__ksymtab_strings")?.ok_or(NoTables::None)?;
    let flags = section("__kflagstab")?.map(|flags| flags.bytes);
    let mut exports = Exports::new();
    for (table, sums, gpl_only) in
        [("__ksymtab", "__kcrctab", false), ("__ksymtab_gpl", "__kcrctab_gpl", true)]
    {
        let Some(table) = section(table)?.filter(|table| !table.bytes.is_empty()) else { continue };
        let sums = section(sums)?.map(|sums| sums.bytes).filter(|sums| !sums.is_empty());
        let formats = Entry::all(file.ehdr.class).into_iter();
        let read =
            |entry| entries(entry, table, strings, file.ehdr.endianness, sums.map(|sums| sums.len() / 4));
        let found = formats.filter_map(read).next().ok_or(NoTables::Format)?;
        for (number, (name, namespace)) in found.into_iter().enumerate() {
            let crc = match sums {
                None => None,
                Some(sums) => {
                    Some(file.ehdr.endianness.parse_u32_at(&mut (number * 4), sums).map_err(broken)?)
                }
            };
            let flagged =
                flags.and_then(|flags| flags.get(number)).is_some_and(|flags| flags & GPL_ONLY != 0);
            exports.insert(name, Export { crc, gpl_only: gpl_only || flagged, namespace });
        }
    }
    if exports.is_empty() { Err(NoTables::None) } else { Ok(exports) }
}

/// Names and namespaces of a table's entries, if all of them are written like this.
fn entries(
    entry: Entry,
    table: Section<'_>,
    strings: Section<'_>,
    endian: AnyEndian,
    sums: Option<usize>,
) -> Option<Vec<(String, Option<String>)>> {
    let size = usize::try_from(entry.size()).ok()?;
    let count = table.bytes.len() / size;
    if !table.bytes.len().is_multiple_of(size) || count > MOST || sums.is_some_and(|sums| sums != count) {
        return None;
    }
    let text = |number: usize, field: u64| {
        let at = number * size;
        let mut at = at + usize::try_from(field * entry.width()).ok()?;
        let place = table.address.checked_add(at as u64)?;
        let address = match entry {
            Entry::Relative { .. } => match i64::from(endian.parse_i32_at(&mut at, table.bytes).ok()?) {
                0 => return Some(""),
                distance => place.checked_add_signed(distance)?,
            },
            Entry::Absolute { width: 8, .. } => endian.parse_u64_at(&mut at, table.bytes).ok()?,
            Entry::Absolute { .. } => u64::from(endian.parse_u32_at(&mut at, table.bytes).ok()?),
        };
        if address == 0 {
            return Some("");
        }
        name_at(strings.bytes, usize::try_from(address.checked_sub(strings.address)?).ok()?)
    };
    let one = |number| {
        let name = text(number, 1).filter(|name| !name.is_empty())?;
        let namespace = if entry.has_namespace() { text(number, 2)? } else { "" };
        Some((name, namespace))
    };
    let found: Vec<(&str, &str)> = (0..count).map(one).collect::<Option<_>>()?;
    let length: usize = found.iter().map(|(name, namespace)| name.len() + namespace.len()).sum();
    let owned = |(name, namespace): (&str, &str)| {
        (name.to_owned(), (!namespace.is_empty()).then(|| namespace.to_owned()))
    };
    (length <= NAMES_LIMIT).then(|| found.into_iter().map(owned).collect())
}

/// The text that begins at a place and ends with NUL. It may be the end of another: linkers merge strings.
pub(crate) fn name_at(strings: &[u8], at: usize) -> Option<&str> {
    let rest = strings.get(at..)?;
    let end = rest.iter().take(NAME_LIMIT).position(|byte| *byte == 0)?;
    let name = &rest[..end];
    name.iter().all(|byte| is_of_name(*byte)).then_some(())?;
    std::str::from_utf8(name).ok()
}

/// Whether a byte may stand in the name of a symbol or a namespace: those of Rust have `$` and `.` too.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_graphic()
}
