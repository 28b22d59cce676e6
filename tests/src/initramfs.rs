//! An initramfs, made in memory: busybox, what a test puts in, and a script that is its `/init`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dkms_base::host::fs;
use dkms_kernel::newc::Newc;

use crate::command::must;

/// No program is larger, unoptimised ones included.
const LARGEST: u64 = 1 << 30;

/// What a guest has for a root.
#[derive(Debug, Clone)]
pub struct Initramfs {
    archive: Newc<Vec<u8>>,
    /// Files that are in it.
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
        let mut new = Self { archive: Newc::new(Vec::new(), 0), present: BTreeSet::new() };
        for folder in ["bin", "sbin", "proc", "sys", "dev", "tmp", "root"] {
            new.archive.folder(folder)?;
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
        self.archive.file(at, mode, bytes).expect("memory takes all");
        self.present.insert(at.trim_start_matches('/').into());
    }

    /// A link, and the folders above it.
    pub fn link(&mut self, at: &str, target: &Path) {
        self.archive.link(at, &target.to_string_lossy()).expect("memory takes all");
        self.present.insert(at.trim_start_matches('/').into());
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
                self.archive.folder(&below)?;
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
        whole.with_init(include_str!("init.sh"))
    }

    /// The whole, with a script that is the guest's first process.
    ///
    /// # Errors
    /// If the archive cannot be finished.
    pub fn with_init(&self, script: &str) -> Result<Vec<u8>> {
        let mut whole = self.clone();
        whole.file("/init", script.as_bytes(), 0o755);
        Ok(whole.archive.finish()?)
    }
}
