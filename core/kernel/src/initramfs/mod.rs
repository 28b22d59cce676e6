//! What an image that a system boots holds of some modules. `cpio` reads its archives.

mod cpio;
mod image;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use image::{Build, builds, examine};
