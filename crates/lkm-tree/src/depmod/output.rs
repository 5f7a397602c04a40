//! The contents of the eleven files.

use super::deps::Deps;
use super::facts::Facts;
use super::order::{Set, bucket};
use super::resolve::{SYMBOL_BUCKETS, Tree};
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
    /// Warnings that belong before those about `modules.builtin`, and before those about
    /// `modules.builtin.modinfo`: that there is no such file.
    pub missing: [Vec<Vec<u8>>; 2],
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
    /// All that each module needs ([`Deps::closures`]).
    pub closures: &'a Deps,
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

/// A text file that is one piece of lines per module, one after the other in
/// the order of the indexes.
pub struct Pieced {
    pub name: &'static str,
    pub header: &'static [u8],
    /// It has its header even when no module has a piece.
    pub header_alone: bool,
    /// Appends a module's piece, or says what is wrong.
    pub piece: fn(name: &[u8], facts: &Facts, out: &mut Vec<u8>) -> Result<(), Vec<u8>>,
}

pub const PIECED: [Pieced; 4] = [
    Pieced {
        name: "modules.alias",
        header: b"# Aliases extracted from modules themselves.\n",
        header_alone: true,
        piece: |name, facts, out| {
            for &a in &facts.aliases {
                let _ = emit!(out, "alias ", facts.get(a), " ", name, "\n");
            }
            Ok(())
        },
    },
    Pieced {
        name: "modules.softdep",
        header: b"# Soft dependencies extracted from modules themselves.\n",
        header_alone: true,
        piece: |name, facts, out| {
            for &s in &facts.softdeps {
                let _ = emit!(out, "softdep ", name, " ", facts.get(s), "\n");
            }
            Ok(())
        },
    },
    Pieced {
        name: "modules.weakdep",
        header: b"# Weak dependencies extracted from modules themselves.\n",
        header_alone: true,
        piece: |name, facts, out| {
            for &s in &facts.weakdeps {
                let _ = emit!(out, "weakdep ", name, " ", facts.get(s), "\n");
            }
            Ok(())
        },
    },
    Pieced {
        name: "modules.devname",
        header: b"# Device nodes to trigger on-demand module loading.\n",
        header_alone: false,
        piece: devname,
    },
];

impl Pieced {
    /// The whole file.
    fn whole(&self, tree: &Tree, notes: &mut Notes) -> Vec<u8> {
        let mut out = self.header.to_vec();
        for m in &tree.modules {
            if let Err(wrong) = (self.piece)(m.name(), &m.facts, &mut out) {
                notes.errors.push(wrong);
            }
        }
        if !self.header_alone && out.len() == self.header.len() {
            out.clear();
        }
        out
    }
}

/// All files, in kmod's order.
pub fn files(input: &Input<'_>, with_binaries: bool, notes: &mut Notes) -> Vec<File> {
    let (tree, closures) = (input.tree, input.closures);
    let mut out = Vec::new();
    let mut add = |name, text, content| {
        out.push(File {
            name,
            content,
            text,
        });
    };
    let [alias, softdep, weakdep, devname] = &PIECED;
    add("modules.dep", true, dep(tree, closures));
    if with_binaries {
        add("modules.dep.bin", false, dep_bin(input, closures, notes));
    }
    add(alias.name, true, alias.whole(tree, notes));
    if with_binaries {
        add("modules.alias.bin", false, alias_bin(input, notes));
    }
    add(softdep.name, true, softdep.whole(tree, notes));
    add(weakdep.name, true, weakdep.whole(tree, notes));
    let symbols = sorted_symbols(tree);
    add("modules.symbols", true, symbols_text(tree, &symbols));
    if with_binaries {
        let content = symbols_bin(input, &symbols, notes);
        add("modules.symbols.bin", false, content);
        notes.warnings.append(&mut notes.missing[0]);
        let content = builtin_bin(input.builtin, notes);
        add("modules.builtin.bin", false, content);
        notes.warnings.append(&mut notes.missing[1]);
        let content = builtin_alias_bin(input.builtin_modinfo, notes);
        add("modules.builtin.alias.bin", false, content);
    }
    add(devname.name, true, devname.whole(tree, notes));
    out
}

fn dep(tree: &Tree, closures: &Deps) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..tree.modules.len() {
        dep_line(closures, i, |m| tree.modules[m].found.shown(), &mut out);
        out.push(b'\n');
    }
    out
}

/// Appends what a module needs, without the end of the line.
pub fn dep_line<'a>(
    closures: &Deps,
    module: usize,
    path: impl Fn(usize) -> &'a [u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(path(module));
    out.push(b':');
    for &d in closures.of(module) {
        out.push(b' ');
        out.extend_from_slice(path(d as usize));
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

fn dep_bin(input: &Input<'_>, closures: &Deps, notes: &mut Notes) -> Vec<u8> {
    let mut index = Index::new(notes, input.warn_duplicates);
    let mut line = Vec::new();
    for (i, m) in input.tree.modules.iter().enumerate() {
        line.clear();
        let path = |m: usize| input.tree.modules[m].found.shown();
        dep_line(closures, i, path, &mut line);
        index.insert(m.name(), &line, i as u32, "deps", &line);
    }
    index.finish()
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
    let mut out = SYMBOLS_HEADER.to_vec();
    for (name, owner) in symbols {
        symbol_line(name, tree.modules[*owner as usize].name(), &mut out);
    }
    out
}

/// The first line of modules.symbols.
pub const SYMBOLS_HEADER: &[u8] = b"# Aliases for symbols, used by symbol_request().\n";
/// What its other lines begin with.
pub const SYMBOL_LINE: &[u8] = b"alias symbol:";
/// What a symbol's key in modules.symbols.bin begins with.
pub const SYMBOL_KEY: &[u8] = b"symbol:";

/// Appends a symbol's line.
pub fn symbol_line(symbol: &[u8], owner: &[u8], out: &mut Vec<u8>) {
    let _ = emit!(out, SYMBOL_LINE, symbol, " ", owner, "\n");
}

fn symbols_bin(input: &Input<'_>, symbols: &[(&[u8], u32)], notes: &mut Notes) -> Vec<u8> {
    let mut index = Index::new(notes, input.warn_duplicates);
    for (name, owner) in symbols {
        let module = input.tree.modules[*owner as usize].name();
        let key = bytes!(SYMBOL_KEY, name);
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

fn devname(module: &[u8], facts: &Facts, out: &mut Vec<u8>) -> Result<(), Vec<u8>> {
    let (mut name, mut device) = (None, None);
    for &a in &facts.aliases {
        let value = facts.get(a);
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
            let numbers = format!("{}{major}:{minor}\n", kind as char);
            let _ = emit!(out, module, " ", name, " ", numbers);
        }
        (Some(name), None) => {
            return Err(bytes!(
                "Module '",
                module,
                "' has devname (",
                name,
                ") but lacks major and minor information. Ignoring."
            ));
        }
        _ => {}
    }
    Ok(())
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
