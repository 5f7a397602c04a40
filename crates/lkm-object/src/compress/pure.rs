//! xz and zstd in pure Rust: slower, and without C.

use std::io::Read;

use super::{Compression, bounded, damaged};
use crate::error::{Error, Result};

/// Windows up to 128 MiB, what `zstd --long=27` writes and the kernel accepts at most.
const WINDOW_MAX: u64 = 128 << 20;

/// Unpacks xz: one stream, or all.
pub fn xz(data: &[u8], first: bool, hint: usize, limit: usize) -> Result<Vec<u8>> {
    // The decoder's own memory is bounded too: a header may ask for a 4 GiB dictionary.
    let memory = (limit as u64).max(64 << 20) + (1 << 20);
    let kilobytes = u32::try_from(memory >> 10).unwrap_or(u32::MAX - 1);
    let decoder = lzma_rust2::XzReader::new_mem_limit(data, !first, kilobytes);
    bounded(decoder, hint, Compression::Xz, limit)
}

/// Unpacks zstd: one frame, or all.
pub fn zstd(mut data: &[u8], first: bool, hint: usize, limit: usize) -> Result<Vec<u8>> {
    let format = Compression::Zstd;
    let mut out = Vec::new();
    loop {
        if let Some(rest) = skippable(data) {
            data = rest;
        } else {
            let mut decoder =
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(data, WINDOW_MAX)
                    .map_err(|e| damaged(format, e))?;
            let left = limit - out.len();
            let part = bounded(decoder.by_ref(), hint, format, left).map_err(|e| match e {
                Error::TooLarge { .. } => Error::TooLarge { limit },
                e => e,
            })?;
            let (rest, frame) = decoder.into_parts();
            if frame
                .get_checksum_from_data()
                .is_some_and(|sum| Some(sum) != frame.get_calculated_checksum())
            {
                return Err(damaged(format, "wrong checksum"));
            }
            data = rest;
            if out.is_empty() {
                out = part;
            } else {
                out.extend(part);
            }
        }
        if first || data.is_empty() {
            return Ok(out);
        }
    }
}

/// What follows a frame that decoders pass over, if this is one.
fn skippable(data: &[u8]) -> Option<&[u8]> {
    let [kind, 0x2a, 0x4d, 0x18, a, b, c, d, rest @ ..] = data else {
        return None;
    };
    let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    (kind & 0xf0 == 0x50).then(|| rest.get(len..))?
}
