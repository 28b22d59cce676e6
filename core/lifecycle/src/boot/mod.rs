//! The boot guard: no kernel becomes what boots by default while a critical module of this machine is refuted
//! for it, if another kernel is there that is proven.
//!
//! - [`model`]: boot state and verdicts → decisions, without input or output
//! - [`loaders`]: what the boot loader of this system would boot, and how a kernel is withheld there:
//!   `systemd_boot`, `grub`
//! - [`journal`]: what was changed, so that it can be taken back to the byte
//! - [`guard`]: looks, decides, and does it

pub mod guard;
pub mod journal;
pub mod loaders;
pub mod model;

mod grub;
mod systemd_boot;

pub use guard::{BootError, Guard, Report, Row};
pub use journal::Hold;
pub use loaders::{Loader, Menu};
pub use model::{Decision, Fitness, Refused, State};
