//! Folders shown in the place of others, without any other isolation.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::{scene, write};

/// Folders put over others, for one process and its children only.
#[derive(Debug, Clone)]
pub struct Overmount {
    shown: Vec<(CString, CString)>,
    dir: CString,
    /// `uid_map` and `gid_map` where we aren't root: the process needs a user namespace then.
    maps: Option<[CString; 2]>,
}

impl Overmount {
    /// Shows each folder at the second path of its pair, which must be a folder too; the process begins in
    /// `dir`, looked up after that.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn new(shown: &[(&Path, &Path)], dir: &Path) -> Result<Self, std::ffi::NulError> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let uid = rustix::process::geteuid();
        let own = [uid.as_raw(), rustix::process::getegid().as_raw()];
        let maps = (!uid.is_root()).then(|| own.map(|id| CString::new(format!("{id} {id} 1"))));
        let shown = shown.iter().map(|(folder, over)| Ok((text(folder)?, text(over)?)));
        Ok(Self {
            shown: shown.collect::<Result<_, std::ffi::NulError>>()?,
            dir: text(dir)?,
            maps: match maps {
                Some([uid, gid]) => Some([uid?, gid?]),
                None => None,
            },
        })
    }

    /// Has the process of `command` see it; if that is not possible, the process doesn't start.
    pub fn apply_to(self, command: &mut std::process::Command) {
        // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly), with
        // strings that were made before: nothing is allocated, no lock is taken.
        unsafe { command.pre_exec(move || self.enter().map_err(Into::into)) };
    }

    fn enter(&self) -> rustix::io::Result<()> {
        use rustix::thread::UnshareFlags;
        if let Some([uid, gid]) = &self.maps {
            // SAFETY: a child between fork and exec has one thread, and no file descriptor table
            // is shared or unshared.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER)? };
            write(c"/proc/self/setgroups", c"deny")?;
            write(c"/proc/self/uid_map", uid)?;
            write(c"/proc/self/gid_map", gid)?;
        }
        scene::begin(false)?;
        for (folder, over) in &self.shown {
            rustix::mount::mount_bind_recursive(folder.as_c_str(), over.as_c_str())?;
        }
        rustix::process::chdir(self.dir.as_c_str())
    }
}
