//! Decompression by magic number, with a limit: a bomb is an error, never an allocation.

#[cfg(feature = "native")]
#[path = "compress/native.rs"]
mod decoder;
#[cfg(all(feature = "pure-rust", not(feature = "native")))]
#[path = "compress/pure.rs"]
mod decoder;
#[cfg(not(any(feature = "native", feature = "pure-rust")))]
#[path = "compress/without.rs"]
mod decoder;

use std::borrow::Cow;
use std::io::Read;

use crate::error::{Error, Result};

/// The limit used where a caller has no reason for another: 256 MiB, several
/// times the largest module (amdgpu, 25 MiB) and vmlinux (70 MiB).
pub const DEFAULT_LIMIT: usize = 256 << 20;

/// How a file is compressed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed, or in a way this crate does not know.
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// Looks at the first bytes.
    pub fn detect(data: &[u8]) -> Compression {
        if data.starts_with(&[0x1f, 0x8b]) {
            Compression::Gzip
        } else if data.starts_with(b"\xfd7zXZ\0") {
            Compression::Xz
        } else if data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Compression::Zstd
        } else {
            Compression::None
        }
    }

    /// The word kmod and the kernel use for it: `none`, `gzip`, `xz`, `zstd`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        }
    }
}

/// The decompressed bytes, borrowed when `data` is not compressed at all.
///
/// # Errors
/// [`Error::Decompress`] for a damaged stream, [`Error::TooLarge`] when the
/// result would exceed `limit` bytes (raw data is held to it too).
pub fn decompress(data: &[u8], limit: usize) -> Result<Cow<'_, [u8]>> {
    expand(data, limit, Tail::Stream)
}

/// As [`decompress`], for a compressed kernel: one stream, and whatever follows
/// it (the kernel's build appends the size) is ignored. Reads legacy lz4, too.
///
/// # Errors
/// As [`decompress`].
pub fn decompress_first(data: &[u8], limit: usize) -> Result<Cow<'_, [u8]>> {
    if let Some(blocks) = data.strip_prefix(&crate::lz4::LEGACY_MAGIC) {
        return crate::lz4::decompress_legacy(blocks, limit).map(Cow::Owned);
    }
    expand(data, limit, Tail::Ignored)
}

/// What may follow the first compressed stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Another stream, whose contents are joined, or nothing.
    Stream,
    /// Anything.
    Ignored,
}

fn expand(data: &[u8], limit: usize, tail: Tail) -> Result<Cow<'_, [u8]>> {
    let format = Compression::detect(data);
    let first = tail == Tail::Ignored;
    let guess = data.len().saturating_mul(4);
    let out = match format {
        Compression::None => {
            if data.len() > limit {
                return Err(Error::TooLarge { limit });
            }
            return Ok(Cow::Borrowed(data));
        }
        Compression::Gzip if first => {
            bounded(flate2::read::GzDecoder::new(data), guess, format, limit)
        }
        Compression::Gzip => bounded(
            flate2::read::MultiGzDecoder::new(data),
            gzip_size(data),
            format,
            limit,
        ),
        Compression::Xz => decoder::xz(data, first, guess, limit),
        Compression::Zstd => decoder::zstd(data, first, zstd_size(data).unwrap_or(guess), limit),
    }?;
    Ok(Cow::Owned(out))
}

/// One zstd frame, as debug sections have, of at most `limit` bytes.
pub(crate) fn zstd_frame(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    decoder::zstd(data, true, limit, limit)
}

fn damaged(format: Compression, e: impl std::fmt::Display) -> Error {
    Error::Decompress {
        format: format.name(),
        why: e.to_string(),
    }
}

/// Reads to the end or to one byte past `limit`. `hint` is what the file says
/// of its size: worth a reservation, but never more than a few times the input.
fn bounded(reader: impl Read, hint: usize, format: Compression, limit: usize) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(hint.min(limit).min(64 << 20));
    let mut reader = reader.take(limit as u64 + 1);
    reader
        .read_to_end(&mut out)
        .map_err(|e| damaged(format, e))?;
    if out.len() > limit {
        return Err(Error::TooLarge { limit });
    }
    Ok(out)
}

/// The size in a gzip trailer, believed only up to deflate's best ratio.
fn gzip_size(data: &[u8]) -> usize {
    let tail = data.len().saturating_sub(4);
    let size = crate::bytes::LITTLE.u32(data, tail).unwrap_or(0) as usize;
    size.min(data.len().saturating_mul(1032))
}

/// The content size in a zstd frame header, when the frame has one.
fn zstd_size(data: &[u8]) -> Option<usize> {
    let descriptor = *data.get(4)?;
    let single = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][(descriptor & 3) as usize];
    let at = 5 + usize::from(!single) + dictionary;
    let o = crate::bytes::LITTLE;
    match descriptor >> 6 {
        0 if single => data.get(at).map(|&b| b as usize),
        0 => None,
        1 => o.u16(data, at).map(|v| v as usize + 256),
        2 => o.u32(data, at).map(|v| v as usize),
        _ => o.u64(data, at).and_then(|v| usize::try_from(v).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn xz(data: &[u8]) -> Vec<u8> {
        let mut e = liblzma::write::XzEncoder::new(Vec::new(), 6);
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn zst(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 3).unwrap()
    }

    #[test]
    fn every_format_gives_back_what_went_in() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|i| i.to_le_bytes()).collect();
        for (name, packed) in [
            ("gzip", gzip(&text)),
            ("xz", xz(&text)),
            ("zstd", zst(&text)),
        ] {
            assert_eq!(Compression::detect(&packed).name(), name);
            let out = decompress(&packed, DEFAULT_LIMIT).unwrap();
            assert!(out == text, "{name}");
        }
        assert!(matches!(
            decompress(&text, DEFAULT_LIMIT),
            Ok(Cow::Borrowed(_))
        ));
    }

    #[test]
    fn a_bomb_is_an_error() {
        let zeros = vec![0u8; 40 << 20];
        for packed in [gzip(&zeros), xz(&zeros), zst(&zeros)] {
            assert!(packed.len() < 100_000);
            assert_eq!(
                decompress(&packed, 1 << 20),
                Err(Error::TooLarge { limit: 1 << 20 })
            );
            assert_eq!(decompress(&packed, 40 << 20).unwrap().len(), 40 << 20);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let text = b"the quick brown fox".repeat(100);
        for packed in [gzip(&text), xz(&text), zst(&text)] {
            for cut in [6, packed.len() / 2, packed.len() - 1] {
                assert!(decompress(&packed[..cut], 1 << 20).is_err());
            }
        }
    }
}
