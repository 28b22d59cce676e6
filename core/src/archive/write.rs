//! `mktarball`: a source and what was built from it become one file, byte for byte the same each time. Written under a
//! temporary name and renamed when whole.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::compression::{Compression, Encoder};
use super::contents::{BINARIES_ONLY, MAIN_TREE, SOURCE_TREE};
use super::error::{ArchiveError, Fault};
use super::inventory::{Inventory, Item, Rejected};
use super::limits::Limits;
use super::manifest::{BuildRecord, MANIFEST, Manifest};
use super::name;
use crate::host::{fs, signals};
use crate::id::{ModuleId, ModuleName, Target};
use crate::layout::Layout;

/// What goes into a tarball.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// The source alone; targets count for nothing.
    SourceOnly,
    /// The source and what was built for the targets.
    SourceAndBinaries,
    /// What was built for the targets, and the dkms.conf.
    BinariesOnly,
}

/// A tarball to write.
#[derive(Debug)]
pub struct TarballSpec<'a> {
    /// The trees.
    pub layout: &'a Layout,
    /// Of which module.
    pub id: &'a ModuleId,
    /// What goes in.
    pub contents: Contents,
    /// For which kernels, in the order in which the name has them.
    pub targets: &'a [Target],
    /// `--archive`: a name without a folder lies in the tree like the default; its suffix picks the compression.
    pub file: Option<&'a Path>,
    /// `SOURCE_DATE_EPOCH`; without it the newest file of the source gives the time.
    pub source_date: Option<u64>,
}

impl TarballSpec<'_> {
    /// The file that is written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let folder = self.layout.version_dir(self.id).join("tarball");
        match self.file {
            Some(file) if file.components().count() > 1 || file.is_absolute() => file.to_owned(),
            // `./x` is one component to `Path`, and yet names a folder.
            Some(file) if file.as_os_str().as_bytes().contains(&b'/') => file.to_owned(),
            Some(file) => folder.join(file),
            None => folder.join(self.default_name()),
        }
    }

    fn default_name(&self) -> String {
        /// A longer list of kernels makes no file name.
        const LONGEST_LIST: usize = 200;
        let id = self.id.dir_name();
        if self.contents == Contents::SourceOnly {
            return format!("{id}-source-only.dkms.tar.gz");
        }
        let kernels: String = self
            .distinct_targets()
            .iter()
            .map(|target| format!("-kernel{}-{}", target.kernel, target.arch))
            .collect();
        let list = if kernels.len() > LONGEST_LIST { "-manykernels" } else { &kernels };
        format!("{id}{list}.dkms.tar.gz")
    }

    fn distinct_targets(&self) -> Vec<&Target> {
        let mut distinct: Vec<&Target> = Vec::new();
        for target in self.targets {
            if self.contents != Contents::SourceOnly && !distinct.contains(&target) {
                distinct.push(target);
            }
        }
        distinct
    }
}

/// Writes a tarball and says where.
///
/// # Errors
/// [`ArchiveError::NotBuilt`] for a kernel without built modules, [`ArchiveError::CannotPack`] for what no reader of ours
/// would take, [`ArchiveError::Write`]; nothing partial is left.
pub fn write(spec: &TarballSpec<'_>) -> Result<PathBuf, ArchiveError> {
    let targets = spec.distinct_targets();
    for target in &targets {
        if !fs::is_dir(&spec.layout.built_dir(spec.id, target)) {
            return Err(ArchiveError::NotBuilt { id: spec.id.clone(), target: (*target).clone() });
        }
    }
    let source = fs::canonical(&spec.layout.source_link(spec.id))?;
    let mut packing = Packing { pieces: Vec::new(), inventory: Inventory::new(limits()) };
    packing.gather(spec, &targets, &source)?;
    let date = match spec.source_date {
        Some(date) => date,
        None => newest(&source)?,
    };
    let records = targets.iter().map(|target| record(spec, target)).collect::<Result<Vec<_>, _>>()?;
    let path = spec.path();
    packing.write(&path, spec.id, date, records)?;
    Ok(path)
}

/// What we pack is on this disk already; only what is read from elsewhere is measured.
fn limits() -> Limits {
    Limits { bytes: u64::MAX, entries: usize::MAX, name_bytes: usize::MAX, ..Limits::default() }
}

/// Where a piece of the archive comes from.
enum Origin {
    /// A file, folder or link on disk.
    Disk(PathBuf, Metadata),
    /// Text that we make.
    Text(String),
}

/// One entry to write.
struct Piece {
    name: PathBuf,
    origin: Origin,
    /// Whether it keeps mode and time; what was built has those of the build, which are nobody's business.
    kept: bool,
}

/// The entries of an archive in the making, held to the rules of a reader.
struct Packing {
    pieces: Vec<Piece>,
    inventory: Inventory,
}

