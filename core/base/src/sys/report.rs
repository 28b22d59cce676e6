//! The isolation layers, and where a process on its way into a sandbox says which of them are missing.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// What keeps a process in; in the order of [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wall {
    /// A user namespace.
    UserNamespace,
    /// A pid namespace: everything ends with its first process.
    Processes,
    /// A mount namespace with a read-only view of the system.
    Files,
    /// A network namespace.
    Network,
    /// An IPC namespace.
    Ipc,
    /// Another user than ours.
    User,
    /// No capabilities.
    Capabilities,
    /// No new privileges.
    NewPrivileges,
    /// A filter of system calls.
    Calls,
    /// Limits of resources.
    Limits,
    /// Landlock.
    Landlock,
    /// Inputs of a build that only root may read.
    Inputs,
}

/// How many there are.
pub(super) const WALLS: usize = Wall::ALL.len();

impl Wall {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::UserNamespace,
        Self::Processes,
        Self::Files,
        Self::Network,
        Self::Ipc,
        Self::User,
        Self::Capabilities,
        Self::NewPrivileges,
        Self::Calls,
        Self::Limits,
        Self::Landlock,
        Self::Inputs,
    ];
}

/// Where the child says which isolation layers are missing: a byte for each [`Wall`], the error number, 0
/// for one that stands.
#[derive(Debug)]
pub struct Report(OwnedFd);

impl Report {
    /// An empty one.
    ///
    /// # Errors
    /// What `memfd_create` says.
    pub fn new() -> std::io::Result<Self> {
        let file = rustix::fs::memfd_create("walls", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, WALLS as u64)?;
        Ok(Self(file))
    }

    /// Notes a missing isolation layer, and why.
    pub fn missing(&self, wall: Wall, errno: Errno) {
        let number = u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX);
        // A report that can't be written leaves the isolation layer standing in it; it is a file in
        // memory of a few bytes.
        let _ = rustix::io::pwrite(&self.0, &[number], wall as u64);
    }

    /// Whether any isolation layer is missing.
    #[must_use]
    pub fn tells_any(&self) -> bool {
        self.bytes().iter().any(|byte| *byte != 0)
    }

    /// The missing isolation layers, each with its error number.
    #[must_use]
    pub fn read(&self) -> Vec<(Wall, i32)> {
        let bytes = self.bytes();
        let told = Wall::ALL.iter().map(|wall| (*wall, i32::from(bytes[*wall as usize])));
        told.filter(|(_, errno)| *errno != 0).collect()
    }

    /// Whether nobody has said that it is missing.
    pub(super) fn stands(&self, wall: Wall) -> bool {
        self.bytes()[wall as usize] == 0
    }

    /// The error number of each, in their order.
    pub(super) fn bytes(&self) -> [u8; WALLS] {
        let mut bytes = [0; WALLS];
        let _ = rustix::io::pread(&self.0, &mut bytes, 0);
        bytes
    }
}
