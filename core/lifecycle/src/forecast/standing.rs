//! What a forecast says now: of modules whose source and compiler are what they were, on headers of the same
//! package version.

use std::collections::BTreeMap;

use super::{Outlook, identity, record};
use crate::host::{Environment, clock};
use crate::id::{KernelRelease, ModuleId, Target};
use crate::layout::Layout;

/// What was foretold of a module, and still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// What becomes of it.
    pub outlook: Outlook,
    /// Why.
    pub reason: Option<String>,
    /// When it was built, or tried to be: a date.
    pub when: String,
    /// For this kernel.
    pub kernel: KernelRelease,
}

impl std::fmt::Display for Foreseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { outlook, reason, when, kernel } = self;
        match outlook {
            Outlook::Builds => write!(f, "was built for {kernel} on {when}")?,
            Outlook::Fails => write!(f, "was tried on {when}, and failed")?,
            Outlook::Excluded => write!(f, "is not for this kernel, as was found on {when}")?,
            Outlook::Compiler => write!(f, "was tried on {when}, and needs another compiler")?,
            Outlook::Unknown => write!(f, "was tried on {when}, and nothing is known")?,
        }
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// What is foretold of these modules on a kernel; `version` is that of the package of its headers, where it
/// is known. What was found to be unknown says nothing.
#[must_use]
pub fn standing(
    target: &Target,
    version: Option<&str>,
    layout: &Layout,
    environment: &Environment,
) -> BTreeMap<ModuleId, Foreseen> {
    let Some(forecast) = record::read(target, layout) else { return BTreeMap::new() };
    let is_same = |version: &str| version == forecast.version || forecast.version.is_empty();
    if !version.is_none_or(is_same) {
        return BTreeMap::new();
    }
    let when = clock::rfc2822(forecast.when);
    let holds = |one: &super::Prediction| {
        one.outlook != Outlook::Unknown
            && !one.source.is_empty()
            && identity::source_of(&one.id, target, layout) == one.source
            && identity::is_same_compiler(&one.compiler, environment)
    };
    let foreseen = |one: super::Prediction| {
        let (outlook, reason, when) = (one.outlook, one.reason, when.clone());
        (one.id, Foreseen { outlook, reason, when, kernel: target.kernel.clone() })
    };
    forecast.modules.into_iter().filter(holds).map(foreseen).collect()
}
