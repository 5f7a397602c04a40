//! Bitmaps (lib/bitmap.c): arrays of 64-bit words in guest memory, bit 0 the lowest of the first word.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::table::{Fails, Key, Row, When, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("__bitmap_equal", equal),
    behaves("__bitmap_or_equal", or_equal),
    behaves("__bitmap_complement", complement),
    behaves("__bitmap_shift_right", shift_right),
    behaves("__bitmap_shift_left", shift_left),
    behaves("bitmap_cut", cut),
    behaves("__bitmap_and", and),
    behaves("__bitmap_or", or),
    behaves("__bitmap_xor", xor),
    behaves("__bitmap_andnot", andnot),
    behaves("__bitmap_replace", replace),
    behaves("__bitmap_intersects", intersects),
    behaves("__bitmap_subset", subset),
    behaves("__bitmap_weight", weight),
    behaves("__bitmap_weight_and", weight_and),
    behaves("__bitmap_set", set),
    behaves("__bitmap_clear", clear),
    behaves("bitmap_find_next_zero_area_off", next_zero_area),
    behaves("bitmap_find_free_region", find_free_region),
    behaves("bitmap_release_region", release_region),
    behaves("bitmap_allocate_region", allocate_region),
    behaves("bitmap_copy_le", copy_le),
    behaves("bitmap_from_arr32", from_arr32),
    behaves("bitmap_to_arr32", to_arr32),
    allocates("bitmap_alloc", 1),
    allocates("bitmap_zalloc", 1),
    allocates("bitmap_alloc_node", 1),
    allocates("bitmap_zalloc_node", 1),
    behaves("bitmap_free", free),
];

const fn allocates(name: &'static str, gfp: u8) -> Row {
    let fun: crate::abi::Fun = match name.as_bytes()[7] {
        b'z' => zalloc,
        _ => alloc,
    };
    behaves(name, fun)
        .acquires("slab", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(gfp)
}

const fn words(bits: u64) -> u64 {
    bits.div_ceil(64)
}

/// The bits of the last word that belong to the map.
const fn last_mask(bits: u64) -> u64 {
    u64::MAX >> (bits.wrapping_neg() & 63)
}

/// The words of a map.
pub(crate) fn load(cx: &Cx, at: u64, bits: u64) -> R<Vec<u64>> {
    let bytes = cx.bytes(at, words(bits) * 8)?;
    let (chunks, _) = bytes.as_chunks::<8>();
    Ok(chunks.iter().map(|c| u64::from_le_bytes(*c)).collect())
}

/// Writes words back.
pub(crate) fn store(cx: &Cx, at: u64, map: &[u64]) -> R<()> {
    let bytes: Vec<u8> = map.iter().flat_map(|w| w.to_le_bytes()).collect();
    Ok(cx.write(at, &bytes)?)
}

fn masked(mut map: Vec<u64>, bits: u64) -> Vec<u64> {
    if let Some(last) = map.last_mut() {
        *last &= last_mask(bits);
    }
    map
}

fn bits(c: &Call, n: usize) -> u64 {
    u64::from(c.a[n] as u32)
}

/// Whether bit `n` is set.
pub(crate) fn test(map: &[u64], n: u64) -> bool {
    map.get((n / 64) as usize)
        .is_some_and(|w| w >> (n % 64) & 1 != 0)
}

/// Sets or clears bits from `start`.
pub(crate) fn change(map: &mut [u64], start: u64, len: u64, on: bool) {
    for n in start..start.saturating_add(len).min(map.len() as u64 * 64) {
        let word = &mut map[(n / 64) as usize];
        if on {
            *word |= 1 << (n % 64);
        } else {
            *word &= !(1 << (n % 64));
        }
    }
}

fn pair(cx: &Cx, c: &Call, first: usize, count: u64) -> R<Vec<(u64, u64)>> {
    let (a, b) = (
        load(cx, c.a[first], count)?,
        load(cx, c.a[first + 1], count)?,
    );
    Ok(masked(a, count).into_iter().zip(masked(b, count)).collect())
}

fn equal(cx: &mut Cx, c: &Call) -> R {
    let both = pair(cx, c, 0, bits(c, 2))?;
    Ok(u64::from(both.iter().all(|(a, b)| a == b)))
}

fn or_equal(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 3);
    let both = pair(cx, c, 0, count)?;
    let third = masked(load(cx, c.a[2], count)?, count);
    Ok(u64::from(
        both.iter().zip(third).all(|((a, b), third)| a | b == third),
    ))
}

