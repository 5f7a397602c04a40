//! What depmod remembers between runs, and the short way that opens when
//! little has changed since the last.

use std::hash::Hasher;

use super::Request;
use super::read::Read;
use crate::bytes;
use crate::config::depmod::DepmodConfig;
use crate::depmod::cache::{
    FACTS_FILE, FILE, FILE_MAX, Key, KnownDir, KnownModule, Pieces, Record, SOURCES, Written,
    checksum, checksum_of, simple_name,
};
use crate::depmod::facts::Facts;
use crate::depmod::imports::{Collected, Part};
use crate::depmod::order::{Map, Quick, Set};
use crate::depmod::output::{self, File};
use crate::depmod::patch::{self, CHANGED_MAX, pieces, put_facts};
use crate::depmod::publish::publishing;
use crate::depmod::rerun::Known;
use crate::depmod::resolve::Tree;
use crate::depmod::scan::{Found, Searched};
use crate::fs::{Files, OpenDir, Stat};

/// See the module's text.
#[derive(Default)]
pub struct Memory {
    /// Whether it is in use at all.
    pub on: bool,
    /// When this run began, in nanoseconds since the epoch.
    pub now_ns: i128,
    /// The old one is to go.
    forget: bool,
    /// Nothing was asked for that a record does not know.
    plain: bool,
    setting: u64,
    record: Record,
    /// The facts file's bytes, once they are needed.
    facts: Vec<u8>,
    /// Modules of the record by path.
    by_path: Map<Vec<u8>, usize>,
}

