//! What depmod wants of a module file: its aliases and soft dependencies, the
//! symbols it exports and those it needs.
//!
//! A module that is not compressed is not read whole: its section headers say
//! where the five sections are that matter, which is a tenth of the bytes.
//! What counts as a symbol follows kmod's `libkmod-elf.c`.

use std::borrow::Cow;

use lkm_object::compress::{self, Compression};

use super::order::Set;
use crate::errno::Errno;
use crate::fs::OpenFile;

/// Files up to this size are read at once.
const SMALL: u64 = 48 << 10;
/// A module larger than this, unpacked, is refused.
pub const MODULE_MAX: usize = lkm_object::DEFAULT_LIMIT;
/// Sections closer than this are read together.
const GAP: u64 = 2048;

/// Why nothing can be known of a module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    #[error("{0}")]
    Io(#[from] Errno),
    #[error("{0}")]
    Object(#[from] lkm_object::Error),
    #[error("damaged module: {0}")]
    Damaged(&'static str),
}

/// A part of [`Facts::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

/// What a module says of itself. Names are spans of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub text: Vec<u8>,
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
        &self.text[s.at as usize..(s.at + s.len) as usize]
    }

    fn add(&mut self, s: &[u8]) -> Span {
        let at = self.text.len() as u32;
        self.text.extend_from_slice(s);
        Span {
            at,
            len: s.len() as u32,
        }
    }
}

/// Reads a module. With `crcs`, the CRC of each import is found too.
pub fn read(file: &dyn OpenFile, crcs: bool) -> Result<Facts, FactsError> {
    let size = file.stat()?.size;
    let mut head = vec![0; usize::try_from(size.min(SMALL)).unwrap_or(0)];
    file.read_exact_at(&mut head, 0)?;
    if Compression::detect(&head) != Compression::None {
        let rest = usize::try_from(size).map_err(|_| Errno::EFBIG)? - head.len();
        if rest > MODULE_MAX {
            return Err(Errno::EFBIG.into());
        }
        let start = head.len();
        head.resize(start + rest, 0);
        file.read_exact_at(&mut head[start..], start as u64)?;
        let image = compress::decompress(&head, MODULE_MAX)?;
        return from_image(&image, crcs);
    }
    if head.len() as u64 == size {
        return from_image(&head, crcs);
    }
    collect(
        &mut Source {
            head: &head,
            file: Some(file),
            size,
            chunks: Vec::new(),
        },
        crcs,
    )
}

/// Reads a module's uncompressed bytes.
pub fn from_image(image: &[u8], crcs: bool) -> Result<Facts, FactsError> {
    let size = image.len() as u64;
    collect(
        &mut Source {
            head: image,
            file: None,
            size,
            chunks: Vec::new(),
        },
        crcs,
    )
}

/// A module's bytes, as far as they were wanted.
struct Source<'a> {
    /// The file's beginning, or all of it.
    head: &'a [u8],
    file: Option<&'a dyn OpenFile>,
    size: u64,
    /// Parts read, with their offset.
    chunks: Vec<(u64, Vec<u8>)>,
}

impl Source<'_> {
    fn contains(&self, at: u64, len: u64) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.size)
    }

    /// Makes sure of a part of the file, which must lie in it.
    fn fetch(&mut self, at: u64, len: u64) -> Result<(), FactsError> {
        if !self.contains(at, len) {
            return Err(FactsError::Damaged("a section lies outside the file"));
        }
        if self.peek(at, len).is_some() {
            return Ok(());
        }
        let file = self.file.ok_or(Errno::EIO)?;
        if len > MODULE_MAX as u64 {
            return Err(Errno::EFBIG.into());
        }
        let mut part = vec![0; usize::try_from(len).map_err(|_| Errno::EFBIG)?];
        file.read_exact_at(&mut part, at)?;
        self.chunks.push((at, part));
        Ok(())
    }

    fn peek(&self, at: u64, len: u64) -> Option<&[u8]> {
        let parts = std::iter::once((0, self.head))
            .chain(self.chunks.iter().map(|(start, part)| (*start, &part[..])));
        for (start, part) in parts {
            if let Some(from) = at.checked_sub(start)
                && let Ok(from) = usize::try_from(from)
                && let Some(to) = from.checked_add(usize::try_from(len).ok()?)
                && let Some(found) = part.get(from..to)
            {
                return Some(found);
            }
        }
        None
    }

    fn get(&self, s: Section) -> &[u8] {
        self.peek(s.offset, s.size).unwrap_or(&[])
    }
}

