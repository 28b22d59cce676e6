//! Doing: runs a [`crate::plan::Plan`], step by step.
//!
//! - [`afterwards`]: what is done once at the end

pub mod afterwards;
