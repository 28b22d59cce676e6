//! Our own packages: what is in them, that they are what dpkg-buildpackage makes, and that Debian's can be replaced by them and they by
//! Debian's.

mod autopkgtest;
mod contents;
mod units;
mod upgrade;
