//! What an install or uninstall is about to change, written down before: a file in `.state/journal`,
//! a line for each step.
//!
//! The first line says who changes what; then each step, before it is made; last, that all is to stay. A
//! line is whole before its step begins, so a torn last line means nothing. What the steps do,
//! [`super::changes`] knows.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Place;
use super::changes::Entry;
use crate::host::ancestry::{self, ProcessIdentity};
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, ModuleName, Target};
use crate::layout::Layout;
use crate::tree::state;

/// The format of these files.
const VERSION: u32 = 1;

/// No journal of ours is longer; what is, isn't one.
const LONGEST: u64 = 64 << 20;

/// Who changes what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    version: u32,
    pid: u32,
    started: u64,
    module: String,
    module_version: String,
    kernel: String,
    arch: String,
    /// Whether a depmod was to follow.
    depmod: bool,
}

/// A journal that is being written; the file is made with the first line.
#[derive(Debug)]
pub(super) struct Journal {
    layout: Layout,
    path: PathBuf,
    head: Head,
    file: Option<File>,
    /// Whether its name is on disk for certain.
    named: bool,
}

impl Journal {
    pub(super) fn new(place: &Place<'_>) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let ProcessIdentity { pid, started } = ancestry::own();
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let target = place.target();
        let head = Head {
            version: VERSION,
            pid,
            started,
            module: place.id.name.to_string(),
            module_version: place.id.version.to_string(),
            kernel: target.kernel.to_string(),
            arch: target.arch.to_string(),
            depmod: place.owes_depmod,
        };
        // The start time, so that a reused number doesn't meet an old file. The module comes
        // last: it may hold dots.
        let name = format!("{pid}-{started}.{unique}.{}", place.id.name);
        let path = place.layout.journal_dir().join(name);
        Self { layout: place.layout.clone(), path, head, file: None, named: false }
    }

    fn failed(&self, source: impl Into<std::io::Error>) -> FsError {
        FsError { verb: "write", path: self.path.clone(), source: source.into() }
    }

    /// Writes steps down, in one piece; not yet on disk for certain.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), FsError> {
        let mut text = String::new();
        if self.file.is_none() {
            state::create_folder(&self.layout, &self.layout.journal_dir())?;
            self.file = Some(fs::create_new(&self.path, 0o644)?);
            text = serde_json::to_string(&self.head).map_err(|error| self.failed(error))? + "\n";
        }
        for entry in entries {
            text += &serde_json::to_string(entry).map_err(|error| self.failed(error))?;
            text.push('\n');
        }
        fs::death::point();
        match self.file.as_mut().map(|file| file.write_all(text.as_bytes())) {
            Some(Err(error)) => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// What was written is on disk for certain.
    pub(super) fn sync(&mut self) -> Result<(), FsError> {
        fs::death::point();
        if let Some(Err(error)) = self.file.as_ref().map(File::sync_data) {
            return Err(self.failed(error));
        }
        if !self.named && self.file.is_some() {
            fs::sync_folder_of(&self.path)?;
            self.named = true;
        }
        Ok(())
    }

    /// All is done, and there is nothing left to remember. A journal that can't be removed
    /// is finished once more.
    pub(super) fn remove(self) {
        if self.file.is_some() {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// A journal that another command has left.
#[derive(Debug)]
pub(super) struct Left {
    /// The file.
    pub(super) path: PathBuf,
    /// What was changed.
    pub(super) id: ModuleId,
    /// For which kernel.
    pub(super) target: Target,
    /// Whether a depmod was to follow.
    pub(super) depmod: bool,
    /// The steps, in order.
    pub(super) entries: Vec<Entry>,
}

/// All journals that can be read.
pub(super) fn left(layout: &Layout) -> Result<Vec<Left>, FsError> {
    let files = fs::list(&layout.journal_dir())?.into_iter().filter(|entry| entry.kind.is_file());
    Ok(files.filter_map(|entry| read(&layout.journal_dir().join(entry.name))).collect())
}

/// Journals in which not even the first line is whole, with their modules: nothing was begun.
pub(super) fn unbegun(layout: &Layout) -> Result<Vec<(PathBuf, ModuleName)>, FsError> {
    let unbegun = |entry: fs::Entry| {
        let module = entry.name.to_str()?.splitn(3, '.').nth(2)?;
        let path = layout.journal_dir().join(&entry.name);
        let text = fs::read_limited(&path, LONGEST).ok()?;
        (!text.contains(&b'\n')).then_some((path, ModuleName::new(module).ok()?))
    };
    Ok(fs::list(&layout.journal_dir())?.into_iter().filter_map(unbegun).collect())
}

/// `None` where it says nothing that could be believed.
fn read(path: &Path) -> Option<Left> {
    let text = String::from_utf8(fs::read_limited(path, LONGEST).ok()?).ok()?;
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    if head.version != VERSION {
        return None;
    }
    // A step that can't be read was never begun, and neither was what follows it.
    let entries = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
    Some(Left {
        path: path.to_owned(),
        id: ModuleId::parse(&head.module, &head.module_version).ok()?,
        target: Target::parse(&head.kernel, &head.arch).ok()?,
        depmod: head.depmod,
        entries,
    })
}
