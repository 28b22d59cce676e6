//! What is in folders: every entry's name, kind, execute bit, link target and content, in byte order;
//! and what their links lead to outside of them. Each real folder is visited once. Knows nothing of
//! what the folders are.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::{Digest, Hasher, InputsError, is_executable};
use crate::host::fs;

/// More entries, or bytes, are a link to a whole system or a kernel built in place: not worth
/// reading before every build.
const MOST_ENTRIES: usize = 400_000;
const MOST_BYTES: u64 = 4 << 30;

/// How many files are read at once: hashing is fast, and the rest is waiting for the kernel.
const THREADS: usize = 2;

/// Whether the times of files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Never: what a package manager or a checkout puts there again is the same.
    Never,
    /// Where something is among them that make can think it has made: by times it decides
    /// whether to make it again.
    WhereMade,
}

/// One entry.
struct Item {
    /// The folder's label and the path in it; of what only a link leads to, the real path.
    name: PathBuf,
    kind: Kind,
}

enum Kind {
    File(PathBuf),
    Link(PathBuf),
    Folder,
    Other,
}

/// What a file is.
struct Content {
    digest: Digest,
    executable: bool,
    mtime: (i64, i64),
}

/// The digest of folders, each with the label that its entries have.
pub(super) fn digest(roots: Vec<(String, PathBuf)>, times: Times) -> Result<Digest, InputsError> {
    let mut walk = Walk::new(roots);
    walk.run()?;
    let items = walk.items;
    let files: Vec<&Path> = items
        .iter()
        .filter_map(|item| match &item.kind {
            Kind::File(path) => Some(path.as_path()),
            _ => None,
        })
        .collect();
    let contents = read_all(&files)?;
    let with_times = times == Times::WhereMade && items.iter().any(|item| is_made(&item.name));
    let mut contents = contents.into_iter();
    let mut hasher = Hasher::new();
    for item in &items {
        hasher.path("name", &item.name);
        match &item.kind {
            Kind::Folder => hasher.field("folder", ""),
            Kind::Other => hasher.field("other", ""),
            Kind::Link(target) => hasher.path("link", target),
            Kind::File(_) => {
                let Some(Content { digest, executable, mtime }) = contents.next() else { break };
                hasher.field(if executable { "program" } else { "file" }, digest);
                if with_times {
                    hasher.field("time", format!("{mtime:?}"));
                }
            }
        }
    }
    Ok(hasher.finish())
}

/// The digest of one file.
pub(super) fn file(path: &Path) -> Result<Digest, InputsError> {
    Ok(read(path, &mut vec![0; BUFFER], &AtomicU64::new(0))?.digest)
}

/// The same without reading files: which they are, how large, and when they were changed.
pub(super) fn digest_of_stat(roots: Vec<(String, PathBuf)>) -> Result<Digest, InputsError> {
    let mut walk = Walk::new(roots);
    walk.run()?;
    let mut hasher = Hasher::new();
    for item in &walk.items {
        hasher.path("name", &item.name);
        match &item.kind {
            Kind::Folder => hasher.field("folder", ""),
            Kind::Other => hasher.field("other", ""),
            Kind::Link(target) => hasher.path("link", target),
            Kind::File(path) => hasher.field("file", file_stat(path)?),
        }
    }
    Ok(hasher.finish())
}

/// What the file system says of a file.
pub(super) fn file_stat(path: &Path) -> Result<Digest, InputsError> {
    let mut hasher = Hasher::new();
    if let Some(meta) = fs::stat(path)? {
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        hasher.field(
            "file",
            format!("{} {} {} {} {times:?}", meta.dev(), meta.ino(), meta.size(), meta.mode()),
        );
    }
    Ok(hasher.finish())
}

/// Whether make could take it for something that it has made.
fn is_made(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    [&b".o"[..], b".a", b".ko", b".cmd", b".mod", b".mod.c", b".order"].iter().any(|end| name.ends_with(end))
}

struct Walk {
    items: Vec<Item>,
    /// Folders to visit: label and real path.
    pending: Vec<(String, PathBuf)>,
    /// Real folders that were visited, or will be with all below them.
    roots: Vec<PathBuf>,
    visited: BTreeSet<PathBuf>,
    /// Real files that links lead to.
    linked: BTreeSet<PathBuf>,
}

