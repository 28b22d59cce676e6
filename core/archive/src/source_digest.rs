//! One digest of a module's source tree, the SHA-256 of what
//! `sha256sum` prints for its files in byte order of their paths; a link stands there with its target.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::manifest::hex;
use dkms_base::host::fs::{self, FsError};

/// No source file is larger.
const LARGEST: u64 = 4 << 30;

/// By the bytes of the path, the line that stands for it.
#[derive(Default)]
struct Lines(BTreeMap<Vec<u8>, String>);

impl Lines {
    fn file(&mut self, path: &Path, digest: &[u8]) {
        self.0.insert(path.as_os_str().as_bytes().to_owned(), hex(digest));
    }

    fn link(&mut self, path: &Path, target: &Path) {
        self.0.insert(path.as_os_str().as_bytes().to_owned(), format!("-> {}", target.display()));
    }

    fn digest(self) -> String {
        let mut sum = Sha256::new();
        for (path, line) in self.0 {
            sum.update(line.as_bytes());
            sum.update(b"  ");
            sum.update(&path);
            sum.update(b"\n");
        }
        hex(&sum.finalize())
    }
}

/// Of a folder on disk.
///
/// # Errors
/// [`FsError`] if something in it can't be read.
pub fn source_digest(folder: &Path) -> Result<String, FsError> {
    let mut lines = Lines::default();
    let mut pending = vec![folder.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::list(&dir)? {
            let path = dir.join(&entry.name);
            let below = path.strip_prefix(folder).unwrap_or(&path);
            if entry.kind.is_dir() {
                pending.push(path);
            } else if entry.kind.is_symlink() {
                lines.link(below, &fs::link_target(&path)?.unwrap_or_default());
            } else if entry.kind.is_file() {
                let mut sum = Sha256::new();
                fs::each_piece(&path, LARGEST, &mut |bytes| sum.update(bytes))?;
                lines.file(below, &sum.finalize());
            }
        }
    }
    Ok(lines.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_what_sha256sum_prints() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("Makefile", "obj-m := a.o\n"), ("sub/a.c", "int a;\n"), ("sub-x/b", "")] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        }
        // (find -type f | LC_ALL=C sort | xargs sha256sum) by hand: `-` comes before `/`.
        let sum = |text: &str| hex(&Sha256::digest(text.as_bytes()));
        let lines = format!(
            "{}  Makefile\n{}  sub-x/b\n{}  sub/a.c\n",
            sum("obj-m := a.o\n"),
            sum(""),
            sum("int a;\n")
        );
        assert_eq!(source_digest(dir.path()).unwrap(), sum(&lines));
    }
}