impl Memory {
    /// Reads what the last run left.
    pub fn open(fs: &dyn Files, outname: &[u8], r: &Request, config: &DepmodConfig) -> Memory {
        let mut memory = Memory {
            forget: r.no_incremental,
            ..Memory::default()
        };
        // CRCs are not remembered.
        if r.no_incremental || r.show || r.checks.versions || !r.all {
            return memory;
        }
        keep_freed_memory();
        let old = fs.read(&bytes!(outname, "/", FILE), FILE_MAX).ok();
        memory.on = r.incremental || old.is_some();
        if !memory.on {
            return memory;
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        memory.now_ns = since.map_or(0, |d| d.as_nanos() as i128);
        memory.plain = r.verbosity == 0
            && !r.warn_duplicates
            && !r.checks.unknown
            && r.checks.prefix.is_none()
            && r.system_map.is_none();
        let mut hash = Quick::default();
        hash.write(format!("{config:?}").as_bytes());
        memory.setting = hash.finish();
        memory.record = old.and_then(|b| Record::parse(&b)).unwrap_or_default();
        memory
    }

    /// The short way: does what there is to do when little has changed and
    /// nothing is to be said. False when the long way must be gone.
    pub fn rerun(
        &mut self,
        fs: &dyn Files,
        dirname: &[u8],
        outname: &[u8],
        config: &DepmodConfig,
    ) -> bool {
        let record = &self.record;
        let known = record.clean && record.simple && record.setting == self.setting;
        self.plain && known && self.try_rerun(fs, dirname, outname, config).is_some()
    }

    fn try_rerun(
        &mut self,
        fs: &dyn Files,
        dirname: &[u8],
        outname: &[u8],
        config: &DepmodConfig,
    ) -> Option<()> {
        let root = fs.open_dir(dirname).ok()?;
        let out = fs.open_dir(outname).ok()?;
        let same = |dir: &dyn OpenDir, name: &str, key: &Key| {
            dir.stat(name.as_bytes()).is_ok_and(|st| key.is(&st))
        };
        let written = self.record.outputs.iter().map(|w| &w.key);
        if self.record.outputs.len() != output::NAMES.len()
            || !SOURCES
                .iter()
                .zip(&self.record.sources)
                .all(|(n, k)| same(&*root, n, k))
            || !output::NAMES
                .iter()
                .zip(written)
                .all(|(n, k)| same(&*out, n, k))
        {
            return None;
        }
        let known = Known {
            fs,
            record: &self.record,
            config,
            dirname,
            root: &*root,
            now_ns: self.now_ns,
        };
        let changes = known.changes()?;
        if changes.is_empty() {
            return Some(());
        }
        let mut sums = Vec::new();
        let mut record = publishing(&*out, |mut publication| {
            let record = patch::run(&known, &*out, &changes, &mut |name, content| {
                sums.push((name, checksum_of(content)));
                publication.add(name, content).ok()
            })?;
            publication.commit().ok()?;
            Some(record)
        })?;
        // So that whoever compares times sees that this run has been.
        let _ = out.touch(b"modules.dep");
        note_outputs(&mut record, &*out, &sums);
        save(&*out, FILE, &record.encode());
        Some(())
    }

    fn load_facts(&mut self, out: &dyn OpenDir) -> Option<()> {
        if self.record.modules.iter().all(|m| m.facts.here) {
            return Some(());
        }
        let file = out.file(FACTS_FILE.as_bytes()).ok()?;
        if !self.record.facts_file.is(&file.stat().ok()?) {
            return None;
        }
        self.facts = file.read_all(FILE_MAX).ok()?;
        Some(())
    }

    /// Prepares for [`Memory::get`].
    pub fn recall(&mut self, fs: &dyn Files, outname: &[u8]) {
        if !self.on || self.record.modules.is_empty() {
            return;
        }
        let loaded = fs.open_dir(outname).ok().and_then(|d| self.load_facts(&*d));
        if loaded.is_none() {
            self.record = Record::default();
            return;
        }
        for (i, m) in self.record.modules.iter().enumerate() {
            self.by_path
                .insert(self.record.text.get(m.path).to_vec(), i);
        }
    }

    /// A module's place in the record and its facts, if it is the same.
    pub fn get(&self, f: &Found, st: &Stat) -> Option<(usize, Facts)> {
        let i = *self.by_path.get(f.shown())?;
        let m = &self.record.modules[i];
        m.key.is(st).then_some(())?;
        Some((i, self.record.facts(m, &self.facts)?))
    }

    /// Prepares what is to be remembered of this run, before its modules are
    /// taken elsewhere.
    pub fn take(&mut self, dirname: &[u8], searched: &[Searched], found: &[Found], read: &[Read]) {
        if !self.on {
            return;
        }
        let old = std::mem::take(&mut self.record);
        self.facts = Vec::new();
        let mut new = Record {
            setting: self.setting,
            ..Record::default()
        };
        for d in searched {
            let path = match d.path.strip_prefix(dirname) {
                Some([]) => b"",
                Some([b'/', rest @ ..]) => rest,
                _ => &d.path[..],
            };
            let path = new.text.add(path);
            let key = d
                .stat
                .map_or(Key::default(), |st| Key::settled(&st, self.now_ns));
            new.dirs.push(KnownDir {
                path,
                key,
                listing: d.listing.0,
            });
        }
        let known = |r: &Read| {
            let place = r.known.map(|k| old.modules[k].facts);
            place.filter(|p| !p.here)
        };
        let all = || {
            let all = found.iter().zip(read);
            all.filter_map(|(f, r)| Some((f, r, r.facts.as_ref().ok()?)))
        };
        // All are written anew when that is not much more than what changed.
        let size = |(_, _, f): &(&Found, &Read, &Facts)| f.text.0.len();
        let total: usize = all().map(|a| size(&a)).sum();
        let changed: usize = all()
            .filter(|a| known(a.1).is_none())
            .map(|a| size(&a))
            .sum();
        let anew = changed > CHANGED_MAX / 2 || changed > total / 2;
        if !anew {
            new.facts_file = old.facts_file;
            new.imports = old.imports;
        }
        let mut imports = Collected::default();
        for (f, r, facts) in all() {
            let place = match known(r) {
                _ if anew => {
                    let place = put_facts(&mut self.facts, facts, false);
                    imports.add(facts, place.at);
                    place
                }
                Some(place) => place,
                None => put_facts(&mut new.here, facts, true),
            };
            new.modules.push(KnownModule {
                path: new.text.add(f.shown()),
                place: f.place,
                key: r.key,
                pieces: Pieces::default(),
                facts: place,
            });
        }
        if anew {
            let at = self.facts.len();
            imports.write(&mut self.facts);
            new.imports = Part::of(&self.facts, at);
        }
        self.record = new;
    }

    /// Writes what [`Memory::take`] prepared, once the indexes are written.
    /// Without a cache the next run is slower, and that is all that failing
    /// means.
    pub fn save(
        &mut self,
        fs: &dyn Files,
        dirname: &[u8],
        out: &dyn OpenDir,
        (tree, files): (&Tree, &[File]),
        clean: bool,
    ) {
        if self.forget {
            let _ = out.remove(FILE.as_bytes());
            let _ = out.remove(FACTS_FILE.as_bytes());
        }
        if !self.on {
            return;
        }
        let record = &mut self.record;
        record.clean = clean;
        record.simple = simple(tree);
        record.deps = tree.deps.clone();
        for (known, m) in record.modules.iter_mut().zip(&tree.modules) {
            // None where there was something to complain about.
            known.pieces = pieces(m.name(), &m.facts).unwrap_or_default();
        }
        if let Ok(root) = fs.open_dir(dirname) {
            record.sources = std::array::from_fn(|i| {
                let st = root.stat(SOURCES[i].as_bytes());
                st.map_or(Key::default(), |st| Key::settled(&st, self.now_ns))
            });
        }
        record.outputs = vec![Written::default(); output::NAMES.len()];
        let sums: Vec<_> = files
            .iter()
            .map(|f| (f.name, checksum(&f.content)))
            .collect();
        note_outputs(record, out, &sums);
        if !self.facts.is_empty() {
            save(out, FACTS_FILE, &self.facts);
            record.facts_file = key(out, FACTS_FILE);
        }
        save(out, FILE, &record.encode());
    }
}

/// Whether what is written can be patched: each name is one word, and no
/// symbol is exported twice.
fn simple(tree: &Tree) -> bool {
    let mut exports = Set::default();
    tree.modules.iter().all(|m| {
        let own: Set<&[u8]> = m
            .facts
            .exports
            .iter()
            .map(|e| m.facts.get(e.name))
            .collect();
        let names = simple_name(m.found.shown()) && m.facts.is_simple();
        names && own.into_iter().all(|e| exports.insert(e))
    })
}

/// Notes the files that are there now; the sums of those just written.
fn note_outputs(record: &mut Record, out: &dyn OpenDir, sums: &[(&str, u64)]) {
    for (written, name) in record.outputs.iter_mut().zip(output::NAMES) {
        written.key = key(out, name);
        if let Some((_, sum)) = sums.iter().find(|(n, _)| *n == name) {
            written.sum = *sum;
        }
    }
}

/// One file after the other is read, patched and written. The C library gives
/// each such piece of memory back to the kernel and asks for new one, whose
/// first use costs more than all else that is done with it, until it has seen
/// a larger one come back.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(8 << 20)));
}

fn key(dir: &dyn OpenDir, name: &str) -> Key {
    let st = dir.stat(name.as_bytes());
    st.map_or(Key::default(), |st| Key::of(&st))
}

fn save(dir: &dyn OpenDir, name: &str, content: &[u8]) {
    if let Ok(t) = dir.create_temporary(&[content], 0o644)
        && dir.rename(&t, name.as_bytes()).is_err()
    {
        let _ = dir.remove(&t);
    }
}
