//! What a sandboxed process sees: a list of mounts that was made before, carried out in a mount
//! namespace of its own.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::{Errno, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, move_mount, open_tree,
};
use rustix::thread::UnshareFlags;

use super::child::{errno, number};
use super::idmap::mapped_tree;
use super::plain::open_plain;
use super::report::{Report, Wall};

/// What is there to be seen, and where.
#[derive(Debug)]
pub struct Scene {
    /// What is taken from the system as it is, before anything is hidden.
    pub trees: Vec<Tree>,
    /// User namespaces that say as whose the files of some trees are shown.
    pub owners: Vec<OwnedFd>,
    /// The folders, in `trees`, that the process works in, and where it must see them.
    pub folders: Vec<(CString, CString)>,
    /// What is done one after the other, once everything else is read-only.
    pub acts: Vec<Act>,
    /// Without its own mounts it can't work: it is shown a folder in another's place.
    pub is_needed: bool,
    /// It is in the network that we are in.
    pub shares_network: bool,
}

/// A part of the system, with all that is mounted below it.
#[derive(Debug)]
pub struct Tree {
    /// Its path, without links.
    pub path: CString,
    /// Whether it can be written.
    pub is_writable: bool,
    /// Whether devices work there.
    pub has_devices: bool,
    /// The place in [`Scene::owners`] of those that it is shown with; read-only then.
    pub owners: Option<usize>,
}

/// A step on the way to a scene.
#[derive(Debug)]
pub enum Act {
    /// A folder, if there is none; with its owner where that isn't us.
    Folder(CString, Option<(Uid, Gid)>),
    /// An empty file.
    File(CString, u32),
    /// An empty file, if there is none.
    Empty(CString),
    /// A symbolic link, and where it leads.
    Link(CString, CString),
    /// A new file system: of what kind, where, with which options.
    New(&'static CStr, CString, CString),
    /// A tree by its place in the list.
    Tree(usize, CString),
    /// What is here already, at a second place.
    Again(CString, CString),
    /// A file system that shows a folder, with these options; where that can't be, the folder stays as it is.
    Layer(CString, CString),
    /// As [`Act::Layer`], over what the user of the sandbox could not read otherwise: where it
    /// can't be, that is reported.
    Cover(CString, CString),
    /// Read-only from now on.
    ReadOnly(CString),
}

/// A mount namespace of its own, from which nothing gets back; with a `/proc` of the new pid namespace.
pub(super) fn begin(has_pid_namespace: bool) -> Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    match mount_change(c"/", private) {
        Err(Errno::INVAL) => leave_chroot_for(|| mount_change(c"/", private))?,
        result => result?,
    }
    if has_pid_namespace {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        mount(c"proc", c"/proc", c"proc", flags, Some(c""))?;
    }
    Ok(())
}

/// Does something at the root of the mount namespace, which in a chroot isn't `/`.
fn leave_chroot_for(act: impl FnOnce() -> Result<()>) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, Mode::empty())?;
    leave_chroot()?;
    let result = act();
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(c".")?;
    result
}

/// Goes to the root of the mount namespace.
pub(super) fn leave_chroot() -> Result<()> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?;
    // SAFETY: it is given a descriptor that is open. Entering the mount namespace that it is in already
    // makes its root ours.
    if unsafe { libc::setns(number(&own), libc::CLONE_NEWNS) } == -1 {
        return Err(errno());
    }
    Ok(())
}

/// The namespaces that can be made at any time.
pub(super) fn unshare_others(scene: &Scene, report: &Report) {
    for (flag, wall) in [(UnshareFlags::NEWNET, Wall::Network), (UnshareFlags::NEWIPC, Wall::Ipc)] {
        let is_shared = wall == Wall::Network && scene.shares_network;
        if !is_shared && let Err(errno) = unshare(flag) {
            report.missing(wall, errno);
        }
    }
    // Names of the machine and of control groups are no secret, and can't be changed without rights.
    let _ = unshare(UnshareFlags::NEWUTS);
    let _ = unshare(UnshareFlags::NEWCGROUP);
}

