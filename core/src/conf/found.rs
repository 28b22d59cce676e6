//! What reading the files of a conf found, whichever tier did it.

use std::collections::{BTreeMap, BTreeSet};

/// Values by name and index, of the names that were asked for; and the names of whatever else was set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What was asked for.
    pub(super) values: BTreeMap<String, BTreeMap<usize, String>>,
    /// All names that the files set.
    pub(super) names: BTreeSet<String>,
}
