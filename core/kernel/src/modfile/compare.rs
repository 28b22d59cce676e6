//! Which of two modules is newer, and whether they are the same, as an install has to know.

use std::cmp::Ordering;
use std::path::Path;

use dkms_base::host::fs;
use dkms_base::version;

use super::content::unsigned_digest;
use super::{ModfileError, ModuleInfo, read_info};

/// How a module stands to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its version is lower.
    Older,
    /// Version and source are the same; without both, the bytes are.
    Same,
    /// Its version is higher.
    Newer,
    /// Another one, with nothing that says which is newer.
    Different,
}

impl ModuleInfo {
    /// How it stands to `other`, by `version`, then `srcversion`; `None` where neither module has one of the
    /// two, and only their bytes can tell.
    #[must_use]
    pub fn standing(&self, other: &Self) -> Option<Standing> {
        if let (Some(own), Some(others)) = (&self.version, &other.version) {
            match version::compare(own, others) {
                Ordering::Less => return Some(Standing::Older),
                Ordering::Greater => return Some(Standing::Newer),
                Ordering::Equal => {}
            }
        }
        let silent = |info: &Self| info.version.is_none() && info.srcversion.is_none();
        if silent(self) && silent(other) {
            return None;
        }
        let same = self.version.is_some() == other.version.is_some() && self.srcversion == other.srcversion;
        Some(if same { Standing::Same } else { Standing::Different })
    }
}

/// How the module at `path` stands to the one at `other`.
///
/// # Errors
/// [`ModfileError`] where one of them can't be read or is no module.
pub fn compare(path: &Path, other: &Path) -> Result<Standing, ModfileError> {
    if fs::same_bytes(path, other) {
        return Ok(Standing::Same);
    }
    if let Some(standing) = read_info(path)?.standing(&read_info(other)?) {
        return Ok(standing);
    }
    let same = unsigned_digest(path)? == unsigned_digest(other)?;
    Ok(if same { Standing::Same } else { Standing::Different })
}

/// Whether two files are the same module: the same `version` and `srcversion`, or, where they have neither,
/// the same bytes once unpacked and without their signatures.
///
/// # Errors
/// As [`compare`].
pub fn same_module(a: &Path, b: &Path) -> Result<bool, ModfileError> {
    Ok(compare(a, b)? == Standing::Same)
}

#[cfg(test)]
mod tests {
    use super::super::Budget;
    use super::super::info::tests::module;
    use super::super::signature::MAGIC;
    use super::super::testing::packed;
    use super::*;
    use crate::Compression;

    fn info(text: &str) -> ModuleInfo {
        ModuleInfo::parse(text.replace(' ', "\0").as_bytes(), &mut Budget::default()).unwrap()
    }

    #[test]
    fn version_comes_before_srcversion() {
        let cases = [
            ("version=1.9 srcversion=A", "version=1.10 srcversion=A", Some(Standing::Older)),
            ("version=2 srcversion=A", "version=1 srcversion=A", Some(Standing::Newer)),
            ("version=1 srcversion=A", "version=1 srcversion=A", Some(Standing::Same)),
            ("version=1 srcversion=A", "version=1 srcversion=B", Some(Standing::Different)),
            ("version=1 srcversion=A", "version=1", Some(Standing::Different)),
            ("version=1", "version=1", Some(Standing::Same)),
            ("version=1 srcversion=A", "srcversion=A", Some(Standing::Different)),
            ("srcversion=A", "srcversion=A", Some(Standing::Same)),
            ("srcversion=A", "srcversion=B", Some(Standing::Different)),
            ("srcversion=A", "license=GPL", Some(Standing::Different)),
            ("license=GPL", "license=GPL", None),
        ];
        for (a, b, expected) in cases {
            assert_eq!(info(a).standing(&info(b)), expected, "{a} against {b}");
        }
    }

    #[test]
    fn without_versions_the_unsigned_bytes_count() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write_whole(&path, bytes, 0o644).unwrap();
            path
        };
        let bytes = module(b"license=GPL\0");
        let plain = write("a.ko", &bytes);
        let xz = write("b.ko.xz", &packed(&bytes, Compression::Xz));
        let signed = write("c.ko", &[&bytes, &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], MAGIC].concat());
        let other = write("d.ko", &module(b"license=MIT\0"));
        let broken = write("e.ko", b"garbage");
        assert!(same_module(&plain, &xz).unwrap());
        assert!(same_module(&xz, &signed).unwrap());
        assert!(!same_module(&plain, &other).unwrap());
        assert!(same_module(&plain, &broken).is_err());
        assert!(same_module(&broken, &broken).unwrap());
    }
}
