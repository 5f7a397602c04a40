//! The bytes of a `.modinfo` section.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_object::Modinfo;

fuzz_target!(|data: &[u8]| {
    let info = Modinfo::parse(data);
    assert_eq!(info.len(), info.raw().count());
    for (key, value) in info.iter() {
        assert!(info.all(key).any(|v| v == value));
    }
    let _ = info.parms();
});
