//! From a forked child to a process in a sandbox: a chain of three, made of system calls only.
//!
//! The child that the standard library forked stays outside, in no new namespace: it writes the id maps,
//! waits, and passes the exit code on. Its child is the first process of the new namespaces: it builds the
//! scene, reaps whatever is left to it, and takes everything along when it ends. *Its* child gives up its
//! rights and is the one that becomes the program. Nothing here allocates, takes a lock or panics: the
//! process that was forked had other threads.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;

use rustix::io::{Errno, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::keeper;
use super::lasting::Stay;
use super::report::{Report, Wall};
use super::rights::{self, Rights};
use super::scene::{self, Scene, Standing};

/// Limits of a new user namespace on what is counted for the owner of that namespace too.
pub(super) const COUNTED: [(&CStr, &CStr); 2] =
    [(c"/proc/sys/user/max_inotify_instances", c"4"), (c"/proc/sys/user/max_fanotify_groups", c"0")];

/// What a sandboxed process needs, all of it made before the fork.
#[derive(Debug)]
pub struct Plan {
    /// Where an isolation layer is not available the program isn't started.
    pub strict: bool,
    /// What `uid_map` and `gid_map` of a new user namespace say.
    pub maps: [CString; 2],
    /// `setgroups` is to be denied before: only root may map groups otherwise.
    pub deny_setgroups: bool,
    /// What it sees.
    pub scene: Scene,
    /// What it may.
    pub rights: Rights,
}

/// The namespaces that must be made with the process; tried in this order, each with less
/// than the one before.
const VARIANTS: [Variant; 4] = [
    Variant { user: true, pid: true },
    Variant { user: false, pid: true },
    Variant { user: true, pid: false },
    Variant { user: false, pid: false },
];

#[derive(Debug, Clone, Copy)]
struct Variant {
    user: bool,
    pid: bool,
}

impl Variant {
    fn is_last(self) -> bool {
        !self.user && !self.pid
    }

    /// What ends its first process: where all others don't end with it, it must be able to end them.
    fn end(self) -> Signal {
        if self.pid { Signal::KILL } else { keeper::END }
    }
}

/// A process on its way into a sandbox.
struct Coming<'a> {
    /// The folder that it begins in.
    dir: &'a CStr,
    /// What it lacks.
    report: &'a Report,
    /// Room for the trees of the scene.
    trees: &'a mut [Option<OwnedFd>],
    /// A scene that lasts.
    stay: Option<&'a Stay>,
    /// Which is made.
    is_made: bool,
    /// The further folder, where it is shown.
    further: Option<OwnedFd>,
}

impl Plan {
    /// Has the process of `command` stand in this sandbox; what it lacks is in `report` once it has started.
    /// `stay`: its scene lasts.
    pub fn apply_to(
        self: std::sync::Arc<Self>,
        report: std::sync::Arc<Report>,
        dir: CString,
        stay: Option<Stay>,
        command: &mut std::process::Command,
    ) {
        // Room for what is opened while the scene is built, made now.
        let mut trees: Vec<Option<OwnedFd>> = (0..self.scene.trees.len().max(1)).map(|_| None).collect();
        let parent = rustix::process::getpid();
        let made = stay.as_ref().filter(|stay| stay.scene.is_there());
        made.inspect(|stay| stay.scene.report_to(&report));
        let is_made = made.is_some();
        // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly), with
        // strings and room that were made before: nothing is allocated, no lock is taken, nothing unwinds.
        unsafe {
            command.pre_exec(move || {
                let stay = stay.as_ref();
                let (report, further) = (&report, None);
                let mut coming = Coming { dir: &dir, report, trees: &mut trees, stay, is_made, further };
                self.enter(parent, &mut coming).map_err(Into::into)
            })
        };
    }

    /// Returns in the process that becomes the program.
    fn enter(&self, parent: Pid, coming: &mut Coming<'_>) -> Result<()> {
        let further = coming.stay.and_then(|stay| stay.further.as_ref());
        if coming.is_made {
            if let Some((folder, _)) = further {
                // Here, where the right to take it is, if it is anywhere.
                coming.trees[0] = scene::taken(folder).ok();
            }
            coming.stay.map_or(Ok(()), |stay| stay.scene.enter(parent))?;
            let variant = Variant { user: false, pid: coming.report.stands(Wall::Processes) };
            return self
                .attempt(variant, Errno::PERM, coming)
                .and_then(|standing| self.give_up(standing, coming));
        }
        keeper::begin(parent)?;
        let mut lost = Errno::PERM;
        // Here, where the right to map owners is: in a user namespace there is none.
        scene::map_owners(&self.scene, coming.report, coming.trees);
        for variant in VARIANTS {
            match self.attempt(variant, lost, coming) {
                Ok(standing) => return self.give_up(standing, coming),
                Err(errno) => lost = errno,
            }
        }
        Err(lost)
    }