fn intersects(cx: &mut Cx, c: &Call) -> R {
    let both = pair(cx, c, 0, bits(c, 2))?;
    Ok(u64::from(both.iter().any(|(a, b)| a & b != 0)))
}

fn subset(cx: &mut Cx, c: &Call) -> R {
    let both = pair(cx, c, 0, bits(c, 2))?;
    Ok(u64::from(both.iter().all(|(a, b)| a & !b == 0)))
}

fn complement(cx: &mut Cx, c: &Call) -> R {
    let map = load(cx, c.a[1], bits(c, 2))?;
    let out: Vec<u64> = map.iter().map(|w| !w).collect();
    store(cx, c.a[0], &out)?;
    Ok(0)
}

/// dst = a op b over whole words; whether the part inside the map is not empty.
fn combine(cx: &mut Cx, c: &Call, op: fn(u64, u64) -> u64) -> R {
    let count = bits(c, 3);
    let (a, b) = (load(cx, c.a[1], count)?, load(cx, c.a[2], count)?);
    let out: Vec<u64> = a.iter().zip(b).map(|(a, b)| op(*a, b)).collect();
    store(cx, c.a[0], &out)?;
    Ok(u64::from(masked(out, count).iter().any(|&w| w != 0)))
}

fn and(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 3);
    let both = pair(cx, c, 1, count)?;
    let out: Vec<u64> = both.iter().map(|(a, b)| a & b).collect();
    store(cx, c.a[0], &out)?;
    Ok(u64::from(out.iter().any(|&w| w != 0)))
}

fn andnot(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 3);
    let both = pair(cx, c, 1, count)?;
    let out: Vec<u64> = both.iter().map(|(a, b)| a & !b).collect();
    store(cx, c.a[0], &out)?;
    Ok(u64::from(out.iter().any(|&w| w != 0)))
}

fn or(cx: &mut Cx, c: &Call) -> R {
    combine(cx, c, |a, b| a | b)
}

fn xor(cx: &mut Cx, c: &Call) -> R {
    combine(cx, c, |a, b| a ^ b)
}

fn replace(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 4);
    let (old, new, mask) = (
        load(cx, c.a[1], count)?,
        load(cx, c.a[2], count)?,
        load(cx, c.a[3], count)?,
    );
    let out: Vec<u64> = (0..old.len())
        .map(|i| old[i] & !mask[i] | new[i] & mask[i])
        .collect();
    store(cx, c.a[0], &out)?;
    Ok(0)
}

fn shift_right(cx: &mut Cx, c: &Call) -> R {
    let (shift, count) = (bits(c, 2), bits(c, 3));
    let map = masked(load(cx, c.a[1], count)?, count);
    let mut out = vec![0; map.len()];
    for n in 0..count {
        if n + shift < count && test(&map, n + shift) {
            change(&mut out, n, 1, true);
        }
    }
    store(cx, c.a[0], &out)?;
    Ok(0)
}

fn shift_left(cx: &mut Cx, c: &Call) -> R {
    let (shift, count) = (bits(c, 2), bits(c, 3));
    let map = load(cx, c.a[1], count)?;
    let mut out = vec![0; map.len()];
    // The words are shifted whole: bits behind the end may be set, as in the kernel.
    for n in shift..map.len() as u64 * 64 {
        if test(&map, n - shift) {
            change(&mut out, n, 1, true);
        }
    }
    store(cx, c.a[0], &out)?;
    Ok(0)
}

