//! Symbols that appear, go or change hands, the modules that have to be
//! resolved again for that, and the files in which all this stands.

use super::deps::Deps;
use super::facts::Facts;
use super::imports::plain;
use super::order::{Map, Set, bucket};
use super::output::{SYMBOL_KEY, SYMBOL_LINE, SYMBOLS_HEADER, dep_line, symbol_line};
use super::patch::{Entry, Patch, Sink, edits};
use super::resolve::SYMBOL_BUCKETS;
use crate::bytes;
use crate::index::patch::{GONE, lookup, patch};
use crate::text::path_to_modname;

/// When more modules are to be resolved again, it is done from the start.
const RESOLVED_MAX: usize = 500;

/// Whose a symbol was, and whose it is now, by module's name and number.
#[derive(Default)]
struct Hands<'p> {
    was: Option<(&'p [u8], u32)>,
    is: Option<(&'p [u8], u32)>,
}

/// The symbols of the last run, and what is different.
pub struct Symbols<'p> {
    /// modules.symbols.bin of the last run.
    index: Vec<u8>,
    changed: Changed<'p>,
}

impl<'p> Symbols<'p> {
    /// Finds the symbols that changed hands.
    pub fn of(p: &'p Patch<'_>) -> Option<Symbols<'p>> {
        let mut all = Symbols {
            index: p.old_file("modules.symbols.bin")?,
            changed: Map::default(),
        };
        for a in &p.altered {
            let names = |f: &'p Facts| -> Set<&'p [u8]> {
                f.exports.iter().map(|e| f.get(e.name)).collect()
            };
            let (was, is) = (names(&a.was), names(&a.is));
            if !a.is.is_simple() {
                return None;
            }
            // What a module kept is still its own, under its new number.
            for &name in was.difference(&is) {
                let hands = all.changed.entry(name).or_default();
                hands.was = hands.was.is_none().then_some((&a.name, a.old?));
                hands.was?;
            }
            for &name in is.difference(&was) {
                let hands = all.changed.entry(name).or_default();
                hands.is = hands.is.is_none().then_some((&a.name, a.new?));
                hands.is?;
            }
        }
        // Of a symbol that two modules export, nothing is certain.
        for (name, hands) in &all.changed {
            if all.old_owner(name)? != hands.was.map(|(_, number)| number) {
                return None;
            }
        }
        Some(all)
    }

    /// The number of the module whose the symbol was in the last run.
    fn old_owner(&self, name: &[u8]) -> Option<Option<u32>> {
        let found = lookup(&self.index, &bytes!(SYMBOL_KEY, name)).ok()?;
        Some(found.map(|(owner, _)| owner))
    }

    /// Makes the files, and finds who needs whom.
    pub fn files(self, p: &Patch<'_>, sink: Sink<'_>) -> Option<Deps> {
        let deps = self.resolve(p)?;
        let Symbols { index, changed } = self;
        if !changed.is_empty() || p.renumbering().is_some() {
            bin(p, index, &changed, sink)?;
        }
        if !changed.is_empty() {
            text(p, &changed, sink)?;
        }
        dep_files(p, &deps, sink)?;
        Some(deps)
    }

    /// Resolves the modules again that import what changed hands.
    fn resolve(&self, p: &Patch<'_>) -> Option<Deps> {
        let record = p.known.record;
        let mut again: Map<u32, Facts> = Map::default();
        if !self.changed.is_empty() {
            let names = || self.changed.keys().copied();
            let begins = match p.facts_file() {
                Some(file) => record.imports.importers(file, names())?,
                None => Set::default(),
            };
            for old in p.kept.iter().flatten() {
                let place = record.modules[*old as usize].facts;
                let imports = |f: &Facts| {
                    let mut names = f.imports.iter().map(|i| plain(f.get(i.name)));
                    names.any(|n| self.changed.contains_key(n))
                };
                if place.here || begins.contains(&place.at) {
                    let facts = p.facts(*old as usize)?;
                    if imports(&facts) {
                        again.insert(*old, facts);
                    }
                }
                if again.len() > RESOLVED_MAX {
                    return None;
                }
            }
        }
        let says: Map<u32, &Facts> = p
            .altered
            .iter()
            .filter_map(|a| Some((a.new?, &a.is)))
            .collect();
        let mut deps = Deps::default();
        deps.reserve(p.kept.len(), record.deps.all().len() + 1024);
        let mut owners = Owners {
            symbols: self,
            p,
            known: Map::default(),
            stamp: vec![u32::MAX; p.kept.len()],
        };
        for (number, kept) in (0..).zip(&p.kept) {
            let facts = match kept {
                Some(old) => again.get(old),
                None => Some(*says.get(&number)?),
            };
            match (facts, kept) {
                (Some(facts), _) => deps.push(owners.needs(facts, number)?),
                (None, Some(old)) => {
                    let list = record.deps.of(*old as usize);
                    let list = list.iter().map(|&d| p.renumber[d as usize]);
                    if list.clone().any(|d| d == GONE) {
                        return None;
                    }
                    deps.push(list);
                }
                (None, None) => return None,
            }
        }
        Some(deps)
    }
}

