//! A build that can unpack gzip only.

use super::{Compression, damaged};
use crate::error::Result;

/// Refuses xz.
pub fn xz(_: &[u8], _: bool, _: usize, _: usize) -> Result<Vec<u8>> {
    Err(damaged(Compression::Xz, "not in this build"))
}

/// Refuses zstd.
pub fn zstd(_: &[u8], _: bool, _: usize, _: usize) -> Result<Vec<u8>> {
    Err(damaged(Compression::Zstd, "not in this build"))
}
