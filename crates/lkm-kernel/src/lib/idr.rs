//! Small numbers for pointers (the IDR of lib/idr.c, a radix tree), and numbers alone (the IDA, an XArray of bitmaps).

use super::radix::{self, Place};
use super::xarray::node::{self, FREE, TRACK_FREE, is_value};
use super::xarray::xas::Xas;
use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("ida_alloc_range", ida_alloc_range).sleeps_gfp(3),
    behaves("ida_free", ida_free),
    behaves("ida_destroy", ida_destroy),
    behaves("idr_alloc", idr_alloc),
    behaves("idr_alloc_u32", idr_alloc_u32),
    behaves("idr_alloc_cyclic", idr_alloc_cyclic),
    behaves("idr_remove", idr_remove),
    behaves("idr_find", idr_find),
    behaves("idr_for_each", idr_for_each),
    behaves("idr_get_next", idr_get_next),
    behaves("idr_get_next_ul", idr_get_next_ul),
    behaves("idr_replace", idr_replace),
    behaves("idr_destroy", idr_destroy),
    behaves("idr_preload", super::radix_calls::preload).sleeps_gfp(0),
];

const INT_MAX: u64 = i32::MAX as u64;
/// IDA_BITMAP_BITS: the numbers that an entry stands for.
const CHUNK: u64 = 1024;
/// BITS_PER_XA_VALUE: those of them that fit in the entry itself, while no higher one is taken.
const INLINE: u64 = 63;

fn value(bits: u64) -> u64 {
    bits << 1 | 1
}

/// The first clear bit of a bitmap of `CHUNK` bits from `from` on.
fn first_clear(cx: &Cx, bitmap: u64, from: u64) -> R<Option<u64>> {
    for word in from / 64..CHUNK / 64 {
        let skip = if word == from / 64 { from % 64 } else { 0 };
        let free = !cx.r64(bitmap + 8 * word)? & (u64::MAX << skip);
        if free != 0 {
            return Ok(Some(word * 64 + u64::from(free.trailing_zeros())));
        }
    }
    Ok(None)
}

/// Sets or clears a bit; whether all bits of the bitmap are now as this one.
fn change(cx: &Cx, bitmap: u64, bit: u64, on: bool) -> R<bool> {
    let at = bitmap + bit / 64 * 8;
    let word = cx.r64(at)?;
    let mask = 1 << (bit % 64);
    cx.w64(at, if on { word | mask } else { word & !mask })?;
    let want = if on { u64::MAX } else { 0 };
    for word in 0..CHUNK / 64 {
        if cx.r64(bitmap + 8 * word)? != want {
            return Ok(false);
        }
    }
    Ok(true)
}

fn new_bitmap(cx: &mut Cx, first: u64) -> R {
    let at = crate::mm::kalloc(cx, CHUNK / 8)?;
    cx.w64(at, first)?;
    Ok(at)
}

/// ida_alloc_range(ida, min, max, gfp).
fn ida_alloc_range(cx: &mut Cx, c: &Call) -> R {
    let (ida, min, max) = (c.a[0], u64::from(c.a[1] as u32), u64::from(c.a[2] as u32));
    if min > INT_MAX {
        return Ok(neg(errno::ENOSPC));
    }
    let max = max.min(INT_MAX);
    let mut xas = Xas::new(ida, min / CHUNK);
    let mut fuel = node::Fuel::new();
    loop {
        fuel.burn()?;
        let mut entry = xas.find_marked(cx, max / CHUNK, FREE)?;
        let mut bit = if xas.index > min / CHUNK {
            0
        } else {
            min % CHUNK
        };
        if xas.index * CHUNK + bit > max {
            return Ok(neg(errno::ENOSPC));
        }
        if is_value(entry) {
            let taken = entry >> 1;
            let free = !taken & (u64::MAX >> 1) & node::shl(u64::MAX, bit as u32);
            if free != 0 {
                bit = u64::from(free.trailing_zeros());
                if xas.index * CHUNK + bit > max {
                    return Ok(neg(errno::ENOSPC));
                }
                xas.store(cx, value(taken | 1 << bit))?;
                return Ok(xas.index * CHUNK + bit);
            }
            bit = bit.max(INLINE);
            if xas.index * CHUNK + bit > max {
                return Ok(neg(errno::ENOSPC));
            }
            entry = new_bitmap(cx, taken)?;
            xas.store(cx, entry)?;
        }
        if entry == 0 {
            entry = if bit < INLINE {
                value(1 << bit)
            } else {
                let bitmap = new_bitmap(cx, 0)?;
                change(cx, bitmap, bit, true)?;
                bitmap
            };
            xas.store(cx, entry)?;
            return Ok(xas.index * CHUNK + bit);
        }
        let Some(bit) = first_clear(cx, entry, bit)? else {
            continue;
        };
        if xas.index * CHUNK + bit > max {
            return Ok(neg(errno::ENOSPC));
        }
        if change(cx, entry, bit, true)? {
            xas.mark(cx, FREE, false)?;
        }
        return Ok(xas.index * CHUNK + bit);
    }
}

