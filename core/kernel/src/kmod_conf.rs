//! The files of kmod's configuration, `depmod.d` and `modprobe.d`: of files with one name that in the first
//! folder counts, and they are read in the order of their names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;

/// Where such a folder may be, the first one first.
const PLACES: [&str; 5] = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"];

/// The files of a folder's name, `depmod.d` or `modprobe.d`, that count.
///
/// # Errors
/// [`FsError`] where a folder can't be read.
pub fn kmod_conf(name: &str, layout: &Layout) -> Result<Vec<PathBuf>, FsError> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for place in PLACES {
        let folder = layout.at(place).join(name);
        for entry in fs::list(&folder)? {
            if entry.name.as_encoded_bytes().ends_with(b".conf") {
                let path = folder.join(&entry.name);
                files.entry(entry.name).or_insert(path);
            }
        }
    }
    Ok(files.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_counts() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::under(root.path());
        let files = [
            "/lib/x.d/b.conf",
            "/usr/lib/x.d/b.conf",
            "/usr/lib/x.d/a.conf",
            "/etc/x.d/c.txt",
            "/run/x.d/a.conf",
        ];
        for file in files.map(|file| layout.at(file)) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write_whole(&file, b"", 0o644).unwrap();
        }
        let expected = ["/run/x.d/a.conf", "/usr/lib/x.d/b.conf"].map(|file| layout.at(file));
        assert_eq!(kmod_conf("x.d", &layout).unwrap(), expected);
    }
}
