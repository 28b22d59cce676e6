//! The build cache: results by their inputs key, as they were after strip and before signing and compression.
//!
//! `CACHE/ab/abcdef…/` appears by one rename and is never changed: `manifest.json`, `make.log`,
//! `module/NAME.ko`, and `Module.symvers` where the build made one. Several users may share a cache; each
//! believes only what has the checksum that the manifest says. What was used longest ago goes first when
//! there is too much. Knows nothing of how a key is made.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BuildSpec;
use super::collect::{Products, SYMBOLS};
use super::inputs::{InputsKey, hex};
use crate::conf::Settings;
use crate::host::fs::{self, FsError};
use crate::host::{clock, trusted};
use crate::layout::TEMPORARY_PREFIX;
use crate::report::{Event, Reporter};

/// Grows with every incompatible change.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const LOG: &str = "make.log";
/// Larger than any manifest.
const MANIFEST_LIMIT: u64 = 1 << 20;
/// What is being stored for longer than this was given up. Process numbers say nothing here:
/// containers may share a cache.
const STORING_SECONDS: u64 = 3_600;

/// A folder that may be used.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    max: u64,
}

/// What an entry says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    key: String,
    /// For people.
    module: String,
    kernel: String,
    arch: String,
    /// When it was built, in seconds since 1970.
    when: u64,
    /// By name in the entry.
    files: BTreeMap<String, FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileRecord {
    sha256: String,
    mode: u32,
    /// Seconds and nanoseconds: gzip writes it into what it makes of the file.
    mtime: (i64, i64),
}

/// An entry, read and found sound.
#[derive(Debug)]
pub(super) struct Entry {
    manifest: Manifest,
    place: PathBuf,
    log: String,
}

impl Cache {
    /// The cache that the settings name, made where it isn't there yet. One that others could
    /// write to isn't used.
    pub(super) fn open(settings: &Settings, reporter: &dyn Reporter) -> Option<Self> {
        let folder = settings.build_cache.clone()?;
        let name = folder.display();
        let refuse = |why: String, hint: Option<String>| {
            reporter.report(Event::warning(format!("the build cache `{name}` is not used: {why}"), hint));
            None
        };
        if let Err(error) = fs::create_dir_all(&folder) {
            return refuse(error.to_string(), None);
        }
        let meta = match fs::stat(&folder) {
            Ok(Some(meta)) => meta,
            Ok(None) => return refuse("it is not there".to_owned(), None),
            Err(error) => return refuse(error.to_string(), None),
        };
        let us = rustix::process::geteuid().as_raw();
        if meta.uid() != us {
            return refuse("it belongs to another user".to_owned(), Some(format!("`chown {us} {name}`")));
        }
        if meta.mode() & 0o022 != 0 {
            return refuse("others may write to it".to_owned(), Some(format!("`chmod go-w {name}`")));
        }
        if let Some(fault) = trusted::fault(&folder) {
            return refuse(fault.to_string(), Some(format!("`{}`", fault.mend())));
        }
        Some(Self { folder, max: settings.build_cache_max })
    }

    fn place(&self, key: &InputsKey) -> PathBuf {
        self.folder.join(&key.as_str()[..2]).join(key.as_str())
    }

    /// What is kept under a key, checked byte for byte; an entry that isn't as it was stored is removed.
    pub(super) fn find(
        &self,
        key: &InputsKey,
        spec: &BuildSpec<'_>,
        reporter: &dyn Reporter,
    ) -> Option<Entry> {
        let place = self.place(key);
        if !fs::exists(&place) {
            return None;
        }
        if let Some(fault) = self.stranger_in(&place) {
            let text = format!("`{}` of the build cache is not used: {fault}", place.display());
            reporter.report(Event::warning(text, [format!("`{}`", fault.mend())]));
            return None;
        }
        let fault = match Entry::read(&place, key, spec) {
            Ok(entry) => {
                // For the order in which entries go. One that can't be touched is used anyway.
                let now = i64::try_from(clock::unix_seconds()).unwrap_or(0);
                drop(fs::set_mtime(&place, (now, 0)));
                return Some(entry);
            }
            // Another process has just made room.
            Err(_) if !fs::exists(&place) => return None,
            Err(fault) => fault,
        };
        let text = format!("`{}` of the build cache is damaged, removed: {fault}", place.display());
        reporter.report(Event::warning(text, []));
        // It is found damaged again where it can't be removed.
        drop(fs::discard(&place));
        None
    }

