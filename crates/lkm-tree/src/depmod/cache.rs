//! What a run of depmod leaves for the next: the directories and modules it
//! found, what each module says, who needs whom, and the files it wrote.
//!
//! A file whose device, inode, size and times are those of the last run is not
//! read again. One that was changed so shortly before it was read that a
//! second change could have left no trace in its times is not remembered.
//!
//! ```text
//! modules.lkm-cache
//!   magic 8, checksum u64 of all that follows,
//!   flags u32, directories u32, modules u32, files written u32, setting u64,
//!   keys: 3 sources, the facts file; its index of imports: at, len, sum
//!   files written: key, checksum u64
//!   directories: path length u32, key, listing u64
//!   modules, in the order of the indexes: path length u32, place u32, key,
//!     lengths of 4 pieces u32, facts place, needs u32
//!   needs: module u32 each
//!   paths; facts of modules that changed since the facts file
//! modules.lkm-facts
//!   facts of all modules (`facts_codec.rs`), index of imports (`imports.rs`)
//! ```
//! Integers are little-endian. What is damaged, or of another version, is no
//! cache; so is a facts file that is not the one meant.

use super::deps::Deps;
use super::facts::{Facts, Pool, Span};
use super::facts_codec::{Reader, decode};
use super::imports::Part;
use super::output;
use crate::fs::{OpenFile, Stat};

const MAGIC: &[u8; 8] = b"lkmdep\x04\n";

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

/// What must be the same for a file to be the same: a sum of its device, inode,
/// size and times. 0 matches nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Key(u64);

const KEY_SIZE: usize = 8;

impl Key {
    pub fn of(st: &Stat) -> Key {
        // Times modulo 2⁶⁴, which is as good for telling whether they differ.
        let times = [st.mtime_ns as u64, st.ctime_ns as u64];
        let all = [st.device, st.inode, st.size, times[0], times[1]];
        let sum = all.into_iter().fold(MIX, step);
        // Once more, so that the last one, too, counts in all bits.
        Key(step(sum, sum >> 32).max(1))
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
        self.0 != 0 && st.inode != 0 && *self == Key::of(st)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn take(r: &mut Reader<'_>) -> Option<Key> {
        r.u64().map(Key)
    }
}

/// Where a module's facts are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Place {
    /// In [`Record::here`], not in the facts file.
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

/// How long a module's piece is in each of [`output::PIECED`].
pub type Pieces = [u32; output::PIECED.len()];

/// A module that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownModule {
    /// Relative to the module directory, or absolute.
    pub path: Span,
    /// Its line in `modules.order`, or [`super::resolve::UNLISTED`].
    pub place: u32,
    pub key: Key,
    pub pieces: Pieces,
    pub facts: Place,
}

/// A file that was written.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Written {
    pub key: Key,
    /// Its [`checksum`].
    pub sum: u64,
}

/// A cache: what was read, or what is to be written.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Record {
    /// The run had nothing to complain about, so that a run that finds
    /// nothing changed has nothing to say either.
    pub clean: bool,
    /// What was written may be patched: each name is one word, and no symbol
    /// is exported twice.
    pub simple: bool,
    /// A hash of the configuration.
    pub setting: u64,
    pub sources: [Key; 3],
    pub facts_file: Key,
    /// Where the facts file tells who imports what.
    pub imports: Part,
    /// In the order of [`output::NAMES`].
    pub outputs: Vec<Written>,
    pub dirs: Vec<KnownDir>,
    pub modules: Vec<KnownModule>,
    /// Who needs whom, of [`Record::modules`].
    pub deps: Deps,
    /// Paths.
    pub text: Pool,
    /// Facts of modules that changed since the facts file was written.
    pub here: Vec<u8>,
}

/// The least that a row of the cache takes.
const ROW_MIN: usize = 20;
const FLAG_CLEAN: u32 = 1;
const FLAG_SIMPLE: u32 = 2;
const HERE: u32 = 1 << 31;

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

fn step(h: u64, w: u64) -> u64 {
    (h.rotate_left(23) ^ w).wrapping_mul(MIX)
}

