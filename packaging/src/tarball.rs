//! A tar archive as dpkg reads it: GNU headers, root's ownership, the same bytes for the same input.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dkms_archive::compression::{Compression, Encoder};
use dkms_base::host::{fs, signals};
use liblzma::stream::{Check, Stream};
use liblzma::write::XzEncoder;
use md5::{Digest as _, Md5};
use tar::{EntryType, Header};

use crate::entries::{Body, Entries, Entry};
use crate::error::PackageError;

/// What is known of the entries once they are written.
#[derive(Debug, Default)]
pub struct Written {
    /// The MD5 sum of each file, by name.
    pub md5sums: Vec<(PathBuf, String)>,
    /// What they take on disk by dpkg's count: each file in whole KiB, one for everything else.
    pub kibibytes: u64,
}

/// xz's preset, as dpkg has it.
const PRESET: u32 = 6;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// With xz.
    Xz,
    /// With gzip, as little as it takes: for what is thrown away soon.
    Gzip,
}

impl Packing {
    /// The end of an archive's name.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Gzip => ".gz",
        }
    }
}

/// Writes all entries below a folder (`.` in a .deb), and says what was written. `archive` is the file that
/// errors name.
///
/// # Errors
/// [`PackageError`].
pub fn write<W: Write>(
    entries: &Entries,
    below: &Path,
    date: u64,
    packing: Packing,
    out: W,
    archive: &Path,
) -> Result<(W, Written), PackageError> {
    let failed = |source| write_error(archive, source);
    if packing == Packing::Gzip {
        let mut out = flate2::GzBuilder::new().mtime(0).write(out, flate2::Compression::fast());
        let written = write_plain(entries, below, date, &mut out, archive)?;
        return Ok((out.finish().map_err(failed)?, written));
    }
    let stream =
        Stream::new_easy_encoder(PRESET, Check::Crc64).map_err(|error| failed(io::Error::other(error)))?;
    let mut out = XzEncoder::new_stream(out, stream);
    let written = write_plain(entries, below, date, &mut out, archive)?;
    Ok((out.finish().map_err(failed)?, written))
}

/// All entries in a temporary file below `folder`, compressed as the suffix of a name asks for; the
/// file, at its beginning.
///
/// # Errors
/// [`PackageError`].
pub fn packed(
    entries: &Entries,
    below: &Path,
    date: u64,
    name: &Path,
    folder: &Path,
) -> Result<File, PackageError> {
    let failed = |source| write_error(name, source);
    let file = tempfile::tempfile_in(folder).map_err(failed)?;
    let mut encoder = Encoder::new(Compression::of_suffix(name), file).map_err(failed)?;
    write_plain(entries, below, date, &mut encoder, name)?;
    let mut file = encoder.finish().map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// As [`write()`], but nothing is compressed.
///
/// # Errors
/// [`PackageError`].
pub fn write_plain(
    entries: &Entries,
    below: &Path,
    date: u64,
    out: &mut impl Write,
    archive: &Path,
) -> Result<Written, PackageError> {
    let root = Entry { mode: 0o755, mtime: None, body: Body::Folder };
    let all = std::iter::once((Path::new(""), &root)).chain(entries.iter());
    let full = |name: &Path| [below.as_os_str().as_bytes(), b"/", name.as_os_str().as_bytes()].concat();
    write_all(all, &full, date, out, archive)
}

/// As [`write_plain`], with the entries' own names: not below a folder, which has no entry either.
///
/// # Errors
/// [`PackageError`].
pub fn write_bare(
    entries: &Entries,
    date: u64,
    out: &mut impl Write,
    archive: &Path,
) -> Result<Written, PackageError> {
    write_all(entries.iter(), &|name| name.as_os_str().as_bytes().to_vec(), date, out, archive)
}

fn write_all<'e>(
    entries: impl Iterator<Item = (&'e Path, &'e Entry)>,
    full: &dyn Fn(&Path) -> Vec<u8>,
    date: u64,
    out: &mut impl Write,
    archive: &Path,
) -> Result<Written, PackageError> {
    let failed = |source| write_error(archive, source);
    let mut written = Written::default();
    for (name, entry) in entries {
        if signals::interrupted() {
            return Err(PackageError::Interrupted { path: archive.to_owned() });
        }
        let mut full = full(name);
        if entry.body == Body::Folder && !name.as_os_str().is_empty() {
            full.push(b'/');
        }
        let sum = append(out, &full, entry, date, &failed)?;
        let size = match &entry.body {
            Body::File { size, .. } => size.div_ceil(1024),
            Body::Bytes(bytes) => (bytes.len() as u64).div_ceil(1024),
            Body::Folder | Body::Link(_) => 1,
        };
        written.kibibytes += size;
        if let Some(sum) = sum {
            written.md5sums.push((name.to_owned(), sum));
        }
    }
    out.write_all(&[0; 1024]).map_err(failed)?;
    Ok(written)
}

