//! Being in an image for good: no mounts but its own, no devices, and no rights over the machine.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsmount, fsopen, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, set_capabilities};

use super::child::number;
use super::scene::{leave_chroot, set_attributes};

/// The devices that programs need and that reach nothing.
const DEVICES: [&CStr; 5] = [c"/dev/null", c"/dev/zero", c"/dev/full", c"/dev/random", c"/dev/urandom"];

/// What a `/dev` has besides.
const LINKS: [(&CStr, &CStr); 4] = [
    (c"/dev/fd", c"/proc/self/fd"),
    (c"/dev/stdin", c"/proc/self/fd/0"),
    (c"/dev/stdout", c"/proc/self/fd/1"),
    (c"/dev/stderr", c"/proc/self/fd/2"),
];

/// Devices of the system that was left.
#[derive(Debug)]
pub(super) struct Devices(Vec<(&'static CStr, OwnedFd)>);

/// An image from outside.
#[derive(Debug)]
pub struct Image<'a> {
    /// Its folder, without links in its path.
    pub path: &'a Path,
    /// Mounts below it of file systems that are the kernel's own.
    pub interfaces: Vec<CString>,
    /// What `uid_map` and `gid_map` of a user namespace say in which everyone is who they are.
    pub maps: [CString; 2],
}

/// What of this system is taken along.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) devices: Devices,
    /// A user namespace, or why there is none.
    pub(super) users: Result<OwnedFd>,
    /// The `/proc` that is left.
    pub(super) proc: Option<OwnedFd>,
}

impl Image<'_> {
    /// Gets mounts of our own, makes the image the root of them, and drops all that isn't below it. The
    /// kernel's own file systems below it become read-only: root needs no capability to write to many files
    /// there. On an error this process may have left a chroot; `folder` is the image's, open, in any case.
    pub(super) fn leave_other_mounts(&self, folder: &mut OwnedFd) -> Result<Taken> {
        // SAFETY: no file descriptor table is unshared; this process has one thread when it begins.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)? };
        *folder = self.open()?;
        for path in &self.interfaces {
            mount_remount(path.as_c_str(), CLOSED | MountFlags::BIND, c"")?;
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let taken = DEVICES.iter().filter_map(|path| Some((*path, open_tree(CWD, *path, flags).ok()?)));
        let devices = Devices(taken.collect());
        let proc = open_tree(CWD, c"/proc", flags | OpenTreeFlags::AT_RECURSIVE).ok();
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        let is_in_chroot = match mount_change("/", private) {
            // There no user namespace can be made, and nothing can become the root of all.
            Err(Errno::INVAL) => {
                leave_chroot()?;
                mount_change("/", private)?;
                true
            }
            result => result.map(|()| false)?,
        };
        let [uids, gids] = &self.maps;
        let users = super::user_namespace(uids, gids);
        let users = users.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        // It must be a mount to become the root of all.
        if is_in_chroot {
            let tree =
                open_tree(&*folder, c"", flags | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE)?;
            let to_itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            move_mount(&tree, c"", &*folder, c"", to_itself)?;
            fchdir(&tree)?;
        } else {
            mount_bind_recursive(self.path, self.path)?;
            chdir(self.path)?;
        }
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        chdir("/")?;
        Ok(Taken { devices, users, proc })
    }

    /// Its folder, in the mounts that are ours now.
    pub(super) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(self.path, flags, Mode::empty())
    }
}

const CLOSED: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NOSUID).union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Every `/proc` that an image gets, not yet mounted anywhere.
#[derive(Debug)]
pub(super) struct Procs {
    /// Its own.
    pub(super) own: OwnedFd,
    /// One of which nothing is covered.
    pub(super) whole: Option<OwnedFd>,
}

impl Procs {
    /// Makes them. In a user namespace the kernel allows that only while a whole `/proc` is mounted. So that
    /// of the system outside, `left`, is shown for this moment; nothing of the image runs yet.
    pub(super) fn new(left: Option<&OwnedFd>) -> Result<Self> {
        match (Self::make(), left) {
            (Err(Errno::PERM), Some(left)) if is_folder(c"/proc") => {
                put(left, c"/proc")?;
                let made = Self::make();
                if let Err(errno) = unmount(c"/proc", UnmountFlags::DETACH) {
                    // It leads out of the image.
                    super::child::exit(errno.raw_os_error());
                }
                made
            }
            (made, _) => made,
        }
    }

    fn make() -> Result<Self> {
        let own = own_proc(MountAttrFlags::empty())?;
        Ok(Self { own, whole: own_proc(MountAttrFlags::MOUNT_ATTR_RDONLY).ok() })
    }
}