/// Symbols that change hands, by name.
type Changed<'p> = Map<&'p [u8], Hands<'p>>;

/// modules.symbols.bin, from that of the last run.
fn bin(p: &Patch<'_>, old: Vec<u8>, changed: &Changed<'_>, sink: Sink<'_>) -> Option<()> {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for (name, hands) in changed {
        let entry = |(module, number)| (bytes!(SYMBOL_KEY, name), number, module);
        removed.extend(hands.was.map(entry));
        added.extend(hands.is.map(entry));
    }
    let patched = patch(old, &edits(&removed), &edits(&added), p.renumbering());
    sink("modules.symbols.bin", &patched.ok()?.content())
}

/// modules.symbols: lines in the order of kmod's hash table.
fn text(p: &Patch<'_>, changed: &Changed<'_>, sink: Sink<'_>) -> Option<()> {
    let old = p.old_file("modules.symbols")?;
    let lines = old.strip_prefix(SYMBOLS_HEADER)?;
    let mut changed: Vec<(u32, &[u8], &Hands<'_>)> = changed
        .iter()
        .map(|(name, hands)| (bucket(name, SYMBOL_BUCKETS), *name, hands))
        .collect();
    changed.sort_unstable_by_key(|(bucket, name, _)| (*bucket, *name));
    // Old lines, and how far the new ones go that come behind them.
    let (mut places, mut new) = (Vec::new(), Vec::new());
    let mut copied = 0;
    let mut line = Vec::new();
    for (bucket, name, hands) in changed {
        let at = first_line(lines, (bucket, name))?;
        let before = lines.get(copied..at)?;
        copied = at;
        if let Some((owner, _)) = hands.was {
            line.clear();
            symbol_line(name, owner, &mut line);
            if !lines[at..].starts_with(&line) {
                return None;
            }
            copied += line.len();
        }
        if let Some((owner, _)) = hands.is {
            symbol_line(name, owner, &mut new);
        }
        places.push((before, new.len()));
    }
    let mut out = vec![SYMBOLS_HEADER];
    let mut done = 0;
    for (before, end) in places {
        out.extend([before, &new[done..end]]);
        done = end;
    }
    out.push(&lines[copied..]);
    sink("modules.symbols", &out)
}

/// Whose the symbols are now that are asked for: most modules ask for the same.
struct Owners<'s, 'p, 'a> {
    symbols: &'s Symbols<'p>,
    p: &'s Patch<'a>,
    known: Map<&'s [u8], Option<u32>>,
    /// The last module that was found to need each.
    stamp: Vec<u32>,
}

impl<'s> Owners<'s, '_, '_> {
    fn owner(&mut self, name: &'s [u8]) -> Option<Option<u32>> {
        if let Some(owner) = self.known.get(name) {
            return Some(*owner);
        }
        let owner = match self.symbols.changed.get(name) {
            Some(hands) => hands.is.map(|(_, number)| number),
            None => match self.symbols.old_owner(name)? {
                Some(old) => Some(*self.p.renumber.get(old as usize)?),
                None => None,
            },
        };
        self.known.insert(name, owner);
        Some(owner)
    }

