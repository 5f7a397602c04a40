//! Damaged modules: each is refused at the step, with the errno and in the words of the kernel.

mod common;

use common::*;
use lkm_object::check::{ElfChecks, Keys, Once, Rules, load_checks};
use lkm_object::{Elf, Error, Layout, ModuleFile, layout};

const EPERM: i32 = 1;
const ENOEXEC: i32 = 8;
const EINVAL: i32 = 22;
const EBADMSG: i32 = 74;
const EKEYREJECTED: i32 = 129;

/// Expects a refusal, and that the tolerant parsers survive the file as well.
#[track_caller]
fn refused(data: &[u8], rules: &Rules<'_>, step: &str, errno: i32, message: Option<&str>) {
    let refusal = load_checks(data, rules).expect_err("accepted");
    assert_eq!(
        (refusal.step, refusal.errno, refusal.message.as_deref()),
        (step, errno, message)
    );
    let _ = ModuleFile::parse(data);
}

#[track_caller]
fn noexec(file: File, step: &str, message: &str) {
    refused(&file.data, &Rules::default(), step, ENOEXEC, Some(message));
}

#[test]
fn the_undamaged_module_is_accepted() {
    let file = write(&module());
    let rules = Rules {
        vermagic: Some(VERMAGIC),
        layout_crc: Some(0x1111_2222),
        ..Rules::default()
    };
    let accepted = load_checks(&file.data, &rules).unwrap();
    assert_eq!(accepted.info.name, "small");
    // Only the missing signature is remarked upon.
    let taints: Vec<_> = accepted.events.iter().map(|e| (e.step, e.taint)).collect();
    assert_eq!(taints, [("L28", Some('E'))]);
    assert_eq!(accepted.events[0].once, Once::Boot);

    let m = ModuleFile::parse(&file.data).unwrap();
    assert_eq!((m.name, m.vermagic), ("small", VERMAGIC));
    assert_eq!(m.imports.len(), 1);
    assert_eq!(m.version_of("_printk"), Some(0x3333_4444));
    let init = m.this_module.init.unwrap();
    assert_eq!((init.member, init.section as usize), (0x138, INIT));
    assert!(m.this_module.exit.is_none());

    let layout = Layout::new(&accepted.info, &layout::Config::default()).unwrap();
    // A page of text, no read-only data, a page with struct module, a page of symbols.
    assert_eq!(layout.core.text, 4096);
    assert_eq!(layout.core.ro_after_init, 4096);
    assert_eq!(layout.core.size, 12288);
    let kallsyms = layout.kallsyms.unwrap();
    assert_eq!((kallsyms.core_symtab, kallsyms.core_symbols), (8192, 2));
    // Since 6.4 the symbols share the page of the data.
    let typed = layout::Config {
        typed_memory: true,
        ..layout::Config::default()
    };
    let newer = Layout::new(&accepted.info, &typed).unwrap();
    assert_eq!(newer.core.size, 8192);
    assert_eq!(newer.kallsyms.unwrap().core_symtab, 4096 + 896);
    assert_eq!(layout.place(THIS).unwrap().offset, 4096);
    assert_eq!(layout.place(INIT).unwrap().image, layout::Image::Init);
    assert_eq!(layout.place(MODINFO), None);
    assert_eq!(layout.shown_size(false), 12288 + layout.init.size);
}

