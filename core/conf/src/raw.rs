//! What a conf says, before anything is made of it: directive, index, value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::directive::Directive;
use dkms_base::diagnose::Refusal;

/// Which reader the values came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// The static one: nothing was run.
    #[default]
    Static,
    /// Bash.
    Bash,
}

/// The directives of a conf with their final texts (expanded twice). [`RawConf::default`] is the
/// conf that says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawConf {
    /// The module's own conf, to name it.
    pub file: PathBuf,
    /// Value by directive and index; one that was never set is absent, one that is set but empty is `""`.
    pub values: BTreeMap<Directive, BTreeMap<usize, String>>,
    /// Every other variable that the conf set, for near misses (`BUILD_MODULE_NAME`).
    pub other_names: BTreeSet<String>,
    /// Directives whose values may differ on another kernel.
    pub of_kernel: BTreeSet<Directive>,
    /// Who read the files.
    pub tier: Tier,
    /// Who expanded the values the second time.
    pub second_tier: Tier,
    /// What root may read, and who read the files for us could not.
    pub unreadable: Vec<PathBuf>,
    /// What a sandbox refused to commands of the conf.
    pub refused: Vec<Refusal>,
    /// What bash said of lines of the conf: `line 5: foo: command not found`.
    pub complaints: Vec<String>,
}

impl RawConf {
    /// The value at index 0, which is that of a directive that is no array.
    #[must_use]
    pub fn get(&self, directive: Directive) -> Option<&str> {
        self.at(directive, 0)
    }

    /// The value at an index.
    #[must_use]
    pub fn at(&self, directive: Directive, index: usize) -> Option<&str> {
        self.values.get(&directive)?.get(&index).map(String::as_str)
    }

    /// The value at an index, where it is set and not empty.
    #[must_use]
    pub fn filled(&self, directive: Directive, index: usize) -> Option<&str> {
        self.at(directive, index).filter(|value| !value.is_empty())
    }

    /// All values of a directive, by index.
    pub fn all(&self, directive: Directive) -> impl DoubleEndedIterator<Item = (usize, &str)> {
        self.values.get(&directive).into_iter().flatten().map(|(index, value)| (*index, value.as_str()))
    }

    /// Sets a value.
    pub fn set(&mut self, directive: Directive, index: usize, value: impl Into<String>) {
        self.values.entry(directive).or_default().insert(index, value.into());
    }
}
