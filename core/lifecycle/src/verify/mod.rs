//! Whether a kernel takes a module file: is it whole, for that machine, for that kernel, and does
//! something export every symbol that it needs. What can't be known is no fault.
//!
//! - [`Fault`], [`KernelView`]: facts → faults, without input or output
//! - `known`: what a kernel exports; `unfit`: what a module may not use of it
//! - [`Examiner`]: reads the files, and the lists that it takes to answer

mod examine;
mod fault;
mod known;
mod symbols;
mod unfit;

pub use examine::Examiner;
pub use fault::{Fault, KernelView};
