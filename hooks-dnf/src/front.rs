//! Who runs us: a front end whose plugin calls when all has ended, rpm by itself, or a person.

use std::path::Path;

use dkms_core::host::{ancestry, fs};
use dkms_core::layout::Layout;

use crate::memory;

/// Who will call us once more when the transaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// dnf, through its plugin.
    Plugin,
    /// rpm, through the triggers of our package.
    Triggers,
    /// Nobody.
    Nobody,
}

impl Front {
    /// Looks at the processes above us. `has_triggers`: whether our package is one of rpm's; asked only where it matters.
    #[must_use]
    pub fn look(layout: &Layout, has_triggers: impl FnOnce() -> bool) -> Self {
        let above = ancestry::ancestors();
        if memory::front(layout).is_some_and(|front| above.contains(&front)) {
            return Self::Plugin;
        }
        match above.iter().any(|process| uses_librpm(process.pid)) && has_triggers() {
            true => Self::Triggers,
            false => Self::Nobody,
        }
    }
}

/// Whether a process has rpm's library in memory: every program that carries out transactions does.
fn uses_librpm(pid: u32) -> bool {
    let maps = fs::read_lossy(Path::new(&format!("/proc/{pid}/maps"))).unwrap_or_default();
    maps.lines().any(|line| line.contains("/librpm.so") || line.contains("/librpm-"))
}