impl Packing {
    fn gather(
        &mut self,
        spec: &TarballSpec<'_>,
        targets: &[&Target],
        source: &Path,
    ) -> Result<(), ArchiveError> {
        let mut roots = Vec::new();
        self.folder(Path::new(MAIN_TREE), &spec.layout.version_dir(spec.id))?;
        for target in targets {
            let built = spec.layout.target_dir(spec.id, target);
            let name = Path::new(MAIN_TREE).join(&target.kernel).join(&target.arch);
            self.folder(&name, &built)?;
            for entry in fs::list(&built)? {
                let packed = matches!(entry.name.to_str(), Some("module" | "log"))
                    || dependency(&entry.name).is_some();
                if packed {
                    self.tree(&built.join(&entry.name), &name.join(&entry.name), false)?;
                }
            }
            roots.push(name);
        }
        if spec.contents == Contents::BinariesOnly {
            let name = Path::new(BINARIES_ONLY);
            self.folder(name, source)?;
            self.text(&name.join("PACKAGE_NAME"), format!("{}\n", spec.id.name))?;
            self.text(&name.join("PACKAGE_VERSION"), format!("{}\n", spec.id.version))?;
            // Where the conf is a link, what it leads to: the rest of the source stays behind.
            let conf = fs::canonical(&source.join("dkms.conf"))?;
            self.tree(&conf, &name.join("dkms.conf"), true)?;
        } else {
            self.tree(source, Path::new(SOURCE_TREE), true)?;
            roots.push(SOURCE_TREE.into());
        }
        self.pieces.sort_by(|a, b| a.name.cmp(&b.name));
        self.inventory.check_links(&roots).map_err(|(name, fault)| {
            let piece = self.pieces.iter().find(|piece| piece.name == name);
            let path = match piece.map(|piece| &piece.origin) {
                Some(Origin::Disk(path, _)) => path.clone(),
                _ => name,
            };
            ArchiveError::CannotPack { path, fault }
        })
    }

    /// A folder by itself, looking like `like`.
    fn folder(&mut self, name: &Path, like: &Path) -> Result<(), ArchiveError> {
        let meta = required(like)?;
        self.push(name, Item::Folder { named: true }, Origin::Disk(like.to_owned(), meta), false)
    }

    fn text(&mut self, name: &Path, text: String) -> Result<(), ArchiveError> {
        let item = Item::File { size: text.len() as u64, digest: Sha256::digest(&text).into() };
        self.push(name, item, Origin::Text(text), false)
    }

