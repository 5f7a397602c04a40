//! The contents of the eleven files.

use super::order::{Set, bucket};
use super::rerun::Stale;
use super::resolve::{Closures, SYMBOL_BUCKETS, Tree};
use crate::bytes;
use crate::emit;
use crate::index::{IndexBuilder, KeyError};
use crate::text::{PATH_MAX, alias_normalize, path_to_modname};

/// A file to be written; `None` leaves it empty, as kmod does where its source
/// is missing.
pub struct File {
    pub name: &'static str,
    pub content: Vec<u8>,
    /// A table for people, which `-n` prints.
    pub text: bool,
}

/// Messages that come with the contents.
#[derive(Default)]
pub struct Notes {
    pub warnings: Vec<Vec<u8>>,
    pub errors: Vec<Vec<u8>>,
    /// Some entry had to be left out.
    pub incomplete: bool,
}

/// What the files are made from.
pub struct Input<'a> {
    pub tree: &'a Tree,
    /// `modules.builtin`
    pub builtin: Option<&'a [u8]>,
    /// `modules.builtin.modinfo`
    pub builtin_modinfo: Option<&'a [u8]>,
    /// Tell of entries that come twice.
    pub warn_duplicates: bool,
    /// What is to be made.
    pub stale: Stale,
}

/// The names of all files, in kmod's order.
pub const NAMES: [&str; 11] = [
    "modules.dep",
    "modules.dep.bin",
    "modules.alias",
    "modules.alias.bin",
    "modules.softdep",
    "modules.weakdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
    "modules.devname",
];

/// The files that are stale, in kmod's order.
pub fn files(input: &Input<'_>, with_binaries: bool, notes: &mut Notes) -> Vec<File> {
    let (tree, stale) = (input.tree, input.stale);
    let mut out = Vec::new();
    let mut add = |name, text, content| {
        out.push(File {
            name,
            content,
            text,
        });
    };
    if stale.symbols {
        let closures = tree.closures();
        add("modules.dep", true, dep(tree, &closures));
        if with_binaries {
            add("modules.dep.bin", false, dep_bin(input, &closures, notes));
        }
    }
    if stale.aliases {
        add("modules.alias", true, alias(tree));
        if with_binaries {
            add("modules.alias.bin", false, alias_bin(input, notes));
        }
    }
    if stale.softdeps {
        add("modules.softdep", true, softdep(tree));
    }
    if stale.weakdeps {
        add("modules.weakdep", true, weakdep(tree));
    }
    if stale.symbols {
        let symbols = sorted_symbols(tree);
        add("modules.symbols", true, symbols_text(tree, &symbols));
        if with_binaries {
            let content = symbols_bin(input, &symbols, notes);
            add("modules.symbols.bin", false, content);
        }
    }
    if stale.builtin && with_binaries {
        let content = builtin_bin(input.builtin, notes);
        add("modules.builtin.bin", false, content);
        let content = builtin_alias_bin(input.builtin_modinfo, notes);
        add("modules.builtin.alias.bin", false, content);
    }
    if stale.aliases {
        add("modules.devname", true, devname(tree, notes));
    }
    out
}

fn dep(tree: &Tree, closures: &Closures) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, m) in tree.modules.iter().enumerate() {
        dep_line(tree, closures, i, m.found.shown(), &mut out);
        out.push(b'\n');
    }
    out
}

fn dep_line(tree: &Tree, closures: &Closures, i: usize, path: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(path);
    out.push(b':');
    for &d in closures.of(i) {
        out.push(b' ');
        out.extend_from_slice(tree.modules[d as usize].found.shown());
    }
}

/// An index under construction that survives entries it cannot hold.
struct Index<'n> {
    builder: IndexBuilder,
    notes: &'n mut Notes,
    /// Entries so far, when repetition is to be told.
    seen: Option<Set<Vec<u8>>>,
}

