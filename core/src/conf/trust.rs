//! What root reads should be root's: files and folders whose owner or mode lets somebody else decide what root runs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::fs;
use crate::host::process::quote;
use crate::report::Event;

/// A warning for each path that is there and that somebody other than root could change; none unless we are root ourselves.
#[must_use]
pub fn warnings<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<Event> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    paths.into_iter().filter_map(warning).collect()
}

fn warning(path: &Path) -> Option<Event> {
    let meta = fs::stat(path).ok()??;
    let (foreign, open) = (meta.uid() != 0, meta.mode() & 0o022 != 0);
    let shown = path.display();
    let word = quote(&path.to_string_lossy());
    let (fault, mend) = match (foreign, open) {
        (false, false) => return None,
        (true, false) => ("is not owned by root", format!("chown root {word}")),
        (false, true) => ("is writable by group or others", format!("chmod go-w {word}")),
        (true, true) => (
            "is not owned by root and writable by group or others",
            format!("chown root {word} && chmod go-w {word}"),
        ),
    };
    Some(Event::warning(
        format!("`{shown}` {fault}: whoever may write it decides what root runs"),
        [format!("mend it with `{mend}`")],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_may_change_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let (good, open) = (dir.path().join("good"), dir.path().join("open"));
        fs::write_whole(&good, b"", 0o644).unwrap();
        fs::write_whole(&open, b"", 0o664).unwrap();
        assert_eq!(warning(&dir.path().join("missing")), None);
        assert!(rustix::process::geteuid().is_root(), "the tests run as root");
        assert_eq!(warning(&good), None);
        assert!(
            matches!(warning(&open), Some(Event::Warning { text, .. }) if text.contains("group or others"))
        );
    }
}
