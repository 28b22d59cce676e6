//! Who a module file says it is, and which of two is newer. The reading is `modfile`'s.

use std::cmp::Ordering;
use std::path::Path;

use super::compare::same_file;
use crate::modfile;
use crate::version;

/// What counts of a module's `.modinfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// `version`.
    pub(super) version: Option<String>,
    /// `srcversion`.
    pub(super) srcversion: Option<String>,
    /// The kernel release that `vermagic` begins with.
    pub(super) kernel: Option<String>,
}

/// Reads it; `None` where the file is no readable module.
pub(super) fn read(path: &Path) -> Option<Identity> {
    let info = modfile::read_info(path).ok()?;
    let kernel = info.vermagic.as_deref().and_then(|vermagic| vermagic.split_whitespace().next());
    Some(Identity { kernel: kernel.map(str::to_owned), version: info.version, srcversion: info.srcversion })
}

/// What the version check says of a new module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes in.
    Newer,
    /// The kernel's is the same.
    Same,
    /// The kernel's is newer.
    Older,
}

/// Compares a new module with the one in the kernel; `same_bytes` counts where neither has version nor srcversion.
pub(super) fn judge(new: &Identity, present: &Identity, same_bytes: bool) -> Verdict {
    let text = |version: &Option<String>| version.clone().unwrap_or_default();
    match version::compare(&text(&new.version), &text(&present.version)) {
        Ordering::Less => Verdict::Older,
        Ordering::Greater => Verdict::Newer,
        Ordering::Equal if new.srcversion != present.srcversion => Verdict::Newer,
        Ordering::Equal if new.version.is_none() && new.srcversion.is_none() && !same_bytes => Verdict::Newer,
        Ordering::Equal => Verdict::Same,
    }
}

/// Whether an installed file is the built module: the same bytes, or the same `version` (which survives another signature
/// or strip), or where there is none the same `srcversion`.
pub(super) fn is_same_module(built: &Path, installed: &Path) -> bool {
    if same_file(built, installed) {
        return true;
    }
    let (Some(one), Some(other)) = (read(built), read(installed)) else { return false };
    match (&one.version, &other.version) {
        (None, None) => one.srcversion.is_some() && one.srcversion == other.srcversion,
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(version: &str, srcversion: &str) -> Identity {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Identity { version: some(version), srcversion: some(srcversion), kernel: None }
    }

    #[test]
    fn version_first_then_srcversion_then_bytes() {
        for (new, present, same_bytes, expected) in [
            (("2.0", "A"), ("1.0", "A"), false, Verdict::Newer),
            (("1.0", "A"), ("2.0", "B"), false, Verdict::Older),
            (("1.0", "A"), ("1.0", "A"), false, Verdict::Same),
            (("1.0", "A"), ("1.0", "B"), false, Verdict::Newer),
            (("1.10", ""), ("1.9", ""), false, Verdict::Newer),
            (("", "A"), ("", "A"), false, Verdict::Same),
            (("", ""), ("", ""), true, Verdict::Same),
            (("", ""), ("", ""), false, Verdict::Newer),
            (("", ""), ("3.0", ""), false, Verdict::Older),
            (("3.0", ""), ("", ""), false, Verdict::Newer),
        ] {
            let verdict = judge(&identity(new.0, new.1), &identity(present.0, present.1), same_bytes);
            assert_eq!(verdict, expected, "{new:?} {present:?} {same_bytes}");
        }
    }
}
