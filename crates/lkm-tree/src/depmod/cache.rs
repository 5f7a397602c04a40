//! What a run of depmod leaves for the next: the directories and modules it
//! found, what each module says, and the files it wrote.
//!
//! A file whose device, inode, size and times are those of the last run is not
//! read again. One that was changed so shortly before it was read that a
//! second change could have left no trace in its times is not remembered.
//!
//! ```text
//! modules.lkm-cache
//!   magic 8, checksum u64 of all that follows,
//!   flags u32, directories u32, modules u32, files written u32, setting u64,
//!   keys: 3 sources, the facts file, the files written
//!   directories: path span, key, listing u64
//!   modules, in the order of the indexes: path span, key, facts place
//!   text: paths, and facts of modules that changed since the facts file
//! modules.lkm-facts
//!   facts of all modules (`facts_codec.rs`)
//! ```
//! Integers are little-endian. What is damaged, or of another version, is no
//! cache; so is a facts file that is not the one meant.

use super::facts::{Facts, Span};
use super::facts_codec::{Reader, decode};
use crate::fs::{OpenFile, Stat};

const MAGIC: &[u8; 8] = b"lkmdep\x02\n";

/// The cache's name in the module directory.
pub const FILE: &str = "modules.lkm-cache";
/// The name of the file with the facts.
pub const FACTS_FILE: &str = "modules.lkm-facts";

/// The largest of either that is read.
pub const FILE_MAX: u64 = 1 << 30;

/// What the indexes are made from besides modules, in the order of
/// [`Record::sources`].
pub const SOURCES: [&str; 3] = [
    "modules.order",
    "modules.builtin",
    "modules.builtin.modinfo",
];

/// Times younger than this, in nanoseconds, prove nothing: some file systems
/// count whole seconds.
const RACY_NS: i128 = 2_000_000_000;

/// What must be the same for a file to be the same.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Key {
    device: u64,
    /// 0 in a key that matches nothing.
    inode: u64,
    size: u64,
    mtime_ns: u64,
    ctime_ns: u64,
}

const KEY_SIZE: usize = 40;

impl Key {
    pub fn of(st: &Stat) -> Key {
        Key {
            device: st.device,
            inode: st.inode,
            size: st.size,
            // Modulo 2⁶⁴, which is as good for telling whether they differ.
            mtime_ns: st.mtime_ns as u64,
            ctime_ns: st.ctime_ns as u64,
        }
    }

    /// The key of a file whose times are old enough that a change after
    /// `now_ns` shows; else one that matches nothing.
    pub fn settled(st: &Stat, now_ns: i128) -> Key {
        match st.mtime_ns.max(st.ctime_ns) + RACY_NS < now_ns {
            true => Key::of(st),
            false => Key::default(),
        }
    }

    /// Whether the file is the one of this key.
    pub fn is(&self, st: &Stat) -> bool {
        self.inode != 0 && *self == Key::of(st)
    }

    fn put(&self, out: &mut Vec<u8>) {
        for v in [
            self.device,
            self.inode,
            self.size,
            self.mtime_ns,
            self.ctime_ns,
        ] {
            out.extend_from_slice(&v.to_le_bytes());
        }
    }

    fn take(r: &mut Reader<'_>) -> Option<Key> {
        Some(Key {
            device: r.u64()?,
            inode: r.u64()?,
            size: r.u64()?,
            mtime_ns: r.u64()?,
            ctime_ns: r.u64()?,
        })
    }
}

/// Where a module's facts are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Place {
    /// In [`Record::text`], not in the facts file.
    pub here: bool,
    pub at: u32,
    pub len: u32,
    pub sum: u64,
}

/// A directory that was searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownDir {
    /// Relative to the module directory, or absolute.
    pub path: Span,
    pub key: Key,
    /// [`super::scan::Listing`] of what was found in it.
    pub listing: u64,
}

/// A module that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownModule {
    /// Relative to the module directory, or absolute.
    pub path: Span,
    pub key: Key,
    pub facts: Place,
}

