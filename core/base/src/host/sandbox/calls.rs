//! The filter of system calls, for seccomp(2): what no build needs is refused, everything else goes through.
//!
//! A build's programs are any program's, so this is a list of what is refused and not of what is allowed; the
//! other isolation layers don't depend on it. Refused calls fail with `EPERM`, so that programs which only
//! try go on.

use libc::{c_long, sock_filter};

/// Calls that are always refused.
const REFUSED: &[c_long] = &[
    // Modules, other kernels, the machine itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Keys, and large parts of the kernel that nobody needs to build.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// Calls that fail as if a limit were reached: what they make is counted for root where the user namespace is
/// root's, and there are few of them (`fs.inotify.max_user_instances`).
const USED_UP: &[c_long] = &[
    libc::SYS_inotify_init1,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_inotify_init,
];
/// Memory that outlives its process and that no limit of a process counts: nothing that downloads needs it.
const SHARED_MEMORY: &[c_long] = &[libc::SYS_shmget, libc::SYS_semget, libc::SYS_msgget];

/// Calls that set a mode, and which argument it is.
const MODES: &[(c_long, u32)] = &[
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    // fchmodat2, which has the same number on every machine.
    (452, 2),
    (libc::SYS_mkdirat, 2),
    (libc::SYS_mknodat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
];
/// Calls that open a file, and which argument their flags are; the mode comes behind them.
const OPENS: &[(c_long, u32)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];
/// With one of these flags open(2) looks at the mode: `O_CREAT`, and what `O_TMPFILE` has
/// besides `O_DIRECTORY`.
const MAKES_A_FILE: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).cast_unsigned();
/// A file of the build user that has one lends its rights to all users who can run it.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// `AUDIT_ARCH_…` of audit.h: the machine whose call numbers these are. `None`: one that
/// we have no filter for.
const MACHINE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else if cfg!(target_arch = "loongarch64") {
    Some(0xc000_0102)
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    Some(0xc000_0015)
} else {
    None
};

/// Every flag of clone(2) that makes a namespace.
const NAMESPACES: u32 = 0x7e02_0080;
/// ioctl(2)s that type into a terminal.
const TYPING: [u32; 2] = [0x5412, 0x541c];
/// On x86-64: numbers from here on are the x32 machine's.
const X32: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(place: u32) -> u32 {
    16 + 8 * place + if cfg!(target_endian = "big") { 4 } else { 0 }
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const fn fail(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// Which sockets can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Those of this machine: what they could lead to is hidden.
    Local,
    /// Only pairs of them (socketpair(2)) that are connected for good: one for datagrams sends
    /// them to any address (unix(7)).
    None,
    /// The same, and those that lead to other machines.
    Internet,
}

/// The program, empty where we know none for this machine.
pub(super) fn filter(sockets: Sockets) -> Vec<sock_filter> {
    let Some(machine) = MACHINE else { return Vec::new() };
    let mut program = vec![load(ARCH)];
    // Another machine's numbers would mean other calls.
    program.extend(unless_equal(machine, &[give(fail(libc::ENOSYS))]));
    program.push(load(NUMBER));
    if cfg!(target_arch = "x86_64") {
        program.extend([jump(libc::BPF_JGE, X32, 0, 1), give(fail(libc::ENOSYS))]);
    }
    for call in REFUSED {
        program.extend(when_equal(number(*call), &[give(fail(libc::EPERM))]));
    }
    for call in USED_UP {
        program.extend(when_equal(number(*call), &[give(fail(libc::EMFILE))]));
    }
    if sockets == Sockets::Internet {
        for call in SHARED_MEMORY {
            program.extend(when_equal(number(*call), &[give(fail(libc::EPERM))]));
        }
    }
    // These keep their flags and modes where no filter can look: callers fall back to clone and openat.
    for call in [libc::SYS_clone3, libc::SYS_openat2] {
        program.extend(when_equal(number(call), &[give(fail(libc::ENOSYS))]));
    }
    let flags = if cfg!(target_arch = "s390x") { 1 } else { 0 };
    program.extend(when_equal(
        number(libc::SYS_clone),
        &[
            load(argument(flags)),
            jump(libc::BPF_JSET, NAMESPACES, 0, 1),
            give(fail(libc::EPERM)),
            give(ALLOW),
        ],
    ));
    let families: &[libc::c_int] = match sockets {
        Sockets::Local => &[libc::AF_UNIX],
        Sockets::None => &[],
        Sockets::Internet => &[libc::AF_INET, libc::AF_INET6],
    };
    let mut socket = vec![load(argument(0))];
    for family in families {
        socket.extend(when_equal(family.cast_unsigned(), &[give(ALLOW)]));
    }
    socket.push(give(fail(libc::EACCES)));
    program.extend(when_equal(number(libc::SYS_socket), &socket));
    if sockets != Sockets::Local {
        // Flags come with the type.
        let mut pair = vec![load(argument(1)), statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xf)];
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
            pair.extend(when_equal(kind.cast_unsigned(), &[give(ALLOW)]));
        }
        pair.push(give(fail(libc::EACCES)));
        program.extend(when_equal(number(libc::SYS_socketpair), &pair));
    }
    let mut ioctl = vec![load(argument(1))];
    for request in TYPING {
        ioctl.extend(when_equal(request, &[give(fail(libc::EPERM))]));
    }
    ioctl.push(give(ALLOW));
    program.extend(when_equal(number(libc::SYS_ioctl), &ioctl));
    for (call, mode) in MODES {
        program.extend(when_equal(number(*call), &without_set_id(*mode)));
    }
    for (call, flags) in OPENS {
        let mut open = vec![load(argument(*flags)), jump(libc::BPF_JSET, MAKES_A_FILE, 1, 0), give(ALLOW)];
        open.extend(without_set_id(*flags + 1));
        program.extend(when_equal(number(*call), &open));
    }
    program.push(give(ALLOW));
    program
}

