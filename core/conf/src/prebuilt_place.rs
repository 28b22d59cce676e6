//! Where a host looks for modules that another machine has built: the words of `prebuilt`. Opens nothing.

use std::path::{Path, PathBuf};

/// A place that may have prebuilt modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrebuiltPlace {
    /// `file:/FOLDER`, with tarballs.
    Folder(PathBuf),
}

impl PrebuiltPlace {
    /// Reads one; `None`: it is none that we know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        let rest = text.strip_prefix("file:")?;
        // A URI may have an empty host: `file:///srv`.
        let path = if rest.starts_with("///") { &rest[2..] } else { rest };
        let is_path = path.starts_with('/') && !path.starts_with("//") && path.chars().all(is_plain);
        is_path.then(|| Self::Folder(Path::new(path).components().collect()))
    }
}

impl std::fmt::Display for PrebuiltPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_folders_are_places() {
        let read = |text: &str| PrebuiltPlace::parse(text).map(|place| place.to_string());
        for text in ["file:/srv/kmods", "file:///srv/kmods", "file:/srv/kmods/"] {
            assert_eq!(read(text).as_deref(), Some("file:/srv/kmods"), "{text}");
        }
        for text in ["", "file:", "file:srv", "file://host/srv", "/srv", "FILE:/srv", "ftp://x", "file:/a\tb"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
