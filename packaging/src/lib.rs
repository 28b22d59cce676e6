//! Packages from modules: `.deb` and `.rpm` files, Debian source packages, new source trees, and what a
//! source's licences allow. Pure Rust, but for xorriso: no debhelper, no rpmbuild, no fakeroot, no root. The
//! same input gives the same bytes.
//!
//! - [`debian`]: `mkdeb`, `mkbmdeb`, `mkdsc`
//! - [`mkrpm`]: `mkrpm`, `mkkmp`; [`driver_disk`]: `mkdriverdisk`
//! - [`oci`], images for registries: `mkoci`; [`sysext`], system extensions: `mksysext`
//! - [`skeleton`]: `mktree` and `unmktree`; [`license`]: `ltdk`
//! - [`own`]: this project's own packages
//! - [`demands`]: what a dkms.conf demands of packages of built modules
//! - below these: [`entries`] is what goes into an archive, [`tarball`], [`deb`] and [`arch`] are the
//!   formats, [`staged`] makes files appear whole or not at all

pub mod arch;
pub mod deb;
pub mod debian;
pub mod demands;
pub mod driver_disk;
pub mod entries;
pub mod error;
mod laid_out;
pub mod license;
pub mod mkrpm;
pub mod oci;
pub mod own;
pub mod skeleton;
pub mod staged;
pub mod sysext;
pub mod tarball;
mod text;

pub use error::PackageError;
