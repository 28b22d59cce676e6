//! What is remembered between the hooks before a transaction and the one after it, and of transactions that
//! never came to that: `.state/pacman.json` in the tree.
//!
//! For each thing that a transaction touches: how it was before. After it, that and what is there now tell
//! what has happened, to whatever looks: the hook, the next transaction's, or the boot service. What is
//! settled is forgotten.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dkms_base::host::ancestry;
use dkms_base::host::fs::{self, FsError};
use dkms_base::id::ModuleId;
use dkms_base::layout::Layout;
use serde::{Deserialize, Serialize};

use crate::owners::Owner;
use crate::targets::{Line, Thing};

/// Larger than any record.
const LIMIT: u64 = 16 << 20;

/// How a thing is that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The package it belongs to, where that is known.
    pub owner: Option<Owner>,
    /// The module whose source it is: name and version.
    pub module: Option<(String, String)>,
}

impl State {
    /// The module whose source it is.
    #[must_use]
    pub fn module(&self) -> Option<ModuleId> {
        let (name, version) = self.module.as_ref()?;
        ModuleId::parse(name, version).ok()
    }
}

/// A run of pacman: the process above us, told apart from a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pid: u32,
    started: u64,
}

impl Transaction {
    /// The one that runs us.
    #[must_use]
    pub fn ours() -> Self {
        let pid = std::os::unix::process::parent_id();
        // Roots without /proc are rare; there the number alone has to do.
        Self { pid, started: ancestry::identity(pid).map_or(0, |process| process.started) }
    }

    /// Whether it goes on.
    #[must_use]
    pub fn runs(self) -> bool {
        self.started != 0
            && ancestry::identity(self.pid).is_some_and(|process| process.started == self.started)
    }
}

/// What is remembered of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// How it was before it was first touched; `None`: it wasn't there.
    pub state: Option<State>,
    /// It was uninstalled because it was about to go.
    #[serde(default)]
    pub taken_out: bool,
    /// Kernels on which the module was in use then.
    #[serde(default)]
    pub used_on: Vec<String>,
    /// The transaction that brings it.
    pub comes_with: Option<Transaction>,
}

/// Everything remembered, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record(pub BTreeMap<Thing, Before>);

impl Record {
    /// What is remembered; nothing where there is no record, or none that can be read.
    #[must_use]
    pub fn load(layout: &Layout) -> Self {
        let bytes = fs::read_limited(&file(layout), LIMIT).unwrap_or_default();
        let known: BTreeMap<String, Before> = serde_json::from_slice(&bytes).unwrap_or_default();
        let thing = |path: String| match Line::parse(path.as_bytes()) {
            Line::Thing(thing) => Some(thing),
            Line::Prebuilt(..) | Line::Ourselves | Line::Odd | Line::Other => None,
        };
        Self(known.into_iter().filter_map(|(path, before)| Some((thing(path)?, before))).collect())
    }

    /// Writes it; nothing to remember is no file.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn save(&self, layout: &Layout) -> Result<(), FsError> {
        let file = file(layout);
        if self.0.is_empty() {
            return fs::optional(fs::remove_file(&file)).map(|_| ());
        }
        fs::create_dir_all(&layout.state_dir())?;
        let by_path: BTreeMap<String, &Before> =
            self.0.iter().map(|(thing, before)| (thing.to_string(), before)).collect();
        // Strings and numbers can always be written as JSON.
        fs::write_whole(&file, &serde_json::to_vec(&by_path).unwrap_or_default(), 0o644)
    }

    /// What a transaction brings.
    pub fn coming(&self, transaction: Transaction) -> impl Iterator<Item = &Thing> {
        self.0
            .iter()
            .filter(move |(_, before)| before.comes_with == Some(transaction))
            .map(|(thing, _)| thing)
    }
}

fn file(layout: &Layout) -> PathBuf {
    layout.state_dir().join("pacman.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        assert_eq!(Record::load(&layout), Record::default());
        Record::default().save(&layout).unwrap();
        let state = State { owner: None, module: Some(("foo".to_owned(), "1.0".to_owned())) };
        let before = Before {
            state: Some(state),
            taken_out: true,
            used_on: vec!["6.1.0".to_owned()],
            comes_with: Some(Transaction::ours()),
        };
        let record = Record([(Thing::Module("foo-1.0".to_owned()), before)].into());
        record.save(&layout).unwrap();
        assert_eq!(Record::load(&layout), record);
        assert_eq!(record.coming(Transaction::ours()).count(), 1);
        fs::write_whole(&file(&layout), b"{\"usr/src/x-1/dkms.conf\":", 0o644).unwrap();
        assert_eq!(Record::load(&layout), Record::default());
        Record::default().save(&layout).unwrap();
        assert!(!fs::exists(&file(&layout)));
    }

    #[test]
    fn a_transaction_is_its_process() {
        assert!(Transaction::ours().runs());
        assert!(!Transaction { pid: std::process::id(), started: 1 }.runs());
    }
}
