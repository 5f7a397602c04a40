//! Which modules import a symbol of some name: an index over the facts file,
//! so that a symbol that appears, goes, or changes hands leads to those that
//! have to be resolved again, and to no others.
//!
//! ```text
//! count u32, then by hash of the name: hash u32, first u32, checksum u32
//! modules: where their facts begin in the file, u32 each
//! ```
//! An entry's modules end where those of the next begin. Two names of one hash
//! share an entry: whoever asks gets too many modules, never too few.

use std::hash::Hasher;

use super::cache::checksum;
use super::facts::Facts;
use super::facts_codec::Reader;
use super::order::{Quick, Set};
use crate::fs::OpenFile;

/// On 64-bit PowerPC, .foo is foo.
pub fn plain(name: &[u8]) -> &[u8] {
    name.strip_prefix(b".").unwrap_or(name)
}

fn hash(name: &[u8]) -> u32 {
    let mut h = Quick::default();
    h.write(name);
    (h.finish() >> 32) as u32
}

/// Collects what modules import.
#[derive(Default)]
pub struct Collected(Vec<(u32, u32)>);

impl Collected {
    /// Adds a module whose facts begin at `at`.
    pub fn add(&mut self, facts: &Facts, at: u32) {
        let names = facts.imports.iter().map(|i| plain(facts.get(i.name)));
        self.0.extend(names.map(|n| (hash(n), at)));
    }

    /// Appends the index.
    pub fn write(mut self, out: &mut Vec<u8>) {
        self.0.sort_unstable();
        self.0.dedup();
        let entries: Vec<&[(u32, u32)]> = self.0.chunk_by(|a, b| a.0 == b.0).collect();
        let mut put = |n: u32| out.extend_from_slice(&n.to_le_bytes());
        put(entries.len() as u32);
        let mut first = 0;
        for e in &entries {
            let modules: Vec<u8> = e.iter().flat_map(|m| m.1.to_le_bytes()).collect();
            put(e[0].0);
            put(first);
            put(checksum(&modules) as u32);
            first += e.len() as u32;
        }
        for (_, at) in &self.0 {
            put(*at);
        }
    }
}

const HEAD: usize = 4;
const ENTRY: usize = 12;

/// Where the index is in the facts file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub at: u32,
    pub len: u32,
    /// [`checksum`] of the number and the entries.
    pub sum: u64,
}

impl Part {
    /// Describes what [`Collected::write`] wrote at `at`, to the end of `file`.
    pub fn of(file: &[u8], at: usize) -> Part {
        let index = &file[at..];
        let count = Reader::new(index).u32().unwrap_or(0) as usize;
        Part {
            at: at as u32,
            len: index.len() as u32,
            sum: checksum(&index[..HEAD + count * ENTRY]),
        }
    }

    /// Where the facts of all modules begin that import one of the names.
    pub fn importers<'n>(
        &self,
        file: &dyn OpenFile,
        names: impl Iterator<Item = &'n [u8]>,
    ) -> Option<Set<u32>> {
        // No more than there is, whatever the numbers say.
        if u64::from(self.at) + u64::from(self.len) > file.stat().ok()?.size {
            return None;
        }
        let read = |at: usize, len: usize| {
            if at + len > self.len as usize {
                return None;
            }
            let mut bytes = vec![0; len];
            let offset = u64::from(self.at) + at as u64;
            file.read_exact_at(&mut bytes, offset).ok()?;
            Some(bytes)
        };
        let count = Reader::new(&read(0, HEAD)?).u32()? as usize;
        let head = read(0, count.checked_mul(ENTRY)?.checked_add(HEAD)?)?;
        if checksum(&head) != self.sum {
            return None;
        }
        let entries = &head[HEAD..];
        let field = |i: usize, n: usize| {
            let b = &entries[i * ENTRY + 4 * n..][..4];
            u32::from_le_bytes([b[0], b[1], b[2], b[3]])
        };
        let modules = HEAD + count * ENTRY;
        let total = (self.len as usize).checked_sub(modules)? / 4;
        let mut found = Set::default();
        for name in names {
            let hash = hash(name);
            let (mut low, mut high) = (0, count);
            while low < high {
                let mid = (low + high) / 2;
                match field(mid, 0) < hash {
                    true => low = mid + 1,
                    false => high = mid,
                }
            }
            if low == count || field(low, 0) != hash {
                continue;
            }
            let first = field(low, 1) as usize;
            let end = match low + 1 < count {
                true => field(low + 1, 1) as usize,
                false => total,
            };
            let list = read(modules + 4 * first, 4 * end.checked_sub(first)?)?;
            if checksum(&list) as u32 != field(low, 2) {
                return None;
            }
            found.extend(
                list.chunks_exact(4)
                    .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            );
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Import;
    use super::*;
    use crate::fs_memory::MemoryFile;

    #[test]
    fn importers_are_found_by_name() {
        let mut all = Collected::default();
        for (at, names) in [(7, &["a", ".b"][..]), (9, &["b", "c"])] {
            let mut f = Facts::default();
            for n in names {
                let name = f.add(n.as_bytes());
                f.imports.push(Import { name, weak: false });
            }
            all.add(&f, at);
        }
        let mut file = b"before".to_vec();
        all.write(&mut file);
        let part = Part::of(&file, 6);
        let ask = |bytes: &[u8], names: &[&str]| {
            let names = names.iter().map(|n| n.as_bytes());
            let found = part.importers(&MemoryFile::new(bytes.to_vec()), names)?;
            let mut found: Vec<u32> = found.into_iter().collect();
            found.sort();
            Some(found)
        };
        assert_eq!(ask(&file, &["a"]), Some(vec![7]));
        assert_eq!(ask(&file, &["b", "d"]), Some(vec![7, 9]));
        assert_eq!(ask(&file, &["d"]), Some(vec![]));
        for at in 6..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 4;
            assert_eq!(ask(&bad, &["a", "b", "c"]), None, "byte {at}");
            assert_eq!(ask(&file[..at], &["a", "b", "c"]), None);
        }
    }
}
