//! L31-L36: optional sections, exports without CRCs, the symbol table, the form of relocations.

use super::errno::{EINVAL, ENOEXEC};
use super::modinfo::force_load_exports;
use super::{Event, LoadInfo, Once, Refusal, Rules};
use crate::elf::{
    EM_X86_64, SHF_RELA_LIVEPATCH, SHN_ABS, SHN_COMMON, SHN_LIVEPATCH, SHN_UNDEF, SHT_REL,
    SHT_RELA, Symbol,
};

/// L31: the part of `find_module_sections` that can fail or warn.
///
/// # Errors
/// EINVAL for both `.ctors` and `.init_array`, on kernels with CONFIG_CONSTRUCTORS.
pub fn find_module_sections(
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    if rules.constructors && info.find_sec(".ctors") != 0 && info.find_sec(".init_array") != 0 {
        return Err(Refusal {
            errno: EINVAL,
            message: Some(format!(
                "{}: has both .ctors and .init_array.",
                info.mod_name
            )),
            step: "L31",
        });
    }
    if info.find_sec("__obsparm") != 0 {
        let text = format!("{}: Ignoring obsolete parameters", info.mod_name);
        events.push(Event::log("L31", text));
    }
    Ok(())
}

/// L32-L33: `check_module_license_and_versions`.
///
/// # Errors
/// ENOEXEC for exports without CRCs where a forced load is not allowed.
pub fn check_module_license_and_versions(
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    // Three modules are judged by name: one loads proprietary code, two misstate their licence.
    if let name @ ("ndiswrapper" | "driverloader" | "lve") = info.mod_name {
        events.push(Event {
            step: "L32",
            taint: Some('P'),
            taints_module: name != "ndiswrapper",
            message: Some(format!("{name}: module license taints kernel.")),
            once: Once::FirstTaint,
        });
    }
    let lacks_crcs = |table: &str, crcs: &str| {
        let index = info.find_sec(table);
        index != 0 && info.elf.sections[index].size != 0 && info.find_sec(crcs) == 0
    };
    if rules.modversions
        && (lacks_crcs("__ksymtab", "__kcrctab") || lacks_crcs("__ksymtab_gpl", "__kcrctab_gpl"))
    {
        force_load_exports(info, rules, events)?;
    }
    Ok(())
}

/// Where `simplify_symbols` finds the value of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The value stands as it is (absolute, live patch, or common of `__gnu_lto`).
    Absolute,
    /// To be looked up in the kernel and the other modules.
    Undefined,
    /// An offset in this section.
    Section(usize),
    /// An offset in the module's per-CPU area.
    Percpu,
}

/// One turn of `simplify_symbols`: what kind of symbol it is.
///
/// # Errors
/// ENOEXEC for a common symbol or a section index outside the table. The
/// kernel logs each such symbol, goes on, and returns the last error.
pub fn classify_symbol(info: &LoadInfo<'_>, symbol: &Symbol<'_>) -> Result<Place, Refusal> {
    let refuse = |message: String| {
        Err(Refusal {
            errno: ENOEXEC,
            message: Some(message),
            step: "L35",
        })
    };
    match symbol.shndx {
        SHN_COMMON if symbol.name.starts_with("__gnu_lto") => Ok(Place::Absolute),
        SHN_COMMON => refuse(format!(
            "{}: please compile with -fno-common",
            info.mod_name
        )),
        SHN_ABS | SHN_LIVEPATCH => Ok(Place::Absolute),
        SHN_UNDEF => Ok(Place::Undefined),
        index if index as usize >= info.elf.sections.len() => refuse(format!(
            "{}: Symbol {} has an invalid section index {index} (max {})",
            info.mod_name,
            symbol.name,
            info.elf.sections.len() - 1
        )),
        index if index as usize == info.index.pcpu => Ok(Place::Percpu),
        index => Ok(Place::Section(index as usize)),
    }
}

/// Bytes an x86-64 relocation writes; `None` for one the kernel does not know.
fn width(kind: u32) -> Option<u64> {
    Some(match kind {
        0 => 0,
        1 | 24 => 8,
        2 | 4 | 10 | 11 => 4,
        _ => return None,
    })
}

/// L36, before any value is known: types the kernel knows, places and symbols that exist.
///
/// The kernel itself checks only the type; a place outside its section or a
/// symbol outside the table makes it write or read where it should not. Such a
/// file is refused here, in words of our own.
///
/// # Errors
/// ENOEXEC for the first bad relocation.
pub fn check_relocations(info: &LoadInfo<'_>) -> Result<(), Refusal> {
    let elf = &info.elf;
    let symbols = elf.symbols().len() as u64;
    for section in &elf.sections {
        if section.sh_type != SHT_RELA && section.sh_type != SHT_REL {
            continue;
        }
        // Not a valid relocation section, or for a section that is not loaded.
        let Some(target) = elf.sections.get(section.info as usize) else {
            continue;
        };
        if !info.is_loaded(target.index) || section.flags & SHF_RELA_LIVEPATCH != 0 {
            continue;
        }
        let refuse = |message: String| {
            Err(Refusal {
                errno: ENOEXEC,
                message: Some(format!("{}: {message}", info.mod_name)),
                step: "L36",
            })
        };
        let x86 = elf.machine == EM_X86_64;
        if x86 && section.sh_type == SHT_REL {
            return Err(Refusal {
                errno: ENOEXEC,
                message: Some(format!(
                    "module {}: REL relocation unsupported",
                    info.mod_name
                )),
                step: "L36",
            });
        }
        for (i, r) in elf.relas(section).enumerate() {
            let width = match x86 {
                false => 1,
                true => match width(r.kind) {
                    Some(width) => width,
                    None => {
                        // arch/x86/kernel/module.c puts its own name before what it logs.
                        return Err(Refusal {
                            errno: ENOEXEC,
                            message: Some(format!(
                                "module: {}: Unknown rela relocation: {}",
                                info.mod_name, r.kind
                            )),
                            step: "L36",
                        });
                    }
                },
            };
            let inside = r
                .offset
                .checked_add(width)
                .is_some_and(|end| end <= target.size);
            if width != 0 && !inside {
                return refuse(format!(
                    "relocation {i} of section {} lies outside section {} (offset {:#x})",
                    section.index, target.index, r.offset
                ));
            }
            if u64::from(r.sym) >= symbols {
                return refuse(format!(
                    "relocation {i} of section {} names symbol {} of {symbols}",
                    section.index, r.sym
                ));
            }
        }
    }
    Ok(())
}
