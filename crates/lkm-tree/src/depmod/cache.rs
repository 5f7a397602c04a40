//! Facts of modules, remembered from one run to the next.
//!
//! A module whose path, device, inode, size and times are those of the last
//! run is not read again. A file that was changed so shortly before it was
//! read that a second change could have left no trace in its times is not
//! remembered at all.
//!
//! ```text
//! magic 8, checksum u64 of all that follows, count u32, then per module:
//!   key 56, path length u32, path, facts length u32, facts
//! ```
//! Integers are little-endian. A cache that is damaged, or of another version,
//! is no cache.

use super::facts::{Export, Facts, Import, Span};
use super::order::Map;
use crate::fs::Stat;

const MAGIC: &[u8; 8] = b"lkmdep\x01\n";

/// The cache's name in the module directory.
pub const FILE: &str = "modules.lkm-cache";

/// The largest cache that is read.
pub const FILE_MAX: u64 = 1 << 30;

/// Times younger than this, in nanoseconds, prove nothing: some file systems
/// count whole seconds.
const RACY_NS: i128 = 2_000_000_000;

/// What must be the same for a module to be the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    device: u64,
    inode: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

const KEY_SIZE: usize = 56;

impl Key {
    pub fn of(st: &Stat) -> Key {
        let Stat {
            device,
            inode,
            size,
            mtime_ns,
            ctime_ns,
            ..
        } = *st;
        Key {
            device,
            inode,
            size,
            mtime_ns,
            ctime_ns,
        }
    }

    /// Whether a change after `now` would show.
    pub fn is_settled(&self, now_ns: i128) -> bool {
        self.mtime_ns.max(self.ctime_ns) + RACY_NS < now_ns
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(KEY_SIZE);
        for v in [self.device, self.inode, self.size] {
            out.extend_from_slice(&v.to_le_bytes());
        }
        for v in [self.mtime_ns, self.ctime_ns] {
            out.extend_from_slice(&v.to_le_bytes());
        }
        out
    }
}

/// A cache that was read.
#[derive(Default)]
pub struct Cache {
    bytes: Vec<u8>,
    /// Key and place of the facts, by path.
    modules: Map<Vec<u8>, (Vec<u8>, usize, usize)>,
}

/// Reads from the front of a slice.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

/// Against damage, not against malice: who can write here can write modules.
fn checksum(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut h = super::order::Quick::default();
    h.write(bytes);
    h.finish()
}

impl Cache {
    /// Takes a cache's bytes; empty when they are none.
    pub fn parse(bytes: Vec<u8>) -> Cache {
        Cache::try_parse(bytes).unwrap_or_default()
    }

    fn try_parse(bytes: Vec<u8>) -> Option<Cache> {
        let mut r = Reader {
            bytes: &bytes,
            at: 0,
        };
        if r.take(8)? != MAGIC || r.u64()? != checksum(&bytes[16..]) {
            return None;
        }
        let mut modules = Map::default();
        for _ in 0..r.u32()? {
            let key = r.take(KEY_SIZE)?.to_vec();
            let len = r.u32()? as usize;
            let path = r.take(len)?.to_vec();
            let len = r.u32()? as usize;
            let at = r.at;
            r.take(len)?;
            modules.insert(path, (key, at, len));
        }
        Some(Cache { bytes, modules })
    }

    /// What was known of a module, if it is the same.
    pub fn get(&self, path: &[u8], key: &Key) -> Option<Facts> {
        let (known, at, len) = self.modules.get(path)?;
        (*known == key.bytes()).then(|| decode(&self.bytes[*at..at + len]))?
    }

    pub fn len(&self) -> usize {
        self.modules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }
}

/// Collects a cache's bytes.
pub struct CacheBuilder {
    out: Vec<u8>,
    count: u32,
}

impl Default for CacheBuilder {
    fn default() -> CacheBuilder {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[0; 12]);
        CacheBuilder { out, count: 0 }
    }
}

impl CacheBuilder {
    pub fn add(&mut self, path: &[u8], key: &Key, facts: &Facts) {
        self.out.extend_from_slice(&key.bytes());
        put(&mut self.out, path.len());
        self.out.extend_from_slice(path);
        let at = self.out.len();
        put(&mut self.out, 0);
        encode(facts, &mut self.out);
        let len = (self.out.len() - at - 4) as u32;
        self.out[at..at + 4].copy_from_slice(&len.to_le_bytes());
        self.count += 1;
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.out[16..20].copy_from_slice(&self.count.to_le_bytes());
        let sum = checksum(&self.out[16..]);
        self.out[8..16].copy_from_slice(&sum.to_le_bytes());
        self.out
    }
}