#[test]
fn headers() {
    let good = || write(&module());
    let rules = Rules::default();
    for len in [0, 1, 4, 20, 52, 63] {
        let data = &good().data[..len];
        let text = format!("Invalid ELF header len {len}");
        refused(data, &rules, "L2", ENOEXEC, Some(&text));
        assert!(matches!(Elf::parse(data), Err(Error::TooShort(_))));
    }
    noexec(
        good().put(0, b"\x7fELG"),
        "L3",
        "Invalid ELF header magic: != \x7fELF",
    );
    noexec(
        good().put(16, &[2, 0]),
        "L4",
        "Invalid ELF header type: 2 != 1",
    );
    noexec(
        good().put(18, &[183, 0]),
        "L5",
        "Invalid architecture in ELF header: 183",
    );
    noexec(
        good().put(58, &[40, 0]),
        "L6",
        "Invalid ELF section header size",
    );
    let overflow = "Invalid ELF section header overflow";
    noexec(good().put(40, &[0xff; 8]), "L7", overflow);
    noexec(good().put(60, &[0xff, 0xff]), "L7", overflow);
    let end = good().data.len() as u64;
    noexec(good().put(40, &end.to_le_bytes()), "L7", overflow);
    // The class byte is not looked at by the kernel; ours says what is wrong.
    assert!(load_checks(&good().put(4, &[9]).data, &rules).is_ok());
    assert_eq!(
        Elf::parse(&good().put(4, &[9]).data).unwrap_err(),
        Error::BadClass(9)
    );
    assert_eq!(
        Elf::parse(&good().put(5, &[0]).data).unwrap_err(),
        Error::BadByteOrder(0)
    );
}

#[test]
fn section_names() {
    let good = || write(&module());
    noexec(
        good().put(62, &[0, 0]),
        "L8",
        "Invalid ELF section name index: 0 || e_shstrndx (0) >= e_shnum (12)",
    );
    noexec(
        good().put(62, &[12, 0]),
        "L8",
        "Invalid ELF section name index: 12 || e_shstrndx (12) >= e_shnum (12)",
    );
    noexec(
        good().header(SHSTRTAB, 32, &[0xff; 8]),
        "L9",
        "Invalid ELF section hdr(type 3)",
    );
    noexec(
        good().header(SHSTRTAB, 32, &[0; 8]),
        "L10",
        "empty section name table",
    );
    noexec(
        good().header(SHSTRTAB, 32, &[5, 0, 0, 0]),
        "L10",
        "ELF Spec violation: section name table isn't null terminated",
    );
    noexec(
        good().header(TEXT, 0, &[0xff; 4]),
        "L12",
        "Invalid ELF section name in module (section 1 type 1)",
    );
    // A section that is not loaded may have any name.
    let odd = good().header(RELA_TEXT, 0, &[0xff; 4]);
    assert!(load_checks(&odd.data, &Rules::default()).is_ok());
}

#[test]
fn sections() {
    let good = || write(&module());
    for (field, value) in [(4, 1u64), (32, 1), (16, 1)] {
        let kind = if field == 4 { 1 } else { 0 };
        noexec(
            good().header(0, field, &value.to_le_bytes()[..4]),
            "L11",
            &format!("ELF Spec violation: section 0 type({kind})!=SH_NULL or non-zero len or addr"),
        );
    }
    noexec(
        good().header(SYMTAB, 40, &[0; 4]),
        "L12",
        "Invalid ELF sh_link!=SHN_UNDEF(0) or (sh_link(0) >= hdr->e_shnum(12)",
    );
    noexec(
        good().header(SYMTAB, 40, &[99, 0, 0, 0]),
        "L12",
        "Invalid ELF sh_link!=SHN_UNDEF(99) or (sh_link(99) >= hdr->e_shnum(12)",
    );
    let outside = "Invalid ELF section in module (section 1 type 1)";
    noexec(good().header(TEXT, 24, &[0xff; 8]), "L12", outside);
    noexec(good().header(TEXT, 32, &[0xff; 8]), "L12", outside);
    let file = good();
    let rest = (file.data.len() - 64 + 1) as u64;
    let file = file
        .header(TEXT, 24, &64u64.to_le_bytes())
        .header(TEXT, 32, &rest.to_le_bytes());
    assert!(matches!(
        Elf::parse(&file.data),
        Err(Error::SectionRange { index: 1, .. })
    ));
    noexec(file, "L12", outside);
    // Sections that overlap are no error to the kernel, and harm nobody: each is copied.
    let overlap = good().header(INIT, 24, &64u64.to_le_bytes());
    assert!(load_checks(&overlap.data, &Rules::default()).is_ok());
    noexec(
        good().header(SYMTAB, 4, &[1, 0, 0, 0]),
        "L13",
        "small: module has no symbols (stripped?)",
    );
    noexec(
        good().header(THIS, 8, &[1, 0]),
        "L14",
        "small: No module found in object",
    );
    noexec(
        good().header(TEXT, 8, &[7, 0]),
        "L24",
        "small: section .text (index 1) has invalid WRITE|EXEC flags",
    );
    let mut nameless = module();
    nameless[MODINFO].data.clear();
    nameless[SYMTAB].kind = SHT_PROGBITS;
    noexec(
        write(&nameless),
        "L13",
        "(missing .modinfo section or name field): module has no symbols (stripped?)",
    );
}

