//! The kernel's own symbols: which names it exports, what they are, and where they are in the guest.

use crate::exports::Exports;
use crate::hash::Map;
use crate::table::{self, Row};
use crate::{Cx, abi::R, data};
use lkm_machine::{gate, leaf};
use lkm_trace::Class;

/// What a function returns, as far as answering for it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// Nothing.
    Void,
    /// An integer.
    Int,
    /// A bool.
    Bool,
    /// A pointer.
    Pointer,
}

/// A prototype, shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proto {
    /// What it returns.
    pub ret: Ret,
    /// Bytes of the object behind a returned pointer; 0 when unknown.
    pub size: u32,
}

/// What answers a slot.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// A row of the table.
    Row(&'static Row),
    /// A prototype.
    Stub(&'static str, Proto),
    /// Nothing is known but the name.
    Unknown(&'static str),
    /// Native code in the slots; nothing enters the gate here.
    Leaf(&'static str),
}

impl Answer {
    /// The function's name.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Row(row) => row.name,
            Answer::Stub(name, _) | Answer::Unknown(name) | Answer::Leaf(name) => name,
        }
    }
    /// How well it is answered.
    pub fn class(&self) -> Class {
        match self {
            Answer::Row(row) => table::conformed::class(row.name, row.class),
            Answer::Stub(..) => Class::Stubbed,
            Answer::Unknown(_) => Class::Unknown,
            Answer::Leaf(name) => table::conformed::class(name, Class::Behaves),
        }
    }
}

/// One gate slot.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// What answers it.
    pub answer: Answer,
    /// Calls so far.
    pub calls: u64,
}

/// An exported symbol of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    /// Its value: an address, or an offset for per-CPU variables.
    pub value: u64,
    /// EXPORT_SYMBOL_GPL.
    pub gpl: bool,
}

/// Slots the machine is started with.
pub const SLOTS: u32 = 8192;

/// The kernel's symbols.
#[derive(Default)]
pub struct State {
    /// By slot number.
    pub slots: Vec<Slot>,
    by_name: Map<&'static str, Export>,
    rows: Map<&'static str, &'static Row>,
    /// Leaves: slot range and fixup, for faults in them: (first address, end, landing point).
    pub fixups: Vec<(u64, u64, u64)>,
    /// Names that are only known because a module asked for them.
    pub leaked: Map<String, &'static str>,
}

/// Writes the leaves and indexes the table.
pub(crate) fn boot(cx: &mut Cx) -> Result<(), String> {
    for rows in table::all() {
        for row in rows {
            cx.symbols.rows.insert(row.name, row);
        }
    }
    for leaf in leaf::all() {
        let first = cx.symbols.slots.len() as u32;
        let slots = (leaf.code.len() as u64).div_ceil(gate::SLOT) as u32;
        let addr = cx.slot_addr(first);
        cx.write_leaf(first, leaf.code).map_err(|e| e.to_string())?;
        for _ in 0..slots {
            cx.symbols.slots.push(Slot {
                answer: Answer::Leaf(leaf.names[0]),
                calls: 0,
            });
        }
        if leaf.fixup != 0 {
            cx.symbols
                .fixups
                .push((addr, addr + leaf.fixup, addr + leaf.fixup));
        }
        for name in leaf.names {
            cx.symbols.by_name.insert(
                name,
                Export {
                    value: addr,
                    gpl: false,
                },
            );
        }
    }
    Ok(())
}

/// The kernel's export of that name, made on first use; None when the kernel at hand has no such symbol.
pub fn find(cx: &mut Cx, name: &str) -> R<Option<Export>> {
    if let Some(&export) = cx.symbols.by_name.get(name) {
        return Ok(Some(export));
    }
    if !crate::legacy::exported(&cx.profile, name) {
        return Ok(None);
    }
    // Modules of an older kernel run by a newer one's rules, too.
    let known = cx
        .profile
        .exports
        .find(name)
        .or_else(|| Exports::V6_1.find(name));
    // 6.12 names and inline aliases are answered by the row that models them.
    let declared = table::ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    let row = cx.symbols.rows.get(declared).copied();
    if row.is_none()
        && let Some(value) = data::make(cx, name, known)?
    {
        let export = Export {
            value,
            gpl: known.is_some_and(|k| k.gpl),
        };
        let name = intern(cx, name);
        cx.symbols.by_name.insert(name, export);
        return Ok(Some(export));
    }
    let Some(known) = known.or_else(|| row.map(|_| crate::exports::Known::function())) else {
        if cx.options.unknown_symbols {
            let name = intern(cx, name);
            return Ok(Some(add(cx, name, Answer::Unknown(name), false)));
        }
        return Ok(None);
    };
    let name = intern(cx, name);
    let answer = match row {
        Some(row) => Answer::Row(row),
        None => match known.proto {
            Some(proto) => Answer::Stub(name, proto),
            None => Answer::Unknown(name),
        },
    };
    Ok(Some(add(cx, name, answer, known.gpl)))
}

/// Address of a kernel function that kernel code itself needs a pointer to (a default callback, say).
pub fn address(cx: &mut Cx, name: &'static str) -> u64 {
    if let Some(export) = cx.symbols.by_name.get(name) {
        return export.value;
    }
    let answer = match cx.symbols.rows.get(name) {
        Some(row) => Answer::Row(row),
        None => Answer::Unknown(name),
    };
    add(cx, name, answer, false).value
}

fn add(cx: &mut Cx, name: &'static str, answer: Answer, gpl: bool) -> Export {
    let slot = (cx.symbols.slots.len() as u32).min(SLOTS - 1);
    if (cx.symbols.slots.len() as u32) < SLOTS {
        cx.symbols.slots.push(Slot { answer, calls: 0 });
    }
    let export = Export {
        value: cx.slot_addr(slot),
        gpl,
    };
    cx.symbols.by_name.insert(name, export);
    export
}

/// A name that lives as long as the process; each distinct one is kept once.
pub fn intern(cx: &mut Cx, name: &str) -> &'static str {
    if let Some(kept) = cx.symbols.leaked.get(name) {
        return kept;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    cx.symbols.leaked.insert(name.to_owned(), kept);
    kept
}

/// The name of the kernel function whose slot holds `addr`.
pub fn name_at(cx: &Cx, addr: u64) -> Option<&'static str> {
    let slot = cx.slot_at(addr)?;
    cx.symbols
        .slots
        .get(slot as usize)
        .map(|slot| slot.answer.name())
}

/// The row that declares a function.
pub(crate) fn row(cx: &Cx, name: &str) -> Option<&'static Row> {
    cx.symbols.rows.get(name).copied()
}

/// Whether a row or an alias of one declares the name.
pub fn declared(cx: &Cx, name: &str) -> bool {
    cx.symbols.rows.contains_key(name) || table::ALIASES.iter().any(|(alias, _)| *alias == name)
}
