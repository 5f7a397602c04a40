//! Compressed files and kernel images: never more bytes than the limit allows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_object::compress::{decompress, decompress_first};
use lkm_object::vmlinux;

const LIMIT: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    if let Ok(out) = decompress(data, LIMIT) {
        assert!(out.len() <= LIMIT);
    }
    if let Ok(out) = decompress_first(data, LIMIT) {
        assert!(out.len() <= LIMIT);
    }
    let _ = vmlinux::release(data);
    if data.len() > 0x250 && &data[0x202..0x206] == b"HdrS" {
        let _ = vmlinux::btf_bytes(data);
    }
});
