//! Temporary names (`.tmp_*`, see [`fs::temporary_beside`]) that processes left which are gone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fs::{self, FsError, Listed};
use super::{ancestry, clock, root};
use crate::layout::{EXPOSED, TEMPORARY_PREFIX};

/// Removes every temporary of a dead process in a folder, and in what is at most `depth` folders below it.
///
/// # Errors
/// [`FsError`] of the first that stays.
pub fn sweep_folder(dir: &Path, depth: usize) -> Result<(), FsError> {
    each_temporary(dir, depth, Closed::Fails, &Listed::default(), &mut |path| {
        put_back_exposed(path)?;
        fs::remove_any(path)
    })
}

/// A build without mounts died while its `POST_BUILD` saw the result at `M/V/K/A`: what was
/// there before is put back.
fn put_back_exposed(private: &Path) -> Result<(), FsError> {
    let Ok(Some(target)) = fs::link_target(&private.join(EXPOSED)) else { return Ok(()) };
    // `M/V/.tmp_…` beside `M/V/K/A`.
    if target.parent().and_then(Path::parent) != private.parent() {
        return Ok(());
    }
    let earlier = private.join("earlier");
    if fs::exists(&earlier) || !fs::exists(&private.join("result")) {
        fs::remove_any(&target)?;
    }
    if fs::exists(&earlier) { fs::rename(&earlier, &target) } else { Ok(()) }
}

/// Whether there is one that [`sweep_folder`] would remove, in folders as they were or are listed.
///
/// # Errors
/// [`FsError`] when a folder can't be listed.
pub fn has_temporaries(dir: &Path, depth: usize, listed: &Listed) -> Result<bool, FsError> {
    let mut found = false;
    each_temporary(dir, depth, Closed::Fails, listed, &mut |_| {
        found = true;
        Ok(())
    })?;
    Ok(found)
}

/// Those that [`sweep_folder`] would remove. Folders that the caller may not enter count as empty.
///
/// # Errors
/// [`FsError`] when a folder can't be listed.
pub fn abandoned(dir: &Path, depth: usize) -> Result<Vec<PathBuf>, FsError> {
    let mut found = Vec::new();
    each_temporary(dir, depth, Closed::IsEmpty, &Listed::default(), &mut |path| {
        found.push(path.to_owned());
        Ok(())
    })?;
    Ok(found)
}

/// What a folder below the first one is, that the caller may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Fails,
    IsEmpty,
}

fn each_temporary(
    dir: &Path,
    depth: usize,
    closed: Closed,
    listed: &Listed,
    then: &mut dyn FnMut(&Path) -> Result<(), FsError>,
) -> Result<(), FsError> {
    for entry in listed.list(dir)?.iter() {
        match entry.name.to_str().and_then(|name| name.strip_prefix(TEMPORARY_PREFIX)) {
            Some(_) => {
                let path = dir.join(&entry.name);
                // Another user's, who still runs, or a name that isn't ours, stays.
                if is_abandoned(&path) && !may_be_at_work(&path)? {
                    then(&path)?;
                }
            }
            None if entry.kind.is_dir() && depth > 0 && !is_foreign(&entry.name) => {
                match each_temporary(&dir.join(&entry.name), depth - 1, closed, listed, then) {
                    Err(error) if closed == Closed::IsEmpty && error.is_permission() => {}
                    result => result?,
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether a path has a temporary name of ours, and the process that gave it is gone.
#[must_use]
pub fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let pid = name.strip_prefix(TEMPORARY_PREFIX).and_then(|rest| rest.split('_').next());
    pid.and_then(|pid| pid.parse().ok()).is_some_and(ancestry::is_gone)
}

/// Below `--root` the processes of other commands can't be seen: what they made of late counts as theirs.
fn may_be_at_work(path: &Path) -> Result<bool, FsError> {
    const LATE: u64 = 3600;
    if !root::is_entered() {
        return Ok(false);
    }
    let made = fs::lstat(path)?.map_or(0, |meta| u64::try_from(meta.ctime()).unwrap_or(0));
    Ok(clock::unix_seconds().saturating_sub(made) < LATE)
}

/// Folders of a version that hold no temporaries of ours, and may be large.
fn is_foreign(name: &std::ffi::OsStr) -> bool {
    ["build", "module", "log"].iter().any(|known| name == *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_command_has_in_its_folder_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (alive, gone) = (std::process::id(), 4_000_000);
        let at = |name: String| dir.path().join(name);
        // The kernel's build makes folders of such names, with numbers that mean nothing outside of a
        // sandbox.
        for name in
            [format!("{alive}_5_build/build/.tmp_{gone}"), format!("{gone}_5_build/build"), format!("{gone}")]
        {
            fs::create_dir_all(&at(format!("{TEMPORARY_PREFIX}{name}"))).unwrap();
        }
        fs::create_dir_all(&at(format!("1.0/build/{TEMPORARY_PREFIX}{gone}"))).unwrap();
        let mut found = abandoned(dir.path(), 4).unwrap();
        found.sort();
        let expected = [format!("{gone}"), format!("{gone}_5_build")];
        assert_eq!(found, expected.map(|name| at(format!("{TEMPORARY_PREFIX}{name}"))));
    }

    #[test]
    fn what_cannot_be_removed_is_no_closed_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(&dir.path().join(format!("1.0/{TEMPORARY_PREFIX}4000000"))).unwrap();
        let mut kept = |path: &Path| {
            let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
            Err(FsError { verb: "remove", path: path.to_owned(), source })
        };
        assert!(each_temporary(dir.path(), 4, Closed::Fails, &Listed::default(), &mut kept).is_err());
    }
}
