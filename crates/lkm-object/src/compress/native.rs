//! xz and zstd by their C libraries.

use super::{Compression, bounded, damaged};
use crate::error::Result;

/// Unpacks xz: one stream, or all.
pub fn xz(data: &[u8], first: bool, hint: usize, limit: usize) -> Result<Vec<u8>> {
    let format = Compression::Xz;
    // The decoder's own memory is bounded too: a header may ask for a 4 GiB dictionary.
    let memory = (limit as u64).max(64 << 20) + (1 << 20);
    let flags = if first {
        0
    } else {
        liblzma::stream::CONCATENATED
    };
    let stream = liblzma::stream::Stream::new_stream_decoder(memory, flags)
        .map_err(|e| damaged(format, e))?;
    let decoder = liblzma::bufread::XzDecoder::new_stream(data, stream);
    bounded(decoder, hint, format, limit)
}

/// Unpacks zstd: one frame, or all.
pub fn zstd(data: &[u8], first: bool, hint: usize, limit: usize) -> Result<Vec<u8>> {
    let format = Compression::Zstd;
    if let Some(out) = zstd_at_once(data, limit).filter(|_| !first) {
        return Ok(out);
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(data).map_err(|e| damaged(format, e))?;
    if first {
        decoder = decoder.single_frame();
    }
    // Windows up to 128 MiB, what `zstd --long=27` writes and the kernel accepts at most.
    decoder.window_log_max(27).map_err(|e| damaged(format, e))?;
    bounded(decoder, hint, format, limit)
}

thread_local! {
    /// One context for all files a thread decompresses: making one costs as much as a small module.
    static ZSTD: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { std::cell::RefCell::new(None) };
}

/// A frame whose header tells its size, straight into a buffer of that size: a fifth
/// faster than the stream. `None` for anything else, and for damage, on which the
/// stream then reports.
fn zstd_at_once(data: &[u8], limit: usize) -> Option<Vec<u8>> {
    // More than any real file gains is a claim, not worth a buffer.
    let size = super::zstd_size(data).filter(|&n| n <= limit && n / 256 <= data.len())?;
    ZSTD.with_borrow_mut(|context| {
        if context.is_none() {
            *context = zstd::bulk::Decompressor::new().ok();
        }
        let out = context.as_mut()?.decompress(data, size).ok()?;
        (out.len() == size).then_some(out)
    })
}
