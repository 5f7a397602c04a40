//! LZ4 in its legacy framing, as `lz4 -l` writes it and kernel images use it.

use crate::bytes::LITTLE;
use crate::error::{Error, Result};

/// First four bytes of the legacy frame.
pub(crate) const LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Uncompressed size of every block but the last.
const BLOCK: usize = 8 << 20;

/// The blocks after the magic, each a length and so many bytes. What follows
/// the last whole block (the kernel's build appends the image size) is ignored.
pub(crate) fn decompress_legacy(mut data: &[u8], limit: usize) -> Result<Vec<u8>> {
    let bad = |why: &str| Error::Decompress {
        format: "lz4",
        why: why.into(),
    };
    let mut out = Vec::new();
    while let Some(length) = LITTLE.u32(data, 0) {
        let Some(block) = data.get(4..4 + length as usize) else {
            break;
        };
        data = &data[4 + length as usize..];
        let start = out.len();
        let room = BLOCK.min(limit.saturating_sub(start));
        decode_block(block, &mut out, room).ok_or_else(|| {
            if room < BLOCK {
                Error::TooLarge { limit }
            } else {
                bad("damaged block")
            }
        })?;
        if out.len() - start < BLOCK {
            break;
        }
    }
    if out.is_empty() {
        return Err(bad("no block"));
    }
    Ok(out)
}

/// One block: sequences of literals and a match in what this block has written so far.
/// `None` when it is damaged or would write more than `room` bytes.
fn decode_block(mut data: &[u8], out: &mut Vec<u8>, room: usize) -> Option<()> {
    let start = out.len();
    let end = start + room;
    loop {
        let (&token, rest) = data.split_first()?;
        data = rest;
        let literals = length(&mut data, token >> 4)?;
        let (run, rest) = data.split_at_checked(literals)?;
        if run.len() > end - out.len() {
            return None;
        }
        out.extend_from_slice(run);
        data = rest;
        // The last sequence has no match.
        if data.is_empty() {
            return Some(());
        }
        let back = LITTLE.u16(data, 0)? as usize;
        data = &data[2..];
        let size = length(&mut data, token & 15)?.checked_add(4)?;
        let from = out.len().checked_sub(back)?;
        if back == 0 || from < start || size > end - out.len() {
            return None;
        }
        // Source and destination may overlap: that is how runs are written.
        for i in from..from + size {
            out.push(out[i]);
        }
    }
}

/// A length whose first part is in the token: 15 means that bytes to be added follow, up to one below 255.
fn length(data: &mut &[u8], nibble: u8) -> Option<usize> {
    let mut n = nibble as usize;
    if nibble == 15 {
        loop {
            let (&b, rest) = data.split_first()?;
            *data = rest;
            n = n.checked_add(b as usize)?;
            if b != 255 {
                break;
            }
        }
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "ab", then 40 bytes from two back, then "!" as last literals.
    const BLOCK_AB: [u8; 8] = [0x2f, b'a', b'b', 2, 0, 21, 0x10, b'!'];

    fn framed(block: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut v = (block.len() as u32).to_le_bytes().to_vec();
        v.extend(block);
        v.extend(tail);
        v
    }

    #[test]
    fn literals_and_overlapping_match() {
        let out = decompress_legacy(&framed(&BLOCK_AB, &43u32.to_le_bytes()), 1 << 20).unwrap();
        assert_eq!(out, [b"ab".repeat(21), b"!".to_vec()].concat());
    }

    #[test]
    fn damage_and_limits() {
        for bad in [&[0x10][..], &[0x0f, 9, 0, 1, 0], &[0x1f, b'x', 0, 0, 0, 0]] {
            assert!(decompress_legacy(&framed(bad, &[]), 1 << 20).is_err());
        }
        assert_eq!(
            decompress_legacy(&framed(&BLOCK_AB, &[]), 10),
            Err(Error::TooLarge { limit: 10 })
        );
        assert!(decompress_legacy(&[], 10).is_err());
    }
}