impl<'n> Index<'n> {
    fn new(notes: &'n mut Notes, warn_duplicates: bool) -> Index<'n> {
        let seen = warn_duplicates.then(Set::default);
        Index {
            builder: IndexBuilder::new(),
            notes,
            seen,
        }
    }

    fn insert(&mut self, key: &[u8], value: &[u8], priority: u32, what: &str, told: &[u8]) {
        match self.builder.insert(key, value, priority) {
            Ok(()) => {}
            Err(e) => {
                self.notes.incomplete = true;
                let text = bytes!("Module index: ", e.to_string(), ": ", key);
                self.notes.errors.push(text);
                return;
            }
        }
        if let Some(seen) = &mut self.seen
            && !seen.insert(bytes!(key, b"\0", value))
        {
            self.notes
                .warnings
                .push(bytes!("duplicate module ", what, ":\n", told));
        }
    }

    fn finish(self) -> Vec<u8> {
        let notes = self.notes;
        self.builder.finish().unwrap_or_else(|e: KeyError| {
            notes.incomplete = true;
            notes.errors.push(bytes!("Module index: ", e.to_string()));
            Vec::new()
        })
    }
}

fn dep_bin(input: &Input<'_>, closures: &Closures, notes: &mut Notes) -> Vec<u8> {
    let mut index = Index::new(notes, input.warn_duplicates);
    let mut line = Vec::new();
    for (i, m) in input.tree.modules.iter().enumerate() {
        line.clear();
        dep_line(input.tree, closures, i, m.found.shown(), &mut line);
        index.insert(m.name(), &line, i as u32, "deps", &line);
    }
    index.finish()
}

fn alias(tree: &Tree) -> Vec<u8> {
    let mut out = b"# Aliases extracted from modules themselves.\n".to_vec();
    for m in &tree.modules {
        for &a in &m.facts.aliases {
            let _ = emit!(out, "alias ", m.facts.get(a), " ", m.name(), "\n");
        }
    }
    out
}

fn alias_bin(input: &Input<'_>, notes: &mut Notes) -> Vec<u8> {
    let mut index = Index::new(notes, input.warn_duplicates);
    for (i, m) in input.tree.modules.iter().enumerate() {
        for &a in &m.facts.aliases {
            let value = m.facts.get(a);
            let Ok(alias) = alias_normalize(value) else {
                index
                    .notes
                    .warnings
                    .push(bytes!("Unmatched bracket in ", value));
                continue;
            };
            let told = bytes!(alias, " ", m.name());
            index.insert(&alias, m.name(), i as u32, "alias", &told);
        }
    }
    index.finish()
}

fn softdep(tree: &Tree) -> Vec<u8> {
    let mut out = b"# Soft dependencies extracted from modules themselves.\n".to_vec();
    for m in &tree.modules {
        for &s in &m.facts.softdeps {
            let _ = emit!(out, "softdep ", m.name(), " ", m.facts.get(s), "\n");
        }
    }
    out
}

fn weakdep(tree: &Tree) -> Vec<u8> {
    let mut out = b"# Weak dependencies extracted from modules themselves.\n".to_vec();
    for m in &tree.modules {
        for &s in &m.facts.weakdeps {
            let _ = emit!(out, "weakdep ", m.name(), " ", m.facts.get(s), "\n");
        }
    }
    out
}

/// The modules' symbols in the order of kmod's hash table.
fn sorted_symbols(tree: &Tree) -> Vec<(&[u8], u32)> {
    let mut all: Vec<(u32, &[u8], u32)> = tree
        .symbols
        .iter()
        .filter_map(|(name, s)| Some((bucket(name, SYMBOL_BUCKETS), &name[..], s.owner?)))
        .collect();
    all.sort_unstable();
    all.into_iter()
        .map(|(_, name, owner)| (name, owner))
        .collect()
}

fn symbols_text(tree: &Tree, symbols: &[(&[u8], u32)]) -> Vec<u8> {
    let mut out = b"# Aliases for symbols, used by symbol_request().\n".to_vec();
    for (name, owner) in symbols {
        let owner = tree.modules[*owner as usize].name();
        let _ = emit!(out, "alias symbol:", name, " ", owner, "\n");
    }
    out
}

fn symbols_bin(input: &Input<'_>, symbols: &[(&[u8], u32)], notes: &mut Notes) -> Vec<u8> {
    let mut index = Index::new(notes, input.warn_duplicates);
    for (name, owner) in symbols {
        let module = input.tree.modules[*owner as usize].name();
        let key = bytes!("symbol:", name);
        let told = if input.warn_duplicates {
            bytes!(key, " ", module)
        } else {
            Vec::new()
        };
        index.insert(&key, module, *owner, "syms", &told);
    }
    index.finish()
}

fn builtin_bin(source: Option<&[u8]>, notes: &mut Notes) -> Vec<u8> {
    let Some(source) = source else {
        return Vec::new();
    };
    let mut index = Index::new(notes, false);
    for line in source.split_inclusive(|&c| c == b'\n') {
        if !line.first().is_some_and(u8::is_ascii_alphabetic) {
            index
                .notes
                .errors
                .push(bytes!("Invalid modules.builtin line: ", line));
            continue;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(name) = path_to_modname(line) {
            index.insert(&name, b"", 0, "builtin", b"");
        }
    }
    index.finish()
}

/// Reads `modname.key=value` strings, each ended by a NUL.
struct Strings<'a>(&'a [u8]);

impl Strings<'_> {
    /// What comes before `end`; empty when a NUL or the end comes first. Text
    /// beyond the limit is dropped with a warning.
    fn until(&mut self, end: u8, notes: &mut Notes) -> Vec<u8> {
        let at = self.0.iter().position(|&c| c == end || c == 0);
        let (text, found) = match at {
            Some(at) => (&self.0[..at], self.0[at] == end),
            None => (self.0, false),
        };
        self.0 = at.map_or(&[][..], |at| &self.0[at + 1..]);
        if text.len() >= PATH_MAX {
            let shown = &text[..PATH_MAX];
            notes.warnings.push(bytes!(
                "Could not flush stream: 28. Partial content: ",
                shown
            ));
            return Vec::new();
        }
        if found { text.to_vec() } else { Vec::new() }
    }
}