/// A `/proc` of the process namespace that this process is in, not yet mounted anywhere.
fn own_proc(more: MountAttrFlags) -> Result<OwnedFd> {
    let made = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&made)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | more;
    fsmount(&made, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Mounts it, if the image has a folder for it. All in it but processes is read-only.
pub(super) fn mount_proc(proc: &OwnedFd) -> Result<()> {
    if !is_folder(c"/proc") {
        return Ok(());
    }
    put(proc, c"/proc")?;
    for path in entries_of_the_kernel()? {
        mount_bind(path.as_c_str(), path.as_c_str())?;
        mount_remount(path.as_c_str(), CLOSED | MountFlags::BIND, c"")?;
    }
    Ok(())
}

/// What could be written in `/proc` besides processes.
fn entries_of_the_kernel() -> Result<Vec<CString>> {
    let folder = rustix::fs::open(c"/proc", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
            continue;
        }
        let meta = rustix::fs::statat(&folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(meta.st_mode);
        if kind == FileType::Directory || kind == FileType::RegularFile && meta.st_mode & 0o222 != 0 {
            found.extend(CString::new([b"/proc/", name.to_bytes()].concat()));
        }
    }
    Ok(found)
}

/// Mounts a `/dev` with these devices only, if the image has a folder for it.
pub(super) fn mount_dev(devices: &Devices, whole_proc: Option<&OwnedFd>) -> Result<()> {
    if !is_folder(c"/dev") {
        return Ok(());
    }
    let new = |options: &CStr| {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(c"tmpfs", c"/dev", c"tmpfs", flags, Some(options))
    };
    // A user namespace may mount a `/proc`, as sandboxes do, only if there is a whole one already. This one
    // is hidden below the next mount.
    if let Some(proc) = whole_proc {
        new(c"mode=700,size=4k")?;
        rustix::fs::mkdir(c"/dev/proc", Mode::from_raw_mode(0o700))?;
        put(proc, c"/dev/proc")?;
    }
    new(c"mode=755,size=64m")?;
    for (path, device) in &devices.0 {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        drop(rustix::fs::open(*path, flags, Mode::from_raw_mode(0o666))?);
        put(device, path)?;
    }
    for (path, to) in LINKS {
        rustix::fs::symlink(to, path)?;
    }
    rustix::fs::mkdir(c"/dev/shm", Mode::empty())?;
    rustix::fs::chmod(c"/dev/shm", Mode::from_raw_mode(0o1777))
}

fn put(tree: &OwnedFd, path: &CStr) -> Result<()> {
    move_mount(tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn is_folder(path: &CStr) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).is_ok()
}

/// No device file in any mount that is there works any more.
pub(super) fn close_devices() -> Result<()> {
    set_attributes(libc::AT_FDCWD, c"/", libc::MOUNT_ATTR_NODEV, libc::AT_RECURSIVE)
}

/// What work on an image needs. In the machine's own user namespace root has no others there.
const NEEDED: [CapabilitySet; 9] = [
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::FOWNER,
    CapabilitySet::FSETID,
    CapabilitySet::KILL,
    CapabilitySet::SETGID,
    CapabilitySet::SETUID,
    CapabilitySet::SETPCAP,
    CapabilitySet::SETFCAP,
];

/// With these sandboxes are made. They reach no further than the user namespace that they are held in.
const OF_SANDBOXES: [CapabilitySet; 2] = [CapabilitySet::SYS_ADMIN, CapabilitySet::SYS_CHROOT];

/// Gives up all others, for the programs that we start too.
pub(super) fn keep_needed_rights(makes_sandboxes: bool) {
    let more = OF_SANDBOXES.iter().filter(|_| makes_sandboxes);
    let kept = NEEDED.iter().chain(more).fold(CapabilitySet::empty(), |all, one| all | *one);
    let zero = libc::c_ulong::from(0_u8);
    for number in 0..64_u8 {
        if kept.bits() >> number & 1 == 0 {
            // One that we don't have, or that there isn't, can't be dropped, and needn't be.
            // SAFETY: this call takes numbers only.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), zero, zero, zero) };
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    if let Ok(mut sets) = capabilities(None) {
        sets.effective &= kept;
        sets.permitted &= kept;
        sets.inheritable &= kept;
        let _ = set_capabilities(None, sets);
    }
}

/// The session keyring of who called us stays with them.
pub(super) fn leave_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let nothing: *const u8 = std::ptr::null();
    // SAFETY: without a name it reads nothing. A kernel without keys has none that could be left.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nothing) };
}

/// Closes what the caller left open besides the three streams: it may lead out. Everything of ours is to be
/// closed by an exec.
pub(super) fn close_descriptors_of_others() {
    for number in 3..super::rights::most_descriptors().cast_signed() {
        // SAFETY: this call takes numbers only.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags != -1 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: no value of this process has it: those open theirs with FD_CLOEXEC.
            unsafe { libc::close(number) };
        }
    }
}

/// Has the next process that is started get a number by chance.
pub(super) fn choose_next_process(proc: &OwnedFd) -> Result<()> {
    let read = |name: &CStr| -> Result<u32> {
        let file = rustix::fs::openat(proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = [0; 16];
        let length = rustix::io::read(&file, &mut bytes)?;
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
        Ok(text.trim().parse().unwrap_or(32768))
    };
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let number = 300 + u32::from_ne_bytes(bytes) % read(c"sys/kernel/pid_max")?.saturating_sub(600).max(1);
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(proc, c"sys/kernel/ns_last_pid", flags, Mode::empty())?;
    rustix::io::write(&file, number.to_string().as_bytes()).map(drop)
}

/// Enters a user namespace that [`super::user_namespace`] made, with mounts that are its own: none of those
/// that are there can be taken away or be made writable in it.
pub(super) fn become_users_of(namespace: &OwnedFd) -> Result<()> {
    // SAFETY: it is given a descriptor that is open; this process has one thread.
    if unsafe { libc::setns(number(namespace), libc::CLONE_NEWUSER) } == -1 {
        return Err(super::child::errno());
    }
    // SAFETY: no file descriptor table is unshared; this process has one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
}
