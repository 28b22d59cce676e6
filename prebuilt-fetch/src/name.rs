//! Which files of a place count: those that are named as `mktarball` names a bundle.

/// Whether this is a name of a bundle: one component of a path, without anything that a shell, a terminal or
/// a URL takes for more than a letter.
#[must_use]
pub fn is_of_bundle(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+~_.-:@,=".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let Some((stem, suffix)) = name.rsplit_once(".dkms.tar") else { return false };
    let is_suffix = |suffix: &str| suffix.len() <= 4 && suffix.chars().all(|c| c.is_ascii_alphanumeric());
    let ends =
        suffix.is_empty() || suffix.strip_prefix('.').is_some_and(|end| !end.is_empty() && is_suffix(end));
    begins && ends && name.len() <= 255 && stem.contains('-') && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_bundles_count() {
        for name in [
            "foo-1.0-kernel6.1.0-9-amd64-x86_64.dkms.tar.gz",
            "foo-1.0+git~2.dkms.tar",
            "foo-1.0-prod.dkms.tar.zst",
        ] {
            assert!(is_of_bundle(name), "{name}");
        }
        for name in [
            "",
            "foo-1.0.tar.gz",
            "../foo-1.0.dkms.tar",
            "..-1.dkms.tar",
            ".foo-1.0.dkms.tar",
            "-foo-1.0.dkms.tar",
            "a/foo-1.0.dkms.tar",
            "foo-1.0\u{7}.dkms.tar",
            "foo-1.0 .dkms.tar",
            "foo-1.0\u{202e}.dkms.tar",
            "foo-1.0.dkms.tar.",
            "foo-1.0.dkms.tar.gz.tmp12",
            "foo-1.0.dkms.tarx",
            "foo.dkms.tar",
            "foo-1.0$(id).dkms.tar",
        ] {
            assert!(!is_of_bundle(name), "{name:?}");
        }
        assert!(!is_of_bundle(&format!("foo-{}.dkms.tar", "1".repeat(255))));
    }
}
