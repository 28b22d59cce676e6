//! Doing: looks at the world, and runs a [`crate::plan::Plan`] step by step.
//!
//! - [`survey`]: gathers what a plan needs to know; `needs` says what that is
//! - [`mod@run`]: the loop and its states; `effects` does what a step says
//! - [`afterwards`]: what is done once at the end

pub mod afterwards;
mod context;
mod effects;
mod error;
mod needs;
pub mod run;
pub mod survey;

pub use context::Context;
pub use error::StepError;
pub use run::{Failed, Outcome, run};
pub use survey::Survey;
