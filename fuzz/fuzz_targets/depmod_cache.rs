//! What depmod remembers of its last run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_tree::depmod::cache::{Record, checksum};
use lkm_tree::depmod::facts_codec::{decode, encode};

fuzz_target!(|data: &[u8]| {
    // Past the checksum, where the reading begins.
    let mut bytes = data.to_vec();
    if bytes.len() > 16 {
        bytes[..8].copy_from_slice(b"lkmdep\x04\n");
        let sum = checksum(&bytes[16..]);
        bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    }
    if let Some(r) = Record::parse(&bytes) {
        for m in &r.modules {
            let _ = (r.text.get(m.path), r.facts(m, data), r.facts_from(m, None));
        }
        assert_eq!(Record::parse(&r.encode()).as_ref(), Some(&r));
    }
    if let Some(facts) = decode(data) {
        let mut again = Vec::new();
        encode(&facts, &mut again);
        assert_eq!(decode(&again), Some(facts));
    }
});
