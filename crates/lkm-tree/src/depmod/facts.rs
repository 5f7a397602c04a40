//! What depmod wants of a module file: its aliases and soft dependencies, the
//! symbols it exports and those it needs.
//!
//! A module that is not compressed is not read whole: its section headers say
//! where the five sections are that matter, which is a tenth of the bytes.
//! What counts as a symbol follows kmod's `libkmod-elf.c`.

use super::order::Set;
pub use super::pool::{Pool, Span};
use crate::fs::OpenFile;
use crate::sparse::{Header, Sparse, SparseError};

pub use crate::sparse::SparseError as FactsError;

/// What a module says of itself. Names are spans of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub text: Pool,
    pub aliases: Vec<Span>,
    pub softdeps: Vec<Span>,
    pub weakdeps: Vec<Span>,
    pub exports: Vec<Export>,
    /// In symbol table order, then the versions that no symbol asks for.
    pub imports: Vec<Import>,
    /// CRCs of the imports, where they were asked for.
    pub import_crcs: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    pub name: Span,
    pub crc: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Import {
    pub name: Span,
    pub weak: bool,
}

impl Facts {
    pub fn get(&self, s: Span) -> &[u8] {
        self.text.get(s)
    }

    /// Whether each exported symbol is one word.
    pub fn is_simple(&self) -> bool {
        let mut exports = self.exports.iter();
        exports.all(|e| super::cache::simple_name(self.get(e.name)))
    }

    /// Adds text.
    pub fn add(&mut self, s: &[u8]) -> Span {
        self.text.add(s)
    }
}

/// Reads a module. With `crcs`, the CRC of each import is found too.
pub fn read(file: &dyn OpenFile, crcs: bool) -> Result<Facts, SparseError> {
    collect(&mut Sparse::open(file)?, crcs)
}

/// Reads a module's uncompressed bytes.
pub fn from_image(image: &[u8], crcs: bool) -> Result<Facts, SparseError> {
    collect(&mut Sparse::of_image(image), crcs)
}

/// Size of an entry of `__versions`: a word, and the name in the rest.
const VERSION_SIZE: usize = 64;
const SHN_ABS: u16 = 0xfff1;

fn collect(src: &mut Sparse<'_>, crcs: bool) -> Result<Facts, SparseError> {
    let e = src.header()?;
    let names: [&[u8]; 5] = [
        b"__ksymtab_strings",
        b".modinfo",
        b".strtab",
        b".symtab",
        b"__versions",
    ];
    let [names, modinfo, strtab, symtab, versions] =
        src.sections(e, names)?.map(|s| s.map(|s| src.get(s)));
    let mut facts = Facts::default();
    if let Some(info) = modinfo {
        for line in info.split(|&c| c == 0) {
            for (key, list) in [
                (&b"alias="[..], &mut facts.aliases),
                (b"softdep=", &mut facts.softdeps),
                (b"weakdep=", &mut facts.weakdeps),
            ] {
                if let Some(value) = line.strip_prefix(key) {
                    list.push(facts.text.add(value));
                }
            }
        }
    }
    let symbols = match (symtab, strtab) {
        (Some(table), Some(strings)) => Some(Symbols { e, table, strings }),
        _ => None,
    };
    // The CRC is the symbol's value, or what that points to.
    let crc = |section: u16, value: u64| match section {
        0 | SHN_ABS => value,
        _ => src
            .word_in_section(e, section, value)
            .map_or(u64::MAX, u64::from),
    };
    exports(&mut facts, symbols.as_ref(), names, crc)?;
    if let Some(symbols) = symbols {
        let versions = versions.filter(|v| v.len().is_multiple_of(VERSION_SIZE));
        imports(&mut facts, &symbols, versions.unwrap_or(&[]), crcs)?;
    }
    facts.text.0.shrink_to_fit();
    Ok(facts)
}

struct Symbols<'a> {
    e: Header,
    table: &'a [u8],
    strings: &'a [u8],
}

struct Symbol {
    name: u32,
    info: u8,
    section: u16,
    value: u64,
}

