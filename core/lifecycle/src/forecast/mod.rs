//! Will the modules build on a kernel that is not installed yet? Answered by building them in a layer that is
//! thrown away.
//!
//! - [`mod@asked`]: which modules are built
//! - [`layer`]: the throw-away tree and folders that the builds see in place of the system's
//! - [`predict`](mod@predict): the builds in it, and what each result means
//! - [`record`]: what is kept of it in `.state/forecast`
//! - [`mod@standing`]: what of that still holds; `identity`: of which source and which compiler it was

use serde::{Deserialize, Serialize};

use crate::id::ModuleId;

pub mod asked;
mod identity;
pub mod layer;
pub mod predict;
pub mod record;
pub mod standing;
#[cfg(test)]
mod tests;

pub use asked::asked;
pub use predict::{Maker, predict};
pub use record::Forecast;
pub use standing::{Foreseen, standing};

/// What becomes of a module on the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outlook {
    /// It was built, and the kernel will load it as far as that can be known.
    Builds,
    /// It can't be built, or the kernel would not load it.
    Fails,
    /// `BUILD_EXCLUSIVE_*` rules the kernel out.
    Excluded,
    /// Its build needs another compiler than this system has.
    Compiler,
    /// It can't be known.
    Unknown,
}

impl Outlook {
    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Builds => "builds",
            Self::Fails => "fails",
            Self::Excluded => "excluded",
            Self::Compiler => "compiler",
            Self::Unknown => "unknown",
        }
    }
}

/// A module, foretold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The module.
    pub id: ModuleId,
    /// What becomes of it.
    pub outlook: Outlook,
    /// Why: the cause and the first error of a build that failed, the rule that excludes it.
    pub reason: Option<String>,
    /// The digest of its source and of what the admin adds to it; empty: it could not be read.
    pub source: String,
    /// The compiler that the kernel's headers ask for, as it was then.
    pub compiler: String,
}

impl Prediction {
    /// One that nothing was built for.
    #[must_use]
    pub fn unknown(id: ModuleId, reason: impl Into<String>) -> Self {
        Self {
            id,
            outlook: Outlook::Unknown,
            reason: Some(reason.into()),
            source: String::new(),
            compiler: String::new(),
        }
    }
}
