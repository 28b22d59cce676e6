//! The entries of an archive in the making: gathered from the disk, held to the rules of a reader, written in
//! order under a temporary name. Knows nothing of DKMS.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::compression::{Compression, Encoder};
use super::contents::MAIN_TREE;
use super::error::{ArchiveError, Fault};
use super::inventory::{Digest, Inventory, Item, Rejected};
use super::limits::Limits;
use super::manifest::Looked;
use super::name;
use dkms_base::host::output::NewFile;
use dkms_base::host::{fs, signals};
use dkms_kernel::modfile::content::each_unsigned;
use dkms_kernel::modfile::{ModuleFile, signature_of};

/// Which mode and time an entry gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// Its own mode, and its own time unless that is newer than the archive's.
    Kept,
    /// 0644 or 0755 and the archive's time: when and under which umask it was built is nobody's business.
    Plain,
}

/// Where an entry comes from.
enum Origin {
    /// A folder that we make.
    Folder,
    /// A file that we make.
    Text(String),
    /// A file, folder or link on disk.
    Disk(PathBuf, Metadata, Looks),
}

struct Piece {
    name: PathBuf,
    origin: Origin,
}

/// An archive in the making.
pub(super) struct Packing {
    pieces: Vec<Piece>,
    inventory: Inventory,
}

impl Packing {
    pub(super) fn new() -> Self {
        // What we pack is on this disk already; only what is read from elsewhere is measured.
        let limits =
            Limits { bytes: u64::MAX, entries: usize::MAX, name_bytes: usize::MAX, ..Limits::default() };
        Self { pieces: Vec::new(), inventory: Inventory::new(limits) }
    }

    /// A folder by itself.
    pub(super) fn folder(&mut self, name: &Path) -> Result<(), ArchiveError> {
        self.push(name, Item::Folder { named: true }, Origin::Folder)
    }

    /// A file with the given contents.
    pub(super) fn text(&mut self, name: &Path, text: String) -> Result<(), ArchiveError> {
        let item = Item::File { size: text.len() as u64, digest: Sha256::digest(&text).into() };
        self.push(name, item, Origin::Text(text))
    }

