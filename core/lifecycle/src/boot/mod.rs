//! The boot guard: no kernel becomes what boots by default while a critical module of this machine is refuted
//! for it, if another kernel is there that is proven.
//!
//! - [`model`]: boot state and verdicts → decisions, without input or output
//! - [`loaders`]: what the boot loader of this system would boot, and how a kernel is withheld there:
//!   `systemd_boot`, `grub`
//! - [`journal`]: what was changed, so that it can be taken back to the byte
//! - [`guard`]: looks and decides; `reconcile`: does what follows, and puts in order what was left half done
//! - [`notice`]: the lines that people see at login, and beside a due reboot
//! - `change`: holds and releases, journal first; `machine`: whose an entry is

pub mod guard;
pub mod journal;
pub mod loaders;
pub mod model;
pub mod notice;

mod change;
mod grub;
mod machine;
mod reconcile;
mod systemd_boot;
#[cfg(test)]
mod tests;

pub use guard::{BootError, Guard, Kernels, Report, Row};
pub use journal::{Hold, Stage};
pub use loaders::{Loader, Menu};
pub use model::{Decision, Fitness, Refused, State};
pub use notice::{Notice, Subject};
