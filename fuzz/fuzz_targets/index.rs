//! A binary index: searches and a dump end, whatever is in the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_tree::fs_memory::MemoryFile;
use lkm_tree::index::Index;

fuzz_target!(|data: &[u8]| {
    let (key, file) = data.split_at(data.len().min(8));
    let Ok(index) = Index::open(Box::new(MemoryFile::new(file.to_vec()))) else {
        return;
    };
    let _ = index.search(key);
    let _ = index.search_wild(key);
    let mut out = Vec::new();
    let _ = index.dump(&mut out, "alias ");
});
