//! What an image that a system boots holds of some modules. `cpio` and `lz4` unpack it.

mod ahead;
mod cpio;
mod image;
mod lz4;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use image::{Build, builds, examine};
