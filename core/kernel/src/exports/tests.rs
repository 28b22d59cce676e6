//! Kernels made of nothing but tables of symbols, in every format, packed in every way.

use proptest::prelude::*;
use std::io::Write;

use super::image::parse;
use super::{Export, Exports};

/// How a kernel's tables are written.
#[derive(Debug, Clone, Copy)]
struct Format {
    is_64_bit: bool,
    is_relative: bool,
    has_sums: bool,
    /// One table and flags, not two tables.
    has_flags: bool,
}

const STRINGS_AT: u64 = 0x10_0000;
const TABLES_AT: u64 = 0x8_0000;

/// A name, whether it is for GPL-compatible modules only, its namespace.
type Symbol = (&'static str, bool, &'static str);

const SYMBOLS: [Symbol; 4] =
    [("alpha", false, ""), ("beta", false, "USB"), ("gamma", true, ""), ("omega", true, "module:kvm")];

fn expected(has_sums: bool) -> Exports {
    let export = |(name, gpl_only, namespace): Symbol| {
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        (name.to_owned(), Export { crc: has_sums.then(|| sum(name)), gpl_only, namespace })
    };
    SYMBOLS.into_iter().map(export).collect()
}

fn sum(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A linked ELF file with these sections: name, address, bytes.
fn elf(is_64_bit: bool, sections: &[(&str, u64, Vec<u8>)]) -> Vec<u8> {
    let word = |value: u64| match is_64_bit {
        true => value.to_le_bytes().to_vec(),
        false => u32::try_from(value).unwrap().to_le_bytes().to_vec(),
    };
    let (head, entry) = if is_64_bit { (64_u16, 64_u16) } else { (52, 40) };
    let mut names = b"\0".to_vec();
    let mut body = vec![0; usize::from(head)];
    let mut table = vec![0; usize::from(entry)];
    let mut add = |name: &str, kind: u32, address: u64, bytes: &[u8], names_end: Option<Vec<u8>>| {
        let name_at = u32::try_from(names.len()).unwrap();
        names.extend([name.as_bytes(), b"\0"].concat());
        let bytes = names_end.map_or(bytes.to_vec(), |_| names.clone());
        let at = body.len() as u64;
        body.extend(&bytes);
        table.extend([name_at.to_le_bytes(), kind.to_le_bytes()].concat());
        for value in [0, address, at, bytes.len() as u64] {
            table.extend(word(value));
        }
        table.extend([0; 8]);
        table.extend([word(1), word(0)].concat());
    };
    for (name, address, bytes) in sections {
        add(name, 1, *address, bytes, None);
    }
    add(".shstrtab", 3, 0, &[], Some(Vec::new()));
    let table_at = body.len() as u64;
    body.extend(&table);
    let count = u16::try_from(sections.len() + 2).unwrap();
    let mut begin = b"\x7fELF\0\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    begin[4] = if is_64_bit { 2 } else { 1 };
    begin.extend([2_u16, 62].map(u16::to_le_bytes).concat());
    begin.extend(1_u32.to_le_bytes());
    begin.extend([word(0), word(0), word(table_at)].concat());
    begin.extend(0_u32.to_le_bytes());
    begin.extend([head, 0, 0, entry, count, count - 1].map(u16::to_le_bytes).concat());
    body[..usize::from(head)].copy_from_slice(&begin);
    body
}

fn kernel(format: Format) -> Vec<u8> {
    let mut strings = b"first\0".to_vec();
    let mut sections = Vec::new();
    let mut address = TABLES_AT;
    for (table, sums, gpl_only) in
        [("__ksymtab", "__kcrctab", false), ("__ksymtab_gpl", "__kcrctab_gpl", true)]
    {
        let of_table = |symbol: &&Symbol| format.has_flags || symbol.1 == gpl_only;
        let symbols: Vec<_> = SYMBOLS.iter().filter(of_table).collect();
        if format.has_flags && gpl_only {
            break;
        }
        let mut bytes = Vec::new();
        for (name, _, namespace) in &symbols {
            let mut place = |text: &str| {
                let at = STRINGS_AT + strings.len() as u64;
                strings.extend([text.as_bytes(), b"\0"].concat());
                if text.is_empty() { 0 } else { at }
            };
            let fields = [0x1000, place(name), place(namespace)];
            for target in fields {
                let here = address + bytes.len() as u64;
                match (format.is_relative, format.is_64_bit) {
                    (true, _) if target == 0 => bytes.extend([0; 4]),
                    (true, _) => bytes.extend(
                        i32::try_from(target.cast_signed() - here.cast_signed()).unwrap().to_le_bytes(),
                    ),
                    (false, true) => bytes.extend(target.to_le_bytes()),
                    (false, false) => bytes.extend(u32::try_from(target).unwrap().to_le_bytes()),
                }
            }
        }
        if format.has_sums {
            sections.push((sums, 0, symbols.iter().flat_map(|(name, ..)| sum(name).to_le_bytes()).collect()));
        }
        if format.has_flags {
            sections.push((
                "__kflagstab",
                0,
                symbols.iter().map(|(_, gpl_only, _)| u8::from(*gpl_only)).collect(),
            ));
        }
        let length = bytes.len() as u64;
        sections.push((table, address, bytes));
        address += length;
    }
    sections.push(("__ksymtab_strings", STRINGS_AT, strings));
    elf(format.is_64_bit, &sections)
}

const NEWEST: Format = Format { is_64_bit: true, is_relative: true, has_sums: true, has_flags: true };

#[test]
fn every_format_of_tables_is_read() {
    for number in 0..16 {
        let bit = |place: u32| number >> place & 1 == 1;
        let format = Format { is_64_bit: bit(0), is_relative: bit(1), has_sums: bit(2), has_flags: bit(3) };
        assert_eq!(parse(&kernel(format)).unwrap(), expected(format.has_sums), "{format:?}");
    }
}

#[test]
fn what_has_no_tables_is_an_error() {
    let said = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    assert_eq!(said(&elf(true, &[(".text", 0, vec![0; 64])])), "it has no table of exported symbols");
    assert_eq!(said(b"no kernel"), "it has no table of exported symbols");
    let broken = [("__ksymtab", TABLES_AT, vec![1; 24]), ("__ksymtab_strings", STRINGS_AT, b"a\0".to_vec())];
    assert_eq!(said(&elf(true, &broken)), "its tables of exported symbols are not in a known format");
}

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
    let block = lz4_flex::block::compress(bytes);
    [&[0x02, 0x21, 0x4c, 0x18][..], &u32::try_from(block.len()).unwrap().to_le_bytes(), &block].concat()
}

