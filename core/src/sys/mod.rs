//! The one home of `unsafe`: calls into libc that no safe crate offers, and what a child does between fork and exec. Each
//! block says why it is sound.
#![expect(unsafe_code, reason = "this is its home")]

mod child;
mod idmap;
mod overmount;
mod regex;
mod rights;
mod scene;

pub use child::{Plan, Report, Wall};
pub use idmap::{mapped_tree, user_namespace};
pub use overmount::Overmount;
pub use regex::Regex;
pub use rights::{Rights, landlock_version};
pub use scene::{Act, Scene, Tree};

use std::ffi::CStr;

/// Writes a small file of `/proc`; makes system calls only.
fn write(path: &CStr, text: &CStr) -> rustix::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(|_| ())
}
