//! `dh_dkms` beside Debian's own, of bookworm and of trixie: the same folders, the same options, what
//! both leave is compared.
//!
//! - [`bench`]: the root that both run in, and the comparison
//! - [`cases`]: folders and options, real confs and made ones
//! - [`snippets`]: what the maintainer scripts do
//! - [`sequence`]: packages that `dh` builds with them
//! - [`refused`]: what is no valid input
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod bench;
mod cases;
mod refused;
mod sequence;
mod snippets;