    /// What of an entry, or of the folders above it in the cache, others could write: a user who could may
    /// have made its checksums fit.
    fn stranger_in(&self, place: &Path) -> Option<trusted::Fault> {
        let files = ["", MANIFEST, LOG, SYMBOLS, "module"].map(|name| place.join(name));
        let modules = fs::list(&place.join("module")).unwrap_or_default();
        let modules = modules.into_iter().map(|entry| place.join("module").join(entry.name));
        files.into_iter().chain(modules).find_map(|path| trusted::fault(&path))
    }

    /// Begins to keep what was built, with the log so far. Nothing is visible yet.
    pub(super) fn stage(
        &self,
        key: &InputsKey,
        spec: &BuildSpec<'_>,
        products: &Products,
        log: &str,
    ) -> Result<Staged<'_>, FsError> {
        let place = self.place(key);
        let dir = fs::temporary_beside(&place);
        fs::create_dir_all(&dir.join("module"))?;
        let mut staged = Staged { cache: self, dir, place, size: 0 };
        let mut files = BTreeMap::new();
        for record in spec.conf.included() {
            let path = products.path(record);
            files.extend([staged.keep(&format!("module/{}.ko", record.dest_name), &path)?]);
        }
        let symbols = products.symbols();
        if fs::is_file(&symbols) {
            files.extend([staged.keep(SYMBOLS, &symbols)?]);
        }
        files.insert(LOG.to_owned(), staged.write(LOG, log.as_bytes(), 0o644, (0, 0))?);
        let manifest = Manifest {
            version: FORMAT,
            key: key.to_string(),
            module: spec.id.to_string(),
            kernel: spec.target.kernel.to_string(),
            arch: spec.target.arch.to_string(),
            when: clock::unix_seconds(),
            files,
        };
        // Plain data with texts for keys can always be written as JSON.
        let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        staged.write(MANIFEST, &text, 0o644, (0, 0))?;
        Ok(staged)
    }

    /// Removes what was used longest ago, but for `kept`, until there is no more than may be.
    fn make_room(&self, kept: &Path) -> Result<(), FsError> {
        let mut entries = Vec::new();
        for group in fs::list(&self.folder)?.into_iter().filter(|entry| entry.kind.is_dir()) {
            let group = self.folder.join(group.name);
            for entry in fs::list(&group)?.into_iter().filter(|entry| entry.kind.is_dir()) {
                let path = group.join(&entry.name);
                // It may have gone since.
                let Some(meta) = fs::lstat(&path)? else { continue };
                let is_temporary = entry.name.as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes());
                if is_temporary {
                    let age = clock::unix_seconds().saturating_sub(u64::try_from(meta.mtime()).unwrap_or(0));
                    if age > STORING_SECONDS {
                        fs::remove_any(&path)?;
                    }
                } else {
                    entries.push(((meta.mtime(), meta.mtime_nsec()), path.clone(), size_of(&path)?));
                }
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, _, size)| size).sum();
        for (_, path, size) in entries {
            if total <= self.max {
                break;
            }
            if path != kept {
                fs::discard(&path)?;
                total -= size;
            }
        }
        Ok(())
    }
}

/// The bytes in an entry's files.
fn size_of(dir: &Path) -> Result<u64, FsError> {
    let mut size = 0;
    for entry in fs::list(dir)? {
        let path = dir.join(&entry.name);
        size += if entry.kind.is_dir() {
            size_of(&path)?
        } else {
            fs::lstat(&path)?.map_or(0, |meta| meta.len())
        };
    }
    Ok(size)
}

/// The checksum of a file's content.
fn digest(path: &Path) -> Result<String, FsError> {
    let mut sum = Sha256::new();
    let io = |source| FsError { verb: "read", path: path.to_owned(), source };
    std::io::copy(&mut fs::open(path)?, &mut sum).map_err(io)?;
    Ok(hex(&sum.finalize()))
}

/// Why an entry is of no use.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error("its manifest is not one of ours")]
    Manifest,
    #[error("`{0}` is not what was stored")]
    Changed(String),
    #[error("`{0}` is missing")]
    Missing(String),
}

