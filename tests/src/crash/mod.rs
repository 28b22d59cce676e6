//! Commands that are ended, or whose system calls fail, at every point where they change files.
//!
//! [`tripwire`] runs a command up to a point, [`stock`] is ready-built modules in a root, [`world`] a root
//! whose state is kept and put back, [`action`] what is tried, [`rehearsal`] how it goes undisturbed,
//! [`parts`] of its calls, [`state`] what `status` may say, [`sound`] judges what is on disk.

pub mod action;
pub mod parts;
pub mod rehearsal;
pub mod sound;
pub mod state;
pub mod stock;
pub mod tripwire;
pub mod world;
