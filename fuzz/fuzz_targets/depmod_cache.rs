//! What depmod remembers between runs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_tree::depmod::cache::Cache;

fuzz_target!(|data: &[u8]| {
    let cache = Cache::parse(data.to_vec());
    let _ = cache.len();
});
