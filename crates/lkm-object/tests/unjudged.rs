//! Modules that the lab refuses to judge: each way of building is told by its mark, and a plain module has none.

mod common;

use common::*;
use lkm_object::unjudged;

/// The small module with its import, and its own function, under other names.
fn named(import: &str, helper: &str) -> Vec<u8> {
    let mut sections = module();
    let mut strings = vec![0u8];
    let mut symbols = symbol(0, 0, 0, 0);
    for (name, info, section) in [
        (import, 0x10, 0),
        ("init_module", 0x12, INIT as u16),
        (helper, 2, TEXT as u16),
    ] {
        symbols.extend(symbol(strings.len() as u32, info, section, 0));
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    sections[SYMTAB].data = symbols;
    sections[STRTAB].data = strings;
    write(&sections).data
}

#[track_caller]
fn tells(data: &[u8], word: &str) {
    let reason = unjudged(data).expect("not refused");
    assert!(reason.contains(word), "{reason}");
}

#[test]
fn a_plain_module_is_judged() {
    assert_eq!(unjudged(&write(&module()).data), None);
    assert_eq!(unjudged(&named("_printk", "helper")), None);
    // The marks count only where they mean something: a function of the module's own may be called anything.
    assert_eq!(unjudged(&named("_printk", "__asan_like")), None);
    assert_eq!(unjudged(&named("_printk", "_RNhelper")), None);
}

#[test]
fn what_is_no_module_is_left_to_the_checks() {
    assert_eq!(unjudged(b""), None);
    assert_eq!(unjudged(b"\x7fELF"), None);
}

#[test]
fn each_way_of_building_is_told() {
    tells(&named("__asan_report_load8_noabort", "helper"), "KASAN");
    tells(&named("__hwasan_storeN_noabort", "helper"), "KASAN");
    tells(&named("_printk", "__cfi_helper"), "kCFI");
    tells(&named("_RNvNtCs_6kernel5print", "helper"), "Rust");
    tells(
        &write(&module()).put(18, &183u16.to_le_bytes()).data,
        "arm64",
    );
    tells(&write(&module()).put(18, &999u16.to_le_bytes()).data, "999");
    tells(&write(&module()).put(4, &[1]).data, "64-bit");
    tells(&write(&module()).put(5, &[2]).data, "64-bit little-endian");
    let mut sections = module();
    sections[MODINFO].data = b"name=small\0vermagic=6.1.0-rt SMP preempt_rt mod_unload \0".to_vec();
    tells(&write(&sections).data, "PREEMPT_RT");
}
