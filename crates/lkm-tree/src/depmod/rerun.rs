//! What has changed since the last run, found out with as few questions as
//! there are files: one for each directory and module. Only directories whose
//! times are others are read again.

use super::ask::{Other, others};
use super::cache::{Key, Record};
use super::order::{Map, Set};
use super::scan::{Contents, Listing, contents};
use crate::bytes;
use crate::config::depmod::DepmodConfig;
use crate::fs::{Files, Kind, OpenDir, Stat};
use crate::text::PATH_MAX;

/// A directory as it is now.
pub struct NewDir {
    pub path: Vec<u8>,
    pub key: Key,
    pub listing: u64,
}

/// What is different. Places are those in the record.
#[derive(Default)]
pub struct Changes {
    /// Directories with other times, and what is in them now.
    pub dirs: Vec<(usize, Key, u64)>,
    /// Directories that are gone.
    pub gone_dirs: Set<usize>,
    pub new_dirs: Vec<NewDir>,
    /// Modules whose file is another, in order.
    pub modules: Vec<(usize, Key)>,
    /// Modules that are gone.
    pub gone: Set<usize>,
    /// Paths of modules that were not there, as the record has them.
    pub added: Vec<(Vec<u8>, Key)>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty() && self.modules.is_empty() && self.gone_dirs.is_empty()
    }
}

/// A module directory and its record.
pub struct Known<'a> {
    pub fs: &'a dyn Files,
    pub record: &'a Record,
    pub config: &'a DepmodConfig,
    pub dirname: &'a [u8],
    /// The opened module directory.
    pub root: &'a dyn OpenDir,
    /// When this run began, in nanoseconds since the epoch.
    pub now_ns: i128,
}

impl Known<'_> {
    fn stat(&self, path: &[u8]) -> Option<Stat> {
        let st = match path {
            b"" => self.root.own_stat(),
            [b'/', ..] => self.fs.stat(path),
            _ => self.root.stat(path),
        };
        st.ok()
    }

    fn open(&self, path: &[u8]) -> Option<Box<dyn OpenDir>> {
        let opened = match path {
            b"" => self.fs.open_dir(self.dirname),
            [b'/', ..] => self.fs.open_dir(path),
            _ => self.root.dir(path),
        };
        opened.ok()
    }

    /// What has changed; none when that cannot be told for sure.
    pub fn changes(&self) -> Option<Changes> {
        let mut changes = Changes::default();
        let mut missing = Vec::new();
        let others = others(self.fs, self.record, self.root);
        for (i, st) in others.modules {
            match st {
                Some(st) if st.kind == Kind::File => {
                    changes.modules.push((i, Key::settled(&st, self.now_ns)));
                }
                _ => missing.push(i),
            }
        }
        let other = self.dirs(others.dirs, &mut changes)?;
        if !other.is_empty() || !changes.gone_dirs.is_empty() {
            self.compare(other, &mut changes)?;
        }
        // What was there a moment ago and is not, or the other way round, is
        // still being changed.
        let told = missing.iter().all(|i| changes.gone.contains(i));
        changes.modules.retain(|(i, _)| !changes.gone.contains(i));
        if changes.new_dirs.is_empty() && changes.added.is_empty() && changes.gone.is_empty() {
            // depmod's own files change the times of the directory they are in.
            let own = |i: &usize| self.record.dirs[*i].path.len == 0;
            if changes.modules.is_empty() && changes.dirs.iter().all(|(i, ..)| own(i)) {
                changes.dirs.clear();
            }
        }
        told.then_some(changes)
    }

    /// Notes directories whose times are others; those in which something else
    /// is now, by path.
    fn dirs(&self, asked: Vec<Other>, changes: &mut Changes) -> Option<Map<&[u8], Contents>> {
        let mut other = Map::default();
        for (i, st) in asked {
            let d = &self.record.dirs[i];
            let path = self.record.text.get(d.path);
            let Some(st) = st else {
                changes.gone_dirs.insert(i);
                continue;
            };
            let now = contents(&*self.open(path)?, self.config)?;
            let key = Key::settled(&st, self.now_ns);
            changes.dirs.push((i, key, now.listing.0));
            if now.listing != Listing(d.listing) {
                other.insert(path, now);
            }
        }
        Some(other)
    }

    /// Finds what came to directories and what went.
    fn compare(&self, mut other: Map<&[u8], Contents>, changes: &mut Changes) -> Option<()> {
        if other.values().any(|c| c.links) {
            return None;
        }
        let text = &self.record.text;
        // A directory that is gone is so for those above it, too.
        let missing = std::mem::take(&mut changes.gone_dirs);
        let mut gone: Set<&[u8]> = Set::default();
        for (i, d) in self.record.dirs.iter().enumerate() {
            let path = text.get(d.path);
            let (above, name) = split(path);
            let listed = other.get_mut(above).map(|c| c.dirs.remove(name));
            if !path.is_empty() && (gone.contains(above) || listed == Some(false)) {
                gone.insert(path);
                changes.gone_dirs.insert(i);
            } else if missing.contains(&i) {
                return None;
            }
        }
        for (i, m) in self.record.modules.iter().enumerate() {
            let (dir, name) = split(text.get(m.path));
            let listed = other.get_mut(dir).map(|c| c.modules.remove(name));
            if gone.contains(dir) || listed == Some(false) {
                changes.gone.insert(i);
            }
        }
        changes
            .dirs
            .retain(|(i, ..)| !changes.gone_dirs.contains(i));
        for (path, now) in other {
            if !gone.contains(path) {
                self.enter(path, now, changes)?;
            }
        }
        Some(())
    }

    /// Enters modules and directories that were not there.
    fn enter(&self, dir: &[u8], new: Contents, changes: &mut Changes) -> Option<()> {
        let below = |name: &[u8]| match dir {
            b"" => name.to_vec(),
            _ => bytes!(dir, "/", name),
        };
        for name in new.modules {
            let path = below(&name);
            let st = self.stat(&path).filter(|st| st.kind == Kind::File)?;
            changes.added.push((path, Key::settled(&st, self.now_ns)));
        }
        for name in new.dirs {
            let path = below(&name);
            if self.dirname.len() + 1 + path.len() >= PATH_MAX {
                return None;
            }
            let key = Key::settled(&self.stat(&path)?, self.now_ns);
            let now = contents(&*self.open(&path)?, self.config)?;
            if now.links {
                return None;
            }
            // Before those below it, as the record has them.
            changes.new_dirs.push(NewDir {
                path: path.clone(),
                key,
                listing: now.listing.0,
            });
            self.enter(&path, now, changes)?;
        }
        Some(())
    }

    /// The full path of a module.
    pub fn full(&self, path: &[u8]) -> Vec<u8> {
        match path {
            [b'/', ..] => path.to_vec(),
            path => bytes!(self.dirname, "/", path),
        }
    }
}

/// The directory of a path, and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&c| c == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