/// Against damage, not against malice: who can write here can write modules.
pub fn checksum(bytes: &[u8]) -> u64 {
    checksum_of(&[bytes])
}

/// [`checksum`] of several pieces, one behind the other. Four sums side by
/// side, which is as fast as memory.
pub fn checksum_of(pieces: &[&[u8]]) -> u64 {
    const BLOCK: usize = 32;
    let mut lanes = [1u64, 2, 3, 4];
    let mut add = |block: &[u8]| {
        for (lane, w) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let w = u64::from_le_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
            *lane = step(*lane, w);
        }
    };
    // What is left of the pieces so far.
    let (mut held, mut count) = ([0; BLOCK], 0);
    let mut len = 0;
    for piece in pieces {
        len += piece.len() as u64;
        let mut rest = *piece;
        if count > 0 {
            let (fill, more) = rest.split_at(rest.len().min(BLOCK - count));
            held[count..count + fill.len()].copy_from_slice(fill);
            count += fill.len();
            rest = more;
            if count < BLOCK {
                continue;
            }
            add(&held);
        }
        let mut blocks = rest.chunks_exact(BLOCK);
        blocks.by_ref().for_each(&mut add);
        count = blocks.remainder().len();
        held[..count].copy_from_slice(blocks.remainder());
    }
    let mut h = lanes.into_iter().fold(len, step);
    for &b in &held[..count] {
        h = step(h, u64::from(b));
    }
    h ^ h >> 29
}

/// Whether a path or a symbol's name is one word, so that lines with it can be
/// told apart.
pub fn simple_name(name: &[u8]) -> bool {
    !name.iter().any(|&c| c == b' ' || c == b'\n' || c == 0)
}