/// As `lzop -9` writes it.
fn lzop(bytes: &[u8]) -> Vec<u8> {
    let mut file = b"\x89LZO\0\r\n\x1a\n".to_vec();
    file.extend([0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 3, 9]);
    file.extend(0x0300_0001_u32.to_be_bytes());
    file.extend([0; 12]);
    file.extend([1, b'k', 0, 0, 0, 0]);
    for block in bytes.chunks(256 << 10) {
        let packed = lzokay::compress::compress(block).unwrap();
        for number in [block.len(), packed.len(), 0] {
            file.extend(u32::try_from(number).unwrap().to_be_bytes());
        }
        file.extend(packed);
    }
    file.extend([0; 4]);
    file
}

fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Packed in each way, with the unpacked size behind, as the kernel's build appends it.
fn packings(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let packed = [
        ("gzip", gzip(bytes)),
        ("xz", liblzma::encode_all(bytes, 6).unwrap()),
        ("lzma", lzma(bytes)),
        ("zstd", zstd::encode_all(bytes, 3).unwrap()),
        ("bzip2", bzip2(bytes)),
        ("lz4", lz4(bytes)),
        ("lzo", lzop(bytes)),
    ];
    packed.map(|(name, packed)| (name, [&packed[..], &size].concat())).to_vec()
}

/// What a boot loader of x86 starts.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    [&image[..], &[0; 16], payload, b"what follows"].concat()
}

/// What EFI starts, of the other machines.
fn zboot(payload: &[u8]) -> Vec<u8> {
    let mut image = b"MZ\0\0zimg".to_vec();
    image.extend([64_u32, u32::try_from(payload.len()).unwrap()].map(u32::to_le_bytes).concat());
    image.resize(64, 0);
    [&image, payload].concat()
}

