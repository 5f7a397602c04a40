//! A BTF table, by itself and as a split table on itself.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use lkm_object::{Btf, Types};

fn ask(btf: &Btf) {
    for id in btf.own_ids().take(200) {
        let Some(t) = btf.get(id) else { continue };
        let _ = (btf.size_of(id), btf.value_kind(id), btf.proto(id));
        let _ = t.enumerators().count();
        let _ = (btf.find(t.name, &[t.kind]).is_some(), btf.base_name(id));
        for m in t.members().take(20) {
            let _ = btf.offset_of(t.name, m.name);
        }
    }
    // Flattening is the costliest question: a few are enough.
    for id in btf.own_ids().take(3) {
        if let Some(t) = btf.get(id) {
            let _ = btf.layout(t.name);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(btf) = Btf::parse(data) else { return };
    ask(&btf);
    let base = Arc::new(btf);
    if let Ok(split) = Btf::parse_split(data, base) {
        ask(&split);
    }
});