impl Walk {
    fn new(roots: Vec<(String, PathBuf)>) -> Self {
        Self {
            items: Vec::new(),
            roots: roots.iter().map(|(_, path)| path.clone()).collect(),
            pending: roots.into_iter().rev().collect(),
            visited: BTreeSet::new(),
            linked: BTreeSet::new(),
        }
    }

    fn run(&mut self) -> Result<(), InputsError> {
        while let Some((label, root)) = self.pending.pop() {
            self.folder(Path::new(&label), &root)?;
        }
        for path in std::mem::take(&mut self.linked) {
            self.items.push(Item { name: path.clone(), kind: Kind::File(path) });
        }
        Ok(())
    }

    fn folder(&mut self, name: &Path, dir: &Path) -> Result<(), InputsError> {
        if !self.visited.insert(dir.to_owned()) {
            return Ok(());
        }
        self.items.push(Item { name: name.to_owned(), kind: Kind::Folder });
        for entry in fs::list(dir)? {
            if self.items.len() >= MOST_ENTRIES {
                return Err(InputsError::TooMuch(dir.to_owned()));
            }
            let (name, path) = (name.join(&entry.name), dir.join(&entry.name));
            if entry.kind.is_dir() {
                self.folder(&name, &path)?;
            } else if entry.kind.is_file() {
                self.items.push(Item { name, kind: Kind::File(path) });
            } else if entry.kind.is_symlink() {
                self.link(name, &path)?;
            } else {
                self.items.push(Item { name, kind: Kind::Other });
            }
        }
        Ok(())
    }

    fn link(&mut self, name: PathBuf, path: &Path) -> Result<(), InputsError> {
        let target = fs::link_target(path)?.unwrap_or_default();
        self.items.push(Item { name, kind: Kind::Link(target) });
        // One that leads nowhere, or in a circle, has nothing behind it.
        let Ok(real) = fs::canonical(path) else { return Ok(()) };
        if self.roots.iter().any(|root| real.starts_with(root)) {
            return Ok(());
        }
        if fs::is_dir(&real) {
            self.roots.push(real.clone());
            self.pending.insert(0, (real.to_string_lossy().into_owned(), real));
        } else if fs::is_file(&real) {
            self.linked.insert(real);
        }
        Ok(())
    }
}

const BUFFER: usize = 128 << 10;

/// Reads files side by side; what they are is in their order.
fn read_all(files: &[&Path]) -> Result<Vec<Content>, InputsError> {
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> Result<Vec<(usize, Content)>, InputsError> {
        let mut buffer = vec![0; BUFFER];
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(place) else { return Ok(done) };
            done.push((place, read(path, &mut buffer, &bytes)?));
        }
    };
    let threads = THREADS.min(files.len() / 64 + 1);
    let parts: Vec<Result<Vec<(usize, Content)>, InputsError>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let joined = others.into_iter().map(|other| match other.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(joined).collect()
    });
    let mut contents = Vec::with_capacity(files.len());
    for part in parts {
        contents.extend(part?);
    }
    contents.sort_unstable_by_key(|(place, _)| *place);
    Ok(contents.into_iter().map(|(_, content)| content).collect())
}

fn read(path: &Path, buffer: &mut [u8], total: &AtomicU64) -> Result<Content, InputsError> {
    let mut file = fs::open(path)?;
    let failed = |source| fs::FsError { verb: "read", path: path.to_owned(), source };
    let meta = file.metadata().map_err(failed)?;
    let mut hash = Sha256::new();
    loop {
        let count = match file.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            result => result.map_err(failed)?,
        };
        if count == 0 {
            break;
        }
        if total.fetch_add(count as u64, Ordering::Relaxed) > MOST_BYTES {
            return Err(InputsError::TooMuch(path.to_owned()));
        }
        hash.update(&buffer[..count]);
    }
    Ok(Content {
        digest: hash.finalize().into(),
        executable: is_executable(&meta),
        mtime: (meta.mtime(), meta.mtime_nsec()),
    })
}
