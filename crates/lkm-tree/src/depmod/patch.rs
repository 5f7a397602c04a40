//! The files of this run, made from those of the last: only what modules say
//! that came, went or changed is made anew, the rest is copied.
//!
//! Text files are one piece per module, or sorted lines; indexes are patched
//! ([`crate::index::patch`]). Whatever is uncertain ends the attempt, and the
//! long way is gone.

use super::cache::{FACTS_FILE, FILE_MAX, Key, KnownDir, KnownModule, Pieces, Place, Record};
use super::cache::{checksum, simple_name};
use super::facts::{self, Facts, Span};
use super::facts_codec::encode;
use super::order::Map;
use super::output::{self, PIECED};
use super::patch_symbols::Symbols;
use super::rerun::{Changes, Known};
use super::resolve::{UNLISTED, places, standing};
use super::scan::Found;
use crate::fs::{OpenDir, OpenFile};
use crate::index::patch::{Edit, GONE, Renumber, patch};
use crate::text::{alias_normalize, path_to_modname};

/// When the facts of changed modules take more bytes, all are written anew.
pub const CHANGED_MAX: usize = 1 << 20;

/// A module that says something else than before, or came, or went.
pub struct Altered {
    pub name: Vec<u8>,
    /// Its number in the last run, and in this one.
    pub old: Option<u32>,
    pub new: Option<u32>,
    pub was: Facts,
    pub is: Facts,
}

/// The last run, and what is different now.
pub struct Patch<'a> {
    pub known: &'a Known<'a>,
    pub out: &'a dyn OpenDir,
    facts_file: Option<Box<dyn OpenFile>>,
    pub altered: Vec<Altered>,
    /// The number in the last run of each module that says the same.
    pub kept: Vec<Option<u32>>,
    /// The new number of each module of the last run.
    pub renumber: Vec<u32>,
    /// Some number is another.
    moved: bool,
    /// What is to be remembered of this run.
    pub next: Record,
}

