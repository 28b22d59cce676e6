//! Writes cpio archives of the form "newc", not packed, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it: what an initramfs is, and the content
//! of a source rpm. `initramfs` reads them.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;
/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Writes an archive; all that is in it belongs to root.
#[derive(Debug, Clone)]
pub struct Newc<W> {
    out: W,
    /// The time of change of what is written, in seconds since 1970.
    time: u32,
    written: u64,
    entries: u32,
    /// Those that are written, and links, which may lead to one.
    folders: BTreeSet<String>,
}

impl<W: Write> Newc<W> {
    /// An archive whose entries were all changed at `time` (seconds since 1970).
    pub fn new(out: W, time: u32) -> Self {
        Self { out, time, written: 0, entries: 0, folders: BTreeSet::new() }
    }

    /// A file with its permissions, without the folders above it. A `/` at the beginning of a path is not
    /// written.
    ///
    /// # Errors
    /// Of the writer; [`io::ErrorKind::FileTooLarge`] from 4 GiB on.
    pub fn lone_file(&mut self, path: &str, permissions: u32, bytes: &[u8]) -> io::Result<()> {
        self.entry(path, FILE | permissions, bytes)
    }

    /// A file with its permissions, and the folders above it.
    ///
    /// # Errors
    /// As [`Self::lone_file`].
    pub fn file(&mut self, path: &str, permissions: u32, bytes: &[u8]) -> io::Result<()> {
        self.folders_above(path)?;
        self.lone_file(path, permissions, bytes)
    }

    /// A symbolic link, and the folders above it.
    ///
    /// # Errors
    /// Of the writer.
    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.folders_above(path)?;
        self.folders.insert(path.trim_start_matches('/').to_owned());
        self.entry(path, LINK, target.as_bytes())
    }

    /// A folder, and those above it, each once.
    ///
    /// # Errors
    /// Of the writer.
    pub fn folder(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_start_matches('/');
        if path.is_empty() || !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        self.folders_above(path)?;
        self.entry(path, FOLDER, &[])
    }

    /// Ends it.
    ///
    /// # Errors
    /// Of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.header(TRAILER, 0, [0, 0], 0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn folders_above(&mut self, path: &str) -> io::Result<()> {
        match Path::new(path).parent().and_then(Path::to_str) {
            Some(above) => self.folder(above),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.entries += 1;
        self.header(path.trim_start_matches('/').as_bytes(), mode, [self.entries, self.time], length)?;
        self.write(bytes)?;
        self.pad()
    }

    fn header(&mut self, name: &[u8], mode: u32, [inode, time]: [u32; 2], length: u32) -> io::Result<()> {
        let name_length = u32::try_from(name.len() + 1).map_err(|_| io::ErrorKind::InvalidFilename)?;
        // Inode, mode, user, group, links, time, length, device (2), special device (2), length of the
        // name, checksum.
        let fields = [inode, mode, 0, 0, 1, time, length, 0, 0, 0, 0, name_length, 0];
        let head: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.write(format!("070701{head}").as_bytes())?;
        self.write(name)?;
        self.write(&[0])?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(4) - self.written;
        self.write(&[0; 3][..usize::try_from(missing).unwrap_or(0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them_and_once() {
        let mut archive = Newc::new(Vec::new(), 0);
        archive.file("/a/b/c", 0o644, b"abc").unwrap();
        archive.file("a/b/d", 0o755, b"").unwrap();
        archive.link("/lib64", "lib").unwrap();
        archive.file("/lib64/e", 0o644, b"").unwrap();
        archive.lone_file("x/y", 0o644, b"").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let entries: Vec<(&str, &str)> = text
            .split("070701")
            .skip(1)
            .map(|entry| (&entry[8..16], entry[13 * 8..].split('\0').next().unwrap()))
            .collect();
        let expected = [
            ("000041ed", "a"),
            ("000041ed", "a/b"),
            ("000081a4", "a/b/c"),
            ("000081ed", "a/b/d"),
            ("0000a1ff", "lib64"),
            ("000081a4", "lib64/e"),
            ("000081a4", "x/y"),
            ("00000000", "TRAILER!!!"),
        ];
        assert_eq!(entries, expected);
    }
}
