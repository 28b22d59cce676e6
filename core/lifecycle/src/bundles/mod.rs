//! Modules that another machine has built: signed tarballs in the places of the setting `prebuilt`.
//!
//! - `name`: which files may hold a module for a kernel, by their names
//! - `judge`: whether one is taken, without input or output; [`Reason`] says why not
//! - `remote`: places on other machines, through `dkms-fetch`
//! - [`Listing`]: what places have; [`Taker`]: examines and takes; [`Note`]: what is remembered of that

mod judge;
mod listing;
mod name;
mod note;
mod remote;
mod take;

pub use judge::Reason;
pub use listing::Listing;
pub use note::Note;
pub use take::{Asked, Taken, Taker};