/// Takes a file that changes: its name, and its content piece by piece.
pub type Sink<'s> = &'s mut dyn FnMut(&'static str, &[&[u8]]) -> Option<()>;

/// Makes what changes, one file at a time; what is to be remembered.
pub fn run(
    known: &Known<'_>,
    out: &dyn OpenDir,
    changes: &Changes,
    sink: Sink<'_>,
) -> Option<Record> {
    let mut p = Patch::begin(known, out, changes)?;
    let came_or_went = !changes.gone.is_empty() || !changes.added.is_empty();
    let others = |list: fn(&Facts) -> Vec<Span>| {
        let other = |a: &Altered| !same(&a.was, &a.is, list);
        p.altered.iter().any(other)
    };
    let symbols = came_or_went
        || others(|f| f.exports.iter().map(|e| e.name).collect())
        || others(|f| f.imports.iter().map(|i| i.name).collect());
    p.next.deps = match symbols {
        true => Symbols::of(&p)?.files(&p, sink)?,
        false => known.record.deps.clone(),
    };
    for which in 0..PIECED.len() {
        p.pieced(which, sink)?;
    }
    p.alias_bin(sink)?;
    Some(p.next)
}

/// Whether two modules list the same.
fn same(a: &Facts, b: &Facts, list: fn(&Facts) -> Vec<Span>) -> bool {
    let (x, y) = (list(a), list(b));
    x.len() == y.len() && x.iter().zip(&y).all(|(&x, &y)| a.get(x) == b.get(y))
}

/// Whether two modules say the same in every index: versions are in none.
fn same_facts(a: &Facts, b: &Facts) -> bool {
    let lists: [fn(&Facts) -> Vec<Span>; 5] = [
        |f| f.aliases.clone(),
        |f| f.softdeps.clone(),
        |f| f.weakdeps.clone(),
        |f| f.exports.iter().map(|e| e.name).collect(),
        |f| f.imports.iter().map(|i| i.name).collect(),
    ];
    lists.iter().all(|&l| same(a, b, l))
}

/// How long a module's pieces are.
pub fn pieces(name: &[u8], facts: &Facts) -> Option<Pieces> {
    let mut all = Pieces::default();
    let mut piece = Vec::new();
    for (len, file) in all.iter_mut().zip(&PIECED) {
        piece.clear();
        (file.piece)(name, facts, &mut piece).ok()?;
        *len = u32::try_from(piece.len()).ok()?;
    }
    Some(all)
}

/// Appends a module's facts.
pub fn put_facts(to: &mut Vec<u8>, facts: &Facts, here: bool) -> Place {
    let at = to.len();
    encode(facts, to);
    Place {
        here,
        at: at as u32,
        len: (to.len() - at) as u32,
        sum: checksum(&to[at..]),
    }
}

/// A module of this run: one of the last, or one that came.
#[derive(Clone, Copy)]
enum Row {
    Old(usize),
    Added(usize),
}

impl Row {
    fn old(self) -> Option<u32> {
        match self {
            Row::Old(i) => Some(i as u32),
            Row::Added(_) => None,
        }
    }
}

struct Added {
    path: Vec<u8>,
    name: Vec<u8>,
    place: u32,
    key: Key,
    facts: Facts,
}

impl<'a> Patch<'a> {
    /// Reads the modules that changed, and puts all in order.
    fn begin(known: &'a Known<'a>, out: &'a dyn OpenDir, changes: &Changes) -> Option<Patch<'a>> {
        let record = known.record;
        let facts_file = out.file(FACTS_FILE.as_bytes()).ok();
        let is_meant = |f: &dyn OpenFile| f.stat().is_ok_and(|st| record.facts_file.is(&st));
        let facts_file = facts_file.filter(|f| is_meant(&**f));
        let was = |i: usize| record.facts_from(&record.modules[i], facts_file.as_deref());
        let read = |path: &[u8]| facts::read(&*known.fs.open(&known.full(path)).ok()?, false).ok();

        let mut altered = Vec::new();
        for &(i, _) in &changes.modules {
            let path = record.path(i);
            let (was, is) = (was(i)?, read(path)?);
            if !same_facts(&was, &is) {
                altered.push(Altered {
                    name: path_to_modname(path)?,
                    old: Some(i as u32),
                    new: None,
                    was,
                    is,
                });
            }
        }
        let mut added = Vec::new();
        for (path, key) in &changes.added {
            let facts = read(path)?;
            added.push(known.added(path, *key, facts)?);
        }
        if !added.is_empty() {
            known.place(&mut added)?;
        }
        added.sort_by(|a, b| standing(a.place, &a.name).cmp(&standing(b.place, &b.name)));
        let rows = rows(record, changes, &added)?;
        let mut renumber = vec![GONE; record.modules.len()];
        for (new, row) in rows.iter().enumerate() {
            if let Row::Old(i) = row {
                renumber[*i] = new as u32;
            }
        }
        for a in &mut altered {
            a.new = a.old.map(|i| renumber[i as usize]);
        }
        let mut gone: Vec<usize> = changes.gone.iter().copied().collect();
        gone.sort_unstable();
        for i in gone {
            altered.push(Altered {
                name: path_to_modname(record.path(i))?,
                old: Some(i as u32),
                new: None,
                was: was(i)?,
                is: Facts::default(),
            });
        }
        for (new, row) in rows.iter().enumerate() {
            if let Row::Added(k) = row {
                altered.push(Altered {
                    name: added[*k].name.clone(),
                    old: None,
                    new: Some(new as u32),
                    was: Facts::default(),
                    is: std::mem::take(&mut added[*k].facts),
                });
            }
        }
        let mut kept: Vec<Option<u32>> = rows.iter().map(|r| r.old()).collect();
        for new in altered.iter().filter_map(|a| a.new) {
            kept[new as usize] = None;
        }
        let next = next(record, changes, &rows, &added, &altered)?;
        let moved = (0..).zip(&renumber).any(|(i, &n)| n != i);
        Some(Patch {
            known,
            out,
            facts_file,
            altered,
            kept,
            renumber,
            moved,
            next,
        })
    }

    /// What the indexes' priorities become.
    pub fn renumbering(&self) -> Renumber<'_> {
        self.moved.then_some(&self.renumber[..])
    }

    /// A file of the last run, if it is still what was written then.
    pub fn old_file(&self, name: &str) -> Option<Vec<u8>> {
        let at = output::NAMES.iter().position(|n| *n == name)?;
        let file = self.out.file(name.as_bytes()).ok()?;
        let bytes = file.read_all(FILE_MAX).ok()?;
        let is_meant = checksum(&bytes) == self.known.record.outputs.get(at)?.sum;
        is_meant.then_some(bytes)
    }

    /// What a module of the last run said then.
    pub fn facts(&self, module: usize) -> Option<Facts> {
        let record = self.known.record;
        record.facts_from(&record.modules[module], self.facts_file.as_deref())
    }

    pub fn facts_file(&self) -> Option<&dyn OpenFile> {
        self.facts_file.as_deref()
    }

    /// A file that is a piece per module, if it changes.
    fn pieced(&self, which: usize, sink: Sink<'_>) -> Option<()> {
        let file = &PIECED[which];
        let mut new: Map<u32, Vec<u8>> = Map::default();
        let mut changes = false;
        for a in &self.altered {
            let (mut was, mut is) = (Vec::new(), Vec::new());
            (file.piece)(&a.name, &a.was, &mut was).ok()?;
            (file.piece)(&a.name, &a.is, &mut is).ok()?;
            changes |= was != is;
            if let Some(number) = a.new {
                new.insert(number, is);
            }
        }
        if !changes {
            return Some(());
        }
        let old = self.old_file(file.name)?;
        let mut at = match old.is_empty() {
            true => 0,
            false => file.header.len(),
        };
        let mut places = Vec::with_capacity(self.renumber.len());
        for m in &self.known.record.modules {
            let end = at.checked_add(m.pieces[which] as usize)?;
            places.push(at..end);
            at = end;
        }
        if at != old.len() {
            return None;
        }
        let mut out = vec![file.header];
        // What is copied lies together for the most part.
        let mut run = 0..0;
        for (number, kept) in (0..).zip(&self.kept) {
            match kept.map(|old| places[old as usize].clone()) {
                Some(place) if place.start == run.end => run.end = place.end,
                Some(place) => {
                    out.push(old.get(run)?);
                    run = place;
                }
                None => {
                    out.push(old.get(run)?);
                    run = 0..0;
                    out.push(new.get(&number)?);
                }
            }
        }
        out.push(old.get(run)?);
        if !file.header_alone && out[1..].iter().all(|piece| piece.is_empty()) {
            out.clear();
        }
        sink(file.name, &out)
    }

    /// modules.alias.bin, if it changes.
    fn alias_bin(&self, sink: Sink<'_>) -> Option<()> {
        let mut removed = Vec::new();
        let mut added = Vec::new();
        for a in &self.altered {
            let (mut was, mut is) = (aliases(&a.was)?, aliases(&a.is)?);
            // Of a module that kept its number, what it kept stays.
            if let (Some(old), Some(new)) = (a.old, a.new)
                && self.renumber[old as usize] == new
            {
                (was, is) = apart(was, is);
            }
            let entry = |number: u32| move |key: Vec<u8>| (key, number, &a.name[..]);
            removed.extend(
                a.old
                    .into_iter()
                    .flat_map(|n| std::mem::take(&mut was).into_iter().map(entry(n))),
            );
            added.extend(
                a.new
                    .into_iter()
                    .flat_map(|n| std::mem::take(&mut is).into_iter().map(entry(n))),
            );
        }
        if removed.is_empty() && added.is_empty() && !self.moved {
            return Some(());
        }
        let name = "modules.alias.bin";
        let old = self.old_file(name)?;
        let patched = patch(old, &edits(&removed), &edits(&added), self.renumbering());
        sink(name, &patched.ok()?.content())
    }
}

/// A module's aliases, as the index has them.
fn aliases(f: &Facts) -> Option<Vec<Vec<u8>>> {
    let all = f.aliases.iter().map(|&a| alias_normalize(f.get(a)).ok());
    all.collect()
}

/// What is only in the one, and only in the other.
fn apart(mut a: Vec<Vec<u8>>, mut b: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    a.sort_unstable();
    b.sort_unstable();
    let (mut only_a, mut only_b) = (Vec::new(), Vec::new());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), Some(y)) if x < y => only_a.extend(a.next()),
            (Some(_), None) => only_a.extend(a.next()),
            (_, Some(_)) => only_b.extend(b.next()),
            (None, None) => return (only_a, only_b),
        }
    }
}