fn put(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u32).to_le_bytes());
}

fn encode(f: &Facts, out: &mut Vec<u8>) {
    let lists = [&f.aliases, &f.softdeps, &f.weakdeps];
    put(out, f.text.len());
    for l in lists {
        put(out, l.len());
    }
    put(out, f.exports.len());
    put(out, f.imports.len());
    out.extend_from_slice(&f.text);
    let span = |out: &mut Vec<u8>, s: Span| {
        put(out, s.at as usize);
        put(out, s.len as usize);
    };
    for l in lists {
        for &s in l {
            span(out, s);
        }
    }
    for e in &f.exports {
        span(out, e.name);
        out.extend_from_slice(&e.crc.to_le_bytes());
    }
    for i in &f.imports {
        span(out, i.name);
        out.push(u8::from(i.weak));
    }
}

fn decode(bytes: &[u8]) -> Option<Facts> {
    let mut r = Reader { bytes, at: 0 };
    let text_len = r.u32()? as usize;
    let counts = [r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?];
    let text = r.take(text_len)?.to_vec();
    let span = |r: &mut Reader<'_>| {
        let (at, len) = (r.u32()?, r.u32()?);
        (at.checked_add(len)? as usize <= text_len).then_some(Span { at, len })
    };
    let spans = |r: &mut Reader<'_>, n: u32| (0..n).map(|_| span(r)).collect::<Option<Vec<_>>>();
    let mut f = Facts {
        aliases: spans(&mut r, counts[0])?,
        softdeps: spans(&mut r, counts[1])?,
        weakdeps: spans(&mut r, counts[2])?,
        ..Facts::default()
    };
    for _ in 0..counts[3] {
        f.exports.push(Export {
            name: span(&mut r)?,
            crc: r.u64()?,
        });
    }
    for _ in 0..counts[4] {
        f.imports.push(Import {
            name: span(&mut r)?,
            weak: r.take(1)? != [0],
        });
    }
    f.text = text;
    Some(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Key, Facts) {
        let key = Key {
            device: 1,
            inode: 2,
            size: 3,
            mtime_ns: -4,
            ctime_ns: 5,
        };
        let s = |at, len| Span { at, len };
        let facts = Facts {
            text: b"abcdef".to_vec(),
            aliases: vec![s(0, 1), s(1, 2)],
            softdeps: vec![],
            weakdeps: vec![s(5, 1)],
            exports: vec![Export {
                name: s(3, 1),
                crc: u64::MAX,
            }],
            imports: vec![Import {
                name: s(4, 2),
                weak: true,
            }],
            import_crcs: vec![],
        };
        (key, facts)
    }

    #[test]
    fn what_was_known_is_known() {
        let (key, facts) = sample();
        let mut b = CacheBuilder::default();
        b.add(b"a.ko", &key, &facts);
        b.add(b"b.ko", &key, &Facts::default());
        let cache = Cache::parse(b.finish());
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.get(b"a.ko", &key), Some(facts));
        assert_eq!(cache.get(b"c.ko", &key), None);
        assert_eq!(cache.get(b"a.ko", &Key { size: 4, ..key }), None);
    }

    #[test]
    fn a_damaged_cache_is_none() {
        let (key, facts) = sample();
        let mut b = CacheBuilder::default();
        b.add(b"a.ko", &key, &facts);
        let sound = b.finish();
        for at in 0..sound.len() {
            let mut bad = sound.clone();
            bad[at] ^= 0x10;
            assert!(Cache::parse(bad).is_empty(), "byte {at}");
            assert!(Cache::parse(sound[..at].to_vec()).is_empty());
        }
        // And what passes the checksum is read with care all the same.
        for at in 20..sound.len() {
            let mut bad = sound.clone();
            bad[at] = 0xff;
            let sum = checksum(&bad[16..]);
            bad[8..16].copy_from_slice(&sum.to_le_bytes());
            let _ = Cache::parse(bad).get(b"a.ko", &key);
        }
    }

    #[test]
    fn young_files_are_not_remembered() {
        let (key, _) = sample();
        assert!(!key.is_settled(1_000_000_000));
        assert!(key.is_settled(3_000_000_000));
    }
}
