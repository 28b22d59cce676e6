//! The root that this process works in.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fs;

/// Makes `root` the root of this process: from here on every path, every program, every user name is that system's, and
/// nothing outside it can be reached.
///
/// # Errors
/// Where it is no folder, or we aren't root.
pub fn enter(root: &Path) -> io::Result<()> {
    if !fs::is_dir(root) {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
    }
    rustix::process::chroot(root).and_then(|()| rustix::process::chdir("/"))?;
    ENTERED.store(true, Ordering::Relaxed);
    Ok(())
}

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether this process works in another root than it was started in.
#[must_use]
pub fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}