impl Known<'_> {
    fn added(&self, path: &[u8], key: Key, facts: Facts) -> Option<Added> {
        let name = path_to_modname(path)?;
        (simple_name(path) && facts.is_simple()).then_some(Added {
            path: path.to_vec(),
            name,
            place: UNLISTED,
            key,
            facts,
        })
    }

    /// Finds modules in `modules.order`.
    fn place(&self, added: &mut [Added]) -> Option<()> {
        let file = self.root.file(b"modules.order").ok()?;
        let text = file.read_all(crate::config::FILE_MAX).ok()?;
        let (places, None) = places(&text) else {
            return None;
        };
        for a in added {
            let found = Found::named(&self.full(&a.path), self.dirname)?;
            let place = found
                .uncompressed()
                .and_then(|p| places.get(&p[..]).copied());
            a.place = place.unwrap_or(UNLISTED);
        }
        Some(())
    }
}

/// The modules of this run in order.
fn rows(record: &Record, changes: &Changes, added: &[Added]) -> Option<Vec<Row>> {
    let stay = (0..record.modules.len()).filter(|i| !changes.gone.contains(i));
    let stay: Vec<usize> = stay.collect();
    let mut rows = Vec::with_capacity(stay.len() + added.len());
    let mut from = 0;
    for (k, a) in added.iter().enumerate() {
        let before = |&i: &usize| {
            let name = path_to_modname(record.path(i)).unwrap_or_default();
            standing(record.modules[i].place, &name) < standing(a.place, &a.name)
        };
        let to = from + stay[from..].partition_point(before);
        rows.extend(stay[from..to].iter().map(|&i| Row::Old(i)));
        rows.push(Row::Added(k));
        from = to;
    }
    rows.extend(stay[from..].iter().map(|&i| Row::Old(i)));
    (rows.len() < super::MODULES_MAX).then_some(rows)
}

