//! What we keep between calls, in `.state` of the tree: what was seen last, and which front
//! end will call again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dkms_base::host::ancestry::ProcessIdentity;
use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;
use dkms_core::tree::state;
use serde::{Deserialize, Serialize};

use crate::view::View;

/// Larger than what a few hundred kernels and modules need.
const LIMIT: u64 = 16 << 20;

fn view_file(layout: &Layout) -> PathBuf {
    layout.state_dir().join("rpm-view.json")
}

fn front_file(layout: &Layout) -> PathBuf {
    layout.state_dir().join("rpm-front.json")
}

/// What was seen last; `None` where nothing was, or what was kept can't be read any more.
#[must_use]
pub fn view(layout: &Layout) -> Option<View> {
    serde_json::from_slice(&fs::read_limited(&view_file(layout), LIMIT).ok()?).ok()
}

/// Keeps what was seen.
///
/// # Errors
/// [`FsError`]; then it is found again the next time.
pub fn keep_view(layout: &Layout, view: &View) -> Result<(), FsError> {
    keep(layout, &view_file(layout), view)
}

/// The process that has promised to call when its transaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Front {
    pid: u32,
    started: u64,
}

/// Notes who will call again.
///
/// # Errors
/// [`FsError`]; then nobody is waited for.
pub fn keep_front(layout: &Layout, process: ProcessIdentity) -> Result<(), FsError> {
    keep(layout, &front_file(layout), &Front { pid: process.pid, started: process.started })
}

/// Who has promised to call.
#[must_use]
pub fn front(layout: &Layout) -> Option<ProcessIdentity> {
    let text = fs::read_limited(&front_file(layout), LIMIT).ok()?;
    let Front { pid, started } = serde_json::from_slice(&text).ok()?;
    Some(ProcessIdentity { pid, started })
}

/// It has called.
pub fn forget_front(layout: &Layout) {
    // What stays is the note of a process that ends now, and means nothing then.
    drop(fs::remove_file(&front_file(layout)));
}

fn going_file(layout: &Layout) -> PathBuf {
    layout.state_dir().join("rpm-going.json")
}

/// Notes the folders of modules' sources that a transaction takes away.
///
/// # Errors
/// [`FsError`]; then they are missed only where our own package goes before them.
pub fn keep_going(layout: &Layout, folders: &BTreeSet<String>) -> Result<(), FsError> {
    match folders.is_empty() {
        true => fs::optional(fs::remove_file(&going_file(layout))).map(drop),
        false => keep(layout, &going_file(layout), folders),
    }
}

/// What was noted, which counts once.
#[must_use]
pub fn take_going(layout: &Layout) -> BTreeSet<String> {
    let text = fs::read_limited(&going_file(layout), LIMIT).unwrap_or_default();
    // What stays is of a transaction that has begun, and the next one notes its own.
    drop(fs::remove_file(&going_file(layout)));
    serde_json::from_slice(&text).unwrap_or_default()
}

fn keep(layout: &Layout, file: &std::path::Path, what: &impl Serialize) -> Result<(), FsError> {
    state::create_folder(layout, &layout.state_dir())?;
    // Plain texts and numbers can always be written as JSON.
    fs::write_whole(file, &serde_json::to_vec(what).unwrap_or_default(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_rubbish_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        assert_eq!((view(&layout), front(&layout)), (None, None));
        let seen = View { meanwhile: ["foo-1".to_owned()].into(), ..View::default() };
        keep_view(&layout, &seen).unwrap();
        assert_eq!(view(&layout), Some(seen));
        let process = ProcessIdentity { pid: 7, started: 8 };
        keep_front(&layout, process).unwrap();
        assert_eq!(front(&layout), Some(process));
        forget_front(&layout);
        assert_eq!(front(&layout), None);
        let folders = BTreeSet::from(["foo-1".to_owned()]);
        keep_going(&layout, &folders).unwrap();
        assert_eq!((take_going(&layout), take_going(&layout)), (folders.clone(), BTreeSet::new()));
        keep_going(&layout, &folders).unwrap();
        keep_going(&layout, &BTreeSet::new()).unwrap();
        assert!(take_going(&layout).is_empty());
        fs::write_whole(&view_file(&layout), b"{\"kernels\": [", 0o644).unwrap();
        assert_eq!(view(&layout), None);
    }
}
