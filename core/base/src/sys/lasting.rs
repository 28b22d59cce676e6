//! A scene that lasts: processes after the first find the mounts that were made for it, and what was written
//! in the folders that are new there. The first one sends descriptors of its namespaces; they hold the
//! namespaces.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, IoSlice, IoSliceMut, Result};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Pid;

use super::child::{errno, number};
use super::keeper;
use super::report::{Report, WALLS, Wall};

/// The isolation layers of which it is known, once a scene is made, whether they stand.
const OF_THE_SCENE: [Wall; 4] = [Wall::UserNamespace, Wall::Processes, Wall::Files, Wall::Inputs];

/// The scene of a sandbox, for one process after the other.
#[derive(Debug)]
pub struct Lasting {
    ours: OwnedFd,
    theirs: OwnedFd,
    made: OnceLock<Made>,
}

/// A scene that a process has made.
#[derive(Debug)]
struct Made {
    mounts: OwnedFd,
    root: OwnedFd,
    user: Option<OwnedFd>,
    walls: [u8; WALLS],
}

impl Lasting {
    /// One that no process has made yet.
    ///
    /// # Errors
    /// What `socketpair` says.
    pub fn new() -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(Self { ours, theirs, made: OnceLock::new() })
    }

    /// Whether a process has made it, for a further one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        if self.made.get().is_none()
            && let Some(made) = self.receive()
        {
            // Another thread of ours cannot have received the same.
            let _ = self.made.set(made);
        }
        self.made.get().is_some()
    }

    /// Reports what the process that has made it lacked of it.
    pub(super) fn report_to(&self, report: &Report) {
        let Some(made) = self.made.get() else { return };
        for wall in OF_THE_SCENE.into_iter().filter(|wall| made.walls[*wall as usize] != 0) {
            report.missing(wall, Errno::from_raw_os_error(made.walls[wall as usize].into()));
        }
    }

    fn receive(&self) -> Option<Made> {
        let mut walls = [0; WALLS];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut with = RecvAncillaryBuffer::new(&mut room);
        let mut slices = [IoSliceMut::new(&mut walls)];
        let read = recvmsg(&self.ours, &mut slices, &mut with, RecvFlags::CMSG_CLOEXEC).ok()?;
        let messages = with.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let mut descriptors = messages.flatten();
        let (mounts, root, user) = (descriptors.next()?, descriptors.next()?, descriptors.next());
        (read.bytes == WALLS).then_some(Made { mounts, root, user, walls })
    }

    /// Sends what this process stands in, if processes may come into it here: a filter of system calls may be
    /// against it. Leaves the process at its root. Makes system calls only.
    pub(super) fn send(&self, has_user_namespace: bool, report: &Report) -> Result<()> {
        let open = |path: &CStr, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        let mounts = open(c"/proc/self/ns/mnt", OFlags::RDONLY)?;
        let root = open(c"/", OFlags::PATH | OFlags::DIRECTORY)?;
        let user = if has_user_namespace { Some(open(c"/proc/self/ns/user", OFlags::RDONLY)?) } else { None };
        enter(&mounts, &root)?;
        let all = [mounts.as_fd(), root.as_fd(), user.as_ref().unwrap_or(&mounts).as_fd()];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut with = SendAncillaryBuffer::new(&mut room);
        with.push(SendAncillaryMessage::ScmRights(if user.is_some() { &all } else { &all[..2] }));
        sendmsg(&self.theirs, &[IoSlice::new(&report.bytes())], &mut with, SendFlags::empty()).map(drop)
    }

    /// Puts this process, which `parent` waits for, into it. Makes system calls only.
    pub(super) fn enter(&self, parent: Pid) -> Result<()> {
        let made = self.made.get().ok_or(Errno::NOENT)?;
        if let Some(user) = &made.user {
            set_namespace(user, libc::CLONE_NEWUSER)?;
        }
        enter(&made.mounts, &made.root)?;
        // Other rights may have taken it away.
        keeper::begin(parent)
    }
}

/// Enters a mount namespace; in a chroot its root is another than the namespace's.
fn enter(mounts: &OwnedFd, root: &OwnedFd) -> Result<()> {
    set_namespace(mounts, libc::CLONE_NEWNS)?;
    rustix::process::fchdir(root)?;
    rustix::process::chroot(c".")
}

fn set_namespace(namespace: &OwnedFd, kind: libc::c_int) -> Result<()> {
    // SAFETY: this process has one thread and shares nothing with others; the descriptor is open.
    if unsafe { libc::setns(number(namespace), kind) } == -1 { Err(errno()) } else { Ok(()) }
}

/// How a process comes to its scene: one that lasts, and a folder that it can write there besides, with the
/// path that it sees it under.
#[derive(Debug, Clone)]
pub struct Stay {
    /// The scene.
    pub scene: std::sync::Arc<Lasting>,
    /// The further folder; only where the scene [is there](Lasting::is_there).
    pub further: Option<(CString, CString)>,
}
