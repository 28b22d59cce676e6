//! Summaries that nobody has seen yet: a batch that runs in the middle of a package transaction leaves its
//! own here, and who is called at the transaction's end says it as the last thing.
//!
//! `.state/unsaid/N.json`, in order of N. What can't be read as such isn't there.

use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;
use dkms_core::tree::state;

use super::Summary;

/// Larger than any summary.
const LIMIT: u64 = 1 << 20;

/// Leaves a summary for [`take`]; an empty one is none.
///
/// # Errors
/// [`FsError`]; then it should be reported at once.
pub fn leave(layout: &Layout, summary: &Summary) -> Result<(), FsError> {
    if summary.is_empty() {
        return Ok(());
    }
    let dir = layout.unsaid_dir();
    state::create_folder(layout, &dir)?;
    let next = numbers(layout).last().map_or(1, |last| last + 1);
    // Texts can always be written as JSON. Two batches don't run at once in one transaction.
    let text = serde_json::to_vec(summary).unwrap_or_default();
    fs::write_whole(&dir.join(format!("{next}.json")), &text, 0o644)
}

/// All that was left, taken away.
#[must_use]
pub fn take(layout: &Layout) -> Summary {
    let mut all = Summary::default();
    for number in numbers(layout) {
        let file = layout.unsaid_dir().join(format!("{number}.json"));
        let text = fs::read_limited(&file, LIMIT).unwrap_or_default();
        // What can't be taken away would be reported for ever.
        if fs::remove_file(&file).is_ok() {
            all = all.and(serde_json::from_slice(&text).unwrap_or_default());
        }
    }
    all
}

fn numbers(layout: &Layout) -> Vec<u64> {
    let names = fs::list(&layout.unsaid_dir()).unwrap_or_default();
    let number = |entry: fs::Entry| entry.name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
    let mut numbers: Vec<u64> =
        names.into_iter().filter_map(number).filter(|number| *number < u64::MAX).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let of = |line: &str| Summary { done: vec![line.to_owned()], ..Summary::default() };
        leave(&layout, &of("one")).unwrap();
        leave(&layout, &Summary::default()).unwrap();
        leave(&layout, &of("two")).unwrap();
        fs::write_whole(&layout.unsaid_dir().join("7.json"), b"{nonsense", 0o644).unwrap();
        assert_eq!(take(&layout).done, ["one", "two"]);
        assert!(take(&layout).is_empty());
        assert!(fs::list(&layout.unsaid_dir()).unwrap().is_empty());
    }
}
