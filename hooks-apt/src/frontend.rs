//! Whether a process stands above us that calls us once more at the end of its run: apt, and all that is
//! made of its library.
//!
//! Before dpkg runs, apt calls the preflight through a shell; that leaves `.state/frontend`, which
//! names apt's process.

use std::path::PathBuf;

use dkms_base::host::ancestry::{self, ProcessIdentity};
use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;
use dkms_core::tree::state;

/// No note reaches it.
const LIMIT: u64 = 4096;

fn note(layout: &Layout) -> PathBuf {
    layout.state_dir().join("frontend")
}

/// Notes who has started the shell that has started us. Where that can't be known, nobody is noted.
///
/// # Errors
/// [`FsError`]; then hooks say at once what they have to say.
pub fn begins(layout: &Layout) -> Result<(), FsError> {
    let Some(ProcessIdentity { pid, started }) = ancestry::grandparent() else { return Ok(()) };
    state::create_folder(layout, &layout.state_dir())?;
    fs::write_whole(&note(layout), format!("{pid} {started}\n").as_bytes(), 0o644)
}

/// Whether that process still stands above us.
#[must_use]
pub fn is_above(layout: &Layout) -> bool {
    above(layout).is_some()
}

fn above(layout: &Layout) -> Option<ProcessIdentity> {
    let text = fs::read_limited(&note(layout), LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    parse(&text).filter(|noted| ancestry::ancestors().contains(noted))
}

/// What tells this run from others: the process of apt, or the dpkg above us where nobody has noted an apt.
/// `None` where none can be seen.
#[must_use]
pub fn run(layout: &Layout) -> Option<String> {
    let is_dpkg = |process: &ProcessIdentity| {
        let line = ancestry::command_line(process.pid).unwrap_or_default();
        line.split(' ').next().is_some_and(|program| program.rsplit('/').next() == Some("dpkg"))
    };
    let process = above(layout).or_else(|| ancestry::ancestors().into_iter().find(is_dpkg))?;
    Some(format!("{} {}", process.pid, process.started))
}

/// Its run ends.
pub fn ends(layout: &Layout) {
    // A note that stays names a process that is soon gone.
    drop(fs::remove_file(&note(layout)));
}

fn parse(text: &str) -> Option<ProcessIdentity> {
    let (pid, started) = text.trim().split_once(' ')?;
    Some(ProcessIdentity { pid: pid.parse().ok()?, started: started.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_lives_and_stands_above_us_counts() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        assert!(!is_above(&layout));
        begins(&layout).unwrap();
        assert!(is_above(&layout));
        let parent = ancestry::grandparent().unwrap();
        for text in [format!("{} 1", parent.pid), "nonsense".to_owned(), String::new()] {
            fs::write_whole(&note(&layout), text.as_bytes(), 0o644).unwrap();
            assert!(!is_above(&layout), "{text}");
        }
        begins(&layout).unwrap();
        ends(&layout);
        assert!(!is_above(&layout));
    }
}
