//! The ids that our user namespace knows (user_namespaces(7)).

use std::path::Path;

use crate::host::fs;

/// Ranges of ids, each with its first one and how many they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdMap(Vec<(u32, u32)>);

impl IdMap {
    /// The users.
    pub(super) fn of_users() -> Self {
        Self::read("/proc/self/uid_map")
    }

    /// The groups.
    pub(super) fn of_groups() -> Self {
        Self::read("/proc/self/gid_map")
    }

    /// Without `/proc` nothing is known; all ids are taken to be there then, as on a system
    /// without user namespaces.
    fn read(path: &str) -> Self {
        fs::read_lossy(Path::new(path)).map_or_else(|_| Self(vec![(0, u32::MAX)]), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let ranges = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (first, _, count) = (words.next()?, words.next()?, words.next()?);
            Some((first.parse().ok()?, count.parse().ok()?))
        });
        Self(ranges.collect())
    }

    /// Whether a process can have this id.
    pub(super) fn has(&self, id: u32) -> bool {
        self.0.iter().any(|(first, count)| id >= *first && id - first < *count)
    }

    /// The largest part of a range that begins here or behind.
    pub(super) fn largest_from(&self, least: u32) -> Option<(u32, u32)> {
        let above = self.0.iter().map(|(first, count)| {
            let begin = (*first).max(least);
            (begin, count.saturating_sub(begin - first))
        });
        above.filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count)
    }

    /// A map for a namespace below ours in which everyone is who they are here.
    pub(super) fn same(&self) -> String {
        self.0.iter().map(|(first, count)| format!("{first} {first} {count}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootless_container_has_few_ids() {
        let alone = IdMap::parse("         0       1000          1\n");
        assert!(alone.has(0) && !alone.has(1) && !alone.has(65534));
        assert_eq!(alone.largest_from(1), None);
        let container = IdMap::parse("0 1000 1\n1 100000 70000\n");
        assert!(container.has(65534) && container.has(70000) && !container.has(70001));
        assert_eq!(container.largest_from(65536), Some((65536, 4465)));
        assert_eq!(container.same(), "0 0 1\n1 1 70000\n");
        let whole = IdMap::parse("0 0 4294967295\n");
        assert!(whole.has(u32::MAX - 1) && !whole.has(u32::MAX));
    }
}
