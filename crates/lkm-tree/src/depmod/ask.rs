//! Asks many files for their times: relative to directories on the way that
//! many of them share, for most of such a question is the way to the file, and
//! by two threads, for the rest of it is waiting for memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cache::{Key, Record};
use crate::fs::{Files, OpenDir, Stat};

/// A directory is opened when it shortens the way of so many that follow by
/// so many steps: opening one costs about as much as twenty steps.
const OPENED_FOR: [(usize, usize); 2] = [(8, 3), (24, 1)];

/// So many are asked before looking which are left.
const STEP: usize = 256;

/// Fewer are not worth a thread.
const ALONE_MAX: usize = 1000;

/// A file of a record and what it is now; none where there is none.
pub type Other = (usize, Option<Stat>);

/// The modules and directories of a record that are not what they were, by
/// their places, in order.
#[derive(Default)]
pub struct Others {
    pub modules: Vec<Other>,
    pub dirs: Vec<Other>,
}

/// Asks all files of a record.
pub fn others(fs: &dyn Files, record: &Record, root: &dyn OpenDir) -> Others {
    let (modules, dirs) = (record.modules.len(), record.dirs.len());
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Others::default());
    let work = |root: &dyn OpenDir| {
        let mut mine = Others::default();
        let mut way = Way::new(fs, root);
        loop {
            let start = next.fetch_add(STEP, Ordering::Relaxed);
            let end = (start + STEP).min(modules + dirs);
            if start >= end {
                break;
            }
            let module = |i: usize| (record.path(i), &record.modules[i].key);
            way.ask(start..end.min(modules), module, &mut mine.modules);
            let dir = |i: usize| (record.text.get(record.dirs[i].path), &record.dirs[i].key);
            let first = start.max(modules) - modules;
            way.ask(first..end.max(modules) - modules, dir, &mut mine.dirs);
        }
        let mut all = all.lock().unwrap_or_else(|e| e.into_inner());
        all.modules.append(&mut mine.modules);
        all.dirs.append(&mut mine.dirs);
    };
    // A descriptor of its own: two threads that use the same one wait for
    // each other.
    let second = match root.on_disk() && modules + dirs > ALONE_MAX {
        true => root.dir(b".").ok(),
        false => None,
    };
    std::thread::scope(|s| {
        if let Some(second) = second {
            // Where no thread can be had, this one does it all.
            let _ = std::thread::Builder::new().spawn_scoped(s, || {
                let second = second;
                work(&*second);
            });
        }
        work(root);
    });
    let mut all = all.into_inner().unwrap_or_else(|e| e.into_inner());
    all.modules.sort_unstable_by_key(|(i, _)| *i);
    all.dirs.sort_unstable_by_key(|(i, _)| *i);
    all
}

/// The way to the files that are asked: the last directory on it that was
/// opened.
struct Way<'a> {
    fs: &'a dyn Files,
    root: &'a dyn OpenDir,
    opened: Option<(Box<dyn OpenDir>, Vec<u8>)>,
}