#[derive(Clone, Copy, Default)]
struct Section {
    offset: u64,
    size: u64,
}

#[derive(Clone, Copy)]
struct Layout {
    wide: bool,
    big: bool,
}

impl Layout {
    fn u16(self, b: &[u8], at: usize) -> Option<u16> {
        let v = b.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big {
            u16::from_be_bytes(v)
        } else {
            u16::from_le_bytes(v)
        })
    }

    fn u32(self, b: &[u8], at: usize) -> Option<u32> {
        let v = b.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big {
            u32::from_be_bytes(v)
        } else {
            u32::from_le_bytes(v)
        })
    }

    /// A word of the file's own width.
    fn word(self, b: &[u8], at: usize) -> Option<u64> {
        if !self.wide {
            return self.u32(b, at).map(u64::from);
        }
        let v = b.get(at..at + 8)?.try_into().ok()?;
        Some(if self.big {
            u64::from_be_bytes(v)
        } else {
            u64::from_le_bytes(v)
        })
    }
}

/// Index of each wanted section in [`NAMES`].
const KSYMTAB_STRINGS: usize = 0;
const MODINFO: usize = 1;
const STRTAB: usize = 2;
const SYMTAB: usize = 3;
const VERSIONS: usize = 4;
const NAMES: [&[u8]; 5] = [
    b"__ksymtab_strings",
    b".modinfo",
    b".strtab",
    b".symtab",
    b"__versions",
];

/// Size of an entry of `__versions`: a word, and the name in the rest.
const VERSION_SIZE: usize = 64;

fn collect(src: &mut Source<'_>, crcs: bool) -> Result<Facts, FactsError> {
    let damaged = FactsError::Damaged;
    let ident = src.peek(0, 20).ok_or(Errno::ENOEXEC)?;
    if !ident.starts_with(b"\x7fELF") {
        return Err(Errno::ENOEXEC.into());
    }
    let e = match (ident[4], ident[5]) {
        (class @ (1 | 2), order @ (1 | 2)) => Layout {
            wide: class == 2,
            big: order == 2,
        },
        _ => return Err(damaged("unknown ELF class or byte order")),
    };
    let (header_size, entry_size) = if e.wide { (64, 64) } else { (52, 40) };
    let header = src.peek(0, header_size).ok_or(damaged("no ELF header"))?;
    let tail = if e.wide { 48 } else { 36 };
    let field = |at| e.u16(header, at).unwrap_or(0);
    let machine = field(18);
    let table_at = e.word(header, if e.wide { 40 } else { 32 }).unwrap_or(0);
    let (size, count, names_at) = (field(tail + 10), field(tail + 12), field(tail + 14));
    if usize::from(size) != entry_size || names_at >= count {
        return Err(damaged("bad section header table"));
    }
    src.fetch(table_at, entry_size as u64 * u64::from(count))?;
    let sections = find_sections(src, e, table_at, entry_size, count, names_at)?;

    // One read for neighbours.
    let mut wanted: Vec<Section> = sections.iter().flatten().copied().collect();
    wanted.sort_by_key(|s| s.offset);
    let mut at = 0;
    while at < wanted.len() {
        let start = wanted[at].offset;
        let mut end = start + wanted[at].size;
        at += 1;
        while at < wanted.len() && wanted[at].offset <= end + GAP {
            end = end.max(wanted[at].offset + wanted[at].size);
            at += 1;
        }
        src.fetch(start, end - start)?;
    }

    let part = |i: usize| sections[i].map(|s| src.get(s));
    let mut facts = Facts::default();
    if let Some(info) = part(MODINFO) {
        for line in info.split(|&c| c == 0) {
            for (key, list) in [
                (&b"alias="[..], &mut facts.aliases),
                (b"softdep=", &mut facts.softdeps),
                (b"weakdep=", &mut facts.weakdeps),
            ] {
                if let Some(value) = line.strip_prefix(key) {
                    let at = facts.text.len() as u32;
                    facts.text.extend_from_slice(value);
                    list.push(Span {
                        at,
                        len: value.len() as u32,
                    });
                }
            }
        }
    }
    let symbols = match (part(SYMTAB), part(STRTAB)) {
        (Some(table), Some(strings)) => Some(Symbols { e, table, strings }),
        _ => None,
    };
    let resolve_crc = |section: u16, value: u64| {
        crc_in_section(src, e, table_at, entry_size, count, section, value)
    };
    exports(
        &mut facts,
        symbols.as_ref(),
        part(KSYMTAB_STRINGS),
        resolve_crc,
    )?;
    if let Some(symbols) = symbols {
        let versions = part(VERSIONS).filter(|v| v.len().is_multiple_of(VERSION_SIZE));
        imports(&mut facts, &symbols, versions.unwrap_or(&[]), machine, crcs)?;
    }
    facts.text.shrink_to_fit();
    Ok(facts)
}

