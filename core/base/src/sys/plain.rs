//! Opens a path of which no part is a link: one may have been put there since it was resolved.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, Result};

/// Names are shorter than this (`NAME_MAX`).
const LONGEST: usize = 256;

/// Opens what is there; makes system calls only.
///
/// # Errors
/// What the kernel says: `ELOOP` or `ENOTDIR` where a part is a link.
pub fn open_plain(path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let bytes = path.to_bytes();
    let top = if bytes.starts_with(b"/") { c"/" } else { c"." };
    let mut parts = bytes.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).peekable();
    let first = if parts.peek().is_some() { STEP } else { flags };
    let mut at = openat(CWD, top, first, Mode::empty())?;
    while let Some(part) = parts.next() {
        let mut name = [0_u8; LONGEST];
        name.get_mut(..part.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(part);
        let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::NAMETOOLONG)?;
        at = openat(&at, name, if parts.peek().is_some() { STEP } else { flags }, Mode::empty())?;
    }
    // With `O_PATH` a link itself can be opened.
    if FileType::from_raw_mode(fstat(&at)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;
    use crate::host::fs;

    #[test]
    fn no_part_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonical(dir.path()).unwrap();
        fs::create_dir_all(&top.join("a/b")).unwrap();
        fs::symlink(Path::new("a"), &top.join("link")).unwrap();
        fs::symlink(Path::new("b"), &top.join("a/last")).unwrap();
        let open = |path: &str, flags| {
            let path = CString::new(top.join(path).as_os_str().as_bytes()).unwrap();
            open_plain(&path, flags).map(drop)
        };
        for flags in [OFlags::RDONLY | OFlags::DIRECTORY, OFlags::PATH] {
            assert_eq!(open("a/b", flags), Ok(()));
            assert!(open("link/b", flags).is_err() && open("a/last", flags).is_err());
        }
        assert!(open_plain(c"/", OFlags::PATH).is_ok());
        assert_eq!(open(&"x".repeat(300), OFlags::PATH), Err(Errno::NAMETOOLONG));
    }
}
