//! From a process of this system to one of an image: a chain of three, as in [`super::child`].
//!
//! The process that was called stays outside; it passes signals on, and the exit code back. Its child is the
//! first process of the image, which reaps, and takes everything along when it ends. *Its* child goes on with
//! what was asked. The caller has one thread, so all of this may allocate.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use super::child::{close_all_from, exit, number};
use super::image::{self, Devices, Image, Procs, Taken};
use super::keeper;

/// What separates an image from this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A mount namespace, whose root is the image.
    Mounts,
    /// A user namespace: capabilities count in the image only.
    Users,
    /// A pid namespace.
    Processes,
    /// A network namespace.
    Network,
    /// An IPC namespace.
    Ipc,
    /// No devices, and nothing of the kernel that root could write.
    Devices,
}

/// What a process lacks, each with the reason.
pub type Lacking = Vec<(Layer, Errno)>;

/// Puts this process into an image, for good; returns in another process, which is the one that goes on.
///
/// # Errors
/// Where not even a chroot can be had.
pub fn go_inside(image: &Image<'_>) -> Result<Lacking> {
    let mut lacking = Lacking::new();
    let mut folder = image.open()?;
    let inside = match image.leave_other_mounts(&mut folder) {
        Ok(Taken { devices, users, proc }) => Inside {
            owners: users.map_err(|errno| lacking.push((Layer::Users, errno))).ok(),
            devices: Some(devices),
            proc,
        },
        // A container may not let us have mounts of our own.
        Err(errno) => {
            rustix::process::fchdir(&folder)?;
            rustix::process::chroot(".")?;
            lacking.extend([Layer::Mounts, Layer::Users].map(|layer| (layer, errno)));
            Inside { owners: None, devices: None, proc: None }
        }
    };
    drop(folder);
    // SAFETY: no file descriptor table is unshared; this process has one thread.
    match unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID) } {
        Ok(()) => inside.begin(&mut lacking)?,
        Err(errno) => {
            lacking.push((Layer::Processes, errno));
            inside.settle(false, &mut lacking);
        }
    }
    Ok(lacking)
}

struct Inside {
    owners: Option<OwnedFd>,
    devices: Option<Devices>,
    /// The `/proc` outside.
    proc: Option<OwnedFd>,
}

impl Inside {
    /// Returns in the process that goes on.
    fn begin(self, lacking: &mut Lacking) -> Result<()> {
        let (lives, holds) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        keeper::block();
        if let Some(first) = fork().inspect_err(|_| keeper::unblock())? {
            // As long as this end is open we live.
            // SAFETY: nothing in this process reads standard input any more.
            unsafe { libc::dup2(number(&holds), 0) };
            close_all_from(1);
            keeper::stop_with_the_terminal();
            exit(keeper::attend(first))
        }
        drop(holds);
        // No terminal: nobody types into it for the caller.
        let _ = rustix::process::setsid();
        self.settle(true, lacking);
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        let mut polled = [rustix::event::PollFd::new(&lives, rustix::event::PollFlags::empty())];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(0)) {
            exit(127);
        }
        match fork() {
            Ok(None) => {
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                keeper::unblock();
                Ok(())
            }
            Ok(Some(child)) => {
                close_all_from(0);
                exit(keeper::attend(child))
            }
            Err(errno) => exit(errno.raw_os_error()),
        }
    }

    /// Takes away what leads out.
    fn settle(self, has_processes: bool, lacking: &mut Lacking) {
        let mut told = |layer: Layer, result: Result<()>| {
            if let Err(errno) = result {
                lacking.push((layer, errno));
            }
        };
        if let Some(devices) = &self.devices {
            told(Layer::Devices, furnish(devices, self.proc.as_ref(), has_processes));
            drop(self.proc);
        }
        image::close_descriptors_of_others();
        image::leave_keyring();
        let has_users = self.owners.as_ref().is_some_and(|owners| {
            let became = image::become_users_of(owners);
            told(Layer::Users, became);
            became.is_ok()
        });
        for (flag, layer) in [(UnshareFlags::NEWNET, Layer::Network), (UnshareFlags::NEWIPC, Layer::Ipc)] {
            // SAFETY: no file descriptor table is unshared; this process has one thread.
            told(layer, unsafe { rustix::thread::unshare_unsafe(flag) });
        }
        image::keep_needed_rights(has_users);
    }
}

/// A `/proc` and a `/dev` of its own.
fn furnish(devices: &Devices, proc_outside: Option<&OwnedFd>, has_processes: bool) -> Result<()> {
    image::close_devices()?;
    let procs = Procs::new(proc_outside);
    let whole = procs.as_ref().ok().and_then(|procs| procs.whole.as_ref());
    if has_processes {
        let own = &procs.as_ref().map_err(|errno| *errno)?.own;
        // Two commands in one image tell their files apart by their numbers.
        let _ = image::choose_next_process(own);
        image::mount_proc(own)?;
    }
    image::mount_dev(devices, whole)
}

/// As libc does it, since the child goes on with everything.
fn fork() -> Result<Option<Pid>> {
    // SAFETY: this process has one thread, so nothing that another one holds is held for ever in the child.
    match unsafe { libc::fork() } {
        -1 => Err(super::child::errno()),
        pid => Ok(Pid::from_raw(pid)),
    }
}