fn find_sections(
    src: &mut Source<'_>,
    e: Layout,
    table_at: u64,
    entry_size: usize,
    count: u16,
    names_at: u16,
) -> Result<[Option<Section>; 5], FactsError> {
    let entry = |table: &[u8], i: u16| {
        let b = table.get(usize::from(i) * entry_size..)?;
        let (at, size) = if e.wide { (24, 32) } else { (16, 20) };
        Some((
            e.u32(b, 0)?,
            Section {
                offset: e.word(b, at)?,
                size: e.word(b, size)?,
            },
        ))
    };
    let table_size = entry_size as u64 * u64::from(count);
    let table = src.peek(table_at, table_size).unwrap_or(&[]).to_vec();
    let bad_names = FactsError::Damaged("bad section name table");
    let (_, names) = entry(&table, names_at).ok_or(bad_names.clone())?;
    // Symbols, their names and the section names usually end the file.
    src.fetch(names.offset, names.size)?;
    let names = src.get(names).to_vec();
    if names.last() != Some(&0) {
        return Err(bad_names);
    }
    let mut found = [None; 5];
    for i in 1..count {
        let Some((name, section)) = entry(&table, i) else {
            break;
        };
        if !src.contains(section.offset, section.size) {
            continue;
        }
        let Some(name) = names.get(name as usize..) else {
            continue;
        };
        for (slot, want) in found.iter_mut().zip(NAMES) {
            // The name table ends with a NUL, so a longer name is not a match.
            if slot.is_none() && name.starts_with(want) && name.get(want.len()) == Some(&0) {
                *slot = Some(section);
                break;
            }
        }
    }
    // An offset of 0 means absent to kmod.
    Ok(found.map(|s| s.filter(|s: &Section| s.offset != 0)))
}

struct Symbols<'a> {
    e: Layout,
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

/// The CRC behind a `__crc_` symbol: its value, or what it points to.
fn crc_in_section(
    src: &Source<'_>,
    e: Layout,
    table_at: u64,
    entry_size: usize,
    count: u16,
    section: u16,
    value: u64,
) -> u64 {
    const SHN_ABS: u16 = 0xfff1;
    if section == SHN_ABS || section == 0 {
        return value;
    }
    let find = || {
        if section >= count {
            return None;
        }
        let table = src.peek(table_at, entry_size as u64 * u64::from(count))?;
        let b = table.get(usize::from(section) * entry_size..)?;
        let (at, size) = if e.wide { (24, 32) } else { (16, 20) };
        let (at, size) = (e.word(b, at)?, e.word(b, size)?);
        if !src.contains(at, size) || value > size.checked_sub(4)? {
            return None;
        }
        let bytes: Cow<'_, [u8]> = match (src.peek(at + value, 4), src.file) {
            (Some(b), _) => Cow::Borrowed(b),
            (None, Some(f)) => {
                let mut b = vec![0; 4];
                f.read_exact_at(&mut b, at + value).ok()?;
                Cow::Owned(b)
            }
            (None, None) => return None,
        };
        e.u32(&bytes, 0).map(u64::from)
    };
    find().unwrap_or(u64::MAX)
}

/// Undefined symbols, and versions that no undefined symbol names.
fn imports(
    facts: &mut Facts,
    symbols: &Symbols<'_>,
    versions: &[u8],
    machine: u16,
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
    let sparc = machine == EM_SPARC || machine == EM_SPARCV9;
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
