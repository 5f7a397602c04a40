//! What depmod remembers between runs, and the short way that opens when
//! little has changed since the last.

use std::hash::Hasher;

use super::Request;
use super::read::Read;
use crate::bytes;
use crate::config::depmod::DepmodConfig;
use crate::depmod::cache::{
    FACTS_FILE, FILE, FILE_MAX, Key, KnownDir, KnownModule, Place, Record, SOURCES, checksum,
};
use crate::depmod::facts::{self, Facts, Span};
use crate::depmod::facts_codec::encode;
use crate::depmod::order::{Map, Quick};
use crate::depmod::output::{self, Input, Notes};
use crate::depmod::publish::publish;
use crate::depmod::rerun::{Changes, Known, Stale};
use crate::depmod::resolve::Tree;
use crate::depmod::scan::{Found, Searched};
use crate::fs::{Files, OpenDir, Stat};

/// When the facts of changed modules take more bytes, all are written anew.
const CHANGED_MAX: usize = 1 << 20;

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

    /// The short way: does what there is to do when no module came or went and
    /// nothing is to be said. False when the long way must be gone.
    pub fn rerun(
        &mut self,
        fs: &dyn Files,
        dirname: &[u8],
        outname: &[u8],
        config: &DepmodConfig,
    ) -> bool {
        let record = &self.record;
        if !self.plain || !record.clean || record.setting != self.setting {
            return false;
        }
        self.try_rerun(fs, dirname, outname, config).is_some()
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
        let same = |dir: &dyn OpenDir, names: &[&str], keys: &[Key]| {
            names.len() == keys.len()
                && names
                    .iter()
                    .zip(keys)
                    .all(|(n, k)| dir.stat(n.as_bytes()).is_ok_and(|st| k.is(&st)))
        };
        if !same(&*root, &SOURCES, &self.record.sources)
            || !same(&*out, &output::NAMES, &self.record.outputs)
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
        let mut stale = Stale::default();
        let mut news = Vec::new();
        let facts_file = out.file(FACTS_FILE.as_bytes()).ok();
        let facts_file =
            facts_file.filter(|f| f.stat().is_ok_and(|st| self.record.facts_file.is(&st)));
        for &(i, _) in &changes.modules {
            let module = &self.record.modules[i];
            let path = known.path(module);
            let new = facts::read(&*fs.open(&path).ok()?, false).ok()?;
            let old = self.record.facts_from(module, facts_file.as_deref())?;
            let made_stale = Stale::between(&old, &new);
            if made_stale != Stale::default() {
                stale.merge(made_stale);
                news.push((i, new));
            }
        }
        if stale != Stale::default() {
            self.remake(dirname, &*out, stale, &news)?;
        }
        self.note(&changes, &news);
        // So that whoever compares times sees that this run has been.
        let _ = out.touch(b"modules.dep");
        self.record.outputs = keys(&*out, &output::NAMES);
        save(&*out, FILE, &self.record.encode());
        Some(())
    }

    /// Makes the stale indexes anew.
    fn remake(
        &mut self,
        dirname: &[u8],
        out: &dyn OpenDir,
        stale: Stale,
        news: &[(usize, Facts)],
    ) -> Option<()> {
        let grown: usize = news.iter().map(|(_, f)| f.text.len() * 2).sum();
        if self.record.text.len() + grown > CHANGED_MAX + self.record.modules.len() * 256 {
            return None;
        }
        self.load_facts(out)?;
        let mut modules = Vec::with_capacity(self.record.modules.len());
        let mut news = news.iter().peekable();
        for (i, m) in self.record.modules.iter().enumerate() {
            let found = Found::known(self.record.get(m.path), dirname)?;
            let facts = match news.next_if(|(at, _)| *at == i) {
                Some((_, new)) => new.clone(),
                None => self.record.facts(m, &self.facts)?,
            };
            modules.push((found, facts));
        }
        let mut tree = Tree::default();
        tree.add_modules(modules, Default::default());
        if stale.symbols {
            tree.resolve(Default::default());
            // Loops are for the long way to tell.
            tree.sort().ok()?;
        }
        let mut notes = Notes::default();
        let input = Input {
            tree: &tree,
            builtin: None,
            builtin_modinfo: None,
            warn_duplicates: false,
            stale,
        };
        let files = output::files(&input, true, &mut notes);
        let silent = notes.warnings.is_empty() && notes.errors.is_empty() && !notes.incomplete;
        if !silent {
            return None;
        }
        publish(out, &files).ok()
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

    /// Enters what has changed.
    fn note(&mut self, changes: &Changes, news: &[(usize, Facts)]) {
        for &(i, key) in &changes.dirs {
            self.record.dirs[i].key = key;
        }
        for &(i, key) in &changes.modules {
            self.record.modules[i].key = key;
        }
        for (i, facts) in news {
            self.record.modules[*i].facts = put_facts(&mut self.record.text, facts, true);
        }
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
            self.by_path.insert(self.record.get(m.path).to_vec(), i);
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
        let mut new = Record {
            setting: self.setting,
            facts_file: old.facts_file,
            ..Record::default()
        };
        for d in searched {
            let path = match d.path.strip_prefix(dirname) {
                Some([]) => b"",
                Some([b'/', rest @ ..]) => rest,
                _ => &d.path[..],
            };
            let path = new.add(path);
            let key = d
                .stat
                .map_or(Key::default(), |st| Key::settled(&st, self.now_ns));
            new.dirs.push(KnownDir {
                path,
                key,
                listing: d.listing.0,
            });
        }
        let all = || found.iter().zip(read);
        for (f, r) in all() {
            let Ok(facts) = &r.facts else { continue };
            let path = new.add(f.shown());
            let place = match r.known.map(|k| old.modules[k].facts) {
                Some(place) if !place.here => place,
                _ => put_facts(&mut new.text, facts, true),
            };
            new.modules.push(KnownModule {
                path,
                key: r.key,
                facts: place,
            });
        }
        let here: usize = new
            .modules
            .iter()
            .filter(|m| m.facts.here)
            .map(|m| m.facts.len as usize)
            .sum();
        self.facts = Vec::new();
        if here > CHANGED_MAX {
            let mut slim = Record {
                text: Vec::new(),
                facts_file: Key::default(),
                ..new.clone()
            };
            let mut copy = |s: Span| slim_add(&mut slim.text, new.get(s));
            for d in &mut slim.dirs {
                d.path = copy(d.path);
            }
            for (m, (_, r)) in slim
                .modules
                .iter_mut()
                .zip(all().filter(|(_, r)| r.facts.is_ok()))
            {
                m.path = copy(m.path);
                if let Ok(facts) = &r.facts {
                    m.facts = put_facts(&mut self.facts, facts, false);
                }
            }
            new = slim;
        }
        self.record = new;
    }

    /// Writes what [`Memory::take`] prepared, once the indexes are written.
    /// Without a cache the next run is slower, and that is all that failing
    /// means.
    pub fn save(&mut self, fs: &dyn Files, dirname: &[u8], out: &dyn OpenDir, clean: bool) {
        if self.forget {
            let _ = out.remove(FILE.as_bytes());
            let _ = out.remove(FACTS_FILE.as_bytes());
        }
        if !self.on {
            return;
        }
        self.record.clean = clean;
        if let Ok(root) = fs.open_dir(dirname) {
            self.record.sources = std::array::from_fn(|i| {
                let st = root.stat(SOURCES[i].as_bytes());
                st.map_or(Key::default(), |st| Key::settled(&st, self.now_ns))
            });
        }
        self.record.outputs = keys(out, &output::NAMES);
        if !self.facts.is_empty() {
            save(out, FACTS_FILE, &self.facts);
            self.record.facts_file = keys(out, &[FACTS_FILE])[0];
        }
        save(out, FILE, &self.record.encode());
    }
}

fn slim_add(text: &mut Vec<u8>, s: &[u8]) -> Span {
    let at = text.len() as u32;
    text.extend_from_slice(s);
    Span {
        at,
        len: s.len() as u32,
    }
}

fn put_facts(to: &mut Vec<u8>, facts: &Facts, here: bool) -> Place {
    let at = to.len();
    encode(facts, to);
    Place {
        here,
        at: at as u32,
        len: (to.len() - at) as u32,
        sum: checksum(&to[at..]),
    }
}

fn keys(dir: &dyn OpenDir, names: &[&str]) -> Vec<Key> {
    let key = |n: &&str| {
        dir.stat(n.as_bytes())
            .map_or(Key::default(), |st| Key::of(&st))
    };
    names.iter().map(key).collect()
}

fn save(dir: &dyn OpenDir, name: &str, content: &[u8]) {
    if let Ok(t) = dir.create_temporary(content, 0o644)
        && dir.rename(&t, name.as_bytes()).is_err()
    {
        let _ = dir.remove(&t);
    }
}