impl Entry {
    fn read(place: &Path, key: &InputsKey, spec: &BuildSpec<'_>) -> Result<Self, Damage> {
        let text = fs::read_limited(&place.join(MANIFEST), MANIFEST_LIMIT)?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| Damage::Manifest)?;
        if manifest.version != FORMAT || manifest.key != key.as_str() {
            return Err(Damage::Manifest);
        }
        // Its names are compared with those that we look for, never used.
        let modules = spec.conf.included().map(|record| format!("module/{}.ko", record.dest_name));
        let mut wanted: Vec<String> = modules.chain([LOG.to_owned()]).collect();
        if manifest.files.contains_key(SYMBOLS) {
            wanted.push(SYMBOLS.to_owned());
        }
        for name in wanted {
            let Some(record) = manifest.files.get(&name) else { return Err(Damage::Missing(name)) };
            if digest(&place.join(&name))? != record.sha256 {
                return Err(Damage::Changed(name));
            }
        }
        let log = fs::read_lossy(&place.join(LOG))?;
        Ok(Self { manifest, place: place.to_owned(), log })
    }

    /// What make and strip had left. Files are copied rather than kept in memory, so the entry may have gone
    /// meanwhile: then this is `false`.
    pub(super) fn restore(&self, spec: &BuildSpec<'_>, products: &Products) -> Result<bool, FsError> {
        for record in spec.conf.included() {
            if !self.put(&format!("module/{}.ko", record.dest_name), &products.path(record))? {
                return Ok(false);
            }
        }
        self.put(SYMBOLS, &products.symbols())
    }

    fn put(&self, name: &str, path: &Path) -> Result<bool, FsError> {
        let Some(record) = self.manifest.files.get(name) else { return Ok(true) };
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        if fs::optional(fs::copy_file(&self.place.join(name), path))?.is_none()
            || digest(path)? != record.sha256
        {
            return Ok(false);
        }
        fs::set_mode(path, record.mode & 0o777)?;
        fs::set_mtime(path, record.mtime)?;
        Ok(true)
    }

    /// The log of the build that this was, headed by a line that says so.
    pub(super) fn log(&self) -> String {
        let date = clock::rfc2822(self.manifest.when);
        format!(
            "# taken from the build cache, where it is since {date} (inputs {})\n{}",
            self.manifest.key, self.log
        )
    }
}

/// A result on its way into the cache. Dropped before it is published, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    cache: &'a Cache,
    dir: PathBuf,
    place: PathBuf,
    size: u64,
}

impl Staged<'_> {
    fn keep(&mut self, name: &str, path: &Path) -> Result<(String, FileRecord), FsError> {
        let meta = fs::stat(path)?;
        let (mode, mtime) =
            meta.map_or((0o644, (0, 0)), |meta| (meta.mode() & 0o777, (meta.mtime(), meta.mtime_nsec())));
        self.size += fs::stat(path)?.map_or(0, |meta| meta.len());
        if self.size <= self.cache.max {
            fs::copy_content(path, &self.dir.join(name), 0o644)?;
        }
        Ok((name.to_owned(), FileRecord { sha256: digest(path)?, mode, mtime }))
    }

    fn write(
        &mut self,
        name: &str,
        bytes: &[u8],
        mode: u32,
        mtime: (i64, i64),
    ) -> Result<FileRecord, FsError> {
        self.size += bytes.len() as u64;
        if self.size <= self.cache.max {
            fs::write_whole(&self.dir.join(name), bytes, 0o644)?;
        }
        Ok(FileRecord { sha256: hex(&Sha256::digest(bytes)), mode, mtime })
    }

    /// Makes it an entry, then frees space for it. What is larger than the whole cache may be isn't kept.
    pub(super) fn publish(self) -> Result<(), FsError> {
        if self.size > self.cache.max {
            return Ok(());
        }
        fs::sync_folder_of(&self.dir.join("module/x"))?;
        fs::sync_folder_of(&self.dir.join("x"))?;
        if !fs::rename_new(&self.dir, &self.place)? && !self.is_same() {
            fs::replace(&self.dir, &self.place)?;
        }
        // Another process may free space at the same time.
        fs::optional(self.cache.make_room(&self.place)).map(|_| ())
    }

    /// Whether what is there under this key has the same files: then those who are reading it
    /// needn't be disturbed.
    fn is_same(&self) -> bool {
        let files = |dir: &Path| {
            let text = fs::read_limited(&dir.join(MANIFEST), MANIFEST_LIMIT).ok()?;
            let mut files = serde_json::from_slice::<Manifest>(&text).ok()?.files;
            files.remove(LOG);
            Some(files.into_iter().map(|(name, record)| (name, record.sha256)).collect::<Vec<_>>())
        };
        files(&self.dir).is_some_and(|ours| Some(ours) == files(&self.place))
    }
}

impl Drop for Staged<'_> {
    /// Takes away what was not published, or what was exchanged for it.
    fn drop(&mut self) {
        drop(fs::remove_any(&self.dir));
    }
}
