//! Doing: looks at the world, and runs a [`crate::plan::Plan`] step by step.
//!
//! - [`mod@carry_out`]: the whole way from a request to its end, under locks
//! - [`survey`]: gathers what a plan needs to know; `needs` says what that is, `prebuilt`
//!   what packages bring prebuilt
//! - [`mod@run`]: the loop and its states; `schedule` decides what may run, `slots` and `folders` what builds
//!   share; `effects` does what a step says, `initramfs` sees to images, `memory` notes what became of
//!   builds, `taking` takes a module in place of a build, `ahead` of what those were made that their packages
//!   ask for later
//! - [`policy`]: what failures mean to a package manager
//! - [`afterwards`]: what is done once at the end; [`refused`]: whether what was installed will load;
//!   `apport`: Ubuntu's crash reports

pub mod afterwards;
mod ahead;
mod apport;
pub mod carry_out;
mod context;
mod effects;
mod error;
mod folders;
mod initramfs;
mod meant;
mod memory;
mod needs;
pub mod policy;
mod prebuilt;
pub mod refused;
pub mod run;
mod schedule;
mod slots;
pub mod survey;
mod taking;
#[cfg(test)]
mod transaction_tests;
mod unfit;

pub use carry_out::{CarryOutError, Looked, Task, carry_out, hold, look};
pub use context::Context;
pub use error::{NO_SPACE, StepError};
pub use run::{Failed, Outcome, run};
pub use survey::Survey;
