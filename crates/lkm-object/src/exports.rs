//! What a module exports: `__ksymtab`, `__ksymtab_gpl`, their CRCs and namespaces.

use crate::bytes::str_at;
use crate::elf::{Elf, SHN_ABS, Section, Symbol};

/// A symbol that a module (or the kernel) offers to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export<'d> {
    pub name: &'d str,
    /// The checksum of its C type (`CONFIG_MODVERSIONS`), if it has one.
    pub crc: Option<u32>,
    /// `EXPORT_SYMBOL_GPL`: not for modules of another licence.
    pub gpl: bool,
    /// The namespace it was exported into; importers must declare it.
    pub namespace: Option<&'d str>,
    /// Index of the symbol it stands for in the symbol table.
    pub symbol: u32,
    /// Section of the exported symbol, or `SHN_ABS`.
    pub section: u32,
    /// Its offset in that section.
    pub value: u64,
}

/// Reads both tables, in the order the kernel searches them: normal, then GPL.
pub(crate) fn read<'d>(elf: &Elf<'d>) -> Vec<Export<'d>> {
    let mut out = Vec::new();
    for (table, crcs, gpl) in [
        ("__ksymtab", "__kcrctab", false),
        ("__ksymtab_gpl", "__kcrctab_gpl", true),
    ] {
        if let Some(section) = elf.section(table) {
            read_table(elf, section, elf.section(crcs), gpl, &mut out);
        }
    }
    out
}

/// Where a relocated word points: a section and an offset in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'d> {
    pub symbol_index: u32,
    pub symbol: Symbol<'d>,
    pub addend: i64,
}

impl<'d> Target<'d> {
    /// The offset in the target's section (or the absolute value).
    pub fn value(&self) -> u64 {
        self.symbol.value.wrapping_add_signed(self.addend)
    }

    /// The string it points at, when it points at one.
    pub fn string(&self, elf: &Elf<'d>) -> Option<&'d str> {
        let section = elf.sections.get(self.symbol.shndx as usize)?;
        str_at(section.data, usize::try_from(self.value()).ok()?)
    }
}

/// The relocations of one section as (offset, target), sorted by offset.
///
/// A place-relative word (`x - .`) and an absolute one both point at symbol +
/// addend here, because such tables hold the difference to their own address.
pub(crate) fn targets<'d>(elf: &Elf<'d>, section: &Section<'d>) -> Vec<(u64, Target<'d>)> {
    let Some(relocations) = elf.relocations_of(section.index) else {
        return Vec::new();
    };
    let symbols = elf.symbols();
    let implicit = relocations.sh_type == crate::elf::SHT_REL;
    let order = elf.order();
    let mut out: Vec<_> = elf
        .relas(relocations)
        .filter_map(|r| {
            let symbol = symbols.get(r.sym as usize)?;
            let addend = if implicit {
                i64::from(order.i32(section.data, usize::try_from(r.offset).ok()?)?)
            } else {
                r.addend
            };
            Some((
                r.offset,
                Target {
                    symbol_index: r.sym,
                    symbol,
                    addend,
                },
            ))
        })
        .collect();
    out.sort_by_key(|&(offset, _)| offset);
    out
}

/// The target of the word at `offset`.
pub(crate) fn target_at<'a, 'd>(
    targets: &'a [(u64, Target<'d>)],
    offset: u64,
) -> Option<&'a Target<'d>> {
    targets
        .binary_search_by_key(&offset, |&(o, _)| o)
        .ok()
        .map(|i| &targets[i].1)
}

/// Bytes of one word and number of words of a `struct kernel_symbol`.
///
/// Three generations exist: {value, name} before Linux commit 8651ec01daed
/// ("module: add support for symbol namespaces") (in v5.4), {value, name,
/// namespace} since; each with pointers or, with
/// CONFIG_HAVE_ARCH_PREL32_RELOCATIONS, 32-bit place-relative words.
fn shape(elf: &Elf<'_>, section: &Section<'_>, targets: &[(u64, Target<'_>)]) -> (u64, u64) {
    let word = if !elf.class64 || target_at(targets, 4).is_some() {
        4
    } else {
        8
    };
    // Every entry carries its label, unless the module was stripped of local symbols.
    let labels = elf
        .symbols()
        .filter(|s| s.shndx as usize == section.index && s.name.starts_with("__ksymtab_"))
        .count() as u64;
    if labels != 0 && section.size == labels * 2 * word {
        return (word, 2);
    }
    if labels != 0 && section.size == labels * 3 * word {
        return (word, 3);
    }
    // Without labels: with three words, the fourth word is a value, and the name is the fifth.
    let is_string = |at: u64| {
        target_at(targets, at)
            .and_then(|t| elf.sections.get(t.symbol.shndx as usize))
            .is_some_and(|s| s.name == "__ksymtab_strings")
    };
    if section.size.is_multiple_of(3 * word) && (section.size == 3 * word || is_string(4 * word)) {
        (word, 3)
    } else {
        (word, 2)
    }
}

fn read_table<'d>(
    elf: &Elf<'d>,
    section: &Section<'d>,
    crcs: Option<&Section<'d>>,
    gpl: bool,
    out: &mut Vec<Export<'d>>,
) {
    let targets = targets(elf, section);
    let (word, words) = shape(elf, section, &targets);
    let entry = word * words;
    let count = section.data.len() as u64 / entry;
    let crcs = crcs.map(|s| Crcs::new(elf, s, count));
    for i in 0..count {
        let at = i * entry;
        let (Some(value), Some(name)) = (target_at(&targets, at), target_at(&targets, at + word))
        else {
            continue;
        };
        let Some(name) = name.string(elf) else {
            continue;
        };
        let namespace = (words == 3)
            .then(|| target_at(&targets, at + 2 * word)?.string(elf))
            .flatten()
            .filter(|s| !s.is_empty());
        out.push(Export {
            name,
            crc: crcs.as_ref().and_then(|c| c.get(elf, i)),
            gpl,
            namespace,
            symbol: value.symbol_index,
            section: value.symbol.shndx,
            value: value.value(),
        });
    }
}

/// A `__kcrctab` section, in any of its generations.
struct Crcs<'d> {
    section: Section<'d>,
    targets: Vec<(u64, Target<'d>)>,
    entry: u64,
}

impl<'d> Crcs<'d> {
    fn new(elf: &Elf<'d>, section: &Section<'d>, count: u64) -> Crcs<'d> {
        let entry = match section.size.checked_div(count) {
            Some(8) => 8,
            _ => 4,
        };
        Crcs {
            section: *section,
            targets: targets(elf, section),
            entry,
        }
    }

    fn get(&self, elf: &Elf<'d>, index: u64) -> Option<u32> {
        let at = index * self.entry;
        let order = elf.order();
        match target_at(&self.targets, at) {
            // The CRC itself is the value of the absolute symbol `__crc_NAME`, or
            // (CONFIG_MODULE_REL_CRCS) lies in a section that the word points into.
            Some(t) if t.symbol.shndx == SHN_ABS => Some(t.value() as u32),
            Some(t) => {
                let s = elf.sections.get(t.symbol.shndx as usize)?;
                order.u32(s.data, usize::try_from(t.value()).ok()?)
            }
            None if self.entry == 8 => order.u64(self.section.data, at as usize).map(|v| v as u32),
            None => order.u32(self.section.data, at as usize),
        }
    }
}
