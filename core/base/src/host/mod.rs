//! The only door to the outside: files, processes, clock, environment, signals.
//!
//! Everything else in this crate is given plain data, or calls these functions; the lints in
//! `clippy.toml` hold that.

mod access_list;
pub mod adopt;
pub mod ancestry;
pub mod beneath;
pub mod clock;
pub mod descriptor;
pub mod efi;
pub mod environment;
pub mod fs;
pub mod groups;
pub mod inhibitor;
pub mod jobs;
pub mod leftovers;
pub mod memory;
pub mod output;
pub mod outside;
pub mod ownership;
pub mod process;
pub mod processors;
pub mod programs;
pub mod replacing;
pub mod root;
pub mod sandbox;
pub mod scratch;
pub mod secrecy;
pub mod signals;
pub mod stream;
pub mod trusted;

pub use environment::Environment;