#[test]
fn what_modinfo_says() {
    let with = |text: &str| {
        let mut m = module();
        m[MODINFO].data = text.replace('|', "\0").into_bytes();
        write(&m).data
    };
    let rules = |vermagic| Rules {
        vermagic: Some(vermagic),
        ..Rules::default()
    };
    let data = write(&module()).data;
    // With CRCs, the release is not compared; without them it is.
    let other = VERMAGIC.replace("6.1.0-test", "6.1.99");
    assert!(load_checks(&data, &rules(&other)).is_ok());
    let ignoring = Rules {
        flags: 1,
        ..rules(&other)
    };
    let text = format!("small: version magic '{VERMAGIC}' should be '{other}'");
    refused(&data, &ignoring, "L17", ENOEXEC, Some(&text));
    let preempt = VERMAGIC.replace("preempt ", "");
    let text = format!("small: version magic '{VERMAGIC}' should be '{preempt}'");
    refused(&data, &rules(&preempt), "L17", ENOEXEC, Some(&text));
    // No vermagic at all is a forced load, where that is allowed.
    let none = with("name=small|license=GPL|intree=Y|retpoline=Y|");
    let accepted = load_checks(&none, &rules(VERMAGIC)).unwrap();
    assert_eq!(accepted.events[0].taint, Some('F'));
    assert_eq!(
        accepted.events[0].message.as_deref(),
        Some("small: bad vermagic: kernel tainted.")
    );
    let strict = Rules {
        force_load: false,
        ..rules(VERMAGIC)
    };
    refused(&none, &strict, "L17", ENOEXEC, None);
    let blacklist = Rules {
        blacklist: "other,small",
        ..Rules::default()
    };
    refused(
        &data,
        &blacklist,
        "L15",
        EPERM,
        Some("Module small is blacklisted"),
    );
    let crc = Rules {
        layout_crc: Some(7),
        ..Rules::default()
    };
    refused(
        &data,
        &crc,
        "L16",
        ENOEXEC,
        Some("small: disagrees about version of symbol module_layout"),
    );
    let patch = with(&format!(
        "name=small|license=GPL|livepatch=Y|vermagic={VERMAGIC}|"
    ));
    let unpatchable = Rules {
        livepatch: false,
        ..Rules::default()
    };
    refused(
        &patch,
        &unpatchable,
        "L21",
        ENOEXEC,
        Some("small: module is marked as livepatch module, but livepatch support is disabled"),
    );
    // All taints, in the kernel's order.
    let all = with(&format!(
        "name=small|license=Proprietary|staging=Y|livepatch=Y|test=Y|vermagic={VERMAGIC}|"
    ));
    let accepted = load_checks(&all, &Rules::default()).unwrap();
    let letters: String = accepted.events.iter().filter_map(|e| e.taint).collect();
    assert_eq!(letters, "OCKPNE");
    assert_eq!(ModuleFile::parse(&all).unwrap().taints(), "PCOKN");
    assert_eq!(ModuleFile::parse(&data).unwrap().taints(), "");
    let steps: Vec<_> = accepted.events.iter().map(|e| e.step).collect();
    assert_eq!(steps, ["L18", "L19", "L20", "L21", "L22", "L23", "L28"]);
}

