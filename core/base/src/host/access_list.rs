//! POSIX access control lists (acl(5)). A list may name users and groups besides a file's owner and group.
//! What it allows all of these, and the file's group, is at most its mask, and a file with a list shows that
//! mask in the place of the group's bits. So a mode without `g+w` says that only the owner may write, with a
//! list or without; but with `g+w` it doesn't say which users may.
//!
//! A folder's default list is handed down to what is made in it, and the mode that it is made with limits the
//! mask. So other users can't write to what we make with 0644 or 0755 below such a folder either.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::{Errno, Result};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Whether what is at a path (no link is followed) has a list that says more than its mode.
pub(super) fn is_at(path: &Path) -> bool {
    rustix::fs::lgetxattr(path, ACCESS, &mut [0_u8; 0]).is_ok()
}

/// Takes the lists of an open folder away, so that its group bits mean its group alone.
pub(super) fn remove(folder: &impl AsFd) -> Result<()> {
    for list in [ACCESS, DEFAULT] {
        match rustix::fs::fremovexattr(folder, list) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Gives a path a list in which a further user may read, write and enter: its own, or what it hands down.
    pub(crate) fn name(user: u32, path: &Path, is_handed_down: bool) {
        // Tags and rights of acl_ea.h: owner, named user, group, mask, others.
        let entries =
            [(1_u16, 7_u16, u32::MAX), (2, 7, user), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let attribute = if is_handed_down { DEFAULT } else { ACCESS };
        rustix::fs::setxattr(path, attribute, &list, rustix::fs::XattrFlags::empty()).unwrap();
    }
}