    /// Gives up all rights, unless too little stands between this process and the system.
    fn give_up(&self, standing: Standing, coming: &Coming<'_>) -> Result<()> {
        let seen = rights::Seen { has_scene: standing == Standing::Scene, is_found: coming.is_made };
        rights::drop_all(&self.rights, coming.report, seen, coming.further.as_ref());
        let lacks_folder = self.scene.is_needed && standing == Standing::Nothing;
        let refused = self.strict && coming.report.tells_any() || lacks_folder;
        if refused { Err(Errno::PERM) } else { Ok(()) }
    }

    /// Returns `Ok` in the process that becomes the program, `Err` in the outermost one
    /// where this variant is not available.
    fn attempt(&self, variant: Variant, lost: Errno, coming: &mut Coming<'_>) -> Result<Standing> {
        if variant.user {
            // The id maps of a process that isn't dumpable are not ours to write (proc(5)): it is for
            // as long as that takes.
            let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
        }
        let (mapped, say_mapped) = pipe_with(PipeFlags::CLOEXEC)?;
        let (ready, say_ready) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut flags = 0;
        if variant.user {
            flags |= libc::CLONE_NEWUSER;
        }
        if variant.pid {
            flags |= libc::CLONE_NEWPID;
        }
        let Some(child) = fork(flags)? else {
            drop((say_mapped, ready));
            return Ok(self.first(variant, lost, (&mapped, &say_ready), coming));
        };
        drop((mapped, say_ready));
        if variant.user
            && let Err(errno) = self.map(child)
        {
            drop(say_mapped);
            wait_for(child);
            return Err(errno);
        }
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        let _ = rustix::io::write(&say_mapped, &[0]);
        let mut byte = [0];
        let is_ready = matches!(rustix::io::read(&ready, &mut byte), Ok(1));
        if is_ready {
            // Now it gets a signal when we die, and must know that we haven't before.
            let _ = rustix::io::write(&say_mapped, &[0]);
            close_all_from(0);
        } else {
            drop(say_mapped);
        }
        let code = if is_ready { keeper::watch(child, variant.end()).code } else { wait_for(child) };
        if !is_ready {
            return Err(Errno::from_raw_os_error(code.clamp(1, 255)));
        }
        exit(code)
    }

    /// Writes the id maps of a child's user namespace.
    fn map(&self, child: Pid) -> Result<()> {
        let mut path = ProcPath::new(child);
        if self.deny_setgroups {
            super::write(path.of(b"/setgroups\0"), c"deny")?;
        }
        super::write(path.of(b"/uid_map\0"), &self.maps[0])?;
        super::write(path.of(b"/gid_map\0"), &self.maps[1])
    }

    /// The first process of the new namespaces. Returns in its child.
    fn first(
        &self,
        variant: Variant,
        lost: Errno,
        (mapped, say_ready): (&OwnedFd, &OwnedFd),
        coming: &mut Coming<'_>,
    ) -> Standing {
        let report = coming.report;
        // With the outermost process all end.
        let _ = rustix::process::set_parent_process_death_signal(Some(variant.end()));
        let mut byte = [0];
        if !matches!(rustix::io::read(mapped, &mut byte), Ok(1)) {
            exit(Errno::CANCELED.raw_os_error());
        }
        if variant.user {
            // What is counted for its owner too is little. Whether that holds is looked at when the filter of
            // system calls, which refuses the same, is not available.
            for (path, most) in COUNTED {
                let _ = super::write(path, most);
            }
        }
        let own_mounts = scene::begin(variant.pid);
        if let Err(errno) = own_mounts
            && !variant.is_last()
        {
            exit(errno.raw_os_error());
        }
        // Nobody looks into this process: it is a copy of one that may know secrets.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        if !variant.user && !coming.is_made {
            report.missing(Wall::UserNamespace, lost);
        }
        if !variant.pid {
            report.missing(Wall::Processes, lost);
            // What a process leaves behind becomes ours, to be ended.
            let _ = rustix::process::set_child_subreaper(rustix::process::getpid().into());
        }
        let _ = rustix::io::write(say_ready, &[0]);
        if !matches!(rustix::io::read(mapped, &mut byte), Ok(1)) {
            exit(Errno::CANCELED.raw_os_error());
        }
        scene::unshare_others(&self.scene, report);
        let standing = match own_mounts {
            Ok(()) => self.stand(variant, coming),
            Err(errno) => {
                report.missing(Wall::Files, errno);
                let _ = rustix::process::chdir(coming.dir);
                Standing::Nothing
            }
        };
        let own = rustix::process::getpid();
        match fork(0) {
            Ok(None) => {
                keeper::end_with(own);
                keeper::unblock();
                standing
            }
            Ok(Some(child)) => {
                close_all_from(0);
                let code = keeper::watch(child, Signal::KILL).code;
                if !variant.pid {
                    end_children();
                }
                exit(code)
            }
            Err(errno) => exit(errno.raw_os_error()),
        }
    }

    /// Builds the scene, or finds it. Leaves the process in its folder.
    fn stand(&self, variant: Variant, coming: &mut Coming<'_>) -> Standing {
        let Some(stay) = coming.stay else {
            return scene::build(&self.scene, coming.dir, coming.report, coming.trees);
        };
        if coming.is_made {
            match scene::come_again(stay.further.as_ref(), coming.dir, coming.trees) {
                Ok(shown) => coming.further = shown,
                // As a shell says of what can't be executed.
                Err(_) => exit(126),
            }
            return Standing::Scene;
        }
        let standing = scene::build(&self.scene, coming.dir, coming.report, coming.trees);
        if standing == Standing::Scene {
            // Where it can't be sent, the next process makes its own.
            let _ = stay.scene.send(variant.user, coming.report);
            let _ = rustix::process::chdir(coming.dir);
        }
        standing
    }
}