impl Symbols<'_> {
    fn entry_size(&self) -> usize {
        if self.e.wide { 24 } else { 16 }
    }

    /// All but the first, which is none.
    fn iter(&self) -> impl Iterator<Item = Symbol> {
        let e = self.e;
        self.table
            .chunks_exact(self.entry_size())
            .skip(1)
            .map(move |b| {
                if e.wide {
                    Symbol {
                        name: e.u32(b, 0).unwrap_or(0),
                        info: b[4],
                        section: e.u16(b, 6).unwrap_or(0),
                        value: e.word(b, 8).unwrap_or(0),
                    }
                } else {
                    Symbol {
                        name: e.u32(b, 0).unwrap_or(0),
                        info: b[12],
                        section: e.u16(b, 14).unwrap_or(0),
                        value: e.word(b, 4).unwrap_or(0),
                    }
                }
            })
    }

    fn name(&self, at: u32) -> Option<&[u8]> {
        let rest = self.strings.get(at as usize..).filter(|r| !r.is_empty())?;
        Some(until_nul(rest))
    }

    fn whole(&self) -> bool {
        self.table.len().is_multiple_of(self.entry_size())
    }
}

fn until_nul(b: &[u8]) -> &[u8] {
    &b[..b.iter().position(|&c| c == 0).unwrap_or(b.len())]
}

/// `__crc_NAME` symbols; where there are none, the names alone.
fn exports(
    facts: &mut Facts,
    symbols: Option<&Symbols<'_>>,
    strings: Option<&[u8]>,
    resolve_crc: impl Fn(u16, u64) -> u64,
) -> Result<(), FactsError> {
    const PREFIX: &[u8] = b"__crc_";
    if let Some(symbols) = symbols.filter(|s| s.whole()) {
        for s in symbols.iter() {
            let Some(rest) = symbols
                .strings
                .get(s.name as usize..)
                .filter(|r| !r.is_empty())
            else {
                facts.exports.clear();
                break;
            };
            if rest.starts_with(PREFIX) {
                let name = facts.add(&until_nul(rest)[PREFIX.len()..]);
                facts.exports.push(Export {
                    name,
                    crc: resolve_crc(s.section, s.value),
                });
            }
        }
    }
    if facts.exports.is_empty()
        && let Some(strings) = strings.filter(|s| s.iter().any(|&c| c != 0))
    {
        if strings.last() != Some(&0) {
            return Err(FactsError::Damaged("__ksymtab_strings does not end"));
        }
        for name in strings.split(|&c| c == 0).filter(|n| !n.is_empty()) {
            let name = facts.add(name);
            facts.exports.push(Export { name, crc: 0 });
        }
    }
    Ok(())
}

/// Undefined symbols, and versions that no undefined symbol names.
fn imports(
    facts: &mut Facts,
    symbols: &Symbols<'_>,
    versions: &[u8],
    crcs: bool,
) -> Result<(), FactsError> {
    const STB_WEAK: u8 = 2;
    const STT_REGISTER: u8 = 13;
    const EM_SPARC: u16 = 2;
    const EM_SPARCV9: u16 = 43;
    if !symbols.whole() {
        return Err(FactsError::Damaged("symbol table of an odd size"));
    }
    let e = symbols.e;
    let word = if e.wide { 8 } else { 4 };
    // A version whose name does not end in its entry is none.
    let version = |v: &[u8]| {
        let n = v.get(word..)?.iter().position(|&c| c == 0)?;
        Some((e.word(v, 0)?, v[word..word + n].to_vec()))
    };
    let sparc = e.machine == EM_SPARC || e.machine == EM_SPARCV9;
    let mut names: Set<&[u8]> = Set::default();
    for s in symbols.iter().filter(|s| s.section == 0) {
        if sparc && s.info & 15 == STT_REGISTER {
            continue;
        }
        let name = symbols
            .name(s.name)
            .ok_or(FactsError::Damaged("symbol name out of range"))?;
        if name.is_empty() {
            continue;
        }
        names.insert(name);
        let weak = s.info >> 4 == STB_WEAK;
        let name = facts.add(name);
        facts.imports.push(Import { name, weak });
    }
    if crcs {
        let table: Vec<(u64, Vec<u8>)> = versions
            .chunks_exact(VERSION_SIZE)
            .filter_map(version)
            .collect();
        let mut by_name: super::order::Map<&[u8], u64> = Default::default();
        for (crc, name) in &table {
            by_name.entry(name).or_insert(*crc);
        }
        facts.import_crcs = facts
            .imports
            .iter()
            .map(|i| by_name.get(facts.get(i.name)).copied().unwrap_or(0))
            .collect();
    }
    for v in versions.chunks_exact(VERSION_SIZE) {
        let name = until_nul(&v[word..]);
        if name.len() == VERSION_SIZE - word {
            return Err(FactsError::Damaged("symbol version without end"));
        }
        if !names.contains(name) {
            let name = facts.add(name);
            facts.imports.push(Import { name, weak: false });
            if crcs {
                facts.import_crcs.push(e.word(v, 0).unwrap_or(0));
            }
        }
    }
    Ok(())
}
