//! The header of a package file of rpm's: what it provides, and which files it has. Reads only, and only so
//! much; nobody has verified the file yet.

use std::collections::BTreeMap;
use std::io::{self, Read};

/// What stands in front of the headers.
const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];
/// rpm itself takes no more entries.
const MOST_ENTRIES: u32 = 0xffff;
/// What all entries of a header may be. Those of packages with a hundred thousand files have 20 MB.
const LONGEST: u32 = 64 << 20;
/// The length of an entry in the index.
const ENTRY: usize = 16;
const INT32: u32 = 4;
const STRING_ARRAY: u32 = 8;
const PROVIDE_NAMES: u32 = 1047;
const PROVIDE_VERSIONS: u32 = 1113;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;

/// The main header of a package.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// Kind, offset and count of each entry, by its tag.
    entries: BTreeMap<u32, (u32, usize, usize)>,
    store: Vec<u8>,
}

impl Header {
    /// Reads the lead, the header of signatures, and the main one, which is kept.
    ///
    /// # Errors
    /// [`io::Error`] where it is no package, or larger than any.
    pub(crate) fn read(package: &mut impl Read) -> io::Result<Self> {
        let mut lead = [0; LEAD];
        package.read_exact(&mut lead)?;
        if !lead.starts_with(&LEAD_MAGIC) {
            return Err(broken("it is no package"));
        }
        let signatures = Self::next(package)?;
        let padding = signatures.store.len().next_multiple_of(8) - signatures.store.len();
        package.read_exact(&mut [0; 8][..padding])?;
        Self::next(package)
    }

    fn next(package: &mut impl Read) -> io::Result<Self> {
        let mut intro = [0; 16];
        package.read_exact(&mut intro)?;
        let [entries, length] = [8, 12].map(|at| number(&intro, at).unwrap_or(u32::MAX));
        if !intro.starts_with(&MAGIC) || entries > MOST_ENTRIES || length > LONGEST {
            return Err(broken("it has no header that is one"));
        }
        let index = exactly(package, u64::from(entries) * ENTRY as u64)?;
        let entry = |entry: &[u8]| {
            let [kind, offset, count] = [4, 8, 12].map(|at| number(entry, at));
            Some((number(entry, 0)?, (kind?, usize::try_from(offset?).ok()?, usize::try_from(count?).ok()?)))
        };
        let entries = index.chunks_exact(ENTRY).filter_map(entry).collect();
        Ok(Self { entries, store: exactly(package, length.into())? })
    }

    /// What it provides: names and versions.
    pub(crate) fn provided(&self) -> Vec<(String, String)> {
        let texts = |list: Vec<&[u8]>| -> Vec<String> {
            list.into_iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        };
        texts(self.strings(PROVIDE_NAMES)).into_iter().zip(texts(self.strings(PROVIDE_VERSIONS))).collect()
    }

    /// The files that it has, of those that UTF-8 can name.
    pub(crate) fn files(&self) -> Vec<String> {
        let (names, folders) = (self.strings(BASE_NAMES), self.strings(DIRECTORY_NAMES));
        let mut left = LONGEST as usize;
        let file = |(name, folder): (&[u8], usize)| {
            let path = [*folders.get(folder)?, name].concat();
            left = left.checked_sub(path.len())?;
            String::from_utf8(path).ok()
        };
        names.into_iter().zip(self.numbers(DIRECTORY_INDEXES)).filter_map(file).collect()
    }

    fn entry(&self, tag: u32, kind: u32) -> Option<(&[u8], usize)> {
        let (found, offset, count) = self.entries.get(&tag)?;
        (*found == kind).then_some((self.store.get(*offset..)?, *count))
    }

    fn strings(&self, tag: u32) -> Vec<&[u8]> {
        let Some((bytes, count)) = self.entry(tag, STRING_ARRAY) else { return Vec::new() };
        bytes
            .split_inclusive(|byte| *byte == 0)
            .take(count)
            .filter_map(|text| text.strip_suffix(b"\0"))
            .collect()
    }

    fn numbers(&self, tag: u32) -> Vec<usize> {
        let Some((bytes, count)) = self.entry(tag, INT32) else { return Vec::new() };
        let numbers = bytes.chunks_exact(4).take(count).filter_map(|four| number(four, 0));
        numbers.filter_map(|number| usize::try_from(number).ok()).collect()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

/// So many bytes; memory is taken as they come.
fn exactly(package: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match package.take(length).read_to_end(&mut bytes)? as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(entries: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, kind, count, bytes) in entries {
            for number in [*tag, *kind, u32::try_from(store.len()).unwrap(), *count] {
                index.extend(number.to_be_bytes());
            }
            store.extend(*bytes);
        }
        let sizes = [entries.len(), store.len()].map(|size| u32::try_from(size).unwrap().to_be_bytes());
        [&MAGIC[..], &[0; 4], &sizes.concat(), &index, &store].concat()
    }

    fn package() -> Vec<u8> {
        let lead = [&LEAD_MAGIC[..], &[0; LEAD - 4]].concat();
        let mut signatures = header(&[(1000, 4, 1, &[0; 4])]);
        signatures.extend([0; 4]);
        let main = header(&[
            (PROVIDE_NAMES, STRING_ARRAY, 2, b"foo\0kernel-uname-r\0"),
            (PROVIDE_VERSIONS, STRING_ARRAY, 2, b"1\x006.1\0"),
            (DIRECTORY_INDEXES, INT32, 2, &[0, 0, 0, 1, 0, 0, 0, 0]),
            (BASE_NAMES, STRING_ARRAY, 2, b"vmlinuz\0x\0"),
            (DIRECTORY_NAMES, STRING_ARRAY, 2, b"/etc/\0/lib/modules/6.1/\0"),
        ]);
        [lead, signatures, main].concat()
    }

    #[test]
    fn names_and_files_are_read() {
        let header = Header::read(&mut package().as_slice()).unwrap();
        let provided = [("foo", "1"), ("kernel-uname-r", "6.1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(header.provided(), provided);
        assert_eq!(header.files(), ["/lib/modules/6.1/vmlinuz", "/etc/x"]);
    }

    #[test]
    fn numbers_that_lead_nowhere_are_no_panic() {
        let whole = package();
        for end in 0..whole.len() {
            assert!(Header::read(&mut &whole[..end]).is_err(), "{end}");
        }
        for at in LEAD..whole.len() - 4 {
            for number in [u32::MAX, 1 << 28, 0x7fff_ffff] {
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
                if let Ok(header) = Header::read(&mut bytes.as_slice()) {
                    assert!(header.files().len() <= 2 && header.provided().len() <= 2);
                }
            }
        }
    }
}
