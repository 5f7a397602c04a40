//! Addresses of a small object file, placed twice.

use lkm_object::Elf;
use lkm_trace::{Event, Phase, Trace};

use super::*;

/// An ELF64 relocatable with .text and .init.text, and these symbols: name, section, value, size.
fn object(symbols: &[(&str, u16, u64, u64)]) -> Vec<u8> {
    let mut strtab = vec![0u8];
    let mut symtab = vec![0u8; 24];
    for (name, section, value, size) in symbols {
        symtab.extend((strtab.len() as u32).to_le_bytes());
        // Global function, default visibility.
        symtab.extend([0x12, 0]);
        symtab.extend(section.to_le_bytes());
        symtab.extend(value.to_le_bytes());
        symtab.extend(size.to_le_bytes());
        strtab.extend(name.as_bytes());
        strtab.push(0);
    }
    let names = b"\0.text\0.init.text\0.symtab\0.strtab\0.shstrtab\0";
    let mut file = vec![0u8; 64];
    let mut headers = vec![0u8; 64];
    let mut section = |file: &mut Vec<u8>,
                       name: u32,
                       kind: u32,
                       flags: u64,
                       data: &[u8],
                       link: u32,
                       entry: u64| {
        let offset = file.len() as u64;
        file.extend(data);
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        for word in [flags, 0, offset, data.len() as u64] {
            headers.extend(word.to_le_bytes());
        }
        headers.extend(link.to_le_bytes());
        headers.extend(1u32.to_le_bytes());
        for word in [8, entry] {
            headers.extend(u64::to_le_bytes(word));
        }
    };
    section(&mut file, 1, 1, 6, &[0x90; 0x100], 0, 0);
    section(&mut file, 7, 1, 6, &[0x90; 0x40], 0, 0);
    section(&mut file, 18, 2, 0, &symtab, 4, 24);
    section(&mut file, 26, 3, 0, &strtab, 0, 0);
    section(&mut file, 34, 3, 0, names, 0, 0);
    let shoff = file.len() as u64;
    file.extend(&headers);
    file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    file[16..18].copy_from_slice(&1u16.to_le_bytes());
    file[18..20].copy_from_slice(&62u16.to_le_bytes());
    file[40..48].copy_from_slice(&shoff.to_le_bytes());
    file[58..60].copy_from_slice(&64u16.to_le_bytes());
    file[60..62].copy_from_slice(&6u16.to_le_bytes());
    file[62..64].copy_from_slice(&5u16.to_le_bytes());
    file
}

fn placed(generation: u32, text: u64) -> Event {
    Event::Module {
        name: "m".into(),
        generation,
        this_module: 0,
        sections: vec![
            (".text".into(), text, 0x100),
            (".init.text".into(), 0x9000, 0x40),
        ],
    }
}

#[test]
fn addresses_are_named_where_they_were_placed_last() {
    let bytes = object(&[
        ("init_module", 2, 0, 0x20),
        ("m_init", 2, 0, 0x20),
        ("open", 1, 0x10, 0x30),
        ("cleanup_module", 1, 0x80, 0x10),
        ("m_exit", 1, 0x80, 0x10),
    ]);
    let elf = Elf::parse(&bytes).unwrap();
    let trace = Trace {
        events: vec![
            Event::Symbol {
                address: 0x500,
                name: "kfree".into(),
            },
            placed(1, 0x4000),
            placed(2, 0x4080),
        ],
        malformed: None,
    };
    let symbols = RunSymbols::from_trace(&trace, |name| (name == "m").then_some(&elf));
    assert_eq!(symbols.name(0x500).as_deref(), Some("kfree+0x0"));
    assert_eq!(symbols.name(0x4090).as_deref(), Some("open+0x0"));
    // The old placement is gone with the new one over its end.
    assert_eq!(symbols.name(0x4010), None);
    assert_eq!(symbols.name(0x4100).as_deref(), Some("m_exit+0x0"));
    assert_eq!(symbols.name(0x9004).as_deref(), Some("m_init+0x4"));
    // Before the first symbol only the section is known.
    assert_eq!(symbols.name(0x4084).as_deref(), Some(".text+0x4"));
    // A return address just behind a function belongs to it.
    assert_eq!(symbols.return_name(0x4100).as_deref(), Some("open+0x70"));
    assert_eq!(symbols.entry("m", Phase::Init).as_deref(), Some("m_init"));
    assert_eq!(symbols.entry("m", Phase::Exit).as_deref(), Some("m_exit"));
    assert_eq!(symbols.name(0), None);
    assert_eq!(symbols.return_name(0), None);
}

#[test]
fn without_a_file_the_section_is_told() {
    let trace = Trace {
        events: vec![placed(1, 0x4000)],
        malformed: None,
    };
    let symbols = RunSymbols::from_trace(&trace, |_| None);
    assert_eq!(symbols.name(0x4010).as_deref(), Some(".text+0x10"));
    assert_eq!(symbols.find(0x4010).unwrap().module, "m");
}
