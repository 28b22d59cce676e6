//! Loads module files into a kernel in a virtual machine, and says what became of each. Knows kernels and
//! module files, and nothing of dkms.
//!
//! - [`selection`]: which files are needed, in which order, with which options
//! - [`guest`]: what this program does there, as its first process and as its `modprobe`
//! - [`machine`]: boots it with QEMU, more than once where a module ends the guest
//! - [`outcome`]: what the guest reports → what became of each module

pub mod guest;
pub mod machine;
mod options;
pub mod outcome;
mod report;
pub mod selection;

pub use machine::{Guest, Loaded, VmError};
pub use outcome::{Outcome, judge};
pub use selection::{Selection, SelectionError};