/// Takes `cut` bits from `first` out; what is behind moves down.
fn cut(cx: &mut Cx, c: &Call) -> R {
    let (first, cut, count) = (bits(c, 2), bits(c, 3), bits(c, 4));
    let mut map = load(cx, c.a[1], count)?;
    let whole = map.clone();
    let end = map.len() as u64 * 64;
    // As in the kernel, whole words move: bits behind the map's end come along.
    for n in first..end {
        let from = n + cut;
        let on = from < end && test(&whole, from);
        change(&mut map, n, 1, on);
    }
    store(cx, c.a[0], &map)?;
    Ok(0)
}

fn weight(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 1);
    let map = masked(load(cx, c.a[0], count)?, count);
    Ok(map.iter().map(|w| u64::from(w.count_ones())).sum())
}

fn weight_and(cx: &mut Cx, c: &Call) -> R {
    let both = pair(cx, c, 0, bits(c, 2))?;
    Ok(both
        .iter()
        .map(|(a, b)| u64::from((a & b).count_ones()))
        .sum())
}

fn range(cx: &mut Cx, c: &Call, on: bool) -> R {
    let (start, len) = (bits(c, 1), c.int(2));
    if len <= 0 {
        return Ok(0);
    }
    let (from, end) = (start / 64, (start + len as u64).div_ceil(64));
    let at = c.a[0] + from * 8;
    let mut map = load(cx, at, (end - from) * 64)?;
    change(&mut map, start - from * 64, len as u64, on);
    store(cx, at, &map)?;
    Ok(0)
}

fn set(cx: &mut Cx, c: &Call) -> R {
    range(cx, c, true)
}

fn clear(cx: &mut Cx, c: &Call) -> R {
    range(cx, c, false)
}

/// The next bit from `from` that is `on`; `end` when there is none.
pub(crate) fn next(map: &[u64], from: u64, end: u64, on: bool) -> u64 {
    let mut n = from;
    while n < end {
        let word = map.get((n / 64) as usize).copied().unwrap_or(0);
        let word = if on { word } else { !word } >> (n % 64);
        if word != 0 {
            return (n + u64::from(word.trailing_zeros())).min(end);
        }
        n = (n / 64 + 1) * 64;
    }
    end
}

/// bitmap_find_next_zero_area_off: map, size, start, nr, align_mask, align_offset.
fn next_zero_area(cx: &mut Cx, c: &Call) -> R {
    let (size, nr, mask, offset) = (c.a[1], bits(c, 3), c.a[4], c.a[5]);
    let map = load(cx, c.a[0], size)?;
    let mut start = c.a[2];
    loop {
        let zero = next(&map, start.min(size), size, false);
        let index = (zero.wrapping_add(offset).wrapping_add(mask) & !mask).wrapping_sub(offset);
        let end = index.saturating_add(nr);
        if end > size {
            return Ok(end);
        }
        let taken = next(&map, index, end, true);
        if taken >= end {
            return Ok(index);
        }
        start = taken + 1;
    }
}

fn is_free(map: &[u64], at: u64, len: u64) -> bool {
    next(map, at, at + len, true) >= at + len
}

fn find_free_region(cx: &mut Cx, c: &Call) -> R {
    let (count, len) = (bits(c, 1), 1u64 << (bits(c, 2) & 31));
    let mut map = load(cx, c.a[0], count)?;
    let mut at = 0;
    while at + len <= count {
        if is_free(&map, at, len) {
            change(&mut map, at, len, true);
            store(cx, c.a[0], &map)?;
            return Ok(at);
        }
        at += len;
    }
    Ok(neg(errno::ENOMEM))
}

fn release_region(cx: &mut Cx, c: &Call) -> R {
    let (at, len) = (bits(c, 1), 1u64 << (bits(c, 2) & 31));
    let mut map = load(cx, c.a[0], at + len)?;
    change(&mut map, at, len, false);
    store(cx, c.a[0], &map)?;
    Ok(0)
}

