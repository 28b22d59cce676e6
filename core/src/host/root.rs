//! The root that this process works in.
//!
//! An image may be hostile. Before anything of it runs, the mounts outside of it are gone from this process,
//! which so can't climb out of a chroot, and so are the rights to reach the machine in other ways: devices,
//! raw memory, other processes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fs;
use crate::sys;

/// Makes `root` the root of this process: from here on every path, every program, every user name is that
/// system's, and nothing outside it can be reached.
///
/// # Errors
/// Where it is no folder, or we aren't root.
pub fn enter(root: &Path) -> io::Result<Entered> {
    if !fs::is_dir(root) {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
    }
    let root = fs::canonical(root).map_err(|error| error.source)?;
    let entered = match sys::leave_other_mounts(&root) {
        Ok(()) => Entered::Isolated,
        // A container may not let us have mounts of our own.
        Err(errno) => {
            rustix::process::chroot(&root).and_then(|()| rustix::process::chdir("/"))?;
            sys::drop_ways_out_of_a_chroot();
            Entered::Chroot(errno.into())
        }
    };
    sys::drop_rights_over_the_machine();
    ENTERED.store(true, Ordering::Relaxed);
    Ok(entered)
}

/// What separates this process from the system outside of the image.
#[derive(Debug)]
#[must_use]
pub enum Entered {
    /// Mounts of its own.
    Isolated,
    /// Nothing but a chroot; mounts of its own were refused with this error.
    Chroot(io::Error),
}

impl Entered {
    /// The warning that a caller is to print.
    #[must_use]
    pub fn warning(&self, root: &Path) -> Option<String> {
        let Self::Chroot(error) = self else { return None };
        Some(format!(
            "`{}` is entered by a plain chroot, since this system refuses a mount namespace ({error}): \
             programs of an image that you don't trust may reach the system outside",
            root.display()
        ))
    }
}

static ENTERED: AtomicBool = AtomicBool::new(false);
static ONLY_READS: AtomicBool = AtomicBool::new(false);

/// Whether this process works in another root than it was started in.
#[must_use]
pub fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// From here on no program of an image runs: the command only reads.
pub fn only_read() {
    ONLY_READS.store(true, Ordering::Relaxed);
}

/// Whether programs of an image may run.
#[must_use]
pub fn may_run_its_programs() -> bool {
    !ONLY_READS.load(Ordering::Relaxed)
}
