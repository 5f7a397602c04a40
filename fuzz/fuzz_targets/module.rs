//! A module file through everything that looks at all of it: parser, load checks, layout, kernel exports.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_object::check::{ElfChecks, Keys, Rules, load_checks};
use lkm_object::{Elf, Layout, ModuleFile, layout, vmlinux};

fuzz_target!(|data: &[u8]| {
    if let Ok(elf) = Elf::parse(data) {
        for section in &elf.sections {
            for r in elf.relas(section).take(1000) {
                let _ = elf.symbol(r.sym);
            }
        }
        let _ = vmlinux::exports(&elf);
    }
    if let Ok(module) = ModuleFile::parse(data) {
        let _ = module.modinfo.parms();
    }
    for elf_checks in [ElfChecks::V6_1, ElfChecks::V6_12] {
        let rules = Rules {
            elf_checks,
            keys: Keys::All,
            layout_crc: Some(1),
            ..Rules::default()
        };
        if let Ok(accepted) = load_checks(data, &rules) {
            for typed_memory in [false, true] {
                let config = layout::Config {
                    typed_memory,
                    ..layout::Config::default()
                };
                let _ = Layout::new(&accepted.info, &config);
            }
        }
    }
});