fn allocate_region(cx: &mut Cx, c: &Call) -> R {
    let (at, len) = (bits(c, 1), 1u64 << (bits(c, 2) & 31));
    let mut map = load(cx, c.a[0], at + len)?;
    if !is_free(&map, at, len) {
        return Ok(neg(errno::EBUSY));
    }
    change(&mut map, at, len, true);
    store(cx, c.a[0], &map)?;
    Ok(0)
}

fn copy_le(cx: &mut Cx, c: &Call) -> R {
    let map = load(cx, c.a[1], bits(c, 2))?;
    store(cx, c.a[0], &map)?;
    Ok(0)
}

fn from_arr32(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 2);
    let mut bytes = cx.bytes(c.a[1], count.div_ceil(32) * 4)?;
    bytes.resize((words(count) * 8) as usize, 0);
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut map: Vec<u64> = chunks.iter().map(|b| u64::from_le_bytes(*b)).collect();
    if !count.is_multiple_of(64) {
        map = masked(map, count);
    }
    store(cx, c.a[0], &map)?;
    Ok(0)
}

fn to_arr32(cx: &mut Cx, c: &Call) -> R {
    let count = bits(c, 2);
    let map = masked(load(cx, c.a[1], count)?, count);
    let bytes: Vec<u8> = map.iter().flat_map(|w| w.to_le_bytes()).collect();
    cx.write(c.a[0], &bytes[..(count.div_ceil(32) * 4) as usize])?;
    Ok(0)
}

fn alloc(cx: &mut Cx, c: &Call) -> R {
    crate::mm::slab::alloc(cx, words(bits(c, 0)) * 8, c.a[1])
}

fn zalloc(cx: &mut Cx, c: &Call) -> R {
    crate::mm::slab::alloc(cx, words(bits(c, 0)) * 8, c.a[1] | 0x100)
}

fn free(cx: &mut Cx, c: &Call) -> R {
    crate::mm::slab::free(cx, c.a[0], "bitmap_free")?;
    Ok(0)
}

/// A map in bytes as text: ranges.
pub(crate) fn list(bytes: &[u8], count: u64) -> String {
    let on = |n: u64| bytes[(n / 8) as usize] >> (n % 8) & 1 != 0;
    let mut parts = Vec::new();
    let mut n = 0;
    while n < count {
        if !on(n) {
            n += 1;
            continue;
        }
        let start = n;
        while n < count && on(n) {
            n += 1;
        }
        parts.push(match n - start {
            1 => start.to_string(),
            _ => format!("{start}-{}", n - 1),
        });
    }
    parts.join(",")
}

/// A map in bytes as text: groups of 32 bits in hexadecimal, the highest first.
pub(crate) fn mask(bytes: &[u8], count: u64) -> String {
    let mut parts = Vec::new();
    let mut at = count.div_ceil(32);
    while at > 0 {
        at -= 1;
        let group: [u8; 4] = std::array::from_fn(|i| bytes[(at * 4) as usize + i]);
        let mut value = u32::from_le_bytes(group);
        let bits = (count - at * 32).min(32);
        if bits < 32 {
            value &= (1 << bits) - 1;
        }
        let width = bits.div_ceil(4) as usize;
        parts.push(format!("{value:0width$x}"));
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_as_text() {
        let mut bytes = [0u8; 16];
        for n in [2, 3, 5, 7, 11, 13, 17, 19] {
            bytes[n / 8] |= 1 << (n % 8);
        }
        assert_eq!(list(&bytes, 20), "2-3,5,7,11,13,17,19");
        assert_eq!(mask(&bytes, 20), "a28ac");
        assert_eq!(mask(&bytes, 40), "00,000a28ac");
        assert_eq!(mask(&bytes, 0), "");
    }

    #[test]
    fn next_bit() {
        let map = [0b1000u64, 1];
        assert_eq!(next(&map, 0, 128, true), 3);
        assert_eq!(next(&map, 4, 128, true), 64);
        assert_eq!(next(&map, 65, 128, true), 128);
        assert_eq!(next(&map, 3, 128, false), 4);
    }
}
