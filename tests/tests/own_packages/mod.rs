//! Our own packages: what is in them, that they are what dpkg-buildpackage makes, and that Debian's can be
//! replaced by them and they by Debian's.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod autopkgtest;
mod cloud;
mod contents;
mod units;
mod upgrade;
