//! Modules of other machines and other times: 32 bit, big endian, REL, old export tables, extended versions.

mod common;

use common::{ALLOC, SHT_PROGBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB, WRITE};
use lkm_object::check::{Rules, load_checks};
use lkm_object::{Elf, ModuleFile};

/// A section: name, type, flags, bytes, link, info.
type Row<'a> = (&'a str, u32, u64, Vec<u8>, u32, u32);

/// Writes integers as one machine does.
#[derive(Clone, Copy)]
struct Machine {
    wide: bool,
    big: bool,
    machine: u16,
}

impl Machine {
    fn half(self, v: u16) -> Vec<u8> {
        if self.big {
            v.to_be_bytes().to_vec()
        } else {
            v.to_le_bytes().to_vec()
        }
    }

    fn int(self, v: u32) -> Vec<u8> {
        if self.big {
            v.to_be_bytes().to_vec()
        } else {
            v.to_le_bytes().to_vec()
        }
    }

    fn word(self, v: u64) -> Vec<u8> {
        match (self.wide, self.big) {
            (false, _) => self.int(v as u32),
            (true, true) => v.to_be_bytes().to_vec(),
            (true, false) => v.to_le_bytes().to_vec(),
        }
    }

    fn symbol(self, name: u32, info: u8, shndx: u16, value: u64) -> Vec<u8> {
        if self.wide {
            [
                self.int(name),
                vec![info, 0],
                self.half(shndx),
                self.word(value),
                self.word(0),
            ]
            .concat()
        } else {
            [
                self.int(name),
                self.word(value),
                self.word(0),
                vec![info, 0],
                self.half(shndx),
            ]
            .concat()
        }
    }

    fn rel(self, offset: u64, sym: u32, kind: u32) -> Vec<u8> {
        let info = if self.wide {
            u64::from(sym) << 32 | u64::from(kind)
        } else {
            u64::from(sym << 8 | kind)
        };
        [self.word(offset), self.word(info)].concat()
    }

    fn rela(self, offset: u64, sym: u32, kind: u32, addend: u64) -> Vec<u8> {
        [self.rel(offset, sym, kind), self.word(addend)].concat()
    }

