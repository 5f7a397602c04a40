//! Names for addresses and addresses for names (kernel/module/kallsyms.c, kernel/kallsyms.c).

use crate::Cx;
use lkm_machine::map;

/// A symbol of a loaded module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sym {
    /// Address.
    pub addr: u64,
    /// Size from the symbol table; 0 for labels.
    pub size: u64,
    /// Name.
    pub name: String,
    /// The letter /proc/kallsyms shows, lower case for local.
    pub letter: char,
    /// Whether it is in init memory.
    pub init: bool,
}

/// The symbol that covers `addr`: name, offset, size, module.
pub fn lookup(cx: &Cx, addr: u64) -> Option<(String, u64, u64, Option<String>)> {
    if let Some(name) = crate::symbols::name_at(cx, addr) {
        return Some((name.into(), 0, 0, None));
    }
    let module = &cx.modules.list[super::find_by_addr(cx, addr)?];
    let index = module.syms.partition_point(|sym| sym.addr <= addr);
    // Of several symbols at one address the first of the symbol table is told; it reaches to the next one.
    let best = module.syms[..index].last()?.addr;
    let sym = module.syms[..index].iter().find(|s| s.addr == best)?;
    let text_end = module
        .sections
        .iter()
        .filter(|s| s.exec && s.init == sym.init)
        .map(|s| s.addr + s.size)
        .max()
        .map_or(module.core_base + module.core_size, |end| {
            end.next_multiple_of(map::PAGE)
        });
    let next = module.syms.get(index).map(|next| next.addr);
    let end = match next {
        Some(next) if next < text_end || addr >= text_end => next,
        _ => text_end,
    };
    Some((
        sym.name.clone(),
        addr - sym.addr,
        end.saturating_sub(sym.addr),
        Some(module.name.clone()),
    ))
}

/// `%pS`: name+0xoff/0xsize [module], or the bare address.
pub fn describe(cx: &Cx, addr: u64) -> String {
    match lookup(cx, addr) {
        Some((name, _, 0, None)) => name,
        Some((name, off, size, Some(module))) => format!("{name}+0x{off:x}/0x{size:x} [{module}]"),
        Some((name, off, size, None)) => format!("{name}+0x{off:x}/0x{size:x}"),
        None => format!("0x{addr:x}"),
    }
}

/// `%ps`: name and module without the offset.
pub fn describe_short(cx: &Cx, addr: u64) -> String {
    match lookup(cx, addr) {
        Some((name, _, _, Some(module))) => format!("{name} [{module}]"),
        Some((name, _, _, None)) => name,
        None => format!("0x{addr:x}"),
    }
}

/// kallsyms_lookup_name: the kernel first, then modules newest first; `mod:sym` restricts. 0 when absent.
/// A module that is not LIVE shows everything, init and static symbols included.
pub fn lookup_name(cx: &mut Cx, name: &str) -> u64 {
    let (only, wanted) = match name.split_once(':') {
        Some((module, sym)) => (Some(module.to_owned()), sym.to_owned()),
        None => (None, name.to_owned()),
    };
    if only.is_none()
        && cx.profile.exports.find(&wanted).is_some()
        && let Ok(Some(export)) = crate::symbols::find(cx, &wanted)
    {
        return export.value;
    }
    for module in cx.modules.list.iter().rev().filter(|m| !m.gone) {
        if only.as_ref().is_some_and(|only| *only != module.name) {
            continue;
        }
        if let Some(sym) = module.syms.iter().find(|s| s.name == wanted) {
            return sym.addr;
        }
    }
    0
}
