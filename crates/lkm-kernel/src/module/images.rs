//! The images of a module while they are put together: where sections lie, values of symbols, the tables that the
//! kernel keeps beside them, and the writing into the guest.

use super::load::refuse;
use super::{Exported, kallsyms, orc, params, resolve};
use crate::abi::{R, errno::*};
use crate::{Cx, printk};
use lkm_machine::map;
use lkm_object::check::{self, LoadInfo};
use lkm_object::image::{Bases, Images};
use lkm_object::layout::Layout;

/// Copies the loaded sections into host buffers.
pub(super) fn images(cx: &Cx, index: usize, info: &LoadInfo<'_>, layout: &Layout) -> Images {
    let m = &cx.modules.list[index];
    let bases = Bases {
        core: m.core_base,
        init: m.init_base,
        percpu: map::PERCPU.start + m.percpu.0,
        percpu_offset: m.percpu.0,
    };
    Images::new(info, layout, &bases)
}

/// simplify_symbols: a value for each symbol, or the last errno after all were tried.
pub(super) fn simplify_symbols(
    cx: &mut Cx,
    index: usize,
    info: &LoadInfo<'_>,
    images: &Images,
) -> R<Result<Vec<u64>, i32>> {
    let mut values = vec![0u64];
    let mut last = None;
    let user = cx.modules.list[index].name.clone();
    for symbol in info.elf.symbols().skip(1) {
        let value = match check::classify_symbol(info, &symbol) {
            Ok(check::Place::Undefined) => {
                let weak = symbol.bind() == lkm_object::elf::STB_WEAK;
                match resolve::wait_for(cx, index, info, symbol.name)? {
                    Ok(Some(value)) => value,
                    Ok(None)
                        if weak
                            || symbol.name == "_GLOBAL_OFFSET_TABLE_"
                            || symbol.name.is_empty() =>
                    {
                        0
                    }
                    failed => {
                        let errno = failed.err().unwrap_or(ENOENT);
                        let text = match cx.profile.unknown_symbol_err {
                            None => format!("{user}: Unknown symbol {}\n", symbol.name),
                            Some(told) => {
                                let shown = if errno == ENOENT && !told { 0 } else { errno };
                                format!("{user}: Unknown symbol {} (err {})\n", symbol.name, -shown)
                            }
                        };
                        printk::log(cx, 4, &text);
                        last = Some(errno);
                        0
                    }
                }
            }
            Ok(place) => images.value(&place, symbol.value).unwrap_or(0),
            Err(refusal) => {
                last = Some(refusal.errno);
                refuse(cx, refusal);
                0
            }
        };
        values.push(value);
    }
    Ok(match last {
        Some(errno) => Err(errno),
        None => Ok(values),
    })
}

/// Takes what the kernel keeps beside the images: symbols, exports, unwind, exception and bug tables.
pub(super) fn tables(
    cx: &mut Cx,
    index: usize,
    info: &LoadInfo<'_>,
    images: &Images,
    values: &[u64],
) {
    let section = |name: &str| -> Option<(u64, &[u8])> {
        let at = info.find_sec(name);
        let place = images
            .places
            .get(at)
            .copied()
            .flatten()
            .filter(|_| at != 0)?;
        let size = info.elf.sections[at].size as usize;
        let bytes =
            images.buffers[place.which].get(place.offset as usize..place.offset as usize + size)?;
        Some((place.base + place.offset, bytes))
    };
    let word = |bytes: &[u8], at: usize| {
        i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default())
    };
    let mut extable = Vec::new();
    if let Some((base, bytes)) = section("__ex_table") {
        for (n, entry) in bytes.chunks_exact(12).enumerate() {
            let at = base + n as u64 * 12;
            let insn = at.wrapping_add(word(entry, 0) as i64 as u64);
            extable.push((insn, (at + 4).wrapping_add(word(entry, 4) as i64 as u64)));
        }
        extable.sort_unstable();
    }
    let mut bugs = Vec::new();
    if let Some((base, bytes)) = section("__bug_table") {
        for (n, entry) in bytes.chunks_exact(12).enumerate() {
            let at = base + n as u64 * 12;
            let insn = at.wrapping_add(word(entry, 0) as i64 as u64);
            let file = (at + 4).wrapping_add(word(entry, 4) as i64 as u64);
            let line = u16::from_le_bytes([entry[8], entry[9]]);
            let flags = u16::from_le_bytes([entry[10], entry[11]]);
            let file = string_at(info, images, file);
            bugs.push((insn, file, u32::from(line), flags));
        }
    }
    let orc = match (section(".orc_unwind_ip"), section(".orc_unwind")) {
        (Some((base, ips)), Some((_, entries))) => orc::Orc::new(ips, base, entries),
        _ => orc::Orc::default(),
    };
    let mut exports = Vec::new();
    if let Ok(file) = lkm_object::module::ModuleFile::parse(info.elf.data) {
        for export in &file.exports {
            exports.push(Exported {
                name: export.name.to_owned(),
                addr: values.get(export.symbol as usize).copied().unwrap_or(0),
                gpl: export.gpl,
                crc: export.crc,
                namespace: export.namespace.map(str::to_owned),
            });
        }
    }
    let syms = symbols(info, images, values, &exports);
    let params = params::read(info, images_word(images), values);
    let m = &mut cx.modules.list[index];
    m.extable = extable;
    m.bugs = bugs;
    m.orc = orc;
    m.exports = exports;
    m.syms = syms;
    m.params = params;
}

