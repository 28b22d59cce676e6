//! What is held: `.state/boot/K.json`, written before the change and removed after it was taken back.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::fs::{self, FsError};
use crate::host::leftovers::sweep_folder;
use crate::id::KernelRelease;
use crate::layout::Layout;
use crate::tree::state;

/// No journal is larger.
const LIMIT: u64 = 1 << 20;

/// How far a change has come. A command that is killed leaves one of the first two; the next one finishes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is about to be held.
    Holding,
    /// It is about to be released.
    Releasing,
    /// It is held.
    #[default]
    Held,
}

/// A change of a boot configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How: `systemd-boot`, `grub-top-level`, `grub-saved`.
    pub layer: String,
    /// What was: the path of the entry, the content of our file (none), the saved entry.
    pub before: Option<String>,
    /// What is now.
    pub after: String,
    /// Further entries of the same kernel, each before and after.
    #[serde(default)]
    pub more: Vec<(String, String)>,
    /// The reason.
    pub why: String,
    /// Seconds since 1970.
    pub when: u64,
    /// By the admin's own command.
    #[serde(default)]
    pub by_hand: bool,
    /// How far it has come.
    #[serde(default)]
    pub stage: Stage,
}

impl Hold {
    /// Every path of an entry that was renamed, before and after.
    #[must_use]
    pub fn renames(&self) -> Vec<(PathBuf, PathBuf)> {
        let first = self.before.iter().map(|before| (before, &self.after));
        let more = self.more.iter().map(|(before, after)| (before, after));
        first.chain(more).map(|(before, after)| (before.into(), after.into())).collect()
    }
}

fn folder(layout: &Layout) -> PathBuf {
    layout.state_dir().join("boot")
}

fn file(layout: &Layout, kernel: &KernelRelease) -> PathBuf {
    folder(layout).join(format!("{kernel}.json"))
}

/// A file that can't be read, and the reason.
pub type Unreadable = (PathBuf, String);

/// Everything that is held, as far as it can be read.
#[must_use]
pub fn all(layout: &Layout) -> Vec<(KernelRelease, Hold)> {
    read(layout).0
}

/// Everything that is held, and the files that say so but can't be read, each with the reason: then more may
/// be held.
#[must_use]
pub fn read(layout: &Layout) -> (Vec<(KernelRelease, Hold)>, Vec<Unreadable>) {
    let (mut holds, mut unreadable) = (Vec::new(), Vec::new());
    for (path, read) in files(folder(layout)) {
        match read {
            Ok(hold) => holds.push(hold),
            Err(why) => unreadable.push((path, why)),
        }
    }
    (holds, unreadable)
}

fn files(folder: PathBuf) -> impl Iterator<Item = (PathBuf, Result<(KernelRelease, Hold), String>)> {
    let names = fs::list(&folder).unwrap_or_default().into_iter().map(|entry| entry.name);
    names.filter_map(move |name| {
        let path = folder.join(&name);
        let kernel = path.file_stem().filter(|_| path.extension().is_some_and(|end| end == "json"))?;
        let read = || {
            let name = kernel.to_str().ok_or("its name is no kernel's")?;
            let kernel = KernelRelease::new(name).map_err(|error| error.to_string())?;
            let text = fs::read_limited(&path, LIMIT).map_err(|error| error.source.to_string())?;
            Ok((kernel, serde_json::from_slice(&text).map_err(|error| error.to_string())?))
        };
        let read = read();
        Some((path, read))
    })
}

/// Removes what a killed command has begun to write.
///
/// # Errors
/// [`FsError`].
pub(super) fn sweep(layout: &Layout) -> Result<(), FsError> {
    match fs::is_dir(&folder(layout)) {
        true => sweep_folder(&folder(layout), 0),
        false => Ok(()),
    }
}

/// Notes a change that is about to be made.
///
/// # Errors
/// [`FsError`]; then it must not be made.
pub fn note(layout: &Layout, kernel: &KernelRelease, hold: &Hold) -> Result<(), FsError> {
    state::create_folder(layout, &folder(layout))?;
    // Texts can always be written as JSON.
    fs::write_whole(&file(layout, kernel), &serde_json::to_vec_pretty(hold).unwrap_or_default(), 0o644)
}

/// Forgets a change that was taken back.
///
/// # Errors
/// [`FsError`].
pub fn forget(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    fs::optional(fs::remove_file(&file(layout, kernel))).map(drop)
}

/// The last kernel on which every critical module was there.
#[must_use]
pub fn last_good(layout: &Layout) -> Option<KernelRelease> {
    KernelRelease::new(fs::read_lossy(&folder(layout).join("last-good")).ok()?.trim()).ok()
}

/// Remembers it.
///
/// # Errors
/// [`FsError`].
pub fn is_good(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    if last_good(layout).as_ref() == Some(kernel) {
        return Ok(());
    }
    state::create_folder(layout, &folder(layout))?;
    let place: &Path = &folder(layout).join("last-good");
    fs::write_whole(place, format!("{kernel}\n").as_bytes(), 0o644)
}
