//! What every other crate stands on.
//!
//! - Names and rules: [`id`], [`version`], [`layout`], [`exit`], [`visible`]
//! - Telling: [`report`], [`diagnose`]
//! - The world: [`host`], the only door to files, processes, signals, clock and environment; below it
//!   [`sys`], the one home of `unsafe`

pub mod diagnose;
pub mod exit;
pub mod host;
pub mod id;
pub mod layout;
pub mod report;
pub mod sys;
pub mod version;
pub mod visible;
