//! Folders shown in the place of others, or over them, without any other isolation.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::{scene, write};

/// Folders put over others, for one process and its children only.
#[derive(Debug, Clone)]
pub struct Overmount {
    /// Where a read-only overlay goes, and its options.
    layers: Vec<(CString, CString)>,
    shown: Vec<(CString, CString)>,
    dir: CString,
    /// `uid_map` and `gid_map` where we aren't root: the process needs a user namespace then.
    maps: Option<[CString; 2]>,
}

impl Overmount {
    /// First shows what is in the first folder of each of `layers` over what is in the second, both of them
    /// read-only; then each folder of `shown` at the second path of its pair, which must be a folder too. The
    /// process begins in `dir`, looked up after that.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn new(
        layers: &[(&Path, &Path)],
        shown: &[(&Path, &Path)],
        dir: &Path,
    ) -> Result<Self, std::ffi::NulError> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let uid = rustix::process::geteuid();
        let own = [uid.as_raw(), rustix::process::getegid().as_raw()];
        let maps = (!uid.is_root()).then(|| own.map(|id| CString::new(format!("{id} {id} 1"))));
        let shown = shown.iter().map(|(folder, over)| Ok((text(folder)?, text(over)?)));
        let layer = |(folder, over): &(&Path, &Path)| {
            let mut options = b"lowerdir=".to_vec();
            options.extend(escaped(folder));
            options.push(b':');
            options.extend(escaped(over));
            Ok((text(over)?, CString::new(options)?))
        };
        Ok(Self {
            layers: layers.iter().map(layer).collect::<Result<_, std::ffi::NulError>>()?,
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
        use rustix::mount::MountFlags;
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
        for (path, options) in &self.layers {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount(c"overlay", path.as_c_str(), c"overlay", flags, Some(options.as_c_str()))?;
        }
        for (folder, over) in &self.shown {
            rustix::mount::mount_bind_recursive(folder.as_c_str(), over.as_c_str())?;
        }
        rustix::process::chdir(self.dir.as_c_str())
    }
}

/// A path among the options of an overlay, where colons and commas separate.
fn escaped(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text
}
