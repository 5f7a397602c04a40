//! The debug information of an ELF file. Seeds: modules built with `-g`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lkm_object::{Dwarf, Elf, Types};

fuzz_target!(|data: &[u8]| {
    let Ok(elf) = Elf::parse(data) else { return };
    let Ok(Some(dwarf)) = Dwarf::new(&elf) else {
        return;
    };
    for name in ["module", "list_head", "spinlock_t"] {
        let _ = dwarf.struct_size(name);
        for path in ["list.next", "name[3]", "mkobj.kobj"] {
            let _ = (
                dwarf.offset_of(name, path),
                dwarf.size_of_member(name, path),
            );
        }
    }
    for section in 0..elf.sections.len().min(50) {
        let _ = dwarf.line(section, 4);
    }
});
