//! Modules that are built without the sandbox, by files in folders: packages bring theirs, the
//! admin adds or masks them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dkms_base::host::fs;
use dkms_base::layout::Layout;

/// No list is longer.
const LONGEST: u64 = 1 << 16;

/// The names of all files: one a line, `#` begins a comment. A file of the admin's replaces that of a
/// package of the same name.
pub(super) fn names(layout: &Layout) -> Vec<String> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in [layout.at("/usr/share/dkms/sandbox_exempt.d"), layout.etc_dkms().join("sandbox_exempt.d")]
    {
        for entry in fs::list(&folder).unwrap_or_default() {
            let name = entry.name.to_string_lossy().into_owned();
            if !name.starts_with('.') && !name.ends_with('~') {
                files.insert(name, folder.join(&entry.name));
            }
        }
    }
    let texts = files.values().filter_map(|file| fs::read_limited(file, LONGEST).ok());
    let names = texts.flat_map(|bytes| names_in(&String::from_utf8_lossy(&bytes)));
    names.collect()
}

fn names_in(text: &str) -> Vec<String> {
    let words = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_name_modules_and_the_admin_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let write = |path: &str, text: &str| {
            fs::create_dir_all(layout.at(path).parent().unwrap()).unwrap();
            fs::write_whole(&layout.at(path), text.as_bytes(), 0o644).unwrap();
        };
        assert_eq!(names(&layout), [""; 0]);
        write("/usr/share/dkms/sandbox_exempt.d/vendor", "# why\nvendor-module # and so\n\n");
        write("/usr/share/dkms/sandbox_exempt.d/other", "other-module\n");
        write("/etc/dkms/sandbox_exempt.d/own", "own-module");
        assert_eq!(names(&layout), ["other-module", "own-module", "vendor-module"]);
        write("/etc/dkms/sandbox_exempt.d/other", "# not here\n");
        assert_eq!(names(&layout), ["own-module", "vendor-module"]);
    }
}
