//! What a command may lock: a module's name (all its versions), a kernel (what is in its module
//! folder, and its index), and the boot configuration.
//!
//! Knows names, not files: [`super::lock`] does.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{KernelRelease, ModuleName};

/// One thing that is locked. The order is the one in which all commands lock, so that no two
/// wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A module: its folder in the tree, its source folders, its line in modprobe.d.
    Module(ModuleName),
    /// A kernel: `/lib/modules/K`.
    Kernel(KernelRelease),
    /// The boot configuration, as far as the boot guard changes it, and its journals.
    Boot,
}

/// How a key is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// By any number of commands that need it to stay as it is.
    Shared,
    /// By the one command that changes it.
    Exclusive,
}

/// What a command needs, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<Key, Mode>);

impl Keys {
    /// With one more; the stronger mode counts.
    #[must_use]
    pub fn with(mut self, key: Key, mode: Mode) -> Self {
        self.add(key, mode);
        self
    }

    /// Adds one; the stronger mode counts.
    pub fn add(&mut self, key: Key, mode: Mode) {
        let held = self.0.entry(key).or_insert(mode);
        *held = mode.max(*held);
    }

    /// Whether nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order in which they are locked.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, Mode)> {
        self.0.iter().map(|(key, mode)| (key, *mode))
    }

    /// How one of them is held.
    #[must_use]
    pub fn mode(&self, key: &Key) -> Option<Mode> {
        self.0.get(key).copied()
    }

    /// Whether all that `other` needs is among these, as strongly.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(key, mode)| self.mode(key).is_some_and(|held| held >= mode))
    }

    /// What `other` doesn't cover.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let missing = self.iter().filter(|(key, mode)| other.mode(key).is_none_or(|held| held < *mode));
        Self(missing.map(|(key, mode)| (key.clone(), mode)).collect())
    }

    /// Whether a kernel is among them.
    #[must_use]
    pub fn has_kernel(&self) -> bool {
        self.0.keys().any(|key| matches!(key, Key::Kernel(_)))
    }
}

impl Key {
    /// The name of its lock's file.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self {
            Self::Module(name) => format!("module-{name}"),
            Self::Kernel(release) => format!("kernel-{release}"),
            Self::Boot => "boot".to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(name) => write!(f, "module `{name}`"),
            Self::Kernel(release) => write!(f, "kernel {release}"),
            Self::Boot => f.write_str("the boot configuration"),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.keys().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> Key {
        Key::Module(ModuleName::new(name).unwrap())
    }

    #[test]
    fn the_stronger_mode_counts() {
        let keys = Keys::default().with(module("a"), Mode::Exclusive).with(module("a"), Mode::Shared);
        assert_eq!(keys.mode(&module("a")), Some(Mode::Exclusive));
    }

    #[test]
    fn what_is_covered_needs_no_more() {
        let held = Keys::default().with(module("a"), Mode::Exclusive).with(module("b"), Mode::Shared);
        let needed = Keys::default().with(module("a"), Mode::Shared).with(module("b"), Mode::Exclusive);
        assert!(!held.covers(&needed) && held.covers(&held) && needed.covers(&Keys::default()));
        assert_eq!(needed.without(&held), Keys::default().with(module("b"), Mode::Exclusive));
    }
}
