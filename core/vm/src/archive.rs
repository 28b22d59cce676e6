//! The initramfs of the guest: cpio "newc", not packed, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_755;

/// Writes an archive.
pub(crate) struct Archive<W> {
    out: W,
    written: u64,
    entries: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, written: 0, entries: 0, folders: BTreeSet::new() }
    }

    /// A file that may be executed, and the folders above it. Paths begin with `/`.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, FILE, bytes)
    }

    /// A symbolic link, and the folders above it.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, LINK, target.as_bytes())
    }

    /// A folder, and those above it.
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        if path.is_empty() || path == "/" || !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        self.folders_above(path)?;
        self.entry(path, FOLDER, &[])
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry("/TRAILER!!!", 0, &[])?;
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
        let name = path.trim_start_matches('/');
        self.entries += 1;
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // Inode, mode, user, group, links, time, length, device (2), special device (2), length of the
        // name, checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            0,
            0,
            u32::try_from(name.len() + 1).unwrap_or(0),
            0,
        ];
        let head: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.write(format!("070701{head}{name}\0").as_bytes())?;
        self.pad()?;
        self.write(bytes)?;
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
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/c", b"abc").unwrap();
        archive.file("/a/b/d", b"").unwrap();
        archive.link("/lib64", "lib").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<&str> =
            text.split("070701").skip(1).map(|entry| entry[13 * 8..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "lib64", "TRAILER!!!"]);
    }
}
