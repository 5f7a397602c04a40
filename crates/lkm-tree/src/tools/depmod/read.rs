//! Reads all modules of a tree, on all processors, or remembers them from the
//! last run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::Request;
use super::memory::Memory;
use crate::depmod::cache::Key;
use crate::depmod::facts::{self, Facts, FactsError};
use crate::depmod::scan::Found;
use crate::errno::Errno;
use crate::fs::Files;
use crate::host::Host;

/// A module's key, its place in the record of the last run if it was known,
/// and what it says.
pub struct Read {
    pub key: Key,
    pub known: Option<usize>,
    pub facts: Result<Facts, FactsError>,
}

/// Reads a module, or remembers it.
fn read(fs: &dyn Files, f: &Found, crcs: bool, memory: &Memory) -> Read {
    let mut key = Key::default();
    if memory.on
        && let Ok(st) = f.stat(fs)
    {
        if let Some((known, facts)) = memory.get(f, &st) {
            let key = Key::of(&st);
            return Read {
                key,
                known: Some(known),
                facts: Ok(facts),
            };
        }
        key = Key::settled(&st, memory.now_ns);
    }
    let facts = f
        .open(fs)
        .map_err(FactsError::from)
        .and_then(|o| facts::read(&*o, crcs));
    Read {
        key,
        known: None,
        facts,
    }
}

/// Reads all modules, on all processors.
pub fn read_all(
    fs: &dyn Files,
    host: &dyn Host,
    found: &[Found],
    r: &Request,
    memory: &Memory,
) -> Vec<Read> {
    let read = |f: &Found| read(fs, f, r.checks.versions, memory);
    // Few modules are not worth the question how many processors there are.
    if found.len() < 16 {
        return found.iter().map(read).collect();
    }
    let threads = host.processors().min(16);
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
    let lost = || Read {
        key: Key::default(),
        known: None,
        facts: Err(Errno::EIO.into()),
    };
    all.into_iter().map(|r| r.unwrap_or_else(lost)).collect()
}