fn ida_free(cx: &mut Cx, c: &Call) -> R {
    let id = u64::from(c.a[1] as u32);
    if id > INT_MAX {
        return Ok(0);
    }
    let (mut xas, bit) = (Xas::new(c.a[0], id / CHUNK), id % CHUNK);
    let entry = xas.load(cx)?;
    let taken = match entry {
        0 => false,
        _ if is_value(entry) => bit < INLINE && entry >> 1 >> bit & 1 != 0,
        _ => cx.r64(entry.wrapping_add(bit / 64 * 8))? >> (bit % 64) & 1 != 0,
    };
    if !taken {
        let text = format!("ida_free called for id={id} which is not allocated.\n");
        crate::traps::warn(cx, &text, "ida_free")?;
        return Ok(0);
    }
    if is_value(entry) {
        let left = entry >> 1 & !(1 << bit);
        xas.store(cx, if left == 0 { 0 } else { value(left) })?;
        return Ok(0);
    }
    let empty = change(cx, entry, bit, false)?;
    xas.mark(cx, FREE, true)?;
    if empty {
        crate::mm::kfree(cx, entry);
        xas.store(cx, 0)?;
    }
    Ok(0)
}

fn ida_destroy(cx: &mut Cx, c: &Call) -> R {
    let mut xas = Xas::new(c.a[0], 0);
    loop {
        let entry = xas.find(cx, u64::MAX)?;
        if entry == 0 {
            return Ok(0);
        }
        if !is_value(entry) {
            crate::mm::kfree(cx, entry);
        }
        xas.store(cx, 0)?;
    }
}

fn base(cx: &Cx, idr: u64) -> R {
    Ok(cx.r32(idr.wrapping_add(cx.off.idr_base))?.into())
}

/// Takes the first free number from `min` to `max`.
fn take(cx: &mut Cx, idr: u64, entry: u64, min: u64, max: u64) -> R<Option<u64>> {
    let base = base(cx, idr)?;
    let flags = node::flags(cx, idr)?;
    if flags & TRACK_FREE == 0 {
        // Not initialised, or zeroed: the kernel says so and makes it one.
        crate::traps::warn(cx, "", "idr_alloc_u32")?;
        node::set_flags(cx, idr, flags | TRACK_FREE)?;
        node::set_root_mark(cx, idr, FREE, true)?;
    }
    let Some(last) = max.checked_sub(base) else {
        return Ok(None);
    };
    let from = min.saturating_sub(base);
    let Some((index, place)) = radix::free_place(cx, idr, from, last)? else {
        return Ok(None);
    };
    radix::replace(cx, idr, place, entry)?;
    radix::taken(cx, idr, place)?;
    Ok(Some(index + base))
}

/// The last number below the C-style `end`: 0 or less means no limit.
fn last(end: i32) -> u64 {
    if end > 0 { end as u64 - 1 } else { INT_MAX }
}

fn idr_alloc(cx: &mut Cx, c: &Call) -> R {
    let (start, end) = (c.int(2), c.int(3));
    if start < 0 {
        crate::traps::warn(cx, "", "idr_alloc")?;
        return Ok(neg(errno::EINVAL));
    }
    let got = take(cx, c.a[0], c.a[1], start as u64, last(end))?;
    Ok(got.unwrap_or(neg(errno::ENOSPC)))
}