/// An error of the file that is written.
pub(crate) fn write_error(archive: &Path, source: io::Error) -> PackageError {
    let source = fs::FsError { verb: "write", path: archive.to_owned(), source };
    PackageError::Write { path: archive.to_owned(), source }
}

fn append(
    out: &mut impl Write,
    name: &[u8],
    entry: &Entry,
    date: u64,
    failed: &dyn Fn(io::Error) -> PackageError,
) -> Result<Option<String>, PackageError> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root").and_then(|()| header.set_groupname("root")).map_err(failed)?;
    header.set_mtime(entry.mtime.map_or(date, |mtime| mtime.min(date)));
    header.set_mode(entry.mode);
    header.set_size(0);
    let finish = |out: &mut dyn Write, mut header: Header| {
        put_name(out, &mut header, name)?;
        header.set_cksum();
        out.write_all(header.as_bytes())
    };
    match &entry.body {
        Body::Folder => {
            header.set_entry_type(EntryType::Directory);
            finish(out, header).map_err(failed)?;
            Ok(None)
        }
        Body::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            let target = target.as_os_str().as_bytes();
            if target.len() > LONGEST_NAME {
                long(out, b'K', target).map_err(failed)?;
            }
            let short = &target[..target.len().min(LONGEST_NAME)];
            header.as_old_mut().linkname[..short.len()].copy_from_slice(short);
            finish(out, header).map_err(failed)?;
            Ok(None)
        }
        Body::Bytes(bytes) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            finish(out, header).and_then(|()| out.write_all(bytes)).map_err(failed)?;
            pad(out, bytes.len() as u64).map_err(failed)?;
            Ok(Some(hex(&Md5::digest(bytes))))
        }
        Body::File { path, size } => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(*size);
            finish(out, header).map_err(failed)?;
            let sum = copy(path, *size, out, failed)?;
            pad(out, *size).map_err(failed)?;
            Ok(Some(sum))
        }
    }
}

/// Copies exactly `size` bytes of a file; their MD5 sum.
fn copy(
    path: &Path,
    size: u64,
    out: &mut impl Write,
    failed: &dyn Fn(io::Error) -> PackageError,
) -> Result<String, PackageError> {
    let mut file = fs::open(path)?.take(size);
    let (mut hash, mut left, mut buffer) = (Md5::new(), size, vec![0; 64 << 10]);
    while left > 0 {
        let read = |source| fs::FsError { verb: "read", path: path.to_owned(), source };
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read");
            return Err(read(cut).into());
        }
        hash.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(failed)?;
        left -= count as u64;
    }
    Ok(hex(&hash.finalize()))
}

const LONGEST_NAME: usize = 100;

/// The `tar` crate would drop the `./` that dpkg writes, so the bytes are ours; a long name goes
/// before, as GNU tar does.
fn put_name(out: &mut dyn Write, header: &mut Header, name: &[u8]) -> io::Result<()> {
    if name.len() > LONGEST_NAME {
        long(out, b'L', name)?;
    }
    let short = &name[..name.len().min(LONGEST_NAME)];
    header.as_old_mut().name[..short.len()].copy_from_slice(short);
    Ok(())
}

fn long(out: &mut (impl Write + ?Sized), kind: u8, name: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..13].copy_from_slice(b"././@LongLink");
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::new(kind));
    let size = name.len() as u64 + 1;
    header.set_size(size);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(name)?;
    out.write_all(&[0])?;
    pad(out, size)
}

fn pad(out: &mut (impl Write + ?Sized), size: u64) -> io::Result<()> {
    let rest = usize::try_from(size % 512).unwrap_or(0);
    out.write_all(&[0; 512][..(512 - rest) % 512])
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_and_targets_come_back_whole() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(120));
        let mut entries = Entries::default();
        entries.file(&long, "text", 0o640);
        let (bytes, written) =
            write(&entries, Path::new("."), 1_000, Packing::Xz, Vec::new(), Path::new("x")).unwrap();
        assert_eq!(written.md5sums, [(PathBuf::from(&long), hex(&Md5::digest("text")))]);
        assert_eq!(written.kibibytes, 3);
        let mut archive = tar::Archive::new(liblzma::read::XzDecoder::new(&bytes[..]));
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 1_000);
                String::from_utf8(entry.path_bytes().into_owned()).unwrap()
            })
            .collect();
        assert_eq!(names, ["./".to_owned(), format!("./{}/", "d".repeat(90)), format!("./{long}")]);
    }
}