/// What is to be remembered, but for who needs whom and what will be written.
fn next(
    record: &Record,
    changes: &Changes,
    rows: &[Row],
    added: &[Added],
    altered: &[Altered],
) -> Option<Record> {
    let mut next = Record {
        clean: record.clean,
        simple: record.simple,
        setting: record.setting,
        sources: record.sources,
        facts_file: record.facts_file,
        imports: record.imports,
        outputs: record.outputs.clone(),
        ..Record::default()
    };
    next.text.0.reserve(record.text.0.len() + 4096);
    next.modules.reserve_exact(rows.len());
    next.dirs
        .reserve_exact(record.dirs.len() + changes.new_dirs.len());
    let dirs: Map<usize, (Key, u64)> = changes.dirs.iter().map(|&(i, k, l)| (i, (k, l))).collect();
    for (i, d) in record.dirs.iter().enumerate() {
        if !changes.gone_dirs.contains(&i) {
            let (key, listing) = dirs.get(&i).copied().unwrap_or((d.key, d.listing));
            let path = next.text.add(record.text.get(d.path));
            next.dirs.push(KnownDir { path, key, listing });
        }
    }
    for d in &changes.new_dirs {
        let path = next.text.add(&d.path);
        next.dirs.push(KnownDir {
            path,
            key: d.key,
            listing: d.listing,
        });
    }
    let keys: Map<usize, Key> = changes.modules.iter().copied().collect();
    let says: Map<u32, &Altered> = altered.iter().filter_map(|a| Some((a.new?, a))).collect();
    for (number, row) in rows.iter().enumerate() {
        let mut m = match *row {
            Row::Old(i) => {
                let m = &record.modules[i];
                KnownModule {
                    path: next.text.add(record.text.get(m.path)),
                    key: keys.get(&i).copied().unwrap_or(m.key),
                    ..*m
                }
            }
            Row::Added(k) => KnownModule {
                path: next.text.add(&added[k].path),
                place: added[k].place,
                key: added[k].key,
                pieces: Pieces::default(),
                facts: Place::default(),
            },
        };
        match says.get(&(number as u32)) {
            Some(a) => {
                m.pieces = pieces(&a.name, &a.is)?;
                m.facts = put_facts(&mut next.here, &a.is, true);
            }
            None if m.facts.here => {
                let end = m.facts.at as usize + m.facts.len as usize;
                let facts = record.here.get(m.facts.at as usize..end)?;
                m.facts.at = next.here.len() as u32;
                next.here.extend_from_slice(facts);
            }
            None => {}
        }
        next.modules.push(m);
    }
    (next.here.len() <= CHANGED_MAX).then_some(next)
}

/// A key, with a module's number and the value.
pub type Entry<V> = (Vec<u8>, u32, V);

/// Entries to be removed or added.
pub fn edits<'e, V: AsRef<[u8]>>(all: &'e [Entry<V>]) -> Vec<Edit<'e>> {
    let edit = |(key, priority, value): &'e Entry<V>| Edit {
        key,
        value: value.as_ref(),
        priority: *priority,
    };
    all.iter().map(edit).collect()
}
