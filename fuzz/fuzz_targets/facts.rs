//! A module file as depmod and modinfo read it, whole and in parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_tree::depmod::facts;
use lkm_tree::fs_memory::MemoryFile;
use lkm_tree::modinfo;

fuzz_target!(|data: &[u8]| {
    let _ = facts::from_image(data, true);
    let file = MemoryFile::new(data.to_vec());
    let _ = facts::read(&file, false);
    if let Ok(info) = modinfo::read(&file) {
        let _ = info.lines();
    }
});