/// idr_alloc_u32(idr, ptr, &next, max, gfp).
fn idr_alloc_u32(cx: &mut Cx, c: &Call) -> R {
    let min = u64::from(cx.r32(c.a[2])?);
    match take(cx, c.a[0], c.a[1], min, c.a[3])? {
        Some(id) => {
            cx.w32(c.a[2], id as u32)?;
            Ok(0)
        }
        None => Ok(neg(errno::ENOSPC)),
    }
}

fn idr_alloc_cyclic(cx: &mut Cx, c: &Call) -> R {
    let (start, max) = (c.int(2).max(0) as u64, last(c.int(3)));
    let next = c.a[0].wrapping_add(cx.off.idr_next);
    let wanted = cx.r32(next)?;
    // A number that went negative begins anew.
    let from = if (wanted as i32) < start as i32 {
        start
    } else {
        u64::from(wanted)
    };
    let mut got = take(cx, c.a[0], c.a[1], from, max)?;
    if got.is_none() && from > start {
        got = take(cx, c.a[0], c.a[1], start, max)?;
    }
    let Some(id) = got else {
        return Ok(neg(errno::ENOSPC));
    };
    cx.w32(next, (id as u32).wrapping_add(1))?;
    Ok(id)
}

fn idr_remove(cx: &mut Cx, c: &Call) -> R {
    let index = c.a[1].wrapping_sub(base(cx, c.a[0])?);
    radix::take(cx, c.a[0], index, 0)
}

fn idr_find(cx: &mut Cx, c: &Call) -> R {
    let index = c.a[1].wrapping_sub(base(cx, c.a[0])?);
    Ok(radix::find(cx, c.a[0], index)?.map_or(0, |(_, entry)| entry))
}

/// idr_for_each(idr, fn(id, ptr, data), data): ends when fn returns something.
fn idr_for_each(cx: &mut Cx, c: &Call) -> R {
    let base = base(cx, c.a[0])?;
    let mut result = 0;
    radix::each(cx, c.a[0], 0, 0, |cx, index, _, entry| {
        result = cx.call_guest(c.a[1], &[index.wrapping_add(base), entry, c.a[2]]);
        Ok(result as i32 == 0)
    })?;
    Ok(result)
}

/// The first number from `from` on that has a pointer, and the pointer.
fn next(cx: &mut Cx, idr: u64, from: u64) -> R<Option<(u64, u64)>> {
    let base = base(cx, idr)?;
    let mut found = None;
    radix::each(
        cx,
        idr,
        from.saturating_sub(base),
        0,
        |_, index, _, entry| {
            found = Some((index.wrapping_add(base), entry));
            Ok(false)
        },
    )?;
    Ok(found)
}

fn idr_get_next(cx: &mut Cx, c: &Call) -> R {
    let from = i64::from(cx.r32(c.a[1])? as i32) as u64;
    match next(cx, c.a[0], from)? {
        Some((id, entry)) if id <= INT_MAX => {
            cx.w32(c.a[1], id as u32)?;
            Ok(entry)
        }
        _ => Ok(0),
    }
}

fn idr_get_next_ul(cx: &mut Cx, c: &Call) -> R {
    let from = cx.r64(c.a[1])?;
    match next(cx, c.a[0], from)? {
        Some((id, entry)) => {
            cx.w64(c.a[1], id)?;
            Ok(entry)
        }
        None => Ok(0),
    }
}

/// idr_replace(idr, ptr, id): the old pointer, or -ENOENT.
fn idr_replace(cx: &mut Cx, c: &Call) -> R {
    let (idr, index) = (c.a[0], c.a[2].wrapping_sub(base(cx, c.a[0])?));
    let found: Option<(Place, u64)> = radix::find(cx, idr, index)?;
    match found {
        Some((place, entry)) if !radix::is_free(cx, idr, place)? => {
            radix::replace(cx, idr, place, c.a[1])?;
            Ok(entry)
        }
        _ => Ok(neg(errno::ENOENT)),
    }
}

/// idr_destroy: what the pointers point to is the caller's.
fn idr_destroy(cx: &mut Cx, c: &Call) -> R {
    super::xarray::destroy(cx, c.a[0])?;
    node::set_root_mark(cx, c.a[0], FREE, true)?;
    Ok(0)
}