    /// Whose symbols a module needs, in the order in which it names them.
    fn needs(&mut self, facts: &'s Facts, number: u32) -> Option<Vec<u32>> {
        let mut needs = Vec::new();
        for i in &facts.imports {
            if let Some(owner) = self.owner(plain(facts.get(i.name)))?
                && std::mem::replace(self.stamp.get_mut(owner as usize)?, number) != number
            {
                needs.push(owner);
            }
        }
        Some(needs)
    }
}

/// Where the first line begins that does not come before a symbol's.
fn first_line(lines: &[u8], wanted: (u32, &[u8])) -> Option<usize> {
    let (mut low, mut high) = (0, lines.len());
    while low < high {
        let mid = (low + high) / 2;
        let before = lines[low..mid].iter().rposition(|&c| c == b'\n');
        let start = before.map_or(low, |n| low + n + 1);
        let len = lines[start..].iter().position(|&c| c == b'\n')?;
        let line = &lines[start..start + len];
        // Names are one word.
        let name = line.strip_prefix(SYMBOL_LINE)?;
        let name = &name[..name.iter().position(|&c| c == b' ')?];
        match (bucket(name, SYMBOL_BUCKETS), name) < wanted {
            true => low = start + len + 1,
            false => high = start,
        }
    }
    Some(low)
}

/// modules.dep and modules.dep.bin, if they change.
fn dep_files(p: &Patch<'_>, deps: &Deps, sink: Sink<'_>) -> Option<()> {
    let same_modules = p.altered.iter().all(|a| a.old.is_some() && a.new.is_some());
    if same_modules && *deps == p.known.record.deps {
        return Some(());
    }
    let lines = Lines::write(p, deps, sink)?;
    let index = p.old_file("modules.dep.bin")?;
    let mut came: Set<&[u8]> = Set::default();
    for a in p.altered.iter().filter(|a| a.old.is_none()) {
        // Which of two modules of one name counts is for the long way.
        let taken = match lookup(&index, &a.name).ok()? {
            Some((number, _)) => p.renumber.get(number as usize) != Some(&GONE),
            None => false,
        };
        if taken || !came.insert(&a.name) {
            return None;
        }
    }
    let patched = patch(
        index,
        &edits(&lines.removed),
        &edits(&lines.added),
        p.renumbering(),
    );
    sink("modules.dep.bin", &patched.ok()?.content())
}

/// Lines of modules.dep that are no longer there, and new ones, with the
/// modules' names and numbers.
struct Lines {
    removed: Vec<Entry<Vec<u8>>>,
    added: Vec<Entry<Vec<u8>>>,
}

impl Lines {
    /// Writes modules.dep, and compares it with that of the last run.
    fn write(p: &Patch<'_>, deps: &Deps, sink: Sink<'_>) -> Option<Lines> {
        let record = p.known.record;
        // Loops are for the long way to tell.
        let ranks = deps.ranks().ok()?;
        let closures = deps.closures(&ranks);
        let old = p.old_file("modules.dep")?;
        let mut text = Vec::with_capacity(old.len() + 4096);
        let mut ends = Vec::with_capacity(deps.len());
        for number in 0..deps.len() {
            dep_line(&closures, number, |m| p.next.path(m), &mut text);
            ends.push(text.len());
            text.push(b'\n');
        }
        sink("modules.dep", &[&text])?;
        let new_line = |number: u32| {
            let number = number as usize;
            let start = number.checked_sub(1).map_or(0, |before| ends[before] + 1);
            &text[start..ends[number]]
        };
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let mut rest = &old[..];
        for (old_number, &number) in (0..).zip(&p.renumber) {
            let new = (number != GONE).then(|| new_line(number));
            let same = new.and_then(|new| rest.strip_prefix(new)?.strip_prefix(b"\n"));
            if let Some(behind) = same {
                rest = behind;
                continue;
            }
            let len = rest.iter().position(|&c| c == b'\n')?;
            let name = path_to_modname(record.path(old_number as usize))?;
            added.extend(new.map(|new| (name.clone(), number, new.to_vec())));
            removed.push((name, old_number, rest[..len].to_vec()));
            rest = &rest[len + 1..];
        }
        for a in p.altered.iter().filter(|a| a.old.is_none()) {
            added.push((a.name.clone(), a.new?, new_line(a.new?).to_vec()));
        }
        Some(Lines { removed, added })
    }
}
