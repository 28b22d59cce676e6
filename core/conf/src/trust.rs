//! What root reads should be root's: files whose owner or mode, or those of a folder on the way, let another
//! user else decide what root runs.

use std::path::Path;

use dkms_base::host::trusted::{self, Fault};
use dkms_base::report::Event;

/// Why root doesn't read or run what is at a path; `None` also if we aren't root: then we
/// decide for ourselves only.
#[must_use]
pub fn fault(path: &Path) -> Option<Fault> {
    trusted::fault_for_root(path)
}

/// The warning for a module whose source is, or could be made, another user's.
#[must_use]
pub fn warning(fault: &Fault) -> Event {
    // A checkout stays its developer's.
    let hint = match fault.owner {
        Some(_) => format!(
            "`dkms add FOLDER` makes a copy of a source that root owns; or fix it with `{}`",
            fault.mend()
        ),
        None => format!("fix it with `{}`", fault.mend()),
    };
    Event::warning(fault.to_string(), [hint])
}