fn put(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
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
            simple: flags & FLAG_SIMPLE != 0,
            setting: r.u64()?,
            ..Record::default()
        };
        for k in &mut record.sources {
            *k = Key::take(&mut r)?;
        }
        record.facts_file = Key::take(&mut r)?;
        record.imports = Part {
            at: r.u32()?,
            len: r.u32()?,
            sum: r.u64()?,
        };
        for _ in 0..outputs {
            record.outputs.push(Written {
                key: Key::take(&mut r)?,
                sum: r.u64()?,
            });
        }
        // Paths lie end to end.
        let mut end = 0u32;
        let mut path = |len: u32| {
            let at = end;
            end = end.checked_add(len)?;
            Some(Span { at, len })
        };
        // No more than the bytes can hold, whatever the counts say.
        let room = |count: u32| (count as usize).min(bytes.len() / ROW_MIN);
        record.dirs.reserve_exact(room(dirs));
        record.modules.reserve_exact(room(modules));
        for _ in 0..dirs {
            record.dirs.push(KnownDir {
                path: path(r.u32()?)?,
                key: Key::take(&mut r)?,
                listing: r.u64()?,
            });
        }
        let mut needs = Vec::with_capacity(room(modules));
        for _ in 0..modules {
            let (path, place, key) = (path(r.u32()?)?, r.u32()?, Key::take(&mut r)?);
            let pieces = [r.u32()?, r.u32()?, r.u32()?, r.u32()?];
            let (at, len, sum) = (r.u32()?, r.u32()?, r.u64()?);
            let facts = Place {
                here: len & HERE != 0,
                at,
                len: len & !HERE,
                sum,
            };
            needs.push(r.u32()?);
            record.modules.push(KnownModule {
                path,
                place,
                key,
                pieces,
                facts,
            });
        }
        record.deps.reserve(
            needs.len(),
            needs
                .iter()
                .map(|&n| n as usize)
                .sum::<usize>()
                .min(bytes.len() / 4),
        );
        for n in needs {
            let list = r.take((n as usize).checked_mul(4)?)?.chunks_exact(4);
            let list = list.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            if list.clone().any(|d| d >= modules) {
                return None;
            }
            record.deps.push(list);
        }
        record.text = Pool(r.take(end as usize)?.to_vec());
        record.here = r.rest().to_vec();
        Some(record)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let rows = self.outputs.len() + self.dirs.len() + self.modules.len() + 6;
        let more = self.deps.all().len() * 4 + self.text.0.len() + self.here.len();
        let mut out = Vec::with_capacity(rows * (KEY_SIZE + 48) + more);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 8]);
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let flags = flag(self.clean, FLAG_CLEAN) | flag(self.simple, FLAG_SIMPLE);
        put(&mut out, flags);
        for n in [self.dirs.len(), self.modules.len(), self.outputs.len()] {
            put(&mut out, n as u32);
        }
        out.extend_from_slice(&self.setting.to_le_bytes());
        for k in self.sources.iter().chain([&self.facts_file]) {
            k.put(&mut out);
        }
        put(&mut out, self.imports.at);
        put(&mut out, self.imports.len);
        out.extend_from_slice(&self.imports.sum.to_le_bytes());
        for w in &self.outputs {
            w.key.put(&mut out);
            out.extend_from_slice(&w.sum.to_le_bytes());
        }
        for d in &self.dirs {
            put(&mut out, d.path.len);
            d.key.put(&mut out);
            out.extend_from_slice(&d.listing.to_le_bytes());
        }
        for (i, m) in self.modules.iter().enumerate() {
            put(&mut out, m.path.len);
            put(&mut out, m.place);
            m.key.put(&mut out);
            for p in m.pieces {
                put(&mut out, p);
            }
            put(&mut out, m.facts.at);
            put(&mut out, m.facts.len | flag(m.facts.here, HERE));
            out.extend_from_slice(&m.facts.sum.to_le_bytes());
            put(&mut out, self.deps.of(i).len() as u32);
        }
        for d in self.deps.all() {
            put(&mut out, *d);
        }
        let paths = self.dirs.iter().map(|d| d.path);
        for p in paths.chain(self.modules.iter().map(|m| m.path)) {
            out.extend_from_slice(self.text.get(p));
        }
        out.extend_from_slice(&self.here);
        let sum = checksum(&out[16..]);
        out[8..16].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// A module's path.
    pub fn path(&self, module: usize) -> &[u8] {
        self.text.get(self.modules[module].path)
    }

    /// A module's facts, with the facts file's bytes.
    pub fn facts(&self, m: &KnownModule, file: &[u8]) -> Option<Facts> {
        let place = m.facts;
        let bytes = if place.here { &self.here[..] } else { file };
        let end = (place.at as usize).checked_add(place.len as usize)?;
        let bytes = bytes.get(place.at as usize..end)?;
        (checksum(bytes) == place.sum).then(|| decode(bytes))?
    }

    /// A module's facts, read from the opened facts file.
    pub fn facts_from(&self, m: &KnownModule, file: Option<&dyn OpenFile>) -> Option<Facts> {
        if m.facts.here {
            return self.facts(m, b"");
        }
        let file = file?;
        if u64::from(m.facts.len) > file.stat().ok()?.size {
            return None;
        }
        let mut bytes = vec![0; m.facts.len as usize];
        file.read_exact_at(&mut bytes, u64::from(m.facts.at)).ok()?;
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
            outputs: vec![
                Written {
                    key: Key::of(&stat(5)),
                    sum: 3
                };
                3
            ],
            simple: true,
            imports: Part {
                at: 1,
                len: 2,
                sum: 3,
            },
            ..Record::default()
        };
        let path = r.text.add(b"kernel");
        r.dirs.push(KnownDir {
            path,
            key: Key::of(&stat(1)),
            listing: 9,
        });
        let path = r.text.add(b"kernel/a.ko");
        encode(&facts, &mut r.here);
        let place = Place {
            here: true,
            at: 0,
            len: r.here.len() as u32,
            sum: checksum(&r.here),
        };
        r.modules.push(KnownModule {
            path,
            place: 4,
            key: Key::of(&stat(2)),
            pieces: [1, 0, 0, 5],
            facts: place,
        });
        r.deps.push([0]);
        (r, facts)
    }

    #[test]
    fn what_was_known_is_known() {
        let (record, facts) = sample();
        let read = Record::parse(&record.encode()).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.path(0), b"kernel/a.ko");
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
                    let _ = (r.facts(m, b"x"), r.facts_from(m, None), r.text.get(m.path));
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
