//! What is on disk in a root: every path with kind, mode, owner, link target and, for what is
//! stable, the contents.
//!
//! Left out on purpose: what is inside a build folder (ours runs elsewhere; only that `build/make.log` can be
//! read is recorded), what we remember in `.state`, the text of logs, keys, and the indexes that depmod makes
//! besides modules.dep.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use dkms_base::host::fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::root::Root;

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `f`, `d`, `l`, or `?` for anything else.
    pub kind: char,
    /// Permissions (of a link: 0).
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// A link's target, a file's SHA-256 (of what is inside a compressed module), or nothing.
    pub detail: String,
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, group) = self.owner;
        let detail = self.detail.get(..12).filter(|_| self.kind == 'f').unwrap_or(&self.detail);
        write!(f, "{} {:o} {user}:{group} {detail}", self.kind, self.mode)
    }
}

/// Everything that a test looks at, by path.
pub type Listing = BTreeMap<String, Node>;

/// The folders that are listed; `/t` is where tests put trees of their own.
const PLACES: [&str; 6] = ["/var/lib/dkms", "/usr/src", "/lib/modules", "/etc/dkms", "/etc/modprobe.d", "/t"];

/// Lists a root.
///
/// # Errors
/// Where something can't be read.
pub fn capture(root: &Root) -> Result<Listing> {
    let mut listing = Listing::new();
    for place in PLACES {
        // The listed folders may be links (`/lib`): a final `/.` steps through, and none of them is absolute.
        let below = root.view(place).join(".");
        let walk = WalkDir::new(&below).min_depth(1).follow_links(false).follow_root_links(true);
        let mut walk = walk.sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.io_error().is_some_and(is_missing) => continue,
                Err(error) => return Err(error).context("list a root"),
            };
            let name = entry.path().strip_prefix(&below)?.to_string_lossy().into_owned();
            let path = format!("{place}/{name}");
            if of_the_machine(place, &name) || is_remembered(place, &name) {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            if place == "/var/lib/dkms" && is_build_folder(&name) {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                let log = format!("{path}/make.log");
                if root.open(&log)?.is_some_and(|file| file.metadata().is_ok_and(|m| m.is_file())) {
                    let node = Node { kind: 'f', mode: 0, owner: (0, 0), detail: String::new() };
                    listing.insert(log, node);
                }
                continue;
            }
            let metadata = entry.metadata()?;
            let owner = (metadata.uid(), metadata.gid());
            let kind = entry.file_type();
            let node = if kind.is_symlink() {
                let target = fs::link_target(entry.path())?.unwrap_or_default();
                Node { kind: 'l', mode: 0, owner, detail: target.to_string_lossy().into_owned() }
            } else if kind.is_dir() {
                Node { kind: 'd', mode: metadata.mode() & 0o7777, owner, detail: String::new() }
            } else if kind.is_file() {
                let detail = if is_stable(&path) { digest(entry.path())? } else { String::new() };
                Node { kind: 'f', mode: metadata.mode() & 0o7777, owner, detail }
            } else {
                Node { kind: '?', mode: metadata.mode() & 0o7777, owner, detail: String::new() }
            };
            listing.insert(path, node);
        }
    }
    Ok(listing)
}

fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

/// Headers and the like, which come from the machine below and stay as they are.
fn of_the_machine(place: &str, name: &str) -> bool {
    match place {
        "/usr/src" => name.starts_with("linux-headers-") || name.starts_with("linux-kbuild-"),
        _ => false,
    }
}

/// What we remember between commands: the 3.x line has nothing like it, and never looks at names
/// that begin with a dot.
fn is_remembered(place: &str, name: &str) -> bool {
    place == "/var/lib/dkms" && (name == ".state" || name.starts_with(".state/"))
}

/// `M/V/build`, relative to the tree.
fn is_build_folder(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts.as_slice(), [_, _, "build"])
}

/// Whether a file's contents are the same whenever and by whomever it is made.
fn is_stable(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let depmod_index =
        path.starts_with("/lib/modules/") && name.starts_with("modules.") && name != "modules.dep";
    !(depmod_index || path.ends_with(".log") || name.starts_with("mok.") || name.contains(".tar"))
}

/// SHA-256 of a file; of what is inside, where it is a compressed module.
///
/// # Errors
/// Where it can't be read or unpacked.
pub fn digest(path: &Path) -> Result<String> {
    let bytes = fs::read(path)?;
    let name = path.to_string_lossy();
    let mut inside = Vec::new();
    // What can't be unpacked (a test may have put anything there) counts as it is.
    let unpacked = match name.rsplit_once(".ko.").map(|(_, suffix)| suffix) {
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut inside).is_ok(),
        Some("xz") => liblzma::read::XzDecoder::new(bytes.as_slice()).read_to_end(&mut inside).is_ok(),
        Some("zst") => match zstd::stream::read::Decoder::new(bytes.as_slice()) {
            Ok(mut decoder) => decoder.read_to_end(&mut inside).is_ok(),
            Err(_) => false,
        },
        _ => false,
    };
    let digest = Sha256::digest(if unpacked { &inside } else { &bytes });
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::{is_build_folder, is_stable};

    #[test]
    fn only_a_versions_build_folder_is_one() {
        assert!(is_build_folder("foo/1.0/build"));
        assert!(!is_build_folder("foo/1.0/6.1.0/build"));
        assert!(!is_build_folder("foo/build"));
    }

    #[test]
    fn logs_and_indexes_are_not_stable() {
        assert!(is_stable("/lib/modules/6.1.0/updates/dkms/foo.ko"));
        assert!(is_stable("/lib/modules/6.1.0/modules.dep"));
        assert!(!is_stable("/lib/modules/6.1.0/modules.dep.bin"));
        assert!(!is_stable("/var/lib/dkms/foo/1.0/6.1.0/x86_64/log/make.log"));
    }
}
