//! The lists of modules that are always installed by force: files that packages put into
//! `modules_to_force_install`.

use crate::host::fs::{self, FsError};
use crate::id::ModuleName;
use crate::layout::Layout;

/// What the lists say of a module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listed {
    /// `M` is there: force.
    pub force: bool,
    /// `M_version-override` is there: lift the version check.
    pub version_override: bool,
}

/// Looks a module up in every list.
///
/// # Errors
/// [`FsError`] where a list is there and can't be read.
pub fn listed(layout: &Layout, name: &ModuleName) -> Result<Listed, FsError> {
    let dir = layout.force_install_dir();
    let mut listed = Listed::default();
    for entry in fs::list(&dir)? {
        let path = dir.join(&entry.name);
        if fs::is_file(&path) {
            let one = in_text(&fs::read_lossy(&path)?, name);
            listed.force |= one.force;
            listed.version_override |= one.version_override;
        }
    }
    Ok(listed)
}

/// Words apart by blanks and line ends; what follows a `#` is a comment.
fn in_text(text: &str, name: &ModuleName) -> Listed {
    let lifted = format!("{name}_version-override");
    let words = || text.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace);
    Listed {
        force: words().any(|word| word == name.as_str()),
        version_override: words().any(|word| word == lifted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_whole() {
        let foo = ModuleName::new("foo").unwrap();
        for (text, force, version_override) in [
            ("foo", true, false),
            ("bar foo\n", true, false),
            ("  foo  # why\n", true, false),
            ("foo_version-override\n", false, true),
            ("foo-bar\nfood\n# foo\n", false, false),
        ] {
            assert_eq!(in_text(text, &foo), Listed { force, version_override }, "{text:?}");
        }
    }
}
