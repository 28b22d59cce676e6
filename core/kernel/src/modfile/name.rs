//! What the name of a module file says: `snd-hda.ko.xz` is the module `snd_hda`, compressed with
//! xz. Touches no file.

use std::path::Path;

use crate::Compression;

impl Compression {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Xz, Self::Zstd];
}

/// A module file, from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// The name in front of `.ko`.
    pub stem: String,
    /// What stands behind it.
    pub compression: Compression,
}

impl ModuleFile {
    /// Reads a file name; `None` where it isn't a module's.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let of = |compression: Compression| {
            let stem = name.strip_suffix(compression.suffix())?.strip_suffix(".ko")?;
            (!stem.is_empty()).then(|| Self { stem: stem.to_owned(), compression })
        };
        Compression::ALL.into_iter().find_map(of)
    }

    /// Reads the last part of a path.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        Self::from_name(path.file_name()?.to_str()?)
    }

    /// The file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.ko{}", self.stem, self.compression.suffix())
    }
}

/// A module's name as the kernel knows it: `-` is `_`.
#[must_use]
pub fn canonical_name(stem: &str) -> String {
    stem.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let cases = [
            ("foo.ko", "foo", Compression::None),
            ("a.b-c.ko.gz", "a.b-c", Compression::Gzip),
            ("foo.ko.xz", "foo", Compression::Xz),
            ("foo.ko.ko.zst", "foo.ko", Compression::Zstd),
        ];
        for (name, stem, compression) in cases {
            let file = ModuleFile::from_path(&Path::new("/lib").join(name)).unwrap();
            assert_eq!((file.stem.as_str(), file.compression), (stem, compression));
            assert_eq!(file.file_name(), name);
        }
        for name in ["", ".ko", ".ko.xz", "foo", "foo.o", "foo.ko.lz4", "foo.ko.origin", "ko"] {
            assert_eq!(ModuleFile::from_name(name), None, "{name:?}");
        }
    }
}
