//! depmod.d with its regular expressions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_tree::config::depmod::DepmodConfig;
use lkm_tree::ere::Ere;

fuzz_target!(|data: &[u8]| {
    DepmodConfig::default().parse(b"f", data, b"6.1.0-56-amd64");
    if let Ok(re) = Ere::compile(data) {
        let _ = re.is_match(b"6.1.0-56-amd64");
    }
});
