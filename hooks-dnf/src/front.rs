//! Who runs us: a front end whose plugin calls when all has ended, rpm by itself, or a person.

use dkms_base::host::ancestry::{self, uses_library};
use dkms_base::layout::Layout;

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
    /// Looks at the processes above us. `has_triggers`: whether our package is one of rpm's; asked
    /// only where it matters.
    #[must_use]
    pub fn look(layout: &Layout, has_triggers: impl FnOnce() -> bool) -> Self {
        let above = ancestry::ancestors();
        if memory::front(layout).is_some_and(|front| above.contains(&front)) {
            return Self::Plugin;
        }
        let rpms: Vec<u32> =
            above.iter().map(|process| process.pid).filter(|pid| uses_librpm(*pid)).collect();
        // zypper whose commit began before our plugin was there, and other programs that run rpm like that.
        let is_without_triggers = rpms.iter().any(|pid| has_no_triggers(*pid))
            || above.iter().any(|process| uses_library(process.pid, "libzypp"));
        match !rpms.is_empty() && !is_without_triggers && has_triggers() {
            true => Self::Triggers,
            false => Self::Nobody,
        }
    }
}

/// Whether an rpm was started with `--notriggers`.
fn has_no_triggers(pid: u32) -> bool {
    let line = ancestry::command_line(pid).unwrap_or_default();
    ["--notriggers", "--nofiletriggers", "--notransfiletriggers", "--noscripts"]
        .iter()
        .any(|word| line.contains(word))
}

/// Whether a process has rpm's library in memory: every program that carries out transactions does.
pub(crate) fn uses_librpm(pid: u32) -> bool {
    uses_library(pid, "librpm")
}
