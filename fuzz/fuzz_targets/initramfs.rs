//! Images of kernels: whatever their bytes are, reading them ends without a panic and within its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = dkms_core::install::examine_image(bytes);
});
