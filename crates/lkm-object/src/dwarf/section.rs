//! The bytes of a debug section: decompressed, and relocated as far as its own architecture's absolute relocations go.

use std::borrow::Cow;
use std::io::Read;

use gimli::SectionId;

use crate::compress::{DEFAULT_LIMIT, zstd_frame};
use crate::elf::{Elf, SHN_ABS, Section};
use crate::error::{Error, Result};

/// What layouts and lines are read from.
pub(super) const WANTED: [SectionId; 8] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRngLists,
];

const SHF_COMPRESSED: u64 = 0x800;

/// Pretended addresses: one after the other, from 64 KiB up, so that no section is at 0.
pub(super) fn starts(elf: &Elf<'_>) -> Vec<Option<u64>> {
    let mut at = 0x1_0000u64;
    elf.sections
        .iter()
        .map(|s| {
            if !s.is_alloc() {
                return None;
            }
            let start = at;
            // A gap after each, so that an end is never another's start.
            at = at.checked_add(s.size)?.checked_add(0x1_0000)? & !0xfff;
            Some(start)
        })
        .collect()
}

/// The bytes of the named section; empty when there is none.
pub(super) fn load<'d>(elf: &Elf<'d>, name: &str, starts: &[Option<u64>]) -> Result<Cow<'d, [u8]>> {
    let Some(section) = elf.section(name) else {
        return Ok(Cow::Borrowed(&[]));
    };
    let mut data = if section.flags & SHF_COMPRESSED != 0 {
        Cow::Owned(uncompressed(elf, section)?)
    } else {
        Cow::Borrowed(section.data)
    };
    let Some(relocations) = elf.relocations_of(section.index) else {
        return Ok(data);
    };
    let implicit = relocations.sh_type == crate::elf::SHT_REL;
    let symbols = elf.symbols();
    let order = elf.order();
    for r in elf.relas(relocations) {
        let Some(width) = absolute(elf.machine, r.kind) else {
            continue;
        };
        let outside = Error::Malformed {
            what: "relocations of debug information",
            why: "outside the section",
        };
        let place = usize::try_from(r.offset)
            .ok()
            .and_then(|at| Some(at..at.checked_add(width)?))
            .filter(|range| range.end <= data.len())
            .ok_or(outside)?;
        let Some(symbol) = symbols.get(r.sym as usize) else {
            continue;
        };
        let base = match symbol.shndx {
            SHN_ABS => 0,
            index => starts.get(index as usize).copied().flatten().unwrap_or(0),
        };
        let addend = if implicit {
            order.word(&data, place.start, width == 8).unwrap_or(0) as i64
        } else {
            r.addend
        };
        let value = base.wrapping_add(symbol.value).wrapping_add_signed(addend);
        let target = &mut data.to_mut()[place];
        match (width, order.big) {
            (8, true) => target.copy_from_slice(&value.to_be_bytes()),
            (8, false) => target.copy_from_slice(&value.to_le_bytes()),
            (_, true) => target.copy_from_slice(&(value as u32).to_be_bytes()),
            (_, false) => target.copy_from_slice(&(value as u32).to_le_bytes()),
        }
    }
    Ok(data)
}

/// Bytes written by a relocation that stores symbol + addend; `None` for other kinds.
fn absolute(machine: u16, kind: u32) -> Option<usize> {
    // (e_machine, 64-bit relocation, 32-bit relocations), from each architecture's ELF supplement.
    const KINDS: [(u16, u32, &[u32]); 8] = [
        (62, 1, &[10, 11]),   // x86-64
        (183, 257, &[258]),   // AArch64
        (243, 2, &[1]),       // RISC-V
        (258, 2, &[1]),       // LoongArch
        (22, 22, &[4]),       // s390
        (21, 38, &[1]),       // PowerPC64
        (40, u32::MAX, &[2]), // Arm
        (3, u32::MAX, &[1]),  // i386
    ];
    let (_, wide, narrow) = KINDS.iter().find(|k| k.0 == machine)?;
    if kind == *wide {
        Some(8)
    } else if narrow.contains(&kind) {
        Some(4)
    } else {
        None
    }
}

/// A section that begins with an `Elf_Chdr` and holds a zlib or zstd stream.
fn uncompressed(elf: &Elf<'_>, section: &Section<'_>) -> Result<Vec<u8>> {
    let order = elf.order();
    let cut = Error::Malformed {
        what: "compressed debug information",
        why: "header is cut off",
    };
    let (at, header) = if elf.class64 { (8, 24) } else { (4, 12) };
    let kind = order.u32(section.data, 0).ok_or(cut.clone())?;
    let size = order
        .word(section.data, at, elf.class64)
        .ok_or(cut.clone())?;
    let stream = section.data.get(header..).ok_or(cut)?;
    if size > DEFAULT_LIMIT as u64 {
        return Err(Error::TooLarge {
            limit: DEFAULT_LIMIT,
        });
    }
    match kind {
        1 => {
            let mut out = Vec::new();
            flate2::read::ZlibDecoder::new(stream)
                .take(size)
                .read_to_end(&mut out)
                .map_err(|e| Error::Decompress {
                    format: "zlib",
                    why: e.to_string(),
                })?;
            Ok(out)
        }
        2 => zstd_frame(stream, size as usize),
        _ => Err(Error::Malformed {
            what: "compressed debug information",
            why: "unknown compression",
        }),
    }
}
