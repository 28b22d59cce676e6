//! The target that `DKMS_FUZZ_TARGET` names, for libFuzzer.

#![no_main]

use std::sync::OnceLock;

use dkms_fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("DKMS_FUZZ_TARGET").unwrap_or_default();
        Target::named(&name).expect("DKMS_FUZZ_TARGET names a target of fuzz/README.md")
    })
}

fuzz_target!(|bytes: &[u8]| (target().run)(bytes));
