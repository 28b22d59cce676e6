//! Folders shown in the place of others, or over them, without any other isolation.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::{scene, write};

/// Folders put over others, for one process and its children only.
#[derive(Debug, Clone)]
pub struct Overmount {
    /// Where a read-only overlay goes, and its options.
    layers: Vec<(CString, CString)>,
    /// Folders below that are seen as they are without the overlays.
    kept: Vec<CString>,
    shown: Vec<(CString, CString)>,
    dir: CString,
    /// `uid_map` and `gid_map` where we aren't root: the process needs a user namespace then.
    maps: Option<[CString; 2]>,
}

/// Over what, and with what, folders are put.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overmounts<'a> {
    /// What is in the first folder of each is seen over what is in the second, both of them read-only.
    pub layers: &'a [(&'a Path, &'a Path)],
    /// Folders, with all that is mounted in them, that are seen as without the layers, read-only. The kernel
    /// stacks two overlays: in a container, whose files may be one, no further one can be put over what is
    /// seen through a layer.
    pub kept: &'a [&'a Path],
    /// After that each folder is seen at the second path of its pair, which must be a folder too.
    pub shown: &'a [(&'a Path, &'a Path)],
}

impl Overmount {
    /// The process begins in `dir`, looked up after all has been put in place.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn new(wanted: &Overmounts<'_>, dir: &Path) -> Result<Self, std::ffi::NulError> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let uid = rustix::process::geteuid();
        let own = [uid.as_raw(), rustix::process::getegid().as_raw()];
        let maps = (!uid.is_root()).then(|| own.map(|id| CString::new(format!("{id} {id} 1"))));
        let shown = wanted.shown.iter().map(|(folder, over)| Ok((text(folder)?, text(over)?)));
        let layer = |(folder, over): &(&Path, &Path)| {
            let mut options = b"lowerdir=".to_vec();
            options.extend(escaped(folder));
            options.push(b':');
            options.extend(escaped(over));
            Ok((text(over)?, CString::new(options)?))
        };
        Ok(Self {
            layers: wanted.layers.iter().map(layer).collect::<Result<_, std::ffi::NulError>>()?,
            kept: wanted.kept.iter().map(|path| text(path)).collect::<Result<_, _>>()?,
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
        let mut trees: Vec<Option<OwnedFd>> = self.kept.iter().map(|_| None).collect();
        // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly), with
        // strings and room that were made before: nothing is allocated, no lock is taken.
        unsafe { command.pre_exec(move || self.enter(&mut trees).map_err(Into::into)) };
    }

    fn enter(&self, trees: &mut [Option<OwnedFd>]) -> rustix::io::Result<()> {
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
        for (path, tree) in self.kept.iter().zip(&mut *trees) {
            // Where that can't be, it is seen through the layers.
            *tree = scene::taken_read_only(path).ok();
        }
        for (path, options) in &self.layers {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount(c"overlay", path.as_c_str(), c"overlay", flags, Some(options.as_c_str()))?;
        }
        for (path, tree) in self.kept.iter().zip(trees) {
            if let Some(tree) = tree.take() {
                let _ = scene::put(&tree, path);
            }
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
