//! The root that this process works in.
//!
//! An image may be hostile. Before anything of it runs, this process has mounts, processes and users of its
//! own ([`crate::sys`]): no path and no number leads to the system outside, and its capabilities count for
//! nothing there.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ancestry, fs, sandbox};
use crate::sys::{self, Image, Lacking, Layer};

/// Makes `root` the root of this process: from here on every path, every program, every user name is that
/// system's, and nothing outside it can be reached. What goes on is another process than the one that
/// called; that one waits, and ends with the same code.
///
/// Called before there is a second thread.
///
/// # Errors
/// Where it is no folder, or we aren't root.
pub fn enter(root: &Path) -> io::Result<Entered> {
    if !fs::is_dir(root) {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
    }
    let root = fs::canonical(root).map_err(|error| error.source)?;
    ancestry::remember();
    let (maps, _) = sandbox::maps(true);
    let mounts = fs::read_lossy(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let image = Image { path: &root, interfaces: interfaces_below(&root, &mounts), maps };
    let lacking = sys::go_inside(&image)?;
    ENTERED.store(true, Ordering::Relaxed);
    Ok(Entered { lacking })
}

/// File systems by which the kernel is controlled, besides devices.
const INTERFACES: [&str; 18] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "efivarfs",
    "bpf",
    "configfs",
    "fusectl",
    "pstore",
    "binfmt_misc",
    "selinuxfs",
    "smackfs",
    "mqueue",
    "rpc_pipefs",
    "nfsd",
];

/// The mounts of those in a folder, from proc_pid_mountinfo(5).
fn interfaces_below(root: &Path, mountinfo: &str) -> Vec<CString> {
    let place = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        let path = unescaped(before.split(' ').nth(4)?);
        (INTERFACES.contains(&kind) && path.starts_with(root)).then(|| path.into_os_string().into_vec())
    };
    mountinfo.lines().filter_map(place).filter_map(|path| CString::new(path).ok()).collect()
}

/// Blanks and backslashes stand there as `\040` and the like.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = rest.get(1..4).and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|_| *first == b'\\').and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

/// What separates this process from the system outside of the image.
#[derive(Debug)]
#[must_use]
pub struct Entered {
    /// What this system refuses.
    lacking: Lacking,
}

impl Entered {
    /// The warning that a caller is to print.
    #[must_use]
    pub fn warning(&self, root: &Path) -> Option<String> {
        if self.lacking.is_empty() {
            return None;
        }
        let refused: Vec<String> = self
            .lacking
            .iter()
            .map(|(layer, errno)| format!("{} ({})", named(*layer), io::Error::from(*errno)))
            .collect();
        let refused = refused.join(", ");
        let how = if self.lacking.iter().any(|(layer, _)| *layer == Layer::Mounts) {
            format!("is entered by a plain chroot, since this system refuses {refused}")
        } else {
            format!("is entered without full isolation, since this system refuses {refused}")
        };
        Some(format!(
            "`{}` {how}: programs of an image that you don't trust may reach the system outside",
            root.display()
        ))
    }
}

const fn named(layer: Layer) -> &'static str {
    match layer {
        Layer::Mounts => "a mount namespace",
        Layer::Users => "a user namespace",
        Layer::Processes => "a pid namespace",
        Layer::Network => "a network namespace",
        Layer::Ipc => "an IPC namespace",
        Layer::Devices => "`/proc` and `/dev` of its own",
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

/// Whether programs may be started here: not where an image was entered only to read it.
#[must_use]
pub fn may_run_its_programs() -> bool {
    #[cfg(test)]
    if IN_IMAGE.get() {
        return false;
    }
    !(is_entered() && ONLY_READS.load(Ordering::Relaxed))
}

#[cfg(test)]
thread_local! {
    static IN_IMAGE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Has this thread do as in an image that is only read, until it is dropped.
#[cfg(test)]
pub fn as_in_an_image() -> impl Drop {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            IN_IMAGE.set(false);
        }
    }
    IN_IMAGE.set(true);
    Again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_below_a_folder_is_found() {
        let text = "30 29 0:6 / /dev rw - devtmpfs udev rw\n\
            31 29 0:7 / /srv/a\\040b/proc rw,nosuid shared:12 - proc proc rw\n\
            32 29 0:8 / /srv/a\\040b/sys rw - sysfs sysfs rw\n\
            33 29 8:1 / /srv/a\\040b/usr rw - ext4 /dev/sda1 rw\n\
            34 29 0:7 / /srv/a\\040bc/proc rw - proc proc rw\n";
        let found = interfaces_below(Path::new("/srv/a b"), text);
        assert_eq!(found, [c"/srv/a b/proc".to_owned(), c"/srv/a b/sys".to_owned()]);
        assert_eq!(interfaces_below(Path::new("/"), text).len(), 3);
        assert_eq!(unescaped("a\\134\\"), Path::new("a\\\\"));
    }
}
