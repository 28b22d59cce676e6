//! The dkms tree: what is in it ([`snapshot`]), and changes to it ([`registration`]), each visible at once or not at all.

pub mod registration;
pub mod snapshot;

pub use snapshot::{Built, Registration, Snapshot, Source};
