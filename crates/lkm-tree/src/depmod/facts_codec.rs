//! Facts of a module as bytes, for the cache.
//!
//! ```text
//! text length, and counts of aliases, softdeps, weakdeps, exports, imports
//! text, then spans of it: exports with their CRC u64, imports with weak u8
//! ```

use super::facts::{Export, Facts, Import, Pool, Span};

/// Reads from the front of a slice.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(part)
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// All that was not taken.
    pub fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

fn put(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u32).to_le_bytes());
}

/// Appends a module's facts, but for the CRCs of what it imports.
pub fn encode(f: &Facts, out: &mut Vec<u8>) {
    let lists = [&f.aliases, &f.softdeps, &f.weakdeps];
    put(out, f.text.0.len());
    for l in lists {
        put(out, l.len());
    }
    put(out, f.exports.len());
    put(out, f.imports.len());
    out.extend_from_slice(&f.text.0);
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

/// What [`encode`] wrote; none when the bytes are anything else.
pub fn decode(bytes: &[u8]) -> Option<Facts> {
    let mut r = Reader::new(bytes);
    let text_len = r.u32()? as usize;
    let counts = [r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?];
    let text = Pool(r.take(text_len)?.to_vec());
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
    // No more than the bytes can hold, whatever the counts say.
    let room = |r: &Reader<'_>, n: u32, size: usize| (n as usize).min(r.bytes.len() / size);
    f.exports.reserve_exact(room(&r, counts[3], 16));
    for _ in 0..counts[3] {
        f.exports.push(Export {
            name: span(&mut r)?,
            crc: r.u64()?,
        });
    }
    f.imports.reserve_exact(room(&r, counts[4], 9));
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

    #[test]
    fn facts_survive() {
        let mut f = Facts::default();
        let spans = [b"ab", b"cd", b"ef", b"gh"].map(|s| f.add(s));
        f.aliases = vec![spans[0], spans[1]];
        f.weakdeps = vec![spans[2]];
        f.exports = vec![Export {
            name: spans[3],
            crc: u64::MAX,
        }];
        f.imports = vec![Import {
            name: spans[1],
            weak: true,
        }];
        let mut bytes = Vec::new();
        encode(&f, &mut bytes);
        assert_eq!(decode(&bytes), Some(f));
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None);
            let mut bad = bytes.clone();
            bad[at] = 0xff;
            let _ = decode(&bad);
        }
    }
}
