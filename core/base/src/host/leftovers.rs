//! Temporary names (`.tmp_*`, see [`fs::temporary_beside`]) that processes left which are gone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::fs::{self, FsError};
use super::{ancestry, clock, root};
use crate::layout::{EXPOSED, TEMPORARY_PREFIX};

/// Removes every temporary of a dead process in a folder, and in what is at most `depth` folders below it.
///
/// # Errors
/// [`FsError`] of the first that stays.
pub fn sweep_folder(dir: &Path, depth: usize) -> Result<(), FsError> {
    each_temporary(dir, depth, &mut |path| {
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

/// Whether there is one that [`sweep_folder`] would remove.
///
/// # Errors
/// [`FsError`] when a folder can't be listed.
pub fn has_temporaries(dir: &Path, depth: usize) -> Result<bool, FsError> {
    let mut found = false;
    each_temporary(dir, depth, &mut |_| {
        found = true;
        Ok(())
    })?;
    Ok(found)
}

fn each_temporary(
    dir: &Path,
    depth: usize,
    then: &mut dyn FnMut(&Path) -> Result<(), FsError>,
) -> Result<(), FsError> {
    for entry in fs::list(dir)? {
        let path = dir.join(&entry.name);
        match entry.name.to_str().and_then(|name| name.strip_prefix(TEMPORARY_PREFIX)) {
            Some(rest) if is_abandoned(rest) && !may_be_at_work(&path)? => then(&path)?,
            // Another user's, who still runs, or a name that isn't ours.
            Some(_) => {}
            None if entry.kind.is_dir() && depth > 0 && !is_foreign(&entry.name) => {
                each_temporary(&path, depth - 1, then)?;
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether what follows the prefix is the number of a process that is gone.
fn is_abandoned(rest: &str) -> bool {
    let number = rest.split('_').next().and_then(|number| number.parse().ok());
    number.is_some_and(ancestry::is_gone)
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
