//! How a process keeps a private key or a passphrase in its memory secret: no core dump, and
//! nobody looks into it.

use std::sync::Once;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From now on this process leaves no core, whatever the caller's limit is and wherever cores go (core(5): a
/// pipe's program gets one with any limit), and no other process of the same user reads its memory
/// (ptrace(2)). What it starts has a core limit of 0 too.
///
/// To be called before a secret is read. It can't be undone.
pub fn begin() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // Lowering a limit, and this flag of our own, need no right.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Environment;
    use crate::host::process::Process;

    #[test]
    fn neither_we_nor_what_we_start_leaves_a_core() {
        begin();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let limits = Process::shell("ulimit -c; ulimit -Hc", &environment).capture().unwrap().text();
        assert_eq!(limits, "0\n0\n");
    }
}
