//! The names of the files in a Debian package, without dpkg: from its list of checksums where it has one,
//! which is small, else from the archive of its data as far as that is worth reading.

use std::io::{self, Read};
use std::path::Path;

use super::compression::{Compression, MAGIC_LENGTH};
use dkms_base::host::fs;

/// Larger than any package's checksums.
const CONTROL_LIMIT: u64 = 64 << 20;
/// The names that matter come first: archives are sorted, and `boot` and `lib` stand before `usr`.
const DATA_LIMIT: u64 = 128 << 20;
/// What decompressors may use to look back.
const WINDOW: u64 = 1 << 27;
/// The header of a member: name, time, owner, group, mode, size, end mark.
const HEADER: usize = 60;

/// The names of the files in the package, without a leading slash or dot; reading ends after one that is
/// `enough`. `None`: it is no package that can be read.
#[must_use]
pub fn files(package: &Path, enough: &dyn Fn(&str) -> bool) -> Option<Vec<String>> {
    let mut file = fs::open(package).ok()?;
    read(&mut file, enough).ok().flatten()
}

fn read(package: &mut dyn Read, enough: &dyn Fn(&str) -> bool) -> io::Result<Option<Vec<String>>> {
    let mut magic = [0; 8];
    package.read_exact(&mut magic)?;
    if &magic != b"!<arch>\n" {
        return Ok(None);
    }
    while let Some((name, size)) = member(package)? {
        let mut body = package.take(size);
        if name.starts_with("control.tar") {
            if let Some(names) = checksummed(&mut body) {
                return Ok(Some(names));
            }
        } else if name.starts_with("data.tar") {
            return Ok(names(&mut body, enough));
        }
        io::copy(&mut body, &mut io::sink())?;
        if size % 2 == 1 {
            package.read_exact(&mut [0])?;
        }
    }
    Ok(None)
}

/// The name and size of the member that comes next.
fn member(package: &mut dyn Read) -> io::Result<Option<(String, u64)>> {
    let mut header = [0; HEADER];
    match package.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let text = |from: usize, to: usize| header.get(from..to).map(String::from_utf8_lossy).unwrap_or_default();
    let size = text(48, 58).trim().parse().map_err(io::Error::other)?;
    Ok(Some((text(0, 16).trim_end_matches([' ', '/']).to_owned(), size)))
}

fn unpacked<'r>(packed: &'r mut dyn Read, limit: u64) -> io::Result<impl Read + 'r> {
    let mut head = Vec::new();
    packed.take(MAGIC_LENGTH as u64).read_to_end(&mut head)?;
    let compression = Compression::of_magic(&head);
    Ok(compression.decoder(io::Cursor::new(head).chain(packed), WINDOW)?.take(limit))
}

/// The names in `md5sums`.
fn checksummed(control: &mut dyn Read) -> Option<Vec<String>> {
    let mut archive = tar::Archive::new(unpacked(control, CONTROL_LIMIT).ok()?);
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if plain(&entry.path_bytes()) == "md5sums" {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).ok()?;
            let text = String::from_utf8_lossy(&text);
            return Some(text.lines().filter_map(|line| Some(line.split_once("  ")?.1.to_owned())).collect());
        }
    }
    None
}

fn names(data: &mut dyn Read, enough: &dyn Fn(&str) -> bool) -> Option<Vec<String>> {
    let mut archive = tar::Archive::new(unpacked(data, DATA_LIMIT).ok()?);
    let mut names = Vec::new();
    for entry in archive.entries().ok()? {
        // Beyond the limit nothing is known; what was seen is.
        let Ok(entry) = entry else { break };
        let name = plain(&entry.path_bytes());
        let is_enough = enough(&name);
        names.push(name);
        if is_enough {
            break;
        }
    }
    Some(names)
}

fn plain(name: &[u8]) -> String {
    String::from_utf8_lossy(name.strip_prefix(b"./").unwrap_or(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::host::fs::write_whole;

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn package(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, body) in members {
            bytes.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, body.len()).bytes(),
            );
            bytes.extend(*body);
            bytes.extend(std::iter::repeat_n(b'\n', body.len() % 2));
        }
        bytes
    }

    fn read_back(bytes: &[u8]) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.deb");
        write_whole(&file, bytes, 0o644).unwrap();
        files(&file, &|name| name == "b")
    }

    #[test]
    fn names_come_from_the_checksums_or_from_the_data() {
        let data = tar(&[("a", "x"), ("b", "yyy"), ("c", "")]);
        let zstd = zstd::encode_all(data.as_slice(), 0).unwrap();
        let control = tar(&[("control", "Package: x\n")]);
        let listed = tar(&[("control", "x"), ("md5sums", "00  boot/vmlinuz-6.1.0\n11  usr/x y\n")]);
        let version = ("debian-binary", b"2.0\n".as_slice());
        let plain = package(&[version, ("control.tar", &control), ("data.tar.zst", &zstd)]);
        assert_eq!(read_back(&plain).unwrap(), ["a", "b"]);
        let with_sums = package(&[version, ("control.tar", &listed), ("data.tar", &data)]);
        assert_eq!(read_back(&with_sums).unwrap(), ["boot/vmlinuz-6.1.0", "usr/x y"]);
    }

    #[test]
    fn what_is_no_package_says_nothing() {
        assert_eq!(read_back(b""), None);
        assert_eq!(read_back(b"!<arch>\n"), None);
        assert_eq!(read_back(b"!<arch>\nx"), None);
        assert_eq!(
            read_back(&package(&[("debian-binary", b"2.0\n"), ("data.tar.xz", b"\xfd7zXZ\0garbage")])),
            Some(Vec::new())
        );
        let mut odd = package(&[("data.tar", &tar(&[("a", "")]))]);
        odd[8 + 48..8 + 58].copy_from_slice(b"99999999x9");
        assert_eq!(read_back(&odd), None);
    }
}
