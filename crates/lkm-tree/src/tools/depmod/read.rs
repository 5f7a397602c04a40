//! Reads all modules of a tree, on all processors, or remembers them from the
//! last run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::Request;
use crate::bytes;
use crate::depmod::cache::{self, Cache, CacheBuilder, Key};
use crate::depmod::facts::{self, Facts, FactsError};
use crate::depmod::scan::Found;
use crate::errno::Errno;
use crate::fs::Files;

/// A module's key, whether it was known, and what it says.
pub type Read = (Option<Key>, bool, Result<Facts, FactsError>);

/// What is remembered of modules between runs.
pub struct Memory {
    /// Whether it is in use at all.
    on: bool,
    cache: Cache,
    /// When this run began, in nanoseconds since the epoch.
    now_ns: i128,
    /// The new cache; none when the old one will do.
    pub next: Option<Vec<u8>>,
    /// The old one is to go.
    pub forget: bool,
}

impl Memory {
    pub fn open(fs: &dyn Files, outname: &[u8], r: &Request) -> Memory {
        let mut memory = Memory {
            on: false,
            cache: Cache::default(),
            now_ns: 0,
            next: None,
            forget: r.no_incremental,
        };
        // CRCs are not remembered.
        if r.no_incremental || r.show || r.checks.versions || !r.all {
            return memory;
        }
        let path = bytes!(outname, "/", cache::FILE);
        let old = fs.read(&path, cache::FILE_MAX).ok();
        memory.on = r.incremental || old.is_some();
        if memory.on {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            memory.now_ns = since.map_or(0, |d| d.as_nanos() as i128);
        }
        memory.cache = old.map(Cache::parse).unwrap_or_default();
        memory
    }

    /// Makes the new cache of what was read and what was known.
    pub fn take(&mut self, found: &[Found], read: &[Read]) {
        let same = read.iter().all(|(_, known, _)| *known) && self.cache.len() == found.len();
        if !self.on || same {
            return;
        }
        let mut builder = CacheBuilder::default();
        for (f, (key, _, facts)) in found.iter().zip(read) {
            if let (Some(key), Ok(facts)) = (key, facts)
                && key.is_settled(self.now_ns)
            {
                builder.add(&f.path, key, facts);
            }
        }
        self.next = Some(builder.finish());
    }

    fn read(&self, fs: &dyn Files, f: &Found, crcs: bool) -> Read {
        let mut key = None;
        if self.on {
            key = f.stat(fs).ok().map(|st| Key::of(&st));
            if let Some(facts) = key.as_ref().and_then(|k| self.cache.get(&f.path, k)) {
                return (key, true, Ok(facts));
            }
        }
        let facts = f
            .open(fs)
            .map_err(FactsError::from)
            .and_then(|o| facts::read(&*o, crcs));
        (key, false, facts)
    }
}

/// Reads all modules, on all processors.
pub fn read_all(fs: &dyn Files, found: &[Found], crcs: bool, memory: &Memory) -> Vec<Read> {
    let read = |f: &Found| memory.read(fs, f, crcs);
    // Few modules are not worth the question how many processors there are.
    if found.len() < 16 {
        return found.iter().map(read).collect();
    }
    let threads = std::thread::available_parallelism()
        .map_or(1, |n| n.get())
        .min(16);
    if threads == 1 {
        return found.iter().map(read).collect();
    }
    let next = AtomicUsize::new(0);
    let mut all: Vec<Option<Read>> = Vec::new();
    all.resize_with(found.len(), || None);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|s| {
        for _ in 0..threads {
            let (send, next, read) = (send.clone(), &next, &read);
            s.spawn(move || {
                // Few at a time: modules differ in size a thousandfold.
                const STEP: usize = 8;
                let mut done = Vec::new();
                loop {
                    let start = next.fetch_add(STEP, Ordering::Relaxed);
                    if start >= found.len() {
                        break;
                    }
                    for (i, f) in found.iter().enumerate().skip(start).take(STEP) {
                        done.push((i, read(f)));
                    }
                }
                // The receiver outlives all threads.
                let _ = send.send(done);
            });
        }
        drop(send);
        for (i, facts) in receive.iter().flatten() {
            all[i] = Some(facts);
        }
    });
    all.into_iter()
        .map(|f| f.unwrap_or((None, false, Err(Errno::EIO.into()))))
        .collect()
}
