//! Each target takes what is thrown at it for a second, so that none of them rots.

use std::time::Duration;

use dkms_fuzz::TARGETS;

#[test]
fn each_target_takes_what_is_thrown_at_it() {
    for target in TARGETS {
        let current = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(target.name);
        let count = target.throw(Duration::from_secs(1), 1, &current);
        assert!(count > 10, "{}: {count} inputs", target.name);
    }
}
