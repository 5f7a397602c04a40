//! Searching bits (lib/find_bit.c, lib/bitrev.c, lib/hweight.c).

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("_find_first_bit", first_bit),
    behaves("_find_first_zero_bit", first_zero),
    behaves("_find_first_and_bit", first_and),
    behaves("_find_next_bit", next_bit),
    behaves("_find_next_zero_bit", next_zero),
    behaves("_find_next_and_bit", next_and),
    behaves("_find_next_andnot_bit", next_andnot),
    behaves("_find_last_bit", last_bit),
    behaves("__find_nth_bit", nth),
    behaves("__find_nth_and_bit", nth_and),
    behaves("__find_nth_andnot_bit", nth_andnot),
    behaves("find_next_clump8", clump8),
];

/// The first bit from `from` of `word(i)`, or `end`. Reads only the words that are needed.
fn search(from: u64, end: u64, word: impl Fn(u64) -> R) -> R {
    let mut n = from;
    while n < end {
        let bits = word(n / 64)? >> (n % 64);
        if bits != 0 {
            return Ok((n + u64::from(bits.trailing_zeros())).min(end));
        }
        n = (n / 64 + 1) * 64;
    }
    Ok(end)
}

fn at(cx: &Cx, map: u64, index: u64) -> R {
    Ok(cx.r64(map.wrapping_add(index * 8))?)
}

fn first_bit(cx: &mut Cx, c: &Call) -> R {
    search(0, c.a[1], |i| at(cx, c.a[0], i))
}

fn first_zero(cx: &mut Cx, c: &Call) -> R {
    search(0, c.a[1], |i| Ok(!at(cx, c.a[0], i)?))
}

fn first_and(cx: &mut Cx, c: &Call) -> R {
    search(0, c.a[2], |i| Ok(at(cx, c.a[0], i)? & at(cx, c.a[1], i)?))
}

fn next_bit(cx: &mut Cx, c: &Call) -> R {
    search(c.a[2], c.a[1], |i| at(cx, c.a[0], i))
}

fn next_zero(cx: &mut Cx, c: &Call) -> R {
    search(c.a[2], c.a[1], |i| Ok(!at(cx, c.a[0], i)?))
}

fn next_and(cx: &mut Cx, c: &Call) -> R {
    search(c.a[3], c.a[2], |i| {
        Ok(at(cx, c.a[0], i)? & at(cx, c.a[1], i)?)
    })
}

fn next_andnot(cx: &mut Cx, c: &Call) -> R {
    search(c.a[3], c.a[2], |i| {
        Ok(at(cx, c.a[0], i)? & !at(cx, c.a[1], i)?)
    })
}

fn last_bit(cx: &mut Cx, c: &Call) -> R {
    let size = c.a[1];
    let mut end = size;
    while end > 0 {
        let index = (end - 1) / 64;
        let word = at(cx, c.a[0], index)? & (u64::MAX >> (end.wrapping_neg() & 63));
        if word != 0 {
            return Ok(index * 64 + 63 - u64::from(word.leading_zeros()));
        }
        end = index * 64;
    }
    Ok(size)
}

fn nth_of(size: u64, mut n: u64, word: impl Fn(u64) -> R) -> R {
    let mut from = 0;
    loop {
        let found = search(from, size, &word)?;
        if found >= size || n == 0 {
            return Ok(found);
        }
        n -= 1;
        from = found + 1;
    }
}

fn nth(cx: &mut Cx, c: &Call) -> R {
    nth_of(c.a[1], c.a[2], |i| at(cx, c.a[0], i))
}

fn nth_and(cx: &mut Cx, c: &Call) -> R {
    nth_of(c.a[2], c.a[3], |i| {
        Ok(at(cx, c.a[0], i)? & at(cx, c.a[1], i)?)
    })
}

fn nth_andnot(cx: &mut Cx, c: &Call) -> R {
    nth_of(c.a[2], c.a[3], |i| {
        Ok(at(cx, c.a[0], i)? & !at(cx, c.a[1], i)?)
    })
}

/// find_next_clump8(clump, map, size, offset): the next byte that is not zero.
fn clump8(cx: &mut Cx, c: &Call) -> R {
    let [clump, map, size, offset, ..] = c.a;
    let (size, offset) = (u64::from(size as u32), u64::from(offset as u32));
    let found = search(offset, size, |i| at(cx, map, i))?;
    if found == size {
        return Ok(size);
    }
    let start = found & !7;
    let byte = at(cx, map, start / 64)? >> (start % 64) & 0xff;
    cx.w64(clump, byte)?;
    Ok(start)
}
