//! Modules that were built in a way the lab can neither run nor judge: it says so instead of guessing.

use crate::elf::{EM_X86_64, Elf};
use crate::modinfo::Modinfo;

/// The ELF identification's class byte of 64-bit files.
const ELFCLASS64: u8 = 2;
/// Its byte of the order of bytes in little-endian files.
const ELFDATA2LSB: u8 = 1;

const NOT_64: &str = "no 64-bit little-endian ELF file; the lab runs x86-64 code";

/// Other machines that Linux has modules for (include/uapi/linux/elf-em.h), for the message.
const MACHINES: &[(u16, &str)] = &[
    (3, "i386"),
    (8, "MIPS"),
    (15, "PA-RISC"),
    (20, "PowerPC"),
    (21, "64-bit PowerPC"),
    (22, "S/390"),
    (40, "ARM"),
    (42, "SuperH"),
    (43, "SPARC"),
    (183, "arm64"),
    (243, "RISC-V"),
    (258, "LoongArch"),
];

/// A way of building that leaves its mark in the symbol table: the beginning of a name, whether the name is
/// one that the module imports, and what it tells.
const MARKS: &[(&str, bool, &str)] = &[
    (
        "__asan_",
        true,
        "built with KASAN: its checks read shadow memory that only such a kernel has",
    ),
    (
        "__hwasan_",
        true,
        "built with KASAN's tags: its checks read shadow memory that only such a kernel has",
    ),
    (
        "__cfi_",
        false,
        "built with kCFI: every indirect call checks a hash that the lab's functions do not carry",
    ),
    (
        "_RN",
        true,
        "written in Rust: the functions it imports have no stable interface that could be modelled",
    ),
];

/// Why the lab does not take this module; None when it does, and for what is no module at all: of that
/// the kernel's own checks say more ([`crate::check`]).
pub fn unjudged(data: &[u8]) -> Option<String> {
    let Ok(elf) = Elf::parse(data) else {
        // What a file of another class or byte order holds cannot be told apart; that it is one can.
        let other = matches!(data, [0x7f, b'E', b'L', b'F', class, order, ..]
            if (*class, *order) != (ELFCLASS64, ELFDATA2LSB));
        return other.then(|| NOT_64.to_owned());
    };
    if elf.machine != EM_X86_64 {
        return Some(
            match MACHINES.iter().find(|(number, _)| *number == elf.machine) {
                Some((_, name)) => {
                    format!("built for another architecture ({name}); the lab runs x86-64 code")
                }
                None => format!(
                    "built for another architecture (ELF machine {}); the lab runs x86-64 code",
                    elf.machine
                ),
            },
        );
    }
    if !elf.class64 || elf.big_endian {
        return Some(NOT_64.to_owned());
    }
    let modinfo = Modinfo::parse(elf.section(".modinfo").map_or(&[], |s| s.data));
    let vermagic = modinfo.get("vermagic").unwrap_or_default();
    if vermagic.split(' ').any(|word| word == "preempt_rt") {
        return Some(
            "built for PREEMPT_RT: its locks are other objects than those that the lab models"
                .to_owned(),
        );
    }
    let mark = elf.symbols().skip(1).find_map(|symbol| {
        let imported = symbol.is_undefined();
        MARKS
            .iter()
            .find(|(start, import, _)| symbol.name.starts_with(start) && (imported || !*import))
    })?;
    Some(mark.2.to_owned())
}
