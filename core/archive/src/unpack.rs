//! From a stream into a private folder: each entry is judged before it is written, links are made last, so
//! that nothing can be written through one. Knows nothing of DKMS.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::entries::{Entry, EntryKind};
use super::error::{ArchiveError, Fault};
use super::inventory::{Digest, Inventory, Item, Rejected};
use super::limits::Limits;
use super::name;
use super::stream::Stream;
use dkms_base::host::fs;

/// An archive whose files and folders are on disk, and whose links aren't yet.
pub(super) struct Unpacked {
    pub(super) inventory: Inventory,
    /// Modes and times of the folders that have an entry, set when all is written.
    folders: Vec<(PathBuf, u32, i64)>,
}

/// Unpacks below `into`, an existing empty folder of ours.
pub(super) fn unpack(archive: &Path, into: &Path, limits: &Limits) -> Result<Unpacked, ArchiveError> {
    let mut run = Run {
        into,
        stream: Stream::open(archive, limits)?,
        unpacked: Unpacked { inventory: Inventory::new(limits.clone()), folders: Vec::new() },
    };
    while let Some(entry) = run.stream.next()? {
        run.take(&entry)?;
    }
    Ok(run.unpacked)
}

impl Unpacked {
    /// Makes the links, then gives every folder its mode and time. The links must have been checked.
    pub(super) fn finish(&self, into: &Path) -> Result<(), ArchiveError> {
        for (path, item) in self.inventory.items() {
            match item {
                Item::Link(target) => fs::create_link(target, &into.join(path))?,
                Item::Folder { named: false } => fs::set_mode(&into.join(path), 0o755)?,
                Item::Folder { named: true } | Item::File { .. } | Item::Fifo => {}
            }
        }
        // Inner folders first: writing into a folder changes its time.
        let mut folders: Vec<_> = self.folders.iter().collect();
        folders.sort_by(|a, b| b.0.cmp(&a.0));
        for (path, mode, mtime) in folders {
            let path = into.join(path);
            fs::set_mode(&path, *mode)?;
            fs::set_mtime(&path, (*mtime, 0))?;
        }
        Ok(())
    }
}

struct Run<'a> {
    into: &'a Path,
    stream: Stream<'a>,
    unpacked: Unpacked,
}

impl Run<'_> {
    fn take(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let path = name::parse(&entry.name).map_err(|fault| self.refused(fault))?;
        // Old tars mark folders by a slash at the end.
        let slash = entry.name.ends_with(b"/");
        if path == Path::new("") {
            return if entry.kind == EntryKind::Folder {
                Ok(())
            } else {
                Err(self.refused(Fault::EmptyName))
            };
        }
        match &entry.kind {
            EntryKind::File if slash && entry.size > 0 => Err(self.refused(Fault::ContentsOfNoFile)),
            EntryKind::File if !slash => self.file(entry, &path),
            EntryKind::File | EntryKind::Folder => self.folder(entry, path),
            EntryKind::Link(target) => {
                let target = name::parse_target(target).map_err(|fault| self.refused(fault))?;
                self.admit(&path, Item::Link(target))?;
                self.parents(&path)
            }
            EntryKind::HardLink(target) => self.hard_link(entry, &path, target),
            EntryKind::Fifo => {
                self.admit(&path, Item::Fifo)?;
                self.parents(&path)
            }
        }
    }

    fn file(&mut self, entry: &Entry, path: &Path) -> Result<(), ArchiveError> {
        if entry.mode & 0o6000 != 0 {
            return Err(self.refused(Fault::SetId));
        }
        self.admit(path, Item::File { size: entry.size, digest: [0; 32] })?;
        self.parents(path)?;
        let target = self.into.join(path);
        let file = fs::create_new(&target, 0o600)?;
        let digest = self.write_contents(file, &target)?;
        self.unpacked.inventory.set_digest(path, digest);
        fs::set_mode(&target, entry.mode & 0o777)?;
        Ok(fs::set_mtime(&target, (entry.mtime, 0))?)
    }

    fn write_contents(&mut self, mut file: File, target: &Path) -> Result<Digest, ArchiveError> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = self.stream.read(&mut buffer)?;
            if n == 0 {
                return Ok(hash.finalize().into());
            }
            hash.update(&buffer[..n]);
            let failed = |source| fs::FsError { verb: "write", path: target.to_owned(), source };
            file.write_all(&buffer[..n]).map_err(failed)?;
        }
    }

    fn folder(&mut self, entry: &Entry, path: PathBuf) -> Result<(), ArchiveError> {
        self.admit(&path, Item::Folder { named: true })?;
        fs::create_dir_all(&self.into.join(&path))?;
        // Group bits that inherit mean nothing in a copy; the owner must be able to go in and remove it.
        self.unpacked.folders.push((path, entry.mode & 0o777 | 0o700, entry.mtime));
        Ok(())
    }

    /// A second name of an earlier file becomes a copy of it, and counts as one.
    fn hard_link(&mut self, entry: &Entry, path: &Path, target: &[u8]) -> Result<(), ArchiveError> {
        let first = name::parse(target).ok();
        let item = first.as_deref().and_then(|first| self.unpacked.inventory.get(first)).cloned();
        let (Some(first), Some(item @ Item::File { .. })) = (first, item) else {
            return Err(self.refused(Fault::HardLink(name::shown(target))));
        };
        if entry.mode & 0o6000 != 0 {
            return Err(self.refused(Fault::SetId));
        }
        self.admit(path, item)?;
        self.parents(path)?;
        Ok(fs::copy_file(&self.into.join(first), &self.into.join(path))?)
    }

    fn parents(&self, path: &Path) -> Result<(), ArchiveError> {
        match self.into.join(path).parent() {
            Some(parent) => Ok(fs::create_dir_all(parent)?),
            None => Ok(()),
        }
    }

    fn admit(&mut self, path: &Path, item: Item) -> Result<(), ArchiveError> {
        self.unpacked.inventory.admit(path, item).map_err(|rejected| match rejected {
            Rejected::Fault(fault) => self.refused(fault),
            Rejected::Exceeded(limit) => ArchiveError::TooBig {
                archive: self.stream.archive.to_owned(),
                entry: self.stream.at.clone().unwrap_or_default(),
                limit,
            },
        })
    }

    fn refused(&self, fault: Fault) -> ArchiveError {
        let entry = self.stream.at.clone().unwrap_or_default();
        ArchiveError::Refused { archive: self.stream.archive.to_owned(), entry, fault }
    }
}
