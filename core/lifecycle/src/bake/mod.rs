//! Modules that are part of a system's image: built, installed and proven while it was made.
//!
//! - [`manifest`]: the one file that the image keeps of them, in place of the tree
//! - [`record`]: installed files → the manifest's entries
//! - [`mod@required`]: which modules have to be on which kernels, and which are not; pure

pub mod manifest;
pub mod record;
pub mod required;

pub use manifest::{BakedFile, BakedModule, FileState, Manifest, ManifestError};
pub use record::Recorder;
pub use required::{Missing, Required, required};
