//! Mounts that show a tree's files as another user's (`mount_setattr(2)`, idmapped mounts, Linux 5.12).

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::{PipeFlags, pipe_with};

use super::child::{ProcPath, errno, exit, fork, number, wait_for_child};
use super::plain::open_plain;

/// A user namespace with these contents of `uid_map` and `gid_map`, which no process is in.
///
/// # Errors
/// What the kernel says.
pub fn user_namespace(uids: &CStr, gids: &CStr) -> std::io::Result<OwnedFd> {
    let (wait, end) = pipe_with(PipeFlags::CLOEXEC)?;
    let Some(child) = fork(libc::CLONE_NEWUSER)? else {
        // Until it is killed, or nobody is left who could.
        drop(end);
        let _ = rustix::io::read(&wait, &mut [0_u8]);
        exit(0);
    };
    let made = || -> Result<OwnedFd> {
        let mut path = ProcPath::new(child);
        super::write(path.of(b"/uid_map\0"), uids)?;
        super::write(path.of(b"/gid_map\0"), gids)?;
        rustix::fs::open(path.of(b"/ns/user\0"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    };
    let made = made();
    // Another thread's child may have a copy of this end: closing it doesn't always end ours.
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
    wait_for_child(child);
    drop(end);
    Ok(made?)
}

/// A detached, read-only mount of a folder or file, at a path without links, whose owners are mapped
/// as `namespace` says.
///
/// # Errors
/// What the kernel says: `EINVAL` for file systems that can't (overlayfs), `EPERM`
/// without the right to mount.
pub fn mapped_tree(path: &CStr, namespace: &OwnedFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(open_plain(path, OFlags::PATH)?, c"", flags)?;
    let userns_fd = u64::try_from(number(namespace)).map_err(|_| Errno::BADF)?;
    let attr_set =
        libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let wanted = libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd };
    // SAFETY: it reads a NUL-terminated text, and as many bytes of the structure as it is
    // told that there are.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            number(&tree),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == -1 { Err(errno()) } else { Ok(tree) }
}
