//! Giving up rights: the last thing that a process does before it becomes the program.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::{Errno, Result};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::child::{errno, number};
use super::report::{Report, Wall};

/// What a sandboxed process may.
#[derive(Debug)]
pub struct Rights {
    /// Whose it is; `None`: still ours.
    pub ids: Option<(Uid, Gid)>,
    /// Further groups that it is in then.
    pub groups: Vec<Gid>,
    /// At most as much of these as this.
    pub limits: Vec<(Resource, u64)>,
    /// A landlock ruleset for a process that has its own mounts, and one for a process that hasn't.
    pub rules: Option<[OwnedFd; 2]>,
    /// Where a process that has its own mounts may write although no rule could be made
    /// before: the mounts are new.
    pub new_places: Vec<CString>,
    /// What landlock calls all access that these rules are about.
    pub all_access: u64,
    /// Whether these rules keep it from abstract sockets of processes outside (landlock's sixth version).
    pub is_scoped: bool,
    /// A filter of system calls; empty: none.
    pub filter: Vec<libc::sock_filter>,
    /// The one for a process from which not all sockets can be hidden: it has no mounts of its own, or
    /// reaches abstract sockets.
    pub bare_filter: Vec<libc::sock_filter>,
}

/// What a process sees when it gives up its rights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// It has mounts of its own.
    pub(super) has_scene: bool,
    /// Another process was there before it, and may have put links into it.
    pub(super) is_found: bool,
}

/// Gives up all that it can; what it can't is reported. `further`: another folder that it may write.
pub(super) fn drop_all(rights: &Rights, report: &Report, seen: Seen, further: Option<&OwnedFd>) {
    let has_scene = seen.has_scene;
    let told = |wall: Wall, result: Result<()>| {
        if let Err(errno) = result {
            report.missing(wall, errno);
        }
    };
    let is_counted = super::child::COUNTED.iter().all(|(path, most)| super::is_written(path, most));
    // Where all our processes count, nobody knows how many there are already.
    let counts_ours = rights.ids.is_none() && !report.stands(Wall::UserNamespace);
    let is_of_files = |resource: Resource| matches!(resource, Resource::Nofile | Resource::Fsize);
    for (resource, most) in rights.limits.iter().filter(|(resource, _)| !is_of_files(*resource)) {
        if *resource == Resource::Nproc && counts_ours {
            report.missing(Wall::Limits, Errno::PERM);
            continue;
        }
        told(Wall::Limits, limit(*resource, *most));
    }
    if let (Some(rules), true) = (&rights.rules, has_scene) {
        for place in &rights.new_places {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let folder = match seen.is_found {
                true => super::open_plain(place, flags),
                false => rustix::fs::open(place, flags, Mode::empty()),
            };
            match folder {
                Ok(folder) => told(Wall::Landlock, allow_all(&rules[0], &folder, rights.all_access)),
                // It was exchanged: nothing may be written there.
                Err(_) if seen.is_found => {}
                Err(errno) => report.missing(Wall::Landlock, errno),
            }
        }
        if let Some(further) = further {
            told(Wall::Landlock, allow_all(&rules[0], further, rights.all_access));
        }
    }
    // For as long as we may: a root that stays root must not get them back by an exec.
    let zero = libc::c_ulong::from(0_u8);
    for capability in 0..libc::c_ulong::from(64_u8) {
        // SAFETY: this call takes numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, zero, zero, zero) } == -1 {
            break;
        }
    }
    let parent = rustix::process::getppid();
    if let Some((uid, gid)) = rights.ids {
        told(Wall::User, become_user(uid, gid, &rights.groups));
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    told(Wall::Capabilities, rustix::thread::set_capabilities(None, none));
    // Becoming another user has taken it away.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if rustix::process::getppid() != parent {
        super::child::exit(127);
    }
    told(Wall::NewPrivileges, rustix::thread::set_no_new_privs(true));
    let mut is_scoped = false;
    if let Some(rules) = &rights.rules {
        let restricted = restrict(&rules[usize::from(!has_scene)]);
        is_scoped = rights.is_scoped && restricted.is_ok();
        told(Wall::Landlock, restricted);
    } else if !has_scene {
        report.missing(Wall::Landlock, Errno::NOSYS);
    }
    keep_no_descriptors();
    let are_sockets_hidden = has_scene && (is_scoped || report.stands(Wall::Network));
    let filtered = filter_calls(if are_sockets_hidden { &rights.filter } else { &rights.bare_filter });
    if filtered.is_err() && !is_counted && report.stands(Wall::UserNamespace) {
        report.missing(Wall::Limits, Errno::PERM);
    }
    told(Wall::Calls, filtered);
    // Up to here this process has opened files, beside those that it was given, and has written its report.
    for (resource, most) in rights.limits.iter().filter(|(resource, _)| is_of_files(*resource)) {
        told(Wall::Limits, limit(*resource, *most));
    }
}

fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<()> {
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

fn limit(resource: Resource, most: u64) -> Result<()> {
    let now = getrlimit(resource);
    let most = most.min(now.maximum.unwrap_or(u64::MAX));
    let current = most.min(now.current.unwrap_or(u64::MAX));
    setrlimit(resource, Rlimit { current: Some(current), maximum: Some(most) })
}

/// Adds a rule for what is below a folder.
fn allow_all(rules: &OwnedFd, folder: &OwnedFd, access: u64) -> Result<()> {
    const BENEATH: i32 = 1;
    // `struct landlock_path_beneath_attr`, which is packed.
    let mut rule = [0; 12];
    rule[..8].copy_from_slice(&access.to_ne_bytes());
    rule[8..].copy_from_slice(&number(folder).to_ne_bytes());
    // SAFETY: it is given a descriptor that is open, and reads as many bytes as this kind of rule has.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_add_rule, number(rules), BENEATH, rule.as_ptr(), 0) };
    if result == -1 { Err(errno()) } else { Ok(()) }
}

/// Which version of landlock the kernel has; 0: none.
#[must_use]
pub fn landlock_version() -> i64 {
    const VERSION: i32 = 1;
    let nothing: *const u8 = std::ptr::null();
    // SAFETY: with this flag it reads nothing.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) }.max(0)
}

fn restrict(rules: &OwnedFd) -> Result<()> {
    // SAFETY: it is given a descriptor that is open, and takes numbers only.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, number(rules), 0) } == -1 {
        return Err(errno());
    }
    Ok(())
}

/// The program gets stdin, stdout, stderr, and what is passed on after this.
fn keep_no_descriptors() {
    // SAFETY: descriptors stay open until the program is there, which doesn't know of them.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } == -1 {
        for number in 3..most_descriptors() {
            // SAFETY: as above; a number that isn't open is an error that nobody minds.
            unsafe { libc::fcntl(number.cast_signed(), libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// No descriptor has this number or a larger one, in all likelihood.
pub(super) fn most_descriptors() -> u32 {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
    u32::try_from(most.min(1 << 16)).unwrap_or(1 << 16)
}

fn filter_calls(filter: &[libc::sock_filter]) -> Result<()> {
    if filter.is_empty() {
        return Err(Errno::NOSYS);
    }
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: it reads `len` instructions, which outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if result == -1 { Err(errno()) } else { Ok(()) }
}
