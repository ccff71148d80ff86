//! Any bytes may be refused; none may crash, hang or take more memory than the limits say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{Limits, testing::decode_within};

fuzz_target!(|bytes: &[u8]| {
    // Small pictures show the same faults as large ones, sooner.
    let limits = Limits {
        pixels_max: 1 << 20,
        memory_bytes_max: 64 << 20,
        ..Limits::default()
    };
    let _ = decode_within(bytes, 50, &limits);
});
