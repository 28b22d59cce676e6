//! What is no part of a source: FIFOs, sockets and devices in its folder. Editors and `git fsmonitor` leave
//! them there. Nobody copies or packs them, and a warning names them.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::report::{Event, Reporter};

/// Whose own these are is no part of a source either, and nobody asks for them.
const VERSION_CONTROL: [&str; 4] = [".git", ".hg", ".svn", ".bzr"];

/// So many are named.
const NAMED: usize = 3;

/// Warns of what is left out when a source is copied or packed; `done` says which.
pub(super) fn warn(folder: &Path, done: &str, reporter: &dyn Reporter) {
    let mut found = Vec::new();
    find(folder, Path::new(""), &mut found);
    named(&found.iter().map(|path| folder.join(path)).collect::<Vec<_>>(), done, reporter);
}

/// Warns of these by their names, if there are any; `done` ("copied", "unpacked") says what was left undone.
pub(super) fn named(found: &[PathBuf], done: &str, reporter: &dyn Reporter) {
    if found.is_empty() {
        return;
    }
    let named: Vec<String> = found.iter().take(NAMED).map(|path| format!("`{}`", path.display())).collect();
    let further = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let what = if found.len() == 1 { "is no file, folder or link" } else { "are no files, folders or links" };
    let named = named.join(", ");
    reporter.report(Event::warning(format!("not {done}: {named}{further}, which {what}"), []));
}

/// Those below a folder, by their paths in it. The copy itself reports a folder that can't be listed.
fn find(top: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::list(&top.join(below)).unwrap_or_default() {
        let path = below.join(&entry.name);
        if entry.kind.is_dir() {
            if !VERSION_CONTROL.iter().any(|own| entry.name == *own) {
                find(top, &path, found);
            }
        } else if !entry.is_of_a_source() {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use dkms_base::report::Recorder;

    use super::*;

    #[test]
    fn sockets_are_named_but_not_those_of_version_control() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::default();
        fs::create_dir_all(&dir.path().join(".git")).unwrap();
        fs::create_dir_all(&dir.path().join("src")).unwrap();
        let bind = |name: &str| drop(std::os::unix::net::UnixListener::bind(dir.path().join(name)).unwrap());
        bind(".git/fsmonitor");
        warn(dir.path(), "packed", &recorder);
        assert_eq!(recorder.events(), []);
        ["src/a", "b", "c", "d"].iter().for_each(|name| bind(name));
        warn(dir.path(), "packed", &recorder);
        let told = format!("{:?}", recorder.events());
        assert!(told.contains("/b`, ") && told.contains(" and 1 more, which are no files"), "{told}");
    }
}
