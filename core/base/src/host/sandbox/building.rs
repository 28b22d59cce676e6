//! The list of what is taken and done to make a view, and the steps that need nothing of it.

use std::ffi::{CString, NulError};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Gid;

use crate::host::{fs, memory, trusted};
use crate::sys::{Act, Tree};

/// The devices that every program may expect.
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Where files that are to be unreadable lead to.
pub(super) const NOTHING: &str = "/dev/.nothing";

/// What is taken from the system, and what is done with it, in order.
#[derive(Default)]
pub(super) struct Building {
    pub(super) trees: Vec<Tree>,
    pub(super) acts: Vec<Act>,
}

impl Building {
    /// A tree of the system that is seen at `at`.
    pub(super) fn tree(
        &mut self,
        from: &Path,
        at: &Path,
        is_writable: bool,
        has_devices: bool,
    ) -> Result<(), NulError> {
        // What leads where its maker may not look is not shown.
        let Ok(path) = trusted::resolved(from) else { return Ok(()) };
        self.acts.push(Act::Tree(self.trees.len(), text(at)?));
        self.trees.push(Tree { path: text(&path)?, is_writable, has_devices, owners: None });
        Ok(())
    }

    /// The same, with other owners.
    pub(super) fn mapped(&mut self, from: &Path, at: &Path, owners: usize) -> Result<(), NulError> {
        self.acts.push(Act::Tree(self.trees.len(), text(at)?));
        self.trees.push(Tree {
            path: text(from)?,
            is_writable: false,
            has_devices: false,
            owners: Some(owners),
        });
        Ok(())
    }
}

/// The groups that one must be in to use these devices.
pub(super) fn groups_of(devices: &[PathBuf]) -> Vec<Gid> {
    use std::os::unix::fs::MetadataExt;
    let meta = devices.iter().filter_map(|device| fs::stat(device).ok().flatten());
    let of_groups = meta.filter(|meta| meta.mode() & 0o060 == 0o060 && meta.gid() != 0);
    of_groups.map(|meta| Gid::from_raw(meta.gid())).collect()
}

/// `/dev` with what every program may expect, and further devices.
pub(super) fn devices(further: &[PathBuf], scene: &mut Building) -> Result<(), NulError> {
    scene.acts.push(new_tmpfs(Path::new("/dev"), "mode=0755,size=1m,nr_inodes=1k".to_owned())?);
    let usual = DEVICES.iter().map(Path::new);
    for device in usual.chain(further.iter().map(PathBuf::as_path)).filter(|device| fs::exists(device)) {
        scene.acts.push(Act::File(text(device)?, 0o666));
        scene.tree(device, device, true, true)?;
    }
    for (name, to) in [
        ("/dev/fd", c"/proc/self/fd"),
        ("/dev/stdin", c"/proc/self/fd/0"),
        ("/dev/stdout", c"/proc/self/fd/1"),
        ("/dev/stderr", c"/proc/self/fd/2"),
    ] {
        scene.acts.push(Act::Link(text(Path::new(name))?, to.to_owned()));
    }
    scene.acts.extend([
        Act::File(text(Path::new(NOTHING))?, 0),
        Act::Folder(text(Path::new("/dev/shm"))?, None),
        new_tmpfs(Path::new("/dev/shm"), "mode=1777,size=5%,nr_inodes=20k".to_owned())?,
    ]);
    Ok(())
}

/// A fifth of the memory, and no more than compilers ever need.
pub(super) fn scratch_size() -> u64 {
    let memory = memory::total().unwrap_or(0);
    (memory / 5).clamp(64 << 20, 1 << 30)
}

pub(super) fn new_tmpfs(path: &Path, options: String) -> Result<Act, NulError> {
    Ok(Act::New(c"tmpfs", text(path)?, CString::new(options)?))
}

pub(super) fn text(path: &Path) -> Result<CString, NulError> {
    CString::new(path.as_os_str().as_bytes())
}
