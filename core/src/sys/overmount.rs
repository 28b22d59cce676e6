//! A folder shown in another's place, without any other wall.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::write;

/// A folder put over another, for one process and its children only.
#[derive(Debug, Clone)]
pub struct Overmount {
    folder: CString,
    over: CString,
    dir: CString,
    /// `uid_map` and `gid_map` where we aren't root: the process needs a user namespace then.
    maps: Option<[CString; 2]>,
}

impl Overmount {
    /// Shows `folder` at `over`, which must be a folder too; the process begins in `dir`, looked up after that.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn new(folder: &Path, over: &Path, dir: &Path) -> Result<Self, std::ffi::NulError> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let uid = rustix::process::geteuid();
        let own = [uid.as_raw(), rustix::process::getegid().as_raw()];
        let maps = (!uid.is_root()).then(|| own.map(|id| CString::new(format!("{id} {id} 1"))));
        Ok(Self {
            folder: text(folder)?,
            over: text(over)?,
            dir: text(dir)?,
            maps: match maps {
                Some([uid, gid]) => Some([uid?, gid?]),
                None => None,
            },
        })
    }

    /// Has the process of `command` see it; where that can't be, the process doesn't start.
    pub fn apply_to(self, command: &mut std::process::Command) {
        // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly), with strings that
        // were made before: nothing is allocated, no lock is taken.
        unsafe { command.pre_exec(move || self.enter().map_err(Into::into)) };
    }

    fn enter(&self) -> rustix::io::Result<()> {
        use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
        use rustix::thread::UnshareFlags;
        let flags = match self.maps {
            Some(_) => UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
            None => UnshareFlags::NEWNS,
        };
        // SAFETY: a child between fork and exec has one thread, and no file descriptor table is shared or unshared.
        unsafe { rustix::thread::unshare_unsafe(flags)? };
        if let Some([uid, gid]) = &self.maps {
            write(c"/proc/self/setgroups", c"deny")?;
            write(c"/proc/self/uid_map", uid)?;
            write(c"/proc/self/gid_map", gid)?;
        }
        mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        mount_bind_recursive(self.folder.as_c_str(), self.over.as_c_str())?;
        rustix::process::chdir(self.dir.as_c_str())
    }
}
