//! A kernel image: vmlinux or bzImage, its BTF, and what it exports.

use std::borrow::Cow;

use crate::bytes::{LITTLE, str_at};
use crate::compress::{DEFAULT_LIMIT, decompress_first};
use crate::elf::{Elf, Section};
use crate::error::{Error, Result};

/// Where the running kernel shows its own BTF.
pub const SYS_BTF: &str = "/sys/kernel/btf/vmlinux";

/// What lies behind an exported address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Executable: a function.
    Text,
    /// Data with initial bytes that the kernel may change.
    Data,
    /// Read-only data.
    Rodata,
    /// Zeroed data.
    Bss,
    /// An offset in each CPU's area.
    Percpu,
    /// Outside all sections.
    Absolute,
}

/// A symbol the kernel exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelExport<'d> {
    pub name: &'d str,
    /// Its CRC, with CONFIG_MODVERSIONS.
    pub crc: Option<u32>,
    /// `EXPORT_SYMBOL_GPL`.
    pub gpl: bool,
    pub namespace: Option<&'d str>,
    /// Link-time address.
    pub address: u64,
    pub memory: Memory,
}

/// The uncompressed ELF file in a kernel image: `data` itself, or a bzImage's payload.
///
/// # Errors
/// [`Error::Missing`] when it is neither, [`Error::Decompress`] for a damaged
/// payload or a compression this crate does not read (bzip2, lzo).
pub fn vmlinux(data: &[u8]) -> Result<Cow<'_, [u8]>> {
    if data.starts_with(b"\x7fELF") {
        return Ok(Cow::Borrowed(data));
    }
    let payload = bzimage_payload(data).ok_or(Error::Missing("kernel image"))?;
    let image = decompress_first(payload, DEFAULT_LIMIT)?;
    if image.starts_with(b"\x7fELF") {
        Ok(Cow::Owned(image.into_owned()))
    } else {
        Err(Error::Missing("vmlinux in the kernel image"))
    }
}

/// The compressed kernel in a bzImage (Documentation/x86/boot.rst: protocol 2.08 and later).
fn bzimage_payload(data: &[u8]) -> Option<&[u8]> {
    if data.get(0x202..0x206)? != b"HdrS" || LITTLE.u16(data, 0x206)? < 0x208 {
        return None;
    }
    // Zero means four, for loaders older than any kernel here.
    let setup = match data[0x1f1] {
        0 => 4,
        n => n as usize,
    };
    let start = (setup + 1)
        .checked_mul(512)?
        .checked_add(LITTLE.u32(data, 0x248)? as usize)?;
    let end = start.checked_add(LITTLE.u32(data, 0x24c)? as usize)?;
    data.get(start..end)
}

/// The release of a bzImage (`uname -r`), from its setup header; `None` for other files.
pub fn release(data: &[u8]) -> Option<&str> {
    if data.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = LITTLE.u16(data, 0x20e)? as usize + 0x200;
    str_at(data, at)?
        .split(' ')
        .next()
        .filter(|s| !s.is_empty())
}

/// The BTF bytes of a kernel: of an image in any form, or of a file that is BTF itself.
///
/// # Errors
/// As [`vmlinux`], and [`Error::Missing`] for an image without a `.BTF` section.
pub fn btf_bytes(data: &[u8]) -> Result<Vec<u8>> {
    if matches!(data.get(..2), Some([0x9f, 0xeb] | [0xeb, 0x9f])) {
        return Ok(data.to_vec());
    }
    let image = vmlinux(data)?;
    let elf = Elf::parse(&image)?;
    let section = elf.section(".BTF").ok_or(Error::Missing(".BTF section"))?;
    Ok(section.data.to_vec())
}

/// What the kernel offers to modules: `__ksymtab`, then `__ksymtab_gpl`.
///
/// Addresses are as linked. Only images whose entries are place-relative
/// (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS: x86-64, arm64, s390, riscv...) are read.
pub fn exports<'d>(elf: &Elf<'d>) -> Vec<KernelExport<'d>> {
    let map = Map::new(elf);
    let mut out = Vec::new();
    for (table, crcs, gpl) in [
        ("__ksymtab", "__kcrctab", false),
        ("__ksymtab_gpl", "__kcrctab_gpl", true),
    ] {
        let Some(section) = elf.section(table) else {
            continue;
        };
        let crcs = elf.section(crcs).map_or(&[][..], |s| s.data);
        let has_crcs = crcs.len() / 4 == section.data.len() / 12;
        for (i, raw) in section.data.chunks_exact(12).enumerate() {
            let place = section.addr.wrapping_add(i as u64 * 12);
            let target = |word: u64| {
                let relative = elf.order().i32(raw, word as usize * 4)?;
                Some(
                    place
                        .wrapping_add(word * 4)
                        .wrapping_add_signed(relative.into()),
                )
            };
            let (Some(address), Some(name)) = (target(0), target(1).and_then(|a| map.string(a)))
            else {
                continue;
            };
            out.push(KernelExport {
                name,
                crc: has_crcs.then(|| elf.order().u32(crcs, i * 4)).flatten(),
                gpl,
                namespace: target(2)
                    .and_then(|a| map.string(a))
                    .filter(|s| !s.is_empty()),
                address,
                memory: map.memory(address),
            });
        }
    }
    out
}

/// The allocated sections of an image, by address.
struct Map<'d> {
    sections: Vec<Section<'d>>,
}

impl<'d> Map<'d> {
    fn new(elf: &Elf<'d>) -> Map<'d> {
        let mut sections: Vec<_> = elf
            .sections
            .iter()
            .filter(|s| s.is_alloc() && s.size != 0)
            .copied()
            .collect();
        sections.sort_by_key(|s| s.addr);
        Map { sections }
    }

    fn section(&self, address: u64) -> Option<&Section<'d>> {
        let after = self.sections.partition_point(|s| s.addr <= address);
        let section = self.sections.get(after.checked_sub(1)?)?;
        (address - section.addr < section.size).then_some(section)
    }

    fn string(&self, address: u64) -> Option<&'d str> {
        let section = self.section(address)?;
        str_at(section.data, usize::try_from(address - section.addr).ok()?)
    }

    fn memory(&self, address: u64) -> Memory {
        match self.section(address) {
            None => Memory::Absolute,
            Some(s) if s.name == ".data..percpu" => Memory::Percpu,
            Some(s) if s.is_exec() => Memory::Text,
            Some(s) if s.sh_type == crate::elf::SHT_NOBITS => Memory::Bss,
            Some(s) if s.is_write() => Memory::Data,
            Some(_) => Memory::Rodata,
        }
    }
}
