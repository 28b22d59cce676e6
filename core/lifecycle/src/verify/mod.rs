//! Whether a kernel takes a module file: is it whole, for that machine, for that kernel, and does
//! something export every symbol that it needs. What can't be known is no fault.
//!
//! - [`Fault`], [`KernelView`]: facts → faults, without input or output
//! - [`symbols`]: lists of exported symbols (`Module.symvers`)
//! - [`Examiner`]: reads the files, and the lists that it takes to answer

mod examine;
mod fault;
pub mod symbols;

pub use examine::Examiner;
pub use fault::{Fault, KernelView};