impl<'a> Way<'a> {
    fn new(fs: &'a dyn Files, root: &'a dyn OpenDir) -> Way<'a> {
        let opened = None;
        Way { fs, root, opened }
    }

    /// Asks some of the files.
    fn ask<'f>(
        &mut self,
        which: std::ops::Range<usize>,
        file: impl Fn(usize) -> (&'f [u8], &'f Key),
        others: &mut Vec<Other>,
    ) {
        let end = which.end;
        for i in which {
            let (path, key) = file(i);
            let ahead = |n: usize| (i + n <= end).then(|| file(i + n - 1).0);
            self.go(path, ahead);
            match self.stat(path) {
                Some(st) if key.is(&st) => {}
                st => others.push((i, st)),
            }
        }
    }

    /// Opens a directory on the way to a file if that is worth it; `ahead`
    /// tells the path of the n-th file from here.
    fn go<'f>(&mut self, path: &'f [u8], ahead: impl Fn(usize) -> Option<&'f [u8]>) {
        if path.first() == Some(&b'/') {
            return;
        }
        if self
            .opened
            .as_ref()
            .is_some_and(|o| !path.starts_with(&o.1))
        {
            self.opened = None;
        }
        let here = self.opened.as_ref().map_or(0, |o| o.1.len());
        let shared = OPENED_FOR.iter().find_map(|&(files, steps)| {
            let len = shared(path, ahead(files)?);
            let way = path.get(here..len)?;
            let worth = way.iter().filter(|&&c| c == b'/').count() >= steps;
            worth.then_some(len)
        });
        let Some(len) = shared else { return };
        let from = self.opened.as_ref().map_or(self.root, |o| &*o.0);
        // One that cannot be opened can still be gone through.
        if let Ok(dir) = from.dir(&path[here..len - 1]) {
            self.opened = Some((dir, path[..len].to_vec()));
        }
    }

    fn stat(&self, path: &[u8]) -> Option<Stat> {
        let st = match (path, &self.opened) {
            (b"", _) => self.root.own_stat(),
            ([b'/', ..], _) => self.fs.stat(path),
            (_, Some((dir, way))) => dir.stat(&path[way.len()..]),
            _ => self.root.stat(path),
        };
        st.ok()
    }
}

/// How long the directories are that two paths share, with the slash.
fn shared(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let slash = a[..same].iter().rposition(|&c| c == b'/');
    slash.map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::super::cache::{KnownDir, KnownModule, Place};
    use super::*;
    use crate::fs::RealFiles;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn all_that_is_different_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let root = RealFiles
            .open_dir(temp.path().as_os_str().as_bytes())
            .unwrap();
        let mut record = Record::default();
        for d in 0..30 {
            let dir = format!("kernel/drivers/net/{}/d{d}", ["a", "b/c/d"][d % 2]);
            std::fs::create_dir_all(temp.path().join(&dir)).unwrap();
            for m in 0..d * 3 {
                let path = format!("{dir}/m{m}.ko");
                std::fs::write(temp.path().join(&path), "").unwrap();
                let st = root.stat(path.as_bytes()).unwrap();
                record.modules.push(KnownModule {
                    path: record.text.add(path.as_bytes()),
                    place: 0,
                    key: Key::of(&st),
                    pieces: Default::default(),
                    facts: Place::default(),
                });
            }
            let st = root.stat(dir.as_bytes()).unwrap();
            record.dirs.push(KnownDir {
                path: record.text.add(dir.as_bytes()),
                key: Key::of(&st),
                listing: 0,
            });
        }
        assert!(record.modules.len() > ALONE_MAX);
        let ask = || others(&RealFiles, &record, &*root);
        let places = |others: &[Other]| others.iter().map(|o| o.0).collect::<Vec<_>>();
        assert!(ask().modules.is_empty() && ask().dirs.is_empty());
        let changed = [0, 1, STEP - 1, STEP, 700, record.modules.len() - 1];
        for (n, &i) in changed.iter().enumerate() {
            let path = temp
                .path()
                .join(std::str::from_utf8(record.path(i)).unwrap());
            match n {
                1 => std::fs::write(path, "more").unwrap(),
                _ => {
                    std::fs::write(path.with_extension("new"), "").unwrap();
                    std::fs::rename(path.with_extension("new"), path).unwrap();
                }
            }
        }
        std::fs::remove_file(temp.path().join("kernel/drivers/net/b/c/d/d3/m2.ko")).unwrap();
        let found = ask();
        let gone: Vec<usize> = found
            .modules
            .iter()
            .filter(|o| o.1.is_none())
            .map(|o| o.0)
            .collect();
        let mut all = [&changed[..], &gone].concat();
        all.sort();
        assert_eq!((gone.len(), places(&found.modules)), (1, all));
        // Those in which something was renamed or removed.
        assert!(places(&found.dirs).contains(&3));
        let untouched = |i: &usize| *i == 4;
        assert!(!places(&found.dirs).iter().any(untouched));
    }
}
