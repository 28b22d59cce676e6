//! What `dkms status` says, as states; and whether one state lies on the way from one to another.

use std::collections::BTreeMap;

/// How far a module has come, on a kernel or (with an empty one) at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing is known of it.
    Absent,
    /// It has a source.
    Added,
    /// It is built.
    Built,
    /// It is installed.
    Installed,
}

/// By `M/V` and kernel (empty: whether it is in the tree at all).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct States(pub BTreeMap<(String, String), Stage>);

impl States {
    /// Reads what `status` printed.
    ///
    /// # Errors
    /// The first line that tells no state.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut states = BTreeMap::new();
        for line in text.lines() {
            let bad = || format!("status has the line {line:?}");
            let (subject, state) = line.rsplit_once(": ").ok_or_else(bad)?;
            let word = state.split(' ').next().unwrap_or_default();
            let parts: Vec<&str> = subject.split(", ").collect();
            let (id, kernel, stage) = match (parts.as_slice(), word) {
                ([id], "added") if id.contains('/') => (*id, "", Stage::Added),
                ([id, kernel, _], "built") => (*id, *kernel, Stage::Built),
                ([id, kernel, _], "installed") => (*id, *kernel, Stage::Installed),
                _ => return Err(bad()),
            };
            states.insert((id.to_owned(), kernel.to_owned()), stage);
            states.insert((id.to_owned(), String::new()), Stage::Added);
        }
        Ok(Self(states))
    }

    /// How far a module is on a kernel.
    #[must_use]
    pub fn stage(&self, id: &str, kernel: &str) -> Stage {
        self.0.get(&(id.to_owned(), kernel.to_owned())).copied().unwrap_or(Stage::Absent)
    }

    /// How many steps it is to another: adding, building and installing are one each, and so is
    /// what takes them back.
    #[must_use]
    pub fn distance(&self, other: &Self) -> usize {
        let mut keys: Vec<_> = self.0.keys().chain(other.0.keys()).collect();
        keys.sort();
        keys.dedup();
        let height = |states: &Self, (id, kernel): &(String, String)| match states.stage(id, kernel) {
            Stage::Absent => 0_usize,
            Stage::Added | Stage::Built => 1,
            Stage::Installed => 2,
        };
        keys.into_iter().map(|key| height(self, key).abs_diff(height(other, key))).sum()
    }

    /// What in `self` lies not between `before` and `after`.
    #[must_use]
    pub fn astray(&self, before: &Self, after: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut all: Vec<_> = self.0.keys().chain(before.0.keys()).chain(after.0.keys()).collect();
        all.sort();
        all.dedup();
        for (id, kernel) in all {
            let [now, before, after] = [self, before, after].map(|states| states.stage(id, kernel));
            if now < before.min(after) || now > before.max(after) {
                wrong.push(format!("{id} {kernel}: {now:?}, on the way from {before:?} to {after:?}"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::{Stage, States};

    #[test]
    fn only_what_lies_between_is_on_the_way() {
        let added = States::parse("foo/1.0: added\n").unwrap();
        let built = States::parse("foo/1.0, 6.1, x86_64: built\n").unwrap();
        let installed = States::parse("foo/1.0, 6.1, x86_64: installed (Original modules exist)\n").unwrap();
        assert_eq!(installed.stage("foo/1.0", "6.1"), Stage::Installed);
        assert!(built.astray(&added, &installed).is_empty());
        assert!(built.astray(&installed, &States::default()).is_empty());
        assert_eq!(installed.astray(&added, &built).len(), 1);
        assert_eq!(added.astray(&built, &installed).len(), 1);
        assert_eq!(built.astray(&States::default(), &States::default()).len(), 2);
        assert_eq!([added.distance(&installed), installed.distance(&built)], [2, 1]);
        assert_eq!([States::default().distance(&added), built.distance(&States::default())], [1, 2]);
        assert!(States::parse("foo/1.0: broken\n").is_err());
        assert!(States::parse("foo: added\n").is_err());
    }
}
