//! A user of the system, by name; whether we can become another user at all; a group that nobody else is in.

use std::path::Path;

use rustix::fs::{Gid, Uid};

use super::id_map::IdMap;
use crate::host::{fs, process};

/// Capabilities without which nothing can be given to another user (capabilities(7)): CAP_CHOWN, CAP_FOWNER,
/// CAP_SETGID, CAP_SETUID.
const NEEDED: [u32; 4] = [0, 3, 6, 7];

/// Who builds where the configured user doesn't exist.
pub const FALLBACK: &str = "nobody";

/// The groups that we choose from: no distribution and no container manager assigns ids from here on.
const FIRST_PRIVATE: u32 = 0x7000_0000;
const PRIVATE_COUNT: u32 = 1 << 27;

/// A user's ids.
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

    /// Who builds run as, where we can become another user: this user, else nobody; `None`: we ourselves. A
    /// user namespace with a few ids (a rootless container) has root as its only user.
    #[must_use]
    pub fn of_builds(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root()
            || !NEEDED.iter().all(|number| process::has_capability(*number))
        {
            return None;
        }
        let [uids, gids] = [IdMap::of_users(), IdMap::of_groups()];
        let may_set_groups =
            !fs::read_lossy(Path::new("/proc/self/setgroups")).is_ok_and(|text| text.trim() == "deny");
        let is_there = |account: &Self| {
            may_set_groups
                && uids.has(account.uid.as_raw())
                && gids.has(account.gid.as_raw())
                && spare(&gids).is_some()
        };
        Self::find(name).or_else(|| Self::find(FALLBACK)).filter(is_there)
    }

    /// The account with a group in the place of its own that no other process is in. So what only that group
    /// may reach is closed to every other process of the user, and none of them can look into ours (ptrace(2)
    /// compares groups too).
    #[must_use]
    pub fn in_private_group(self) -> Self {
        let gid = spare(&IdMap::of_groups()).map_or(self.gid, Gid::from_raw);
        Self { gid, ..self }
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

/// A group at random, of those that nobody is in.
fn spare(map: &IdMap) -> Option<u32> {
    let mut bytes = [0; 4];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let number = if filled.is_ok_and(|length| length == bytes.len()) {
        u32::from_ne_bytes(bytes)
    } else {
        std::process::id()
    };
    let usual = FIRST_PRIVATE + number % PRIVATE_COUNT;
    if map.has(usual) {
        return Some(usual);
    }
    // A container has a range of its own. What comes behind 65534 there is as unused as anything.
    let (first, count) = map.largest_from(65536)?;
    Some(first + number % count)
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