#[test]
fn symbols_and_relocations() {
    let with = |symbol: Vec<u8>| {
        let mut m = module();
        m[SYMTAB].data.extend(symbol);
        write(&m)
    };
    noexec(
        with(symbol(21, 0x11, 0xfff2, 8)),
        "L35",
        "small: please compile with -fno-common",
    );
    noexec(
        with(symbol(21, 0x11, 99, 8)),
        "L35",
        "small: Symbol helper has an invalid section index 99 (max 11)",
    );
    // The kernel logs every bad symbol and answers with the last.
    let mut two = symbol(21, 0x11, 0xfff2, 8);
    two.extend(symbol(21, 0x11, 98, 8));
    noexec(
        with(two),
        "L35",
        "small: Symbol helper has an invalid section index 98 (max 11)",
    );
    let with = |rela: Vec<u8>| {
        let mut m = module();
        m[RELA_TEXT].data = rela;
        write(&m)
    };
    noexec(
        with(rela(8, 1, 99, 0)),
        "L36",
        "module: small: Unknown rela relocation: 99",
    );
    noexec(
        with(rela(29, 1, 4, 0)),
        "L36",
        "small: relocation 0 of section 2 lies outside section 1 (offset 0x1d)",
    );
    noexec(
        with(rela(u64::MAX, 1, 4, 0)),
        "L36",
        "small: relocation 0 of section 2 lies outside section 1 (offset 0xffffffffffffffff)",
    );
    noexec(
        with(rela(0, 4, 4, 0)),
        "L36",
        "small: relocation 0 of section 2 names symbol 4 of 4",
    );
    let mut m = module();
    m[RELA_TEXT].kind = 9;
    noexec(write(&m), "L36", "module small: REL relocation unsupported");
    let mut m = module();
    m.insert(SHSTRTAB, section(".ctors", SHT_PROGBITS, ALLOC, &[0; 8]));
    m.insert(
        SHSTRTAB,
        section(".init_array", SHT_PROGBITS, ALLOC, &[0; 8]),
    );
    let rules = Rules {
        constructors: true,
        ..Rules::default()
    };
    refused(
        &write(&m).data,
        &rules,
        "L31",
        EINVAL,
        Some("small: has both .ctors and .init_array."),
    );
}

#[test]
fn exports_without_crcs_force_the_load() {
    let mut m = module();
    m.insert(
        SHSTRTAB,
        section("__ksymtab", SHT_PROGBITS, ALLOC, &[0; 12]),
    );
    let data = write(&m).data;
    let accepted = load_checks(&data, &Rules::default()).unwrap();
    assert_eq!(
        accepted.events.last().unwrap().message.as_deref(),
        Some("small: no versions for exported symbols: kernel tainted.")
    );
    let strict = Rules {
        force_load: false,
        ..Rules::default()
    };
    refused(&data, &strict, "L33", ENOEXEC, None);
}

#[test]
fn the_newer_kernels_checks() {
    let rules = Rules {
        elf_checks: ElfChecks::V6_12,
        module_struct_size: Some(896),
        ..Rules::default()
    };
    let good = || write(&module());
    assert!(load_checks(&good().data, &rules).is_ok());
    let wrong = Rules {
        module_struct_size: Some(1280),
        ..rules.clone()
    };
    refused(
        &good().data,
        &wrong,
        "L14",
        ENOEXEC,
        Some(
            "module small: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
        ),
    );
    let check = |file: File, step: &str, message: &str| {
        refused(&file.data, &rules, step, ENOEXEC, Some(message));
    };
    check(
        good().header(SHSTRTAB, 4, &[1, 0, 0, 0]),
        "L9",
        "Invalid ELF section name table type: 1",
    );
    check(
        good().header(RELA_TEXT, 0, &[0xff; 4]),
        "L12",
        "Invalid ELF section name in module (section 2 type 4)",
    );
    check(
        good().header(THIS, 4, &[8, 0, 0, 0]),
        "L14",
        "module small: .gnu.linkonce.this_module section must have a size set",
    );
    check(
        good().header(THIS, 8, &[1, 0]),
        "L14",
        "module small: .gnu.linkonce.this_module must occupy memory during process execution",
    );
    let twice = |index: usize| {
        let mut m = module();
        let copy = m[index].clone();
        m.insert(SHSTRTAB, copy);
        write(&m)
    };
    check(
        twice(THIS),
        "L14",
        "module small: Exactly one .gnu.linkonce.this_module section must exist.",
    );
    check(
        twice(MODINFO),
        "L12",
        "Only one .modinfo section must exist.",
    );
    check(
        twice(SYMTAB),
        "L13",
        "small: module has no symbols (stripped?)",
    );
    check(
        good().header(SYMTAB, 40, &[1, 0, 0, 0]),
        "L13",
        "Invalid ELF symbol string table type: 1",
    );
    // All of these load on 6.1.
    for file in [twice(THIS), twice(MODINFO), twice(SYMTAB)] {
        assert!(load_checks(&file.data, &Rules::default()).is_ok());
    }
}