fn unshare(flag: UnshareFlags) -> Result<()> {
    // SAFETY: this process has one thread, and no flag of ours is about its table of descriptors.
    unsafe { rustix::thread::unshare_unsafe(flag) }
}

/// What a process has of its scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No mounts of its own.
    Nothing,
    /// Its folder.
    Folder,
    /// A read-only system, with everything else in its place.
    Scene,
}

/// Builds the scene; what isn't as it should be is reported. Leaves the process in its folder.
pub(super) fn build(scene: &Scene, dir: &CStr, report: &Report, trees: &mut [Option<OwnedFd>]) -> Standing {
    let told = |result: Result<()>| {
        if let Err(errno) = result {
            report.missing(Wall::Files, errno);
        }
    };
    let standing = match walled(scene, trees) {
        Ok(()) => {
            for act in &scene.acts {
                let wall = if matches!(act, Act::Cover(..)) { Wall::Inputs } else { Wall::Files };
                if let Err(errno) = act.carry_out(trees) {
                    report.missing(wall, errno);
                }
            }
            Standing::Scene
        }
        Err(errno) => {
            report.missing(Wall::Files, errno);
            let shown = |(folder, seen): &(CString, CString)| {
                folder == seen || mount_bind_recursive(folder.as_c_str(), seen.as_c_str()).is_ok()
            };
            if scene.folders.iter().all(shown) { Standing::Folder } else { Standing::Nothing }
        }
    };
    told(rustix::process::chdir(dir));
    standing
}

/// Finds a scene as another process has left it, with a further folder, taken before where that could be.
/// Leaves the process in its folder. Gives the further folder as it is seen, for rules about it.
///
/// That process may have put links on the way to both: none is followed, since this one has rights that are
/// not to lead elsewhere.
///
/// # Errors
/// Where the folder, or the place of the further one, can't be reached without a link.
pub(super) fn come_again(
    further: Option<&(CString, CString)>,
    dir: &CStr,
    trees: &mut [Option<OwnedFd>],
) -> Result<Option<OwnedFd>> {
    let mut shown = None;
    if let Some((folder, seen)) = further {
        let tree = match trees.first_mut().and_then(Option::take) {
            Some(tree) => tree,
            None => taken(folder)?,
        };
        let place = open_plain(seen, OFlags::PATH | OFlags::DIRECTORY)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, c"", &place, c"", flags)?;
        shown = Some(tree);
    }
    rustix::process::fchdir(open_plain(dir, OFlags::PATH | OFlags::DIRECTORY)?)?;
    Ok(shown)
}

/// A folder that can be written, to be shown elsewhere.
pub(super) fn taken(folder: &CStr) -> Result<OwnedFd> {
    let tree = take(folder)?;
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    change_attributes(number(&tree), c"", (attributes, libc::MOUNT_ATTR_RDONLY), libc::AT_RECURSIVE)?;
    Ok(tree)
}

/// A folder as it is, with all that is mounted in it, to be shown again where others are put over it.
pub(super) fn taken_read_only(folder: &CStr) -> Result<OwnedFd> {
    let tree = take(folder)?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_attributes(number(&tree), c"", attributes, libc::AT_RECURSIVE)?;
    Ok(tree)
}

/// Shows a tree at a place.
pub(super) fn put(tree: &OwnedFd, place: &CStr) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    move_mount(tree, c"", CWD, place, flags)
}

/// Takes the trees that are shown with other owners.
pub(super) fn map_owners(scene: &Scene, report: &Report, trees: &mut [Option<OwnedFd>]) {
    for (tree, place) in scene.trees.iter().zip(trees) {
        let Some(namespace) = tree.owners.and_then(|owners| scene.owners.get(owners)) else { continue };
        match mapped_tree(&tree.path, namespace) {
            Ok(taken) => *place = Some(taken),
            // It is shown as it is.
            Err(errno) => report.missing(Wall::Inputs, errno),
        }
    }
}

