//! Sockets of services that any user may talk to, wherever they are: a read-only mount keeps nobody
//! from connecting to one.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::host::fs;

/// The sockets in the file system that processes other than root's may talk to, and that a process listens
/// on.
pub(super) fn open_to_others() -> Vec<PathBuf> {
    let listed = fs::read_lossy(Path::new("/proc/net/unix")).unwrap_or_default();
    let is_open = |path: &PathBuf| {
        let meta = fs::lstat(path).ok().flatten();
        meta.is_some_and(|meta| meta.file_type().is_socket() && meta.mode() & 0o022 != 0)
    };
    named(&listed).into_iter().filter(is_open).collect()
}

/// The paths in proc_net_unix(5): what stands behind the seventh column and isn't abstract.
fn named(text: &str) -> BTreeSet<PathBuf> {
    let path = |line: &str| {
        let mut rest = line;
        for _ in 0..7 {
            rest = rest.trim_start().split_once(' ')?.1;
        }
        Some(PathBuf::from(rest.trim_start())).filter(|path| path.is_absolute())
    };
    text.lines().skip(1).filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_with_a_path_are_found() {
        let text = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                    0000000000000000: 00000002 00000000 00010000 0001 01 20681 /var/lib/a b/s\n\
                    0000000000000000: 00000003 00000000 00000000 0001 03 20682\n\
                    0000000000000000: 00000002 00000000 00010000 0001 01 20683 @abstract\n";
        assert_eq!(named(text).into_iter().collect::<Vec<_>>(), [Path::new("/var/lib/a b/s")]);
        let dir = tempfile::tempdir().unwrap();
        let (open, shut) = (dir.path().join("open"), dir.path().join("shut"));
        let _listening = [&open, &shut].map(|path| std::os::unix::net::UnixListener::bind(path).unwrap());
        fs::set_mode(&open, 0o777).unwrap();
        fs::set_mode(&shut, 0o700).unwrap();
        let found = open_to_others();
        assert!(found.contains(&open) && !found.contains(&shut));
    }
}