    /// A file, link or whole folder, without the FIFOs, sockets and devices in it.
    pub(super) fn tree(&mut self, from: &Path, name: &Path, looks: Looks) -> Result<(), ArchiveError> {
        let gone =
            || fs::FsError { verb: "read", path: from.to_owned(), source: io::ErrorKind::NotFound.into() };
        let meta = fs::lstat(from)?.ok_or_else(gone)?;
        let kind = meta.file_type();
        let refused = |fault| ArchiveError::CannotPack { path: from.to_owned(), fault };
        let item = if kind.is_dir() {
            Item::Folder { named: true }
        } else if kind.is_file() {
            Item::File { size: meta.len(), digest: [0; 32] }
        } else if kind.is_symlink() {
            let target = fs::link_target(from)?.unwrap_or_default();
            Item::Link(name::parse_target(target.as_os_str().as_bytes()).map_err(refused)?)
        } else {
            return Err(refused(Fault::Special));
        };
        self.push(name, item, Origin::Disk(from.to_owned(), meta, looks))?;
        if kind.is_dir() {
            for entry in fs::list(from)?.into_iter().filter(fs::Entry::is_of_a_source) {
                self.tree(&from.join(&entry.name), &name.join(&entry.name), looks)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &Path, item: Item, origin: Origin) -> Result<(), ArchiveError> {
        let parsed = name::parse(name.as_os_str().as_bytes()).map_err(Rejected::Fault);
        parsed.and_then(|name| self.inventory.admit(&name, item)).map_err(|rejected| {
            let fault = match rejected {
                Rejected::Fault(fault) => fault,
                // Nothing is limited but the numbers' own range.
                Rejected::Exceeded(_) => Fault::LongName,
            };
            let path = if let Origin::Disk(path, ..) = &origin { path.clone() } else { name.to_owned() };
            ArchiveError::CannotPack { path, fault }
        })?;
        self.pieces.push(Piece { name: name.to_owned(), origin });
        Ok(())
    }

    /// The module files that were built, by name.
    pub(super) fn modules(&self) -> Result<BTreeMap<String, Looked>, ArchiveError> {
        let mut modules = BTreeMap::new();
        for piece in &self.pieces {
            let Origin::Disk(path, meta, _) = &piece.origin else { continue };
            let name = piece.name.file_name().and_then(OsStr::to_str).and_then(ModuleFile::from_name);
            if name.is_none() || !meta.is_file() || !piece.name.starts_with(MAIN_TREE) {
                continue;
            }
            let mut sum = Sha256::new();
            // What can't be unpacked is no module; its digest as a file stands with the others.
            if let Ok(end) = each_unsigned(path, &mut |bytes| sum.update(bytes)) {
                let looked =
                    Looked { unsigned: sum.finalize().into(), is_signed: signature_of(&end).is_some() };
                modules.insert(piece.name.to_string_lossy().into_owned(), looked);
            }
        }
        Ok(modules)
    }

    /// Checks that no link leads out of that one of `roots` that it lies in.
    pub(super) fn check_links(&self, roots: &[PathBuf]) -> Result<(), ArchiveError> {
        self.inventory.check_links(roots).map_err(|(name, fault)| {
            let piece = self.pieces.iter().find(|piece| piece.name == name);
            let path = match piece.map(|piece| &piece.origin) {
                Some(Origin::Disk(path, ..)) => path.clone(),
                _ => name,
            };
            ArchiveError::CannotPack { path, fault }
        })
    }

    /// Writes all entries ordered by name, and last ones made when the hashes of all are known.
    pub(super) fn write(
        mut self,
        path: &Path,
        date: u64,
        last: impl FnOnce(&Inventory) -> Result<Vec<(PathBuf, String)>, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let failed = |source: fs::FsError| ArchiveError::Write { archive: path.to_owned(), source };
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let made = !fs::exists(folder);
        fs::create_dir_all(folder).map_err(failed)?;
        let write = || {
            let new = NewFile::create(path).map_err(failed)?;
            self.write_to(new.writer().map_err(failed)?, path, date, last)?;
            new.publish(0o644).map_err(failed)
        };
        let result = write();
        if result.is_err() && made {
            // The first error is the one to tell.
            drop(fs::remove_dir_if_empty(folder));
        }
        result
    }

    fn write_to(
        &mut self,
        file: File,
        archive: &Path,
        date: u64,
        last: impl FnOnce(&Inventory) -> Result<Vec<(PathBuf, String)>, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        self.pieces.sort_by(|a, b| a.name.cmp(&b.name));
        let failed = |source| {
            let source = fs::FsError { verb: "write", path: archive.to_owned(), source };
            ArchiveError::Write { archive: archive.to_owned(), source }
        };
        let mut tar = tar::Builder::new(Encoder::new(Compression::of_suffix(archive), file).map_err(failed)?);
        for piece in &self.pieces {
            if signals::interrupted() {
                return Err(ArchiveError::Interrupted { archive: archive.to_owned() });
            }
            if let Some(digest) = append(&mut tar, piece, date, &failed)? {
                self.inventory.set_digest(&piece.name, digest);
            }
        }
        for (name, text) in last(&self.inventory)? {
            append(&mut tar, &Piece { name, origin: Origin::Text(text) }, date, &failed)?;
        }
        tar.into_inner().and_then(Encoder::finish).map(drop).map_err(failed)
    }
}

/// Appends one entry; the hash of its contents where it is a file on disk.
fn append(
    tar: &mut tar::Builder<Encoder>,
    piece: &Piece,
    date: u64,
    failed: &dyn Fn(io::Error) -> ArchiveError,
) -> Result<Option<Digest>, ArchiveError> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root").and_then(|()| header.set_groupname("root")).map_err(failed)?;
    header.set_mtime(date);
    header.set_size(0);
    let folder = |tar: &mut tar::Builder<Encoder>, mut header: Header, mode: u32| {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(mode);
        // A folder's name ends in a slash.
        tar.append_data(&mut header, piece.name.join(""), io::empty()).map(|()| None).map_err(failed)
    };
    let (path, meta, looks) = match &piece.origin {
        Origin::Folder => return folder(tar, header, 0o755),
        Origin::Text(text) => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            return tar.append_data(&mut header, &piece.name, text.as_bytes()).map(|()| None).map_err(failed);
        }
        Origin::Disk(path, meta, looks) => (path, meta, *looks),
    };
    let kept = looks == Looks::Kept;
    if meta.is_dir() {
        return folder(tar, header, if kept { meta.mode() & 0o777 } else { 0o755 });
    }
    if kept {
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0).min(date));
    }
    if meta.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        let target = fs::link_target(path)?.unwrap_or_default();
        return tar.append_link(&mut header, &piece.name, target).map(|()| None).map_err(failed);
    }
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if kept { meta.mode() & 0o777 } else { 0o644 });
    header.set_size(meta.len());
    let mut contents = Hashed { inner: fs::open(path)?.take(meta.len()), hash: Sha256::new(), count: 0 };
    tar.append_data(&mut header, &piece.name, &mut contents).map_err(failed)?;
    if contents.count < meta.len() {
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read");
        return Err(fs::FsError { verb: "read", path: path.clone(), source }.into());
    }
    Ok(Some(contents.hash.finalize().into()))
}

/// A reader that hashes and counts what goes through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    count: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.count += n as u64;
        Ok(n)
    }
}