/// Refuses a mode, the argument at this place, that has a set-id bit.
fn without_set_id(mode: u32) -> Vec<sock_filter> {
    vec![load(argument(mode)), jump(libc::BPF_JSET, SET_ID, 0, 1), give(fail(libc::EPERM)), give(ALLOW)]
}

/// Call numbers are small.
fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn give(value: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

/// `then` where the loaded value is this; behind it goes on what isn't.
fn when_equal(value: u32, then: &[sock_filter]) -> Vec<sock_filter> {
    branch(jump(libc::BPF_JEQ, value, 0, skip(then)), then)
}

/// `then` where the loaded value is another.
fn unless_equal(value: u32, then: &[sock_filter]) -> Vec<sock_filter> {
    branch(jump(libc::BPF_JEQ, value, skip(then), 0), then)
}

fn branch(first: sock_filter, then: &[sock_filter]) -> Vec<sock_filter> {
    std::iter::once(first).chain(then.iter().copied()).collect()
}

fn skip(over: &[sock_filter]) -> u8 {
    u8::try_from(over.len()).unwrap_or(u8::MAX)
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: 0, jf: 0, k }
}

fn jump(kind: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    let code = u16::try_from(libc::BPF_JMP | kind | libc::BPF_K).unwrap_or_default();
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, on a call with these arguments.
    fn verdict<const N: usize>(machine: u32, call: c_long, arguments: [u32; N]) -> u32 {
        verdict_of(&filter(Sockets::Local), machine, call, &arguments)
    }

    fn verdict_of(program: &[sock_filter], machine: u32, call: c_long, arguments: &[u32]) -> u32 {
        let value = |place: u32| arguments.get(place as usize).copied().unwrap_or(0);
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            let code = u32::from(step.code);
            at += 1;
            match code & 7 {
                libc::BPF_LD => {
                    loaded = match step.k {
                        NUMBER => number(call),
                        ARCH => machine,
                        k => (0..6).find(|place| k == argument(*place)).map(value).unwrap(),
                    }
                }
                libc::BPF_RET => return step.k,
                libc::BPF_ALU => loaded &= step.k,
                _ => {
                    let holds = match code & 0xf0 {
                        libc::BPF_JEQ => loaded == step.k,
                        libc::BPF_JGE => loaded >= step.k,
                        libc::BPF_JSET => loaded & step.k != 0,
                        other => panic!("jump {other}"),
                    };
                    at += usize::from(if holds { step.jt } else { step.jf });
                }
            }
        }
    }

    #[test]
    fn what_no_build_needs_is_refused() {
        let machine = MACHINE.expect("the filter is written for the architecture that the tests run on");
        let of = |call, arguments: [u32; 2]| verdict(machine, call, arguments);
        let (allow, no) = (ALLOW, fail(libc::EPERM));
        for call in REFUSED {
            assert_eq!(of(*call, [0, 0]), no, "{call}");
        }
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat, libc::SYS_prctl, libc::SYS_wait4] {
            assert_eq!(of(call, [0, 0]), allow, "{call}");
        }
        let thread = 0x003d_0f00;
        assert_eq!(of(libc::SYS_clone, [thread, 0]), allow);
        for namespace in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWPID, libc::CLONE_NEWTIME] {
            assert_eq!(of(libc::SYS_clone, [namespace.cast_unsigned(), 0]), no);
        }
        assert_eq!(of(libc::SYS_clone3, [0, 0]), fail(libc::ENOSYS));
        for call in USED_UP {
            assert_eq!(of(*call, [0, 0]), fail(libc::EMFILE), "{call}");
        }
        assert_eq!(of(libc::SYS_socket, [1, 0]), allow);
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_ALG] {
            assert_eq!(of(libc::SYS_socket, [family.cast_unsigned(), 0]), fail(libc::EACCES));
        }
        assert_eq!(of(libc::SYS_ioctl, [0, 0x5401]), allow);
        assert_eq!(of(libc::SYS_ioctl, [0, 0x5412]), no);
    }

    #[test]
    fn sockets_that_lead_somewhere_are_none() {
        let machine = MACHINE.expect("the filter is written for the architecture that the tests run on");
        let program = filter(Sockets::None);
        let of = |call, kind: i32| {
            verdict_of(&program, machine, call, &[libc::AF_UNIX.cast_unsigned(), kind.cast_unsigned()])
        };
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET, libc::SOCK_DGRAM, libc::SOCK_RAW] {
            let kind = kind | libc::SOCK_CLOEXEC;
            assert_eq!(of(libc::SYS_socket, kind), fail(libc::EACCES));
            let leads_nowhere = kind & 0xf != libc::SOCK_DGRAM && kind & 0xf != libc::SOCK_RAW;
            let expected = if leads_nowhere { ALLOW } else { fail(libc::EACCES) };
            assert_eq!(of(libc::SYS_socketpair, kind), expected, "{kind}");
        }
        assert_eq!(of(libc::SYS_read, 0), ALLOW);
        assert_eq!(of(libc::SYS_ioctl, 0x5412), fail(libc::EPERM));
    }

    #[test]
    fn a_download_gets_sockets_of_the_internet_and_no_others() {
        let machine = MACHINE.expect("the filter is written for the architecture that the tests run on");
        let program = filter(Sockets::Internet);
        let of = |family: i32| {
            verdict_of(
                &program,
                machine,
                libc::SYS_socket,
                &[family.cast_unsigned(), libc::SOCK_STREAM.cast_unsigned()],
            )
        };
        for family in [libc::AF_INET, libc::AF_INET6] {
            assert_eq!(of(family), ALLOW, "{family}");
            assert_eq!(verdict(machine, libc::SYS_socket, [family.cast_unsigned(), 1]), fail(libc::EACCES));
        }
        for call in SHARED_MEMORY {
            assert_eq!(verdict_of(&program, machine, *call, &[]), fail(libc::EPERM));
            assert_eq!(verdict(machine, *call, [0, 0, 0]), ALLOW);
        }
        for family in [libc::AF_UNIX, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG] {
            assert_eq!(of(family), fail(libc::EACCES), "{family}");
        }
        let datagrams = [libc::AF_UNIX.cast_unsigned(), libc::SOCK_DGRAM.cast_unsigned()];
        assert_eq!(verdict_of(&program, machine, libc::SYS_socketpair, &datagrams), fail(libc::EACCES));
    }

    #[test]
    fn no_file_gets_a_set_id_bit() {
        let machine = MACHINE.expect("the filter is written for the architecture that the tests run on");
        let (allow, no) = (ALLOW, fail(libc::EPERM));
        for mode in [0o4755, 0o2755, 0o6000] {
            for (call, place) in MODES {
                let with = |mode| {
                    std::array::from_fn::<u32, 3, _>(|at| if at == *place as usize { mode } else { 0 })
                };
                assert_eq!(verdict(machine, *call, with(mode)), no, "{call}");
                assert_eq!(verdict(machine, *call, with(0o1777)), allow, "{call}");
            }
            let create = (libc::O_CREAT | libc::O_WRONLY).cast_unsigned();
            for flags in [create, libc::O_TMPFILE.cast_unsigned()] {
                assert_eq!(verdict(machine, libc::SYS_openat, [0, 0, flags, mode]), no);
                assert_eq!(verdict(machine, libc::SYS_openat, [0, 0, flags, 0o666]), allow);
            }
            // Whatever stands there is no mode then.
            let flags = (libc::O_RDONLY | libc::O_DIRECTORY).cast_unsigned();
            assert_eq!(verdict(machine, libc::SYS_openat, [0, 0, flags, mode]), allow);
        }
        assert_eq!(verdict(machine, libc::SYS_openat2, [0, 0]), fail(libc::ENOSYS));
    }

    #[test]
    fn calls_of_another_machine_do_not_exist() {
        let machine = MACHINE.expect("the filter is written for the architecture that the tests run on");
        assert_eq!(verdict(machine ^ 1, libc::SYS_read, [0, 0]), fail(libc::ENOSYS));
        if cfg!(target_arch = "x86_64") {
            assert_eq!(verdict(machine, c_long::from(X32), [0, 0]), fail(libc::ENOSYS));
        }
    }
}
