//! Random damage, the same on every run: nothing panics, hangs or allocates without bound.

mod common;

use std::sync::Arc;

use common::{Random, module, mutate, write};
use lkm_object::check::{ElfChecks, Keys, Rules, load_checks};
use lkm_object::{
    Btf, Dwarf, Elf, Layout, ModuleFile, Signature, Types, decompress, layout, vmlinux,
};

/// Everything that reads a module, on the same bytes. Answers do not matter; coming back does.
fn read_all(data: &[u8], base: &Arc<Btf>) -> bool {
    for elf_checks in [ElfChecks::V6_1, ElfChecks::V6_12] {
        let rules = Rules {
            elf_checks,
            keys: Keys::All,
            layout_crc: Some(1),
            force_load: elf_checks == ElfChecks::V6_1,
            ..Rules::default()
        };
        if let Ok(accepted) = load_checks(data, &rules) {
            let _ = Layout::new(&accepted.info, &layout::Config::default());
        }
    }
    if let Ok(elf) = Elf::parse(data) {
        for section in &elf.sections {
            let _ = elf.relas(section).filter_map(|r| elf.symbol(r.sym)).count();
        }
        let _ = vmlinux::exports(&elf);
        if let Ok(Some(dwarf)) = Dwarf::new(&elf) {
            read_dwarf(&dwarf);
        }
        if let Some(section) = elf.section(".BTF") {
            let _ = Btf::parse_split(section.data, base.clone()).map(|b| read_btf(&b));
            let _ = Btf::parse(section.data).map(|b| read_btf(&b));
        }
    }
    let Ok(m) = ModuleFile::parse(data) else {
        return false;
    };
    let _ = m.modinfo.parms();
    let _ = m.modinfo.raw().count() + m.depends().count();
    if let Some(trailer) = &m.signature {
        let _ = Signature::from_trailer(trailer);
    }
    true
}

fn read_btf(btf: &Btf) {
    for id in btf.own_ids().take(2000) {
        let Some(t) = btf.get(id) else { continue };
        let _ = (btf.size_of(id), btf.value_kind(id), btf.proto(id));
        let _ = t.enumerators().count();
        let _ = (btf.find(t.name, &[t.kind]).is_some(), btf.base_name(id));
        if t.vlen > 0 {
            let _ = btf.layout(t.name).map(|l| l.len());
            let _ = btf.offset_of(t.name, "list.next");
        }
    }
}

fn read_dwarf(dwarf: &Dwarf<'_>) {
    for name in ["module", "list_head", "task_struct", "spinlock_t", "absent"] {
        let _ = dwarf.struct_size(name);
        for path in ["list", "list.next", "name[3]", "comm", "mkobj.kobj.name"] {
            let _ = (
                dwarf.offset_of(name, path),
                dwarf.size_of_member(name, path),
            );
        }
    }
    for section in 0..40 {
        for offset in [0, 5, 100] {
            let _ = dwarf.line(section, offset);
        }
    }
}

/// A little BTF: int, struct with an anonymous union, array, pointer, function, enum.
fn little_btf() -> Vec<u8> {
    let strings = b"\0int\0s\0a\0b\0f\0e\0list\0next\0";
    let mut types = Vec::new();
    let mut word = |v: u32| types.extend(v.to_le_bytes());
    for w in [1, 1 << 24, 4, 32 | 1 << 24] {
        word(w); // 1: int
    }
    for w in [5, 4 << 24 | 3, 24, 7, 1, 0, 0, 3, 64, 13, 4, 128] {
        word(w); // 2: struct s { int a; <3>; array b; }
    }
    for w in [0, 5 << 24 | 2, 8, 15, 1, 0, 20, 5, 0] {
        word(w); // 3: union { int list; pointer next; }
    }
    for w in [0, 3 << 24, 0, 1, 1, 2] {
        word(w); // 4: int[2]
    }
    for w in [0, 2 << 24, 2] {
        word(w); // 5: struct s *
    }
    for w in [0, 13 << 24 | 2, 1, 7, 5, 0, 0] {
        word(w); // 6: int (struct s *a, ...)
    }
    for w in [11, 12 << 24 | 1, 6] {
        word(w); // 7: f
    }
    for w in [13, 6 << 24 | 1, 4, 7, 3] {
        word(w); // 8: enum e { a = 3 }
    }
    let mut out = vec![0x9f, 0xeb, 1, 0];
    for v in [
        24,
        0,
        types.len() as u32,
        types.len() as u32,
        strings.len() as u32,
    ] {
        out.extend(v.to_le_bytes());
    }
    out.extend(&types);
    out.extend(strings);
    out
}