/// A cache: what was read, or what is to be written.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Record {
    /// The run had nothing to complain about, so that a run that finds
    /// nothing changed has nothing to say either.
    pub clean: bool,
    /// A hash of the configuration.
    pub setting: u64,
    pub sources: [Key; 3],
    pub facts_file: Key,
    /// In the order in which they are written.
    pub outputs: Vec<Key>,
    pub dirs: Vec<KnownDir>,
    pub modules: Vec<KnownModule>,
    pub text: Vec<u8>,
}

const FLAG_CLEAN: u32 = 1;
const HERE: u32 = 1 << 31;

/// Against damage, not against malice: who can write here can write modules.
pub fn checksum(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut h = super::order::Quick::default();
    h.write(bytes);
    h.finish()
}

fn put(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn take_span(r: &mut Reader<'_>) -> Option<Span> {
    Some(Span {
        at: r.u32()?,
        len: r.u32()?,
    })
}

impl Record {
    /// Takes a cache's bytes; none when they are none.
    pub fn parse(bytes: &[u8]) -> Option<Record> {
        let mut r = Reader::new(bytes);
        if r.take(8)? != MAGIC || r.u64()? != checksum(bytes.get(16..)?) {
            return None;
        }
        let (flags, dirs, modules, outputs) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let mut record = Record {
            clean: flags & FLAG_CLEAN != 0,
            setting: r.u64()?,
            ..Record::default()
        };
        for k in &mut record.sources {
            *k = Key::take(&mut r)?;
        }
        record.facts_file = Key::take(&mut r)?;
        for _ in 0..outputs {
            record.outputs.push(Key::take(&mut r)?);
        }
        for _ in 0..dirs {
            record.dirs.push(KnownDir {
                path: take_span(&mut r)?,
                key: Key::take(&mut r)?,
                listing: r.u64()?,
            });
        }
        for _ in 0..modules {
            let (path, key) = (take_span(&mut r)?, Key::take(&mut r)?);
            let (at, len, sum) = (r.u32()?, r.u32()?, r.u64()?);
            let facts = Place {
                here: len & HERE != 0,
                at,
                len: len & !HERE,
                sum,
            };
            record.modules.push(KnownModule { path, key, facts });
        }
        record.text = r.rest().to_vec();
        let inside = |s: &Span| (u64::from(s.at) + u64::from(s.len)) as usize <= record.text.len();
        let paths = record.dirs.iter().map(|d| &d.path);
        let sound = paths
            .chain(record.modules.iter().map(|m| &m.path))
            .all(inside);
        sound.then_some(record)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let rows = self.outputs.len() + self.dirs.len() + self.modules.len() + 6;
        let mut out = Vec::with_capacity(rows * (KEY_SIZE + 24) + self.text.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 8]);
        put(&mut out, if self.clean { FLAG_CLEAN } else { 0 });
        for n in [self.dirs.len(), self.modules.len(), self.outputs.len()] {
            put(&mut out, n as u32);
        }
        out.extend_from_slice(&self.setting.to_le_bytes());
        let keys = self.sources.iter().chain([&self.facts_file]);
        for k in keys.chain(&self.outputs) {
            k.put(&mut out);
        }
        for d in &self.dirs {
            put(&mut out, d.path.at);
            put(&mut out, d.path.len);
            d.key.put(&mut out);
            out.extend_from_slice(&d.listing.to_le_bytes());
        }
        for m in &self.modules {
            put(&mut out, m.path.at);
            put(&mut out, m.path.len);
            m.key.put(&mut out);
            put(&mut out, m.facts.at);
            put(&mut out, m.facts.len | if m.facts.here { HERE } else { 0 });
            out.extend_from_slice(&m.facts.sum.to_le_bytes());
        }
        out.extend_from_slice(&self.text);
        let sum = checksum(&out[16..]);
        out[8..16].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub fn get(&self, s: Span) -> &[u8] {
        &self.text[s.at as usize..(s.at + s.len) as usize]
    }

    /// Adds text.
    pub fn add(&mut self, s: &[u8]) -> Span {
        let at = self.text.len() as u32;
        self.text.extend_from_slice(s);
        Span {
            at,
            len: s.len() as u32,
        }
    }

    /// A module's facts, with the facts file's bytes.
    pub fn facts(&self, m: &KnownModule, file: &[u8]) -> Option<Facts> {
        let place = m.facts;
        let bytes = if place.here { &self.text[..] } else { file };
        let end = (place.at as usize).checked_add(place.len as usize)?;
        let bytes = bytes.get(place.at as usize..end)?;
        (checksum(bytes) == place.sum).then(|| decode(bytes))?
    }

    /// A module's facts, read from the opened facts file.
    pub fn facts_from(&self, m: &KnownModule, file: Option<&dyn OpenFile>) -> Option<Facts> {
        if m.facts.here {
            return self.facts(m, b"");
        }
        let mut bytes = vec![0; m.facts.len as usize];
        file?
            .read_exact_at(&mut bytes, u64::from(m.facts.at))
            .ok()?;
        (checksum(&bytes) == m.facts.sum).then(|| decode(&bytes))?
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts_codec::encode;
    use super::*;
    use crate::fs::Kind;

    fn stat(time: i128) -> Stat {
        Stat {
            kind: Kind::File,
            type_bits: 0,
            size: 3,
            mtime_ns: time,
            ctime_ns: 0,
            device: 1,
            inode: 2,
        }
    }

    fn sample() -> (Record, Facts) {
        let mut facts = Facts::default();
        let name = facts.add(b"alias");
        facts.aliases.push(name);
        let mut r = Record {
            clean: true,
            setting: 7,
            outputs: vec![Key::of(&stat(5)); 3],
            ..Record::default()
        };
        let path = r.add(b"kernel");
        r.dirs.push(KnownDir {
            path,
            key: Key::of(&stat(1)),
            listing: 9,
        });
        let path = r.add(b"kernel/a.ko");
        let at = r.text.len() as u32;
        encode(&facts, &mut r.text);
        let place = Place {
            here: true,
            at,
            len: r.text.len() as u32 - at,
            sum: checksum(&r.text[at as usize..]),
        };
        r.modules.push(KnownModule {
            path,
            key: Key::of(&stat(2)),
            facts: place,
        });
        (r, facts)
    }

    #[test]
    fn what_was_known_is_known() {
        let (record, facts) = sample();
        let read = Record::parse(&record.encode()).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.get(read.modules[0].path), b"kernel/a.ko");
        assert_eq!(read.facts(&read.modules[0], b""), Some(facts));
    }

    #[test]
    fn a_damaged_cache_is_none() {
        let (record, _) = sample();
        let sound = record.encode();
        for at in 0..sound.len() {
            let mut bad = sound.clone();
            bad[at] ^= 0x10;
            assert!(Record::parse(&bad).is_none(), "byte {at}");
            assert!(Record::parse(&sound[..at]).is_none());
        }
        // And what passes the checksum is read with care all the same.
        for at in 16..sound.len() {
            let mut bad = sound.clone();
            bad[at] = 0xff;
            let sum = checksum(&bad[16..]);
            bad[8..16].copy_from_slice(&sum.to_le_bytes());
            if let Some(r) = Record::parse(&bad) {
                for m in &r.modules {
                    let _ = (r.facts(m, b"x"), r.facts_from(m, None), r.get(m.path));
                }
            }
        }
    }

    #[test]
    fn keys_tell_files_apart() {
        let key = Key::of(&stat(5));
        assert!(key.is(&stat(5)) && !key.is(&stat(6)));
        assert!(!Key::default().is(&stat(5)));
        // Young files are not remembered.
        assert_eq!(Key::settled(&stat(5), 1_000_000_000), Key::default());
        assert!(Key::settled(&stat(5), 3_000_000_000).is(&stat(5)));
    }
}
