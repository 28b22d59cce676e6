//! Being in an image for good: no mounts but its own, and no rights over the machine.

use std::path::Path;

use rustix::io::Result;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, unmount};
use rustix::process::{chdir, pivot_root};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, set_capabilities};

/// Gets mounts of our own, makes `root` the root of them, and drops all that isn't below it.
pub fn leave_other_mounts(root: &Path) -> Result<()> {
    // SAFETY: no file descriptor table is unshared; this process has one thread when it begins.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    // It must be a mount to become the root of all.
    mount_bind_recursive(root, root)?;
    chdir(root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}

/// What nothing needs that works on an image, and what the machine could be reached by. `SYS_ADMIN` stays:
/// sandboxes are made with it.
const DANGEROUS: [CapabilitySet; 18] = [
    CapabilitySet::MKNOD,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::SYS_BOOT,
    CapabilitySet::SYS_TIME,
    CapabilitySet::SYS_PACCT,
    CapabilitySet::SYS_TTY_CONFIG,
    CapabilitySet::DAC_READ_SEARCH,
    CapabilitySet::LINUX_IMMUTABLE,
    CapabilitySet::IPC_OWNER,
    CapabilitySet::NET_RAW,
    CapabilitySet::SYSLOG,
    CapabilitySet::WAKE_ALARM,
    CapabilitySet::BLOCK_SUSPEND,
    CapabilitySet::MAC_ADMIN,
    CapabilitySet::MAC_OVERRIDE,
    CapabilitySet::AUDIT_CONTROL,
];

/// Gives up those rights, for the programs that we start too.
pub fn drop_rights_over_the_machine() {
    drop_capabilities(&DANGEROUS);
}

/// Gives up the rights to make a second chroot and to mount, by which root leaves a chroot. Who was refused
/// mounts of its own makes no sandbox with them.
pub fn drop_ways_out_of_a_chroot() {
    drop_capabilities(&[CapabilitySet::SYS_CHROOT, CapabilitySet::SYS_ADMIN]);
}

fn drop_capabilities(dropped: &[CapabilitySet]) {
    let lost = dropped.iter().fold(CapabilitySet::empty(), |all, one| all | *one);
    for &capability in dropped {
        // One that we don't have can't be dropped, and needn't be.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    if let Ok(mut sets) = capabilities(None) {
        sets.effective &= !lost;
        sets.permitted &= !lost;
        sets.inheritable &= !lost;
        let _ = set_capabilities(None, sets);
    }
}
