//! Which modules a kernel lets in: whether it demands signatures, and whose it trusts.
//!
//! - [`Machine`]: the facts, from EFI variables, lockdown, `/proc/keys` ([`signature_list`] and
//!   [`kernel_keys`] read their forms)
//! - [`Kernel`]: what a kernel's configuration and its makers say
//! - [`demand()`], [`trust()`], [`rejection()`]: the decisions, over plain data
//! - [`Certificate`]: as firmware and kernel know it

mod certificate;
mod decide;
pub mod kernel_keys;
mod machine;
mod rejection;
pub mod signature_list;

pub use certificate::Certificate;
pub use decide::{Demand, Kernel, Keyring, Trust, Untrusted, demand, trust};
pub use machine::{Firmware, Lockdown, Machine};
pub use rejection::{Fault, Rejection, Signed, Way, rejection};
