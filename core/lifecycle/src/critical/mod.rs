//! Which modules this machine cannot boot or be reached without, each with the reason.
//!
//! - [`facts`]: what is known, plain data; [`look`] gathers it: `storage`, `network`, `console` of a machine
//!   that runs, `offline` of an image
//! - [`standings`]: whether critical modules are there for kernels
//! - [`decide`]: facts → answers, without input or output

mod console;
mod decide;
mod device;
pub mod facts;
mod look;
mod network;
mod offline;
mod standing;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::id::{ModuleId, ModuleName};

pub use crate::verify::Verdict;
pub use decide::decide;
pub(crate) use decide::matches;
pub use look::{look, look_for};
pub use standing::{Standing, standings};

/// Whether a module is critical, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `None`: it is not known.
    pub critical: Option<bool>,
    /// The reason, without the module's name.
    pub why: String,
}

/// The answers for all modules that were asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Critical(pub BTreeMap<ModuleName, Answer>);

impl Critical {
    /// Why a module is critical; `None`: it is not, or that is not known.
    #[must_use]
    pub fn why(&self, name: &ModuleName) -> Option<&str> {
        self.0.get(name).filter(|answer| answer.critical == Some(true)).map(|answer| answer.why.as_str())
    }

    /// The modules that are critical.
    pub fn names(&self) -> impl Iterator<Item = &ModuleName> {
        self.0.iter().filter(|(_, answer)| answer.critical == Some(true)).map(|(name, _)| name)
    }

    /// A module with its reason in brackets, if it is critical: `zfs/2.3.9 (root file system)`.
    #[must_use]
    pub fn named(&self, id: &ModuleId) -> String {
        self.why(&id.name).map_or_else(|| id.to_string(), |why| format!("{id} ({why})"))
    }
}
