//! Packages from modules: `.deb` and `.rpm` files, Debian source packages, new source trees, and what a source's licences allow.
//! Pure Rust: no debhelper, no fakeroot, no root. The same input gives the same bytes.
//!
//! - [`debian`]: `mkdeb`, `mkbmdeb`, `mkdsc`
//! - [`mkrpm`] makes what the action of that name does
//! - [`skeleton`]: `mktree` and `unmktree`; [`license`]: `ltdk`
//! - below these: [`entries`] is what goes into an archive, [`tarball`] and [`deb`] are the formats, [`staged`] makes files
//!   appear whole or not at all

pub mod deb;
pub mod debian;
pub mod entries;
pub mod error;
pub mod license;
pub mod mkrpm;
pub mod skeleton;
pub mod staged;
pub mod tarball;

pub use error::PackageError;
