//! What has changed since the last run, found out with as few questions as
//! there are files: one for each directory and module.
//!
//! As long as the same modules are in the same directories, only those whose
//! files changed are read, and only indexes are made anew in which something
//! else stands then.

use super::cache::{Key, KnownModule, Record};
use super::facts::Facts;
use super::scan::list;
use crate::bytes;
use crate::config::depmod::DepmodConfig;
use crate::fs::{Files, Kind, OpenDir, Stat};

/// What is different, where no module came or went.
#[derive(Default)]
pub struct Changes {
    /// Directories with the same contents but other times, by place in the
    /// record, with their new key.
    pub dirs: Vec<(usize, Key)>,
    /// Modules whose file is another, by place in the record.
    pub modules: Vec<(usize, Key)>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty() && self.modules.is_empty()
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

/// Fewer modules than this are not worth a thread.
const ALONE: usize = 512;

impl Known<'_> {
    fn stat(&self, path: &[u8]) -> Option<Stat> {
        let st = match path {
            b"" => self.root.own_stat(),
            [b'/', ..] => self.fs.stat(path),
            _ => self.root.stat(path),
        };
        st.ok()
    }

    /// What has changed; none when a module came or went, or may have.
    pub fn changes(&self) -> Option<Changes> {
        let modules = &self.record.modules[..];
        let (mine, other) = modules.split_at(match modules.len() {
            n if n < ALONE => n,
            n => n / 2,
        });
        let mut changes = std::thread::scope(|s| {
            let helper = (!other.is_empty()).then(|| s.spawn(|| self.modules(other, mine.len())));
            let mut all = self.modules(mine, 0)?;
            if let Some(h) = helper {
                all.extend(h.join().ok()??);
            }
            Some(Changes {
                dirs: Vec::new(),
                modules: all,
            })
        })?;
        for (i, d) in self.record.dirs.iter().enumerate() {
            let path = self.record.get(d.path);
            let st = self.stat(path)?;
            if d.key.is(&st) {
                continue;
            }
            let opened = match path {
                b"" => self.fs.open_dir(self.dirname),
                [b'/', ..] => self.fs.open_dir(path),
                _ => self.root.dir(path),
            };
            if list(&*opened.ok()?, self.config)?.0 != d.listing {
                return None;
            }
            changes.dirs.push((i, Key::settled(&st, self.now_ns)));
        }
        Some(changes)
    }

    fn modules(&self, modules: &[KnownModule], first: usize) -> Option<Vec<(usize, Key)>> {
        let mut changed = Vec::new();
        for (i, m) in modules.iter().enumerate() {
            let st = self.stat(self.record.get(m.path))?;
            if !m.key.is(&st) {
                if st.kind != Kind::File {
                    return None;
                }
                changed.push((first + i, Key::settled(&st, self.now_ns)));
            }
        }
        Some(changed)
    }

    /// The full path of a module.
    pub fn path(&self, m: &KnownModule) -> Vec<u8> {
        match self.record.get(m.path) {
            path @ [b'/', ..] => path.to_vec(),
            path => bytes!(self.dirname, "/", path),
        }
    }
}

/// Which indexes have to be made anew.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stale {
    /// modules.alias, modules.devname
    pub aliases: bool,
    pub softdeps: bool,
    pub weakdeps: bool,
    /// modules.dep, modules.symbols
    pub symbols: bool,
    /// modules.builtin.bin, modules.builtin.alias.bin
    pub builtin: bool,
}

impl Stale {
    pub const ALL: Stale = Stale {
        aliases: true,
        softdeps: true,
        weakdeps: true,
        symbols: true,
        builtin: true,
    };

    pub fn merge(&mut self, other: Stale) {
        self.aliases |= other.aliases;
        self.softdeps |= other.softdeps;
        self.weakdeps |= other.weakdeps;
        self.symbols |= other.symbols;
        self.builtin |= other.builtin;
    }

    /// What a module makes stale that says something else than before.
    pub fn between(old: &Facts, new: &Facts) -> Stale {
        let same = |a: &[super::facts::Span], b: &[super::facts::Span]| {
            let (a, b) = (a.iter().map(|&s| old.get(s)), b.iter().map(|&s| new.get(s)));
            a.eq(b)
        };
        // Versions are in no index.
        let exports = |f: &Facts| f.exports.iter().map(|e| e.name).collect::<Vec<_>>();
        let imports = |f: &Facts| f.imports.iter().map(|i| i.name).collect::<Vec<_>>();
        Stale {
            aliases: !same(&old.aliases, &new.aliases),
            softdeps: !same(&old.softdeps, &new.softdeps),
            weakdeps: !same(&old.weakdeps, &new.weakdeps),
            symbols: !same(&exports(old), &exports(new)) || !same(&imports(old), &imports(new)),
            builtin: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Export, Import};
    use super::*;

    #[test]
    fn only_what_stands_in_an_index_makes_it_stale() {
        let facts = |alias: &[u8], export: &[u8], crc: u64| {
            let mut f = Facts::default();
            let (a, e, i) = (f.add(alias), f.add(export), f.add(b"printk"));
            f.aliases.push(a);
            f.exports.push(Export { name: e, crc });
            f.imports.push(Import {
                name: i,
                weak: false,
            });
            f
        };
        let old = facts(b"pci:1", b"sym", 1);
        let stale = |new: &Facts| Stale::between(&old, new);
        assert_eq!(stale(&facts(b"pci:1", b"sym", 2)), Stale::default());
        let aliases = Stale {
            aliases: true,
            ..Stale::default()
        };
        assert_eq!(stale(&facts(b"pci:22", b"sym", 1)), aliases);
        assert!(stale(&facts(b"pci:1", b"other", 1)).symbols);
    }
}