/// Forks with a bare system call: `None` in the child.
pub(super) fn fork(flags: libc::c_int) -> Result<Option<Pid>> {
    let (flags, zero) = (libc::c_long::from(flags | libc::SIGCHLD), libc::c_long::from(0));
    // SAFETY: without a new stack and without CLONE_VM this is a fork. The caller is a child
    // between fork and exec, with one thread; the child goes on with a copy of its memory, and like
    // it makes system calls only.
    #[cfg(not(target_arch = "s390x"))]
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, zero, zero, zero, zero) };
    // SAFETY: the same; there the first two arguments are the other way round.
    #[cfg(target_arch = "s390x")]
    let result = unsafe { libc::syscall(libc::SYS_clone, zero, flags, zero, zero, zero) };
    match result {
        -1 => Err(errno()),
        pid => Ok(Pid::from_raw(i32::try_from(pid).unwrap_or_default())),
    }
}

/// The error of the last call to libc.
pub(super) fn errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Waits until `child` has ended, reaping whatever else ends meanwhile; its exit code as a
/// shell would have it.
fn wait_for(child: Pid) -> i32 {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return code_of(status),
            Err(Errno::CHILD) => return 127,
            _ => {}
        }
    }
}

/// Waits for one child and no other: for a process that has more of them.
pub(super) fn wait_for_child(child: Pid) {
    while matches!(rustix::process::waitpid(Some(child), WaitOptions::empty()), Err(Errno::INTR)) {}
}

pub(super) fn code_of(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(127)
}

pub(super) fn exit(code: i32) -> ! {
    // SAFETY: it ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

/// Ends all children, and theirs, which become ours. For a process that is no namespace's first.
pub(super) fn end_children() {
    // Each round ends at least one process, if there is any; who forks faster than that hits
    // the limit of processes.
    for _ in 0..100_000 {
        let mut text = [0; 4096];
        let read = rustix::fs::open(
            c"/proc/thread-self/children",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .and_then(|file| rustix::io::read(&file, &mut text));
        let Ok(length) = read else { return };
        for word in text[..length].split(|byte| *byte == b' ') {
            let number = word.iter().fold(0_i32, |sum, digit| {
                sum.wrapping_mul(10).wrapping_add(i32::from(digit.wrapping_sub(b'0')))
            });
            if number > 1
                && let Some(pid) = Pid::from_raw(number)
            {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        if matches!(rustix::process::wait(WaitOptions::empty()), Err(Errno::CHILD)) {
            return;
        }
    }
}

/// Closes every descriptor from a number on.
pub(super) fn close_all_from(first: u32) {
    // SAFETY: nothing in this process uses a descriptor after this: it waits, and ends.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == -1 {
        for number in first..rights::most_descriptors() {
            // SAFETY: as above.
            unsafe { libc::close(number.cast_signed()) };
        }
    }
}

/// `/proc/PID` and what comes behind it, put together without allocating.
pub(super) struct ProcPath {
    bytes: [u8; 40],
    length: usize,
}

impl ProcPath {
    pub(super) fn new(pid: Pid) -> Self {
        let mut bytes = [0; 40];
        bytes[..6].copy_from_slice(b"/proc/");
        let (mut digits, mut count, mut rest) = ([0; 10], 0, pid.as_raw_nonzero().get());
        while rest > 0 && count < digits.len() {
            digits[count] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            count += 1;
        }
        for at in 0..count {
            bytes[6 + at] = digits[count - 1 - at];
        }
        Self { bytes, length: 6 + count }
    }

    /// With this behind it, which ends with NUL.
    pub(super) fn of(&mut self, name: &[u8]) -> &CStr {
        self.bytes[self.length..self.length + name.len()].copy_from_slice(name);
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// The descriptor as the kernel counts it.
pub(super) fn number(file: &impl AsFd) -> i32 {
    file.as_fd().as_raw_fd()
}
