//! Which isolation layers this system supports: a program that does nothing is run in a sandbox.

use rustix::io::Errno;

use super::missing::Told;
use super::{Sandbox, Wanted};
use crate::host::Environment;
use crate::host::process::Process;
use crate::sys::{Wall, landlock_version};

/// The layers that a sandbox of builds as this user lacks here; as root only, since others get fewer of them.
#[must_use]
pub fn missing_here(user: &str, environment: &Environment) -> Vec<Told> {
    let Ok(sandbox) = Sandbox::new(&Wanted::bare(user, environment)) else { return Vec::new() };
    let nothing = Process::new("true", [""; 0], environment).in_sandbox(&sandbox);
    let mut missing = nothing.capture().map(|ended| ended.missing.0).unwrap_or_default();
    // A build with mounts of its own does not report that it is missing.
    if landlock_version() == 0 && !missing.iter().any(|told| told.wall == Wall::Landlock) {
        missing.push(Told { wall: Wall::Landlock, errno: Errno::NOSYS.raw_os_error() });
    }
    missing
}