    /// A file, link or whole folder.
    fn tree(&mut self, from: &Path, name: &Path, kept: bool) -> Result<(), ArchiveError> {
        let meta = required(from)?;
        let refused = |fault| Err(ArchiveError::CannotPack { path: from.to_owned(), fault });
        let kind = meta.file_type();
        let item = if kind.is_dir() {
            Item::Folder { named: true }
        } else if kind.is_file() {
            Item::File { size: meta.len(), digest: [0; 32] }
        } else if kind.is_symlink() {
            let target = fs::link_target(from)?.unwrap_or_default();
            match name::parse_target(target.as_os_str().as_bytes()) {
                Ok(target) => Item::Link(target),
                Err(fault) => return refused(fault),
            }
        } else {
            return refused(Fault::UnknownKind(format!("{kind:?}")));
        };
        self.push(name, item, Origin::Disk(from.to_owned(), meta), kept)?;
        if kind.is_dir() {
            for entry in fs::list(from)? {
                self.tree(&from.join(&entry.name), &name.join(&entry.name), kept)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &Path, item: Item, origin: Origin, kept: bool) -> Result<(), ArchiveError> {
        let path = match &origin {
            Origin::Disk(path, _) => path.clone(),
            Origin::Text(_) => name.to_owned(),
        };
        let parsed = name::parse(name.as_os_str().as_bytes()).map_err(Rejected::Fault);
        match parsed.and_then(|name| self.inventory.admit(&name, item)) {
            Ok(()) => {}
            Err(Rejected::Fault(fault)) => return Err(ArchiveError::CannotPack { path, fault }),
            // Unlimited, as `limits` says.
            Err(Rejected::Exceeded(_)) => {
                return Err(ArchiveError::CannotPack { path, fault: Fault::LongName });
            }
        }
        self.pieces.push(Piece { name: name.to_owned(), origin, kept });
        Ok(())
    }

    fn write(
        mut self,
        path: &Path,
        id: &ModuleId,
        date: u64,
        records: Vec<BuildRecord>,
    ) -> Result<(), ArchiveError> {
        let failed = |source: fs::FsError| ArchiveError::Write { archive: path.to_owned(), source };
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let made = !fs::exists(folder);
        fs::create_dir_all(folder).map_err(failed)?;
        let temporary = fs::temporary_beside(path);
        let result = self
            .write_to(&temporary, path, id, date, records)
            .and_then(|()| fs::rename(&temporary, path).map_err(failed));
        if result.is_err() {
            // The first error is the one to tell.
            drop(fs::remove_file(&temporary));
            if made {
                drop(fs::remove_dir_if_empty(folder));
            }
        }
        result
    }

    fn write_to(
        &mut self,
        temporary: &Path,
        archive: &Path,
        id: &ModuleId,
        date: u64,
        records: Vec<BuildRecord>,
    ) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::Write {
            archive: archive.to_owned(),
            source: fs::FsError { verb: "write", path: archive.to_owned(), source },
        };
        let file = fs::create_new(temporary, 0o644)
            .map_err(|source| ArchiveError::Write { archive: archive.to_owned(), source })?;
        let encoder = Encoder::new(Compression::of_suffix(archive), file).map_err(failed)?;
        let mut tar = tar::Builder::new(encoder);
        for piece in &self.pieces {
            if signals::interrupted() {
                return Err(ArchiveError::Interrupted { archive: archive.to_owned() });
            }
            if let Some(digest) = append(&mut tar, piece, date, archive)? {
                self.inventory.set_digest(&piece.name, digest);
            }
        }
        let manifest = Manifest::of(&self.inventory, id.name.to_string(), id.version.to_string(), records);
        // Strings and maps of strings always serialise.
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
        let piece = Piece { name: MANIFEST.into(), origin: Origin::Text(text), kept: false };
        append(&mut tar, &piece, date, archive)?;
        let file = tar.into_inner().and_then(Encoder::finish).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::set_mode(temporary, 0o644)
            .map_err(|source| ArchiveError::Write { archive: archive.to_owned(), source })
    }
}

fn required(path: &Path) -> Result<Metadata, ArchiveError> {
    let missing =
        || fs::FsError { verb: "read", path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
    Ok(fs::lstat(path)?.ok_or_else(missing)?)
}

/// Appends one entry; the hash of its contents where it is a file.
fn append(
    tar: &mut tar::Builder<Encoder>,
    piece: &Piece,
    date: u64,
    archive: &Path,
) -> Result<Option<[u8; 32]>, ArchiveError> {
    let failed = |source| ArchiveError::Write {
        archive: archive.to_owned(),
        source: fs::FsError { verb: "write", path: archive.to_owned(), source },
    };
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root").and_then(|()| header.set_groupname("root")).map_err(failed)?;
    header.set_mtime(date);
    header.set_size(0);
    let (path, meta) = match &piece.origin {
        Origin::Text(text) => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, &piece.name, text.as_bytes()).map_err(failed)?;
            return Ok(None);
        }
        Origin::Disk(path, meta) => (path, meta),
    };
    if piece.kept && !meta.is_dir() {
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0).min(date));
    }
    if meta.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(if piece.kept { meta.mode() & 0o777 } else { 0o755 });
        // A folder's name ends in a slash.
        tar.append_data(&mut header, piece.name.join(""), io::empty()).map_err(failed)?;
        return Ok(None);
    }
    if meta.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        let target = fs::link_target(path)?.unwrap_or_default();
        tar.append_link(&mut header, &piece.name, target).map_err(failed)?;
        return Ok(None);
    }
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if piece.kept { meta.mode() & 0o777 } else { 0o644 });
    header.set_size(meta.len());
    let mut contents = Hashed { inner: fs::open(path)?.take(meta.len()), hash: Sha256::new(), count: 0 };
    tar.append_data(&mut header, &piece.name, &mut contents).map_err(failed)?;
    if contents.count < meta.len() {
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read");
        return Err(fs::FsError { verb: "read", path: path.clone(), source }.into());
    }
    Ok(Some(contents.hash.finalize().into()))
}

/// A reader that hashes what goes through it.
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

/// The module that a note `.dep_D` is about.
fn dependency(file: &std::ffi::OsStr) -> Option<ModuleName> {
    ModuleName::new(file.to_str()?.strip_prefix(".dep_")?).ok()
}

/// What a build depended on, from its notes.
fn record(spec: &TarballSpec<'_>, target: &Target) -> Result<BuildRecord, ArchiveError> {
    let built = spec.layout.target_dir(spec.id, target);
    let mut record = BuildRecord {
        kernel: target.kernel.to_string(),
        arch: target.arch.to_string(),
        depends: std::collections::BTreeMap::new(),
    };
    for entry in fs::list(&built)? {
        if let Some(name) = dependency(&entry.name) {
            let version = fs::read_lossy(&built.join(&entry.name))?;
            record.depends.insert(name.to_string(), version.trim_end().to_owned());
        }
    }
    Ok(record)
}

/// The newest time of a file below a folder, in seconds.
fn newest(folder: &Path) -> Result<u64, ArchiveError> {
    let mut newest = 0;
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        let time = if entry.kind.is_dir() {
            self::newest(&path)?
        } else {
            u64::try_from(required(&path)?.mtime()).unwrap_or(0)
        };
        newest = newest.max(time);
    }
    Ok(newest)
}
