//! The one home of `unsafe`: calls into libc that no safe crate offers, and what a child does between fork
//! and exec. Each block says why it is sound.
#![expect(unsafe_code, reason = "this is its home")]

mod child;
mod idmap;
mod image;
mod inside;
mod keeper;
mod lasting;
mod overmount;
mod plain;
mod regex;
mod report;
mod rights;
mod scene;

pub use child::Plan;
pub use idmap::{mapped_tree, user_namespace};
pub use image::Image;
pub use inside::{Lacking, Layer, go_inside};
pub use keeper::{EndBy, keep, tell_when_we_die};
pub use lasting::{Lasting, Stay};
pub use overmount::{Overmount, Overmounts};
pub use plain::open_plain;
pub use regex::Regex;
pub use report::{Report, Wall};
pub use rights::{Rights, landlock_version};
pub use scene::{Act, Scene, Tree};

use std::ffi::CStr;

/// Has the process of `command` keep descriptors of ours open under their numbers. `owner` keeps
/// them open until then.
pub fn pass_on<T: Send + Sync + 'static>(numbers: [i32; 2], owner: T, command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let keep = move || {
        let _open = &owner;
        for number in numbers {
            // SAFETY: it takes numbers only; the descriptor is open as long as `owner` is.
            if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } == -1 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; an error of the system allocates nothing.
    unsafe { command.pre_exec(keep) };
}

/// Whether a file of `/proc` says this. One that this kernel doesn't have limits nothing. Makes system calls
/// only.
fn is_written(path: &CStr, text: &CStr) -> bool {
    use rustix::fs::{Mode, OFlags};
    let mut bytes = [0; 16];
    match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::read(&file, &mut bytes))
    {
        Ok(length) => bytes[..length].trim_ascii() == text.to_bytes(),
        Err(errno) => errno == rustix::io::Errno::NOENT,
    }
}

/// Writes a small file of `/proc`; makes system calls only.
fn write(path: &CStr, text: &CStr) -> rustix::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(|_| ())
}
