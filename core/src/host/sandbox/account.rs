//! A user of the system, by name.

use std::path::Path;

use rustix::fs::{Gid, Uid};

use crate::host::fs;

/// Who somebody is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: Uid,
    /// The user's first group.
    pub gid: Gid,
}

impl Account {
    /// The user of this name in `/etc/passwd`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::find_in(&fs::read_lossy(Path::new("/etc/passwd")).ok()?, name)
    }

    /// Who builds run as, where we are root: this user, else nobody; `None`: we ourselves.
    #[must_use]
    pub fn of_builds(name: &str) -> Option<Self> {
        let found = || Self::find(name).or_else(|| Self::find("nobody"));
        rustix::process::geteuid().is_root().then(found).flatten()
    }

    /// Whether this user can read a file, as far as its own mode says.
    #[must_use]
    pub fn can_read(self, file: &Path) -> bool {
        fs::stat(file).ok().flatten().is_some_and(|meta| self.may(4, &meta))
    }

    fn find_in(passwd: &str, name: &str) -> Option<Self> {
        let mut fields =
            passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':');
        let uid: u32 = fields.nth(1)?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        // All bits set means "nobody is meant" to the kernel.
        let is_id = |id: u32| id != u32::MAX;
        (is_id(uid) && is_id(gid)).then(|| Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) })
    }

    /// Whether this user may do what the bits `wanted` (of `rwx`, for everyone) say with something.
    pub(super) fn may(self, wanted: u32, meta: &std::fs::Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        self.has(wanted, meta.uid(), meta.gid(), meta.mode())
    }

    /// As [`may`](Self::may), for what was looked at through a descriptor.
    pub(super) fn may_by(self, wanted: u32, stat: &rustix::fs::Stat) -> bool {
        self.has(wanted, stat.st_uid, stat.st_gid, stat.st_mode)
    }

    fn has(self, wanted: u32, uid: u32, gid: u32, mode: u32) -> bool {
        let shift = match () {
            () if uid == self.uid.as_raw() => 6,
            () if gid == self.gid.as_raw() => 3,
            () => 0,
        };
        mode >> shift & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whole_and_with_its_numbers() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nnobodyelse:x:7:8::/:\nnobody:x:65534:65533:n:/:/x\nbad:x\n\
                      none:x:4294967295:1::/:\n";
        let account = Account::find_in(passwd, "nobody").unwrap();
        assert_eq!((account.uid.as_raw(), account.gid.as_raw()), (65534, 65533));
        for name in ["nix", "bad", "", "none", "no"] {
            assert_eq!(Account::find_in(passwd, name), None, "{name}");
        }
    }
}
