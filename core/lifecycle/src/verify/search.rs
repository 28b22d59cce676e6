//! Which of two modules of one name depmod takes: the order of folders in depmod.d(5). Only `search`
//! lines are read; pure.

use std::path::Path;

/// The order in which depmod looks through the folders of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchOrder(Vec<String>);

impl Default for SearchOrder {
    fn default() -> Self {
        Self(vec!["updates".to_owned(), "built-in".to_owned()])
    }
}

impl SearchOrder {
    /// What the files of depmod.d say, in their order; the default where they say nothing.
    #[must_use]
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut folders = Vec::new();
        for line in texts.into_iter().flat_map(str::lines) {
            let mut words = line.split_whitespace();
            if words.next() == Some("search") {
                folders.extend(words.map(|word| word.trim_matches('/').to_owned()));
            }
        }
        if folders.is_empty() { Self::default() } else { Self(folders) }
    }

    /// The place of a module in it, by its path below the kernel's folder: the lower, the better.
    fn rank(&self, path: &Path) -> usize {
        let last = self.0.len();
        let named = self.0.iter().position(|folder| folder != "built-in" && path.starts_with(folder));
        let built_in = || self.0.iter().position(|folder| folder == "built-in").unwrap_or(last);
        named.unwrap_or_else(built_in)
    }

    /// Whether depmod takes `other` and not `ours`, both below the kernel's folder. Where both rank the same
    /// it is not told: that depends on the order of folders on disk.
    #[must_use]
    pub fn prefers(&self, other: &Path, ours: &Path) -> bool {
        self.rank(other) < self.rank(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_folders_decides() {
        let prefers =
            |order: &SearchOrder, other: &str, ours: &str| order.prefers(Path::new(other), Path::new(ours));
        let usual = SearchOrder::of([]);
        assert!(prefers(&usual, "updates/foo.ko", "kernel/net/foo.ko"));
        assert!(!prefers(&usual, "kernel/net/foo.ko", "updates/dkms/foo.ko"));
        assert!(!prefers(&usual, "kernel/net/foo.ko", "extra/foo.ko"), "both are built-in to it");
        let rhel = SearchOrder::of(["# x\noverride a b c\n", "search updates extra built-in weak-updates\n"]);
        assert!(prefers(&rhel, "extra/foo.ko", "weak-updates/foo.ko"));
        assert!(prefers(&rhel, "kernel/foo.ko", "weak-updates/foo.ko"));
        assert!(prefers(&rhel, "extra/foo.ko", "kernel/foo.ko"));
        let odd = SearchOrder::of(["search built-in updates/"]);
        assert!(prefers(&odd, "kernel/foo.ko", "updates/dkms/foo.ko"));
    }
}