    /// A file of these sections; their names are written last.
    fn file(self, sections: &[Row<'_>]) -> Vec<u8> {
        let mut names = vec![0u8];
        let mut data = vec![0u8; if self.wide { 64 } else { 52 }];
        let mut headers = Vec::new();
        let all = sections
            .iter()
            .cloned()
            .chain([(".shstrtab", SHT_STRTAB, 0, Vec::new(), 0, 0)]);
        let last = sections.len();
        for (i, (name, kind, flags, mut bytes, link, info)) in all.enumerate() {
            let at = if name.is_empty() { 0 } else { names.len() };
            if at != 0 {
                names.extend(name.as_bytes());
                names.push(0);
            }
            if i == last {
                bytes.clone_from(&names);
            }
            let offset = data.len() as u64;
            headers.extend(self.int(at as u32));
            headers.extend(self.int(kind));
            for v in [flags, 0, offset, bytes.len() as u64] {
                headers.extend(self.word(v));
            }
            headers.extend(self.int(link));
            headers.extend(self.int(info));
            headers.extend(self.word(4));
            headers.extend(self.word(0));
            data.extend(&bytes);
        }
        let head = [
            b"\x7fELF".to_vec(),
            vec![1 + u8::from(self.wide), 1 + u8::from(self.big), 1],
            vec![0; 9],
            self.half(1),
            self.half(self.machine),
            self.int(1),
            self.word(0),
            self.word(0),
            self.word(data.len() as u64),
            self.int(0),
            self.half(if self.wide { 64 } else { 52 }),
            self.half(0),
            self.half(0),
            self.half(if self.wide { 64 } else { 40 }),
            self.half(last as u16 + 1),
            self.half(last as u16),
        ]
        .concat();
        data[..head.len()].copy_from_slice(&head);
        data.extend(headers);
        data
    }
}

/// A module that exports `alpha` and, GPL only, `beta`, with absolute words and CRC symbols:
/// the form of kernels before 4.19, and of machines without place-relative words.
fn old_exports(m: Machine, rel: bool) -> Vec<u8> {
    let w = if m.wide { 8 } else { 4 };
    let mut this = vec![0u8; 3 * w + 64];
    this[3 * w..3 * w + 3].copy_from_slice(b"old");
    let kinds = (SHT_PROGBITS, if rel { 9 } else { SHT_RELA });
    // Symbol 2 is the string section; addend 6 leads to "beta".
    let entry = |at: u64, sym: u32, addend: u64| {
        if rel {
            m.rel(at, sym, 2)
        } else {
            m.rela(at, sym, 2, addend)
        }
    };
    let table = |addend: u64| [m.word(0), m.word(if rel { addend } else { 0 })].concat();
    let symbols = [
        m.symbol(0, 0, 0, 0),
        m.symbol(1, 0x12, 1, 4),
        m.symbol(0, 3, 6, 0),
        m.symbol(7, 0x12, 1, 8),
        m.symbol(12, 0x10, 0xfff1, 0xaaaa_0001),
        m.symbol(24, 0x10, 0xfff1, 0xbbbb_0002),
        m.symbol(35, 0x12, 1, 0),
    ]
    .concat();
    let strings = b"\0alpha\0beta\0__crc_alpha\0__crc_beta\0init_module\0".to_vec();
    let crc = |at, sym| entry(at, sym, 0);
    m.file(&[
        ("", 0, 0, vec![], 0, 0),
        (".text", SHT_PROGBITS, ALLOC | 4, vec![0; 16], 0, 0),
        ("__ksymtab", kinds.0, ALLOC, table(0), 0, 0),
        (
            ".rel__ksymtab",
            kinds.1,
            0,
            [entry(0, 1, 0), entry(w as u64, 2, 0)].concat(),
            14,
            2,
        ),
        ("__ksymtab_gpl", kinds.0, ALLOC, table(6), 0, 0),
        (
            ".rel__ksymtab_gpl",
            kinds.1,
            0,
            [entry(0, 3, 0), entry(w as u64, 2, 6)].concat(),
            14,
            4,
        ),
        (
            "__ksymtab_strings",
            SHT_PROGBITS,
            ALLOC,
            b"alpha\0beta\0".to_vec(),
            0,
            0,
        ),
        ("__kcrctab", SHT_PROGBITS, ALLOC, m.word(0), 0, 0),
        (".rel__kcrctab", kinds.1, 0, crc(0, 4), 14, 7),
        ("__kcrctab_gpl", SHT_PROGBITS, ALLOC, m.word(0), 0, 0),
        (".rel__kcrctab_gpl", kinds.1, 0, crc(0, 5), 14, 9),
        (
            ".modinfo",
            SHT_PROGBITS,
            ALLOC,
            b"license=GPL\0vermagic=3.2 \0".to_vec(),
            0,
            0,
        ),
        (
            ".gnu.linkonce.this_module",
            SHT_PROGBITS,
            ALLOC | WRITE,
            this,
            0,
            0,
        ),
        (".rel.this", kinds.1, 0, entry(12, 6, 0), 14, 12),
        (".symtab", SHT_SYMTAB, 0, symbols, 15, 0),
        (".strtab", SHT_STRTAB, 0, strings, 0, 0),
    ])
}

#[test]
fn old_export_tables_of_four_kinds_of_machine() {
    for (wide, big, machine, rel) in [
        (false, false, 40, true),
        (false, true, 8, true),
        (false, true, 20, false),
        (true, true, 21, false),
        (true, false, 62, false),
    ] {
        let m = Machine { wide, big, machine };
        let data = old_exports(m, rel);
        let module = ModuleFile::parse(&data).unwrap();
        // No `name=` before Linux 4.20: the name is in struct module.
        assert_eq!((module.name, module.vermagic), ("old", "3.2 "));
        let [alpha, beta] = module.exports[..] else {
            panic!("{:?}", module.exports);
        };
        assert_eq!((alpha.name, alpha.gpl, alpha.value), ("alpha", false, 4));
        assert_eq!(alpha.crc, Some(0xaaaa_0001));
        assert_eq!((beta.name, beta.gpl, beta.value), ("beta", true, 8));
        assert_eq!(beta.crc, Some(0xbbbb_0002));
        assert_eq!((beta.section, beta.namespace), (1, None));
        assert_eq!(module.this_module.init.unwrap().member, 12);
        // Its own kernel takes it; an x86-64 one does not.
        let own = Rules {
            machine,
            class64: wide,
            big_endian: big,
            module_sig: false,
            ..Rules::default()
        };
        if machine != 62 {
            load_checks(&data, &own).unwrap();
            assert!(matches!(
                load_checks(&data, &Rules::default()).unwrap_err().step,
                "L2" | "L4" | "L5"
            ));
        }
    }
}

#[test]
fn both_forms_of_relocations_and_symbols() {
    for wide in [false, true] {
        let m = Machine {
            wide,
            big: true,
            machine: 22,
        };
        let data = m.file(&[
            ("", 0, 0, vec![], 0, 0),
            (".text", 1, ALLOC, vec![0; 8], 0, 0),
            (".rela.text", SHT_RELA, 0, m.rela(4, 1, 7, u64::MAX), 3, 1),
            (
                ".symtab",
                SHT_SYMTAB,
                0,
                [m.symbol(0, 0, 0, 0), m.symbol(1, 0x21, 0xfff2, 77)].concat(),
                4,
                0,
            ),
            (".strtab", SHT_STRTAB, 0, b"\0weak\0".to_vec(), 0, 0),
        ]);
        let elf = Elf::parse(&data).unwrap();
        assert_eq!((elf.class64, elf.big_endian, elf.machine), (wide, true, 22));
        let r = elf
            .relas(elf.section(".rela.text").unwrap())
            .next()
            .unwrap();
        assert_eq!((r.offset, r.sym, r.kind, r.addend), (4, 1, 7, -1));
        let s = elf.symbol(r.sym).unwrap();
        assert_eq!((s.name, s.value, s.shndx), ("weak", 77, 0xfff2));
        assert_eq!((s.bind(), s.kind()), (2, 1));
        assert_eq!(elf.symbol(2), None);
        assert_eq!(elf.relas(elf.section(".text").unwrap()).count(), 0);
    }
}

#[test]
fn extended_versions() {
    let with = |crcs: Vec<u8>, names: &[u8]| {
        let mut sections = common::module();
        let ext = |name, data: &[u8]| common::section(name, SHT_PROGBITS, ALLOC, data);
        sections[common::VERSIONS] = ext("__version_ext_crcs", &crcs);
        sections.insert(common::SHSTRTAB, ext("__version_ext_names", names));
        common::write(&sections).data
    };
    let long = "a_rust_symbol_whose_mangled_name_is_longer_than_fifty_six_bytes_by_far";
    let names = format!("_printk\0{long}\0");
    let crcs = [7u32.to_le_bytes(), 9u32.to_le_bytes()].concat();
    let data = with(crcs.clone(), names.as_bytes());
    let module = ModuleFile::parse(&data).unwrap();
    assert_eq!(module.versions, [("_printk", 7), (long, 9)]);
    assert!(module.has_versions);
    // Fewer names than CRCs: what is there is read.
    let data = with(crcs, b"_printk\0unterminated");
    let module = ModuleFile::parse(&data).unwrap();
    assert_eq!(module.versions, [("_printk", 7)]);
}