fn builtin_alias_bin(source: Option<&[u8]>, notes: &mut Notes) -> Vec<u8> {
    let Some(source) = source else {
        return Vec::new();
    };
    let mut index = Index::new(notes, false);
    let mut s = Strings(source);
    while !s.0.is_empty() {
        let module = s.until(b'.', index.notes);
        if module.is_empty() {
            continue;
        }
        if s.until(b'=', index.notes) != b"alias" {
            s.until(0, index.notes);
            continue;
        }
        let value = s.until(0, index.notes);
        if value.is_empty() {
            continue;
        }
        match alias_normalize(&value) {
            Ok(alias) => index.insert(&alias, &module, 0, "alias", b""),
            Err(_) => index
                .notes
                .warnings
                .push(bytes!("Unmatched bracket in ", value)),
        }
    }
    index.finish()
}

fn devname(tree: &Tree, notes: &mut Notes) -> Vec<u8> {
    let mut out = Vec::new();
    for m in &tree.modules {
        let (mut name, mut device) = (None, None);
        for &a in &m.facts.aliases {
            let value = m.facts.get(a);
            if let Some(n) = value.strip_prefix(b"devname:") {
                name = Some(n);
            } else if let Some(numbers) = major_minor(value, b"char-major-") {
                device = Some((b'c', numbers));
            } else if let Some(numbers) = major_minor(value, b"block-major-") {
                device = Some((b'b', numbers));
            }
            if name.is_some() && device.is_some() {
                break;
            }
        }
        match (name, device) {
            (Some(name), Some((kind, (major, minor)))) => {
                if out.is_empty() {
                    out.extend_from_slice(b"# Device nodes to trigger on-demand module loading.\n");
                }
                let numbers = format!("{}{major}:{minor}\n", kind as char);
                let _ = emit!(out, m.name(), " ", name, " ", numbers);
            }
            (Some(name), None) => notes.errors.push(bytes!(
                "Module '",
                m.name(),
                "' has devname (",
                name,
                ") but lacks major and minor information. Ignoring."
            )),
            _ => {}
        }
    }
    out
}

/// `PREFIXmajor-minor`, whatever follows.
fn major_minor(alias: &[u8], prefix: &[u8]) -> Option<(u32, u32)> {
    let number = |s: &'_ [u8]| -> Option<(u32, usize)> {
        let end = s
            .iter()
            .position(|c| !c.is_ascii_digit())
            .unwrap_or(s.len());
        Some((std::str::from_utf8(&s[..end]).ok()?.parse().ok()?, end))
    };
    let rest = alias.strip_prefix(prefix)?;
    let (major, end) = number(rest)?;
    let rest = rest[end..].strip_prefix(b"-")?;
    Some((major, number(rest)?.0))
}
