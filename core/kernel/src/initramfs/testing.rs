//! Archives of cpio for tests.

use crate::newc::Newc;

/// An archive of files.
#[must_use]
pub fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Newc::new(Vec::new(), 0);
    for (name, data) in entries {
        archive.lone_file(name, 0o644, data).expect("memory takes all");
    }
    let mut bytes = archive.finish().expect("memory takes all");
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}
