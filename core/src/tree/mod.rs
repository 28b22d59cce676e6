//! The dkms tree: what is in it ([`snapshot`]), and changes to it ([`registration`]), each visible at once or not at all; what
//! `--rpm_safe_upgrade` remembers ([`rpm_upgrade`]), and what became of earlier builds ([`attempts`]).

pub mod attempts;
pub mod logs;
pub mod registration;
pub mod rpm_upgrade;
pub mod snapshot;
pub mod weak;

pub use snapshot::{Built, Registration, Snapshot, Source};
