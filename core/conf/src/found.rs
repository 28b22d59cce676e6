//! What the files of a conf are given, and what reading them found, whichever tier does it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use dkms_base::diagnose::Refusal;
use dkms_base::host::Environment;

/// What confs are given, whichever tier reads them.
#[derive(Debug, Clone)]
pub(super) struct Given<'a> {
    /// The variables that we give, not exported.
    pub(super) variables: &'a [(String, String)],
    /// What they see of the environment.
    pub(super) environment: &'a Environment,
    /// What `nproc` would print, if we know.
    pub(super) processors: Option<usize>,
}

impl Given<'_> {
    /// The value of a variable that nothing has set yet.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let own = self.variables.iter().find(|(own, _)| own == name);
        own.map(|(_, value)| value.as_str()).or_else(|| self.environment.get(name))
    }
}

/// Values by name and index, of the names that were asked for; and the names of whatever else was set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What was asked for.
    pub(super) values: BTreeMap<String, BTreeMap<usize, String>>,
    /// All names that the files set.
    pub(super) names: BTreeSet<String>,
    /// Those whose values may differ on another kernel, as far as the static tier has read them.
    pub(super) of_kernel: HashSet<String>,
    /// All of them may.
    pub(super) decided: bool,
    /// What root may read and the user who read the files could not.
    pub(super) unreadable: Vec<PathBuf>,
    /// What their sandbox refused to commands that they run.
    pub(super) refused: Vec<Refusal>,
    /// What bash said of lines of them.
    pub(super) complaints: Vec<String>,
}