/// Takes the other trees, then makes everything read-only.
fn walled(scene: &Scene, trees: &mut [Option<OwnedFd>]) -> Result<()> {
    for (tree, place) in scene.trees.iter().zip(trees).filter(|(_, place)| place.is_none()) {
        let taken = match take(&tree.path) {
            // A link was put on the way since the path was resolved: it is not shown.
            Err(Errno::LOOP | Errno::NOTDIR) => continue,
            taken => taken?,
        };
        let mut attributes = libc::MOUNT_ATTR_NOSUID;
        if !tree.is_writable {
            attributes |= libc::MOUNT_ATTR_RDONLY;
        }
        if !tree.has_devices {
            attributes |= libc::MOUNT_ATTR_NODEV;
        }
        set_attributes(number(&taken), c"", attributes, libc::AT_RECURSIVE)?;
        *place = Some(taken);
    }
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let everywhere = || set_attributes(libc::AT_FDCWD, c"/", attributes, libc::AT_RECURSIVE);
    match everywhere() {
        Err(Errno::INVAL) => leave_chroot_for(everywhere),
        result => result,
    }
}

/// A detached copy of what is at a path without links.
fn take(path: &CStr) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(open_plain(path, OFlags::PATH)?, c"", flags)
}

/// Sets attributes of a mount and, with `AT_RECURSIVE`, of all below it.
pub(super) fn set_attributes(folder: i32, path: &CStr, attributes: u64, flags: i32) -> Result<()> {
    change_attributes(folder, path, (attributes, 0), flags)
}

/// The same; it takes away the second ones.
fn change_attributes(folder: i32, path: &CStr, (set, clear): (u64, u64), flags: i32) -> Result<()> {
    let wanted = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let flags = flags | if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: it reads a NUL-terminated text, and as many bytes of the structure as it is
    // told that there are.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder,
            path.as_ptr(),
            flags,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == -1 { Err(errno()) } else { Ok(()) }
}

impl Act {
    fn carry_out(&self, trees: &mut [Option<OwnedFd>]) -> Result<()> {
        match self {
            Self::Folder(path, owner) => {
                let made = rustix::fs::mkdir(path.as_c_str(), Mode::from_raw_mode(0o755));
                if let (Ok(()), Some((uid, gid))) = (made, owner) {
                    rustix::fs::chownat(CWD, path.as_c_str(), Some(*uid), Some(*gid), AtFlags::empty())?;
                }
                // What goes there tells whether it is.
                Ok(())
            }
            Self::File(path, mode) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::open(path.as_c_str(), flags, Mode::from_raw_mode(*mode)).map(drop)
            }
            Self::Empty(path) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                // What goes there tells whether it is.
                let _ = rustix::fs::open(path.as_c_str(), flags, Mode::from_raw_mode(0o644));
                Ok(())
            }
            Self::Link(path, to) => rustix::fs::symlink(to.as_c_str(), path.as_c_str()),
            Self::New(kind, path, options) => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                mount(*kind, path.as_c_str(), *kind, flags, Some(options.as_c_str()))
            }
            Self::Tree(place, path) => {
                let Some(tree) = trees.get_mut(*place).and_then(Option::take) else { return Ok(()) };
                put(&tree, path)
            }
            Self::Again(from, path) => mount_bind(from.as_c_str(), path.as_c_str()),
            Self::Layer(path, options) => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                let _ = mount(c"overlay", path.as_c_str(), c"overlay", flags, Some(options.as_c_str()));
                Ok(())
            }
            Self::Cover(path, options) => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                mount(c"overlay", path.as_c_str(), c"overlay", flags, Some(options.as_c_str()))
            }
            Self::ReadOnly(path) => {
                set_attributes(libc::AT_FDCWD, path, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID, 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;
    use crate::host::fs;

    #[test]
    fn what_a_link_leads_to_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonical(dir.path()).unwrap();
        fs::create_dir_all(&top.join("own/sub")).unwrap();
        fs::symlink(Path::new("/etc"), &top.join("link")).unwrap();
        fs::symlink(Path::new("own"), &top.join("way")).unwrap();
        let take = |path: &str| {
            let path = CString::new(top.join(path).as_os_str().as_bytes()).unwrap();
            super::take(&path).map(drop)
        };
        assert_eq!(take("own/sub"), Ok(()));
        assert_eq!(take("link"), Err(Errno::LOOP));
        assert_eq!(take("way/sub"), Err(Errno::NOTDIR));
    }
}