#[test]
fn signature_trailers() {
    let signed = |fields: [u8; 8], len: u32, body: &[u8]| {
        let mut data = write(&module()).data;
        data.extend(body);
        data.extend(fields);
        data.extend(len.to_be_bytes());
        data.extend(b"~Module signature appended~\n");
        data
    };
    let pkcs7 = [0, 0, 2, 0, 0, 0, 0, 0];
    let rules = Rules::default();
    // Lengths that cannot be, and a message that is none: fatal always.
    refused(&signed(pkcs7, u32::MAX, b""), &rules, "L1", EBADMSG, None);
    refused(&signed(pkcs7, 3, b"abc"), &rules, "L1", EBADMSG, None);
    refused(
        &signed([1, 0, 2, 0, 0, 0, 0, 0], 3, b"abc"),
        &rules,
        "L1",
        EBADMSG,
        Some("module: PKCS#7 signature info has unexpected non-zero params"),
    );
    // Another kind of signature: as good as none.
    let pgp = signed([0, 0, 0, 0, 0, 0, 0, 0], 3, b"abc");
    let accepted = load_checks(&pgp, &rules).unwrap();
    assert_eq!(
        accepted.events[0].message.as_deref(),
        Some("module: not signed with expected PKCS#7 message")
    );
    let enforcing = Rules {
        sig_enforce: true,
        ..rules.clone()
    };
    refused(
        &pgp,
        &enforcing,
        "L1b",
        EKEYREJECTED,
        Some("Loading of module with unsupported crypto is rejected"),
    );
    refused(
        &write(&module()).data,
        &enforcing,
        "L1b",
        EKEYREJECTED,
        Some("Loading of unsigned module is rejected"),
    );
    let locked = Rules {
        lockdown: true,
        comm: "modprobe",
        ..rules.clone()
    };
    refused(
        &pgp,
        &locked,
        "L1c",
        EPERM,
        Some(
            "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",
        ),
    );
    // Flags that ask for less care make a signature worthless, and its bytes part of the file.
    let mangled = Rules { flags: 2, ..rules };
    assert!(!load_checks(&pgp, &mangled).unwrap().info.sig_ok);
    let without = Rules {
        module_sig: false,
        keys: Keys::All,
        ..Rules::default()
    };
    assert!(load_checks(&signed(pkcs7, 3, b"abc"), &without).is_ok());
}

#[test]
fn sizes_no_machine_has() {
    let huge = |bytes: u64| {
        let file = write(&module()).header(BSS, 32, &bytes.to_le_bytes());
        let accepted = load_checks(&file.data, &Rules::default()).unwrap();
        Layout::new(&accepted.info, &layout::Config::default()).map(|l| l.core.size)
    };
    assert_eq!(huge(1 << 20), Ok((1 << 20) + 12288));
    for bytes in [1 << 31, 1 << 40, u64::MAX] {
        assert_eq!(huge(bytes), Err(layout::TooLarge));
    }
    // An alignment is any number in a file.
    let file = write(&module()).header(TEXT, 48, &[0xff; 8]);
    let accepted = load_checks(&file.data, &Rules::default()).unwrap();
    let _ = Layout::new(&accepted.info, &layout::Config::default());
}