/// Reads a relocated 64-bit word of a section, for tables of pointers.
fn images_word(images: &Images) -> impl Fn(usize, u64) -> Option<(u64, u64)> + '_ {
    |section, offset| {
        let place = images.places.get(section).copied().flatten()?;
        let at = (place.offset + offset) as usize;
        let bytes = images.buffers[place.which].get(at..at + 8)?;
        Some((
            place.base + place.offset + offset,
            u64::from_le_bytes(bytes.try_into().ok()?),
        ))
    }
}

/// A string in one of the images, by its future address.
fn string_at(info: &LoadInfo<'_>, images: &Images, addr: u64) -> String {
    for (index, place) in images.places.iter().enumerate() {
        let Some(place) = place else { continue };
        let start = place.base + place.offset;
        let size = info.elf.sections[index].size;
        if addr >= start && addr < start + size {
            let at = (place.offset + addr - start) as usize;
            let bytes = images.buffers[place.which].get(at..).unwrap_or(&[]);
            let end = bytes.iter().take(512).position(|&b| b == 0).unwrap_or(0);
            return String::from_utf8_lossy(&bytes[..end]).into_owned();
        }
    }
    String::new()
}

/// The module's symbol table as kallsyms shows it, sorted by address.
fn symbols(
    info: &LoadInfo<'_>,
    images: &Images,
    values: &[u64],
    exports: &[Exported],
) -> Vec<kallsyms::Sym> {
    let exported: crate::hash::Set<&str> = exports.iter().map(|e| e.name.as_str()).collect();
    let mut syms = Vec::new();
    for (index, symbol) in info.elf.symbols().enumerate().skip(1) {
        const STT_SECTION: u8 = 3;
        const STT_FILE: u8 = 4;
        if symbol.name.is_empty() || matches!(symbol.kind(), STT_SECTION | STT_FILE) {
            continue;
        }
        let Some(place) = images.places.get(symbol.shndx as usize).copied().flatten() else {
            continue;
        };
        let section = &info.elf.sections[symbol.shndx as usize];
        let letter = if section.is_exec() {
            't'
        } else if section.sh_type == 8 {
            'b'
        } else if section.is_write() {
            'd'
        } else {
            'r'
        };
        let letter = if exported.contains(symbol.name) {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        syms.push(kallsyms::Sym {
            addr: values[index],
            size: symbol.size,
            name: symbol.name.to_owned(),
            letter,
            init: place.which == 1,
        });
    }
    syms.sort_by_key(|s| s.addr);
    syms
}

/// Writes the images into the guest; busy-wait hints in text become traps.
pub(super) fn write_images(cx: &mut Cx, index: usize, mut images: Images) -> R<()> {
    crate::traps::patch_pauses(cx, index, &mut images.buffers);
    let m = &cx.modules.list[index];
    let (core, init, percpu) = (m.core_base, m.init_base, m.percpu);
    // The list links are in struct module already; they are written again by finish_struct.
    let links = cx.bytes(m.addr + cx.off.module_list, 16)?;
    for (base, buffer) in [(core, &images.buffers[0]), (init, &images.buffers[1])] {
        cx.write(base, buffer)?;
        let size = buffer.len() as u64;
        // The rest of the last page may have been another image's.
        cx.fill(base + size, 0, size.next_multiple_of(map::PAGE) - size)?;
    }
    if percpu.1 != 0 {
        cx.write(map::PERCPU.start + percpu.0, &images.buffers[2])?;
    }
    cx.write(cx.modules.list[index].addr + cx.off.module_list, &links)?;
    Ok(())
}
