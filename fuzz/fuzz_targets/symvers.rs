//! A Module.symvers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_object::symvers::symvers;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = symvers(&text).count();
});
