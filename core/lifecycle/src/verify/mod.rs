//! Whether a kernel will load a module: seven links, each proven, refuted or unknown.
//!
//! - [`Link`], [`Verdict`], [`Proof`]: what is judged, and what comes of it
//! - `judge`: [`Facts`] → the verdict on each link, without input or output; [`look`] gathers them
//! - [`Fault`], [`Doubt`], [`KernelView`]: what a module file shows for a kernel; `unfit`: what it may not
//!   use of the kernel's exports
//! - [`Examiner`]: reads module files; `known`: what a kernel exports, `cache`: kept for the next time
//! - [`index`]: what modprobe finds; [`search`]: which of two modules of one name depmod takes

mod blame;
mod cache;
mod doubt;
mod examine;
pub mod facts;
mod fault;
pub mod index;
mod judge;
mod known;
pub mod look;
mod proof;
pub mod search;
mod symbols;
mod unfit;
mod view;

pub use blame::running_kernel;
pub use doubt::{Doubt, Tried};
pub use examine::{Examination, Examiner};
pub use facts::Facts;
pub use fault::{BuiltFor, Fault, Origin};
pub use judge::judge;
pub use known::images_of;
pub use look::Verifier;
pub use proof::{Link, LinkProof, Proof, Verdict};
pub use view::KernelView;
