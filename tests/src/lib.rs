//! The host under test, and what the end-to-end tests in `tests/` share.
//!
//! - [`setup`] fetches what a test can't make itself (the original, kernel headers, Debian's module
//!   packages); [`cache`] knows where that lies, [`kernels`] which kernels there are
//! - [`root`] is a fresh private root in milliseconds, [`tool`] a `dkms` to run in it, [`fixture`] a module's
//!   source as text, [`capture`] what is on disk afterwards
//! - [`apt`] is a Debian system with kernels and module packages at hand, for what apt and dpkg make us do
//! - [`debs`] are our own packages, of the programs that tests built
//! - [`crash`] ends commands at every change they make
//! - [`ready`] are modules that need no compiler, made of a [`template`]
//! - [`verdict`] judges errors and what was left
//! - [`qemu`] boots a kernel with an [`initramfs`], also under [`secure_boot`]; [`firmware`] boots through a
//!   boot loader, [`disk`] is a system with one
//! - [`mod@rpm`] is a root with a real rpm and dnf
//! - [`pacman`] is a root with a real pacman and packages for it
//! - [`share`] spreads work over several roots
//! - [`stock`] is a kernel as its packages bring it
//! - [`tier`] says how much a run tries, [`passed`] what of it an earlier run has passed already
//! - [`scenario`] is the table of scenarios, run with two tools and compared
//!
//! Nothing here knows how `dkms` works: only what it is asked and what it leaves.

pub mod apt;
pub mod cache;
pub mod capture;
pub mod command;
pub mod crash;
pub mod debs;
pub mod disk;
pub mod firmware;
pub mod fixture;
pub mod initramfs;
pub mod kernels;
pub mod pacman;
pub mod passed;
pub mod qemu;
pub mod ready;
pub mod root;
pub mod rpm;
pub mod scenario;
pub mod secure_boot;
pub mod setup;
pub mod share;
pub mod stock;
pub mod template;
pub mod tier;
pub mod tool;
pub mod verdict;

/// Prints a line for the person who runs the tests, also while the test harness captures output.
pub fn say(line: &str) {
    use std::io::Write;
    // A closed stderr is no reason for a test to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}
