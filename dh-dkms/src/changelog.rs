//! The version at the head of a `debian/changelog`.

/// The version of the first entry: `foo (1:1.0-2) unstable; urgency=low`.
#[must_use]
pub fn version(text: &str) -> Option<&str> {
    let head = text.lines().find(|line| !line.trim().is_empty())?;
    let (_, rest) = head.split_once('(')?;
    let (version, _) = rest.split_once(')')?;
    let version = version.trim();
    version.bytes().any(|byte| byte.is_ascii_digit()).then_some(version)
}

/// A version without epoch and Debian's revision.
#[must_use]
pub fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_counts() {
        let text = "\nfoo (1:1.2.3+ds-4) unstable; urgency=low\n\n  * x (closes: #1)\n\nfoo (1.0) unstable\n";
        assert_eq!(version(text), Some("1:1.2.3+ds-4"));
        assert_eq!(version("  * no head\n"), None);
        assert_eq!(version("foo () x\n"), None);
    }

    #[test]
    fn epoch_and_revision_go() {
        for (version, rest) in
            [("1:1.2.3+ds-4", "1.2.3+ds"), ("1.0", "1.0"), ("1.0-rc1-2", "1.0-rc1"), ("2:3", "3")]
        {
            assert_eq!(upstream(version), rest);
        }
    }
}