#[test]
fn little_btf_reads_as_meant() {
    let btf = Btf::parse(little_btf()).unwrap();
    assert_eq!(btf.own_ids(), 1..9);
    assert_eq!(btf.struct_size("s"), Some(24));
    assert_eq!(btf.offset_of("s", "next"), Some(8));
    assert_eq!(btf.offset_of("s", "list"), Some(8));
    assert!(btf.func("f").unwrap().variadic);
    assert_eq!(btf.enumerators("e").unwrap(), [("a", 3)]);
}

#[test]
fn twenty_thousand_modules() {
    let base = Arc::new(Btf::parse(little_btf()).unwrap());
    let original = write(&module()).data;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut parsed = 0;
    for _ in 0..20_000 {
        let data = mutate(&original, &mut random);
        parsed += usize::from(read_all(&data, &base));
    }
    // The damage is neither so small that nothing breaks nor so large that nothing gets far.
    assert!((2_000..18_000).contains(&parsed), "{parsed}");
}

#[test]
fn twenty_thousand_types() {
    let original = little_btf();
    let base = Arc::new(Btf::parse(original.clone()).unwrap());
    let mut random = Random(7);
    for _ in 0..20_000 {
        let data = mutate(&original, &mut random);
        let _ = Btf::parse(data.clone()).map(|b| read_btf(&b));
        let _ = Btf::parse_split(data, base.clone()).map(|b| read_btf(&b));
    }
}

/// Anonymous structs that each hold the next one twice: 2^60 members, were they all visited.
#[test]
fn shared_anonymous_structs_do_not_multiply() {
    let strings = b"\0s\0";
    let mut types = Vec::new();
    for i in 0..60u32 {
        let name = if i == 0 { 1 } else { 0 };
        let next = if i == 59 { 1 } else { i + 2 };
        for w in [name, 4 << 24 | 2, 8, 0, next, 0, 0, next, 0] {
            types.extend(w.to_le_bytes());
        }
    }
    let mut data = vec![0x9f, 0xeb, 1, 0];
    for v in [24, 0, types.len() as u32, types.len() as u32, 3u32] {
        data.extend(v.to_le_bytes());
    }
    data.extend(types);
    data.extend(strings);
    let btf = Btf::parse(data).unwrap();
    assert_eq!(btf.offset_of("s", "nowhere"), None);
    assert_eq!(btf.layout("s"), None);
}

#[test]
fn a_stock_module_with_everything() {
    let mut stack = vec![std::path::PathBuf::from("/lib/modules")];
    let mut found = None;
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                stack.push(path);
            } else if path.file_name().is_some_and(|n| {
                let n = n.to_string_lossy();
                n.starts_with("libcrc32c.ko") || n.starts_with("crc7.ko")
            }) {
                found = Some(path);
            }
        }
    }
    let Some(path) = found else {
        eprintln!("SKIPPED: no kernel modules under /lib/modules");
        return;
    };
    let raw = std::fs::read(&path).unwrap();
    let original = decompress(&raw, 1 << 24).unwrap();
    let base = Arc::new(Btf::parse(little_btf()).unwrap());
    let mut random = Random(99);
    for _ in 0..3_000 {
        read_all(&mutate(&original, &mut random), &base);
    }
    // The end of the file, where the signature is, on its own.
    let tail = original.len().saturating_sub(700);
    for _ in 0..5_000 {
        let mut data = original[..64].to_vec();
        data.extend(mutate(&original[tail..], &mut random));
        if let Some(trailer) = lkm_object::signature::trailer(&data) {
            let _ = Signature::from_trailer(&trailer);
        }
    }
}

#[test]
fn compressed_streams_and_images() {
    use std::io::Write;
    let text: Vec<u8> = (0..4000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(&text).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&text).unwrap();
    let originals = [
        gz.finish().unwrap(),
        xz.finish().unwrap(),
        zstd::encode_all(&text[..], 1).unwrap(),
    ];
    let mut random = Random(3);
    for original in &originals {
        for _ in 0..2_000 {
            let data = mutate(original, &mut random);
            if let Ok(out) = decompress(&data, 1 << 20) {
                assert!(out.len() <= 1 << 20);
            }
        }
        // The same as the payload of a boot image.
        let mut image = vec![0u8; 1024];
        image[0x1f1] = 1;
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x24c..0x250].copy_from_slice(&(original.len() as u32).to_le_bytes());
        image.extend(original);
        assert_eq!(
            vmlinux::vmlinux(&image),
            Err(lkm_object::Error::Missing("vmlinux in the kernel image"))
        );
        for _ in 0..1_000 {
            let data = mutate(&image, &mut random);
            let _ = (vmlinux::btf_bytes(&data), vmlinux::release(&data));
        }
    }
}
