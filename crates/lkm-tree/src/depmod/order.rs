//! The order that kmod's hash tables give: by bucket, then by key.

use std::ffi::c_char;
use std::hash::{BuildHasherDefault, Hasher};

/// Paul Hsieh's SuperFastHash, as kmod's `shared/hash.c` computes it: native
/// byte order, the last odd byte signed where `char` is.
pub fn superfast(key: &[u8]) -> u32 {
    let half = |b: &[u8]| u32::from(u16::from_ne_bytes([b[0], b[1]]));
    let mut hash = key.len() as u32;
    let mut words = key.chunks_exact(4);
    for w in &mut words {
        hash = hash.wrapping_add(half(w));
        let tmp = (half(&w[2..]) << 11) ^ hash;
        hash = (hash << 16) ^ tmp;
        hash = hash.wrapping_add(hash >> 11);
    }
    match words.remainder() {
        r @ [_, _, last] => {
            hash = hash.wrapping_add(half(r));
            hash ^= hash << 16;
            hash ^= u32::from(*last) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        r @ [_, _] => {
            hash = hash.wrapping_add(half(r));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [last] => {
            hash = hash.wrapping_add(i32::from(*last as c_char) as u32);
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

/// The bucket of a key in a table of that many buckets (a power of two).
pub fn bucket(key: &[u8], buckets: u32) -> u32 {
    superfast(key) & (buckets - 1)
}

/// A quick hash for our own tables. Not for input that fights back across
/// requests: one run, one table, bounded by the number of symbols.
#[derive(Default, Clone)]
pub struct Quick(u64);

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        let mut h = self.0;
        for c in &mut chunks {
            let w = u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]);
            h = (h.rotate_left(5) ^ w).wrapping_mul(MIX);
        }
        let mut w = bytes.len() as u64;
        for &b in chunks.remainder() {
            w = w << 8 | u64::from(b);
        }
        self.0 = (h.rotate_left(5) ^ w).wrapping_mul(MIX);
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = (self.0.rotate_left(5) ^ n as u64).wrapping_mul(MIX);
    }

    fn write_u32(&mut self, n: u32) {
        self.write_usize(n as usize);
    }

    fn write_u8(&mut self, n: u8) {
        self.write_usize(usize::from(n));
    }
}

pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Quick>>;
pub type Set<K> = std::collections::HashSet<K, BuildHasherDefault<Quick>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_remainders_differ() {
        let all: Vec<u32> = ["", "a", "ab", "abc", "abcd", "abcde"]
            .iter()
            .map(|s| superfast(s.as_bytes()))
            .collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(superfast(b""), 0);
        assert!(bucket(b"ext4", 512) < 512);
    }
}
