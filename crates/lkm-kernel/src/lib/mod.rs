//! The library (lib/): strings, numbers, bitmaps, sorting, trees, hashes. Whatever headers read inline lies in
//! guest memory in the kernel's own layout.

pub(crate) mod bitmap;
mod bitmap_text;
mod chacha;
mod cpumask;
pub(crate) mod ctype;
pub(crate) mod escape;
mod find_bit;
pub(crate) mod hexdump;
mod idr;
mod iomap;
pub(crate) mod iov_iter;
mod kfifo;
mod kstrtox;
mod llist;
mod math;
pub(crate) mod number;
mod parser;
mod percpu_ref;
mod radix;
mod radix_calls;
pub(crate) mod random;
mod rbtree;
mod rhashtable;
pub(crate) mod siphash;
mod sort;
pub(crate) mod string;
mod uuid;
pub(crate) mod xarray;

use crate::Cx;
use crate::abi::R;
use crate::table::Row;

/// The tables of this directory.
pub(crate) const ROWS: &[&[Row]] = &[
    bitmap::ROWS,
    bitmap_text::ROWS,
    escape::ROWS,
    find_bit::ROWS,
    hexdump::ROWS,
    iomap::ROWS,
    iov_iter::ROWS,
    kstrtox::ROWS,
    math::ROWS,
    parser::ROWS,
    percpu_ref::ROWS,
    random::ROWS,
    rbtree::ROWS,
    siphash::ROWS,
    sort::ROWS,
    string::ROWS,
    uuid::ROWS,
    xarray::ROWS,
    idr::ROWS,
    radix_calls::ROWS,
    llist::ROWS,
    rhashtable::ROWS,
    cpumask::ROWS,
    chacha::ROWS,
    kfifo::ROWS,
];

/// Longest string that library functions follow.
pub(crate) const STRING_MAX: usize = 16 << 20;

/// A guest string, whole.
pub(crate) fn text(cx: &Cx, at: u64) -> R<Vec<u8>> {
    Ok(cx.cstr(at, STRING_MAX)?)
}

/// Writes what fits of `text` and a NUL into `size` bytes, as snprintf does.
pub(crate) fn put_string(cx: &Cx, at: u64, text: &[u8], size: u64) -> R<()> {
    if size == 0 {
        return Ok(());
    }
    let len = text.len().min((size - 1) as usize);
    cx.write(at, &text[..len])?;
    Ok(cx.w8(at + len as u64, 0)?)
}