#[test]
fn every_packing_and_image_is_read() {
    let kernel = kernel(NEWEST);
    for (name, packed) in packings(&kernel) {
        for (image, bytes) in [("bzImage", bzimage(&packed)), ("zboot", zboot(&packed)), ("packed", packed)] {
            assert_eq!(
                parse(&bytes).unwrap_or_else(|error| panic!("{image} {name}: {error}")),
                expected(true)
            );
        }
    }
}

/// A kernel without sections: tables among other bytes.
fn raw(count: usize, has_sums: bool, has_flags: bool) -> (Vec<u8>, Exports) {
    let symbol = |number: usize| {
        let name = format!("symbol_{number:05}");
        let gpl_only = if has_flags { number.is_multiple_of(3) } else { number >= count / 2 };
        let namespace = number.is_multiple_of(7).then(|| "SPACE".to_owned());
        let crc = has_sums.then(|| sum(&name));
        (name, Export { crc, gpl_only, namespace })
    };
    let mut symbols: Vec<_> = (0..count).map(symbol).collect();
    if !has_flags {
        // The second table begins again in the order of names.
        symbols[count / 2..].iter_mut().for_each(|(name, export)| {
            name.replace_range(..1, "S");
            export.crc = has_sums.then(|| sum(name));
        });
    }
    let begin = 4100;
    let strings_at = begin + count * 17 + 100;
    let mut bytes = vec![0x91; begin];
    let mut strings = Vec::new();
    for (name, export) in &symbols {
        let mut place = |text: &str, here: usize| {
            let at = strings_at + strings.len();
            strings.extend([text.as_bytes(), b"\0"].concat());
            i32::try_from(at - here).unwrap().to_le_bytes()
        };
        let here = bytes.len();
        let name = place(name, here + 4);
        let namespace = place(export.namespace.as_deref().unwrap_or_default(), here + 8);
        bytes.extend([1_i32.to_le_bytes(), name, namespace].concat());
    }
    if has_sums {
        bytes.extend(symbols.iter().flat_map(|(name, _)| sum(name).to_le_bytes()));
    }
    if has_flags {
        bytes.extend(symbols.iter().map(|(_, export)| u8::from(export.gpl_only)));
    }
    bytes.resize(strings_at, 0xff);
    bytes.extend(strings);
    (bytes, symbols.into_iter().collect())
}

#[test]
fn a_kernel_without_sections_shows_its_tables_too() {
    for (has_sums, has_flags) in [(false, false), (true, false), (false, true), (true, true)] {
        let (bytes, expected) = raw(1000, has_sums, has_flags);
        assert_eq!(parse(&bytes).unwrap(), expected, "{has_sums} {has_flags}");
        assert_eq!(parse(&zboot(&gzip(&bytes))).unwrap(), expected);
    }
    // Fewer could be there by chance.
    assert!(parse(&raw(100, true, false).0).is_err());
}

proptest! {
    #[test]
    fn hostile_images_are_errors_or_few_symbols(
        cut in 0_usize..4000,
        changes in proptest::collection::vec((0_usize..4000, any::<u8>()), 1..8),
        which in 0_usize..10,
    ) {
        let kernel = kernel(NEWEST);
        let mut images: Vec<_> = packings(&kernel).into_iter().map(|(_, packed)| bzimage(&packed)).collect();
        images.extend([kernel, raw(300, true, true).0, zboot(&gzip(b"x"))]);
        let mut bytes = images.swap_remove(which);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut % 100));
        let most = bytes.len();
        prop_assert!(parse(&bytes).map_or(0, |exports| exports.len()) <= most);
    }
}

#[test]
fn a_kernel_that_unpacks_to_more_than_any_is_none() {
    let size = usize::try_from(super::payload::LIMIT).unwrap() + 1;
    let bomb = zstd::encode_all(&vec![0; size][..], 1).unwrap();
    assert!(matches!(parse(&bomb), Err(super::image::ImageError::Unpack(_))), "{} bytes", bomb.len());
}
