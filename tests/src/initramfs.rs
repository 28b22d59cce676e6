//! An initramfs, made in memory: busybox, what a test puts in, and a script that is its `/init`.
//!
//! The format is cpio's "newc", uncompressed, as the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` has it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dkms_base::host::fs;

use crate::command::must;

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;
/// No program is larger, unoptimised ones included.
const LARGEST: u64 = 1 << 30;

/// What a guest has for a root.
#[derive(Debug, Clone)]
pub struct Initramfs {
    archive: Vec<u8>,
    /// Paths that are in it.
    present: BTreeSet<PathBuf>,
}

impl Initramfs {
    /// Busybox, with all its commands, and kmod's (`modprobe`, `depmod`, …).
    ///
    /// # Errors
    /// Where they are not on this machine (`make setup`).
    pub fn new() -> Result<Self> {
        let mut new = Self::bare()?;
        new.program(Path::new("/bin/kmod"), "/sbin/kmod")?;
        for command in ["modprobe", "insmod", "rmmod", "modinfo", "depmod"] {
            new.link(&format!("/sbin/{command}"), Path::new("kmod"));
        }
        Ok(new)
    }

    /// Busybox alone.
    ///
    /// # Errors
    /// If it is not on this machine (`make setup`).
    pub fn bare() -> Result<Self> {
        let mut new = Self { archive: Vec::new(), present: BTreeSet::new() };
        for folder in ["bin", "sbin", "proc", "sys", "dev", "tmp", "root"] {
            new.folder(Path::new(folder));
        }
        new.file("/bin/busybox", &fs::read(Path::new("/bin/busybox")).context("run `make setup`")?, 0o755);
        let commands = must("/bin/busybox", &["--list"], Path::new("/"))?;
        for command in commands.lines().filter(|name| *name != "busybox") {
            new.link(&format!("/bin/{command}"), Path::new("busybox"));
        }
        Ok(new)
    }

    /// A file, and the folders above it.
    pub fn file(&mut self, at: &str, bytes: &[u8], mode: u32) {
        self.entry(Path::new(at), FILE | mode, bytes);
    }

    /// A link, and the folders above it.
    pub fn link(&mut self, at: &str, target: &Path) {
        self.entry(Path::new(at), LINK, target.as_os_str().as_encoded_bytes());
    }

    /// A program of this machine, and the libraries that it loads.
    ///
    /// # Errors
    /// Where one can't be read.
    pub fn program(&mut self, program: &Path, at: &str) -> Result<()> {
        let stripped = tempfile::NamedTempFile::new()?;
        let (from, to) = (program.to_string_lossy(), stripped.path().to_string_lossy());
        must("strip", &["-o", &to, &from], Path::new("/"))?;
        self.file(at, &fs::read_limited(stripped.path(), LARGEST)?, 0o755);
        let needed = must("ldd", &[&from], Path::new("/"))?;
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and the loader without an arrow.
        for library in needed.split_whitespace().filter(|word| word.starts_with('/')) {
            if !self.present.contains(Path::new(library.trim_start_matches('/'))) {
                self.file(library, &fs::read_limited(Path::new(library), LARGEST)?, 0o755);
            }
        }
        Ok(())
    }

    /// A folder of this machine, or of a test's root, with all that is in it but links that lead out of the
    /// guest's world (a kernel's `build`).
    ///
    /// # Errors
    /// Where something in it can't be read.
    pub fn tree(&mut self, from: &Path, at: &str) -> Result<()> {
        for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
            let entry = entry.with_context(|| format!("`{}`", from.display()))?;
            let below = Path::new(at).join(entry.path().strip_prefix(from)?);
            let below = below.to_str().context("a path that is no text")?.to_owned();
            if entry.file_type().is_dir() {
                self.folder(Path::new(below.trim_start_matches('/')));
            } else if entry.file_type().is_file() {
                self.file(&below, &fs::read(entry.path())?, entry.metadata()?.mode() & 0o7777);
            } else if let Some(target) = fs::link_target(entry.path())? {
                self.link(&below, &target);
            }
        }
        Ok(())
    }

    /// The whole, with a script that runs when the guest has booted. `/proc`, `/sys`, `/dev` and `/tmp` are
    /// mounted for it; when it ends, however it ends, so does the guest.
    ///
    /// # Errors
    /// Where the script isn't one for a shell.
    pub fn with_script(&self, script: &str) -> Result<Vec<u8>> {
        if script.contains("\r") {
            bail!("a script has carriage returns");
        }
        let mut whole = self.clone();
        whole.file("/script", script.as_bytes(), 0o755);
        whole.file("/init", include_str!("init.sh").as_bytes(), 0o755);
        whole.raw(Path::new("TRAILER!!!"), 0, &[]);
        Ok(whole.archive)
    }

    fn folder(&mut self, path: &Path) {
        if path != Path::new("") {
            self.entry(path, FOLDER, &[]);
        }
    }

    fn entry(&mut self, at: &Path, mode: u32, bytes: &[u8]) {
        let path = at.strip_prefix("/").unwrap_or(at).to_owned();
        let is_known_folder = mode == FOLDER && self.present.contains(&path);
        if is_known_folder {
            return;
        }
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        self.raw(&path, mode, bytes);
        self.present.insert(path);
    }

    fn raw(&mut self, path: &Path, mode: u32, bytes: &[u8]) {
        let name = path.as_os_str().as_encoded_bytes();
        let inode = u32::try_from(self.present.len() + 1).unwrap_or(u32::MAX);
        let (length, name_length) = (bytes.len(), name.len() + 1);
        // Magic, inode, mode, user, group, links, time, length, device (2), special device (2), length
        // of the name, checksum.
        let head = format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{length:08x}{:08x}{:08x}{:08x}{:08x}{name_length:08x}{:08x}",
            0, 0, 1, 0, 0, 0, 0, 0, 0
        );
        self.archive.extend(head.as_bytes());
        self.archive.extend(name);
        self.archive.push(0);
        self.pad();
        self.archive.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}
