//! Isolation layers that are not available, in words.

use crate::sys::{Report, Wall};

/// A missing isolation layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub wall: Wall,
    /// What the system said.
    pub errno: i32,
}

/// All isolation layers that a process had to do without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing(pub Vec<Told>);

impl Missing {
    /// What a process has reported.
    pub(in crate::host) fn of(report: &Report) -> Self {
        Self(report.read().into_iter().map(|(wall, errno)| Told { wall, errno }).collect())
    }

    /// Whether it had all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, told) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { ", " };
            write!(f, "{between}{told}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = std::io::Error::from_raw_os_error(self.errno).to_string();
        let why = text.split(" (os error").next().unwrap_or_default();
        write!(f, "{} ({why})", name(self.wall))
    }
}

impl Told {
    /// What usually is the reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.wall {
            Wall::UserNamespace if self.errno == libc::ENOSPC => "user.max_user_namespaces is too low",
            Wall::UserNamespace => "a chroot, a container or a setting of the system refuses user namespaces",
            Wall::Processes | Wall::Files | Wall::Network | Wall::Ipc => {
                "the kernel is older than 5.12, or a container or a filter of system calls refuses namespaces and mounts"
            }
            Wall::User => "neither `build_user` nor `nobody` exists, or a container has no ids for them",
            Wall::Capabilities | Wall::NewPrivileges => "a filter of system calls refuses it",
            Wall::Calls => "the kernel has no CONFIG_SECCOMP_FILTER, or a filter of system calls refuses it",
            Wall::Limits => "the limits of the user namespace or of resources cannot be set here",
            Wall::Landlock => {
                "the kernel is older than 5.19, has no CONFIG_SECURITY_LANDLOCK, or its `lsm=` parameter leaves landlock out"
            }
            Wall::Inputs => "the file system supports no idmapped mounts",
        }
    }

    /// The command that gives this layer back, if one does.
    #[must_use]
    pub fn command(&self) -> Option<&'static str> {
        (self.wall == Wall::UserNamespace && self.errno == libc::ENOSPC)
            .then_some("sysctl -w user.max_user_namespaces=15000")
    }
}

fn name(wall: Wall) -> &'static str {
    match wall {
        Wall::UserNamespace => "no user namespace",
        Wall::Processes => "no pid namespace",
        Wall::Files => "no read-only view of the system",
        Wall::Network => "no network namespace",
        Wall::Ipc => "no IPC namespace",
        Wall::User => "no user of its own",
        Wall::Capabilities => "capabilities are kept",
        Wall::NewPrivileges => "processes can gain privileges",
        Wall::Calls => "no filter of system calls",
        Wall::Limits => "no limits of resources",
        Wall::Landlock => "no landlock",
        Wall::Inputs => "files that only root may read stay unreadable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_reason() {
        let told = |wall, errno| Told { wall, errno };
        let missing =
            Missing(vec![told(Wall::UserNamespace, libc::ENOSPC), told(Wall::Network, libc::EPERM)]);
        assert_eq!(
            missing.to_string(),
            "no user namespace (No space left on device), no network namespace (Operation not permitted)"
        );
        assert!(Missing::default().is_empty());
    }
}
