//! The dkms tree: what is in it ([`snapshot`]), and changes to it ([`registration`]), each visible at once
//! or not at all; what `--rpm_safe_upgrade` remembers ([`rpm_upgrade`]); who works on what ([`lock`],
//! [`running`]); which kernels still need a depmod ([`owed`]), or an
//! initramfs ([`images`]); what was built before its package was
//! configured ([`ahead`]); what packages have begun and not ended ([`turns`]); what interrupted commands
//! left behind ([`sweep`]); what became of earlier builds ([`attempts`]).

pub mod ahead;
pub mod attempts;
pub mod images;
pub mod key;
pub mod loading;
pub mod lock;
pub mod logs;
pub mod owed;
pub mod registration;
pub mod rpm_upgrade;
pub mod running;
pub mod snapshot;
pub mod state;
pub mod sweep;
pub mod turns;
pub mod weak;

pub use key::{Key, Keys, Mode};
pub use lock::{Held, LockError};
pub use snapshot::{Built, Registration, Snapshot, Source};
