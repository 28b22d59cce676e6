//! Walls that could not be had, in words.

use crate::sys::{Report, Wall};

/// A wall that could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub wall: Wall,
    /// What the system said.
    pub errno: i32,
}

/// All walls that a process had to do without.
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
        for (place, Told { wall, errno }) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { ", " };
            let text = std::io::Error::from_raw_os_error(*errno).to_string();
            let why = text.split(" (os error").next().unwrap_or_default();
            write!(f, "{between}{} ({why})", name(*wall))?;
        }
        Ok(())
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
        Wall::NewPrivileges => "new privileges can be had",
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
