//! The `dkms` command: arguments (what was typed) → request (what is meant) → render.

pub mod action;
pub mod args;
pub mod failure;
pub mod invocation;
pub mod render;

/// Runs the command; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
