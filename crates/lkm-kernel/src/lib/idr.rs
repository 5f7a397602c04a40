//! Small numbers for pointers (lib/idr.c), numbers alone (IDA), and the radix tree's calls (lib/radix-tree.c).

use super::xarray::{self as xa, ZERO};
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
    behaves("idr_preload", preload).sleeps_gfp(0),
    behaves("radix_tree_preload", radix_preload).sleeps_gfp(0),
    behaves("radix_tree_maybe_preload", radix_preload),
    behaves("radix_tree_insert", radix_insert),
    behaves("radix_tree_lookup", radix_lookup),
    behaves("radix_tree_delete", radix_delete),
    behaves("radix_tree_delete_item", radix_delete_item),
    behaves("radix_tree_gang_lookup", radix_gang),
    behaves("radix_tree_gang_lookup_tag", radix_gang_tag),
    behaves("radix_tree_tag_set", radix_tag_set),
    behaves("radix_tree_tag_clear", radix_tag_clear),
    behaves("radix_tree_tag_get", radix_tag_get),
    behaves("radix_tree_tagged", radix_tagged),
];

const INT_MAX: u64 = i32::MAX as u64;
/// Entries of an IDA's array stand for this many numbers each: a word of bits.
const CHUNK: u64 = 64;

/// ida_alloc_range(ida, min, max, gfp).
fn ida_alloc_range(cx: &mut Cx, c: &Call) -> R {
    let (ida, min, max) = (c.a[0], c.a[1] as u32, c.a[2] as u32);
    if (min as i32) < 0 {
        return Ok(neg(errno::ENOSPC));
    }
    let max = if (max as i32) < 0 {
        INT_MAX
    } else {
        u64::from(max)
    };
    let min = u64::from(min);
    let mut chunk = min / CHUNK;
    let mut skip = min % CHUNK;
    while chunk * CHUNK + skip <= max {
        let word = xa::get(cx, ida, chunk)?;
        let free = !word & (u64::MAX << skip);
        if free != 0 {
            let bit = u64::from(free.trailing_zeros());
            let id = chunk * CHUNK + bit;
            if id > max {
                break;
            }
            xa::put(cx, ida, chunk, word | 1 << bit)?;
            return Ok(id);
        }
        chunk += 1;
        skip = 0;
    }
    Ok(neg(errno::ENOSPC))
}

fn ida_free(cx: &mut Cx, c: &Call) -> R {
    let id = c.a[1] as u32;
    if (id as i32) < 0 {
        return Ok(0);
    }
    let (chunk, bit) = (u64::from(id) / CHUNK, u64::from(id) % CHUNK);
    let word = xa::get(cx, c.a[0], chunk)?;
    if word >> bit & 1 == 0 {
        let text = format!("ida_free called for id={id} which is not allocated.\n");
        crate::traps::warn(cx, &text, "ida_free")?;
        return Ok(0);
    }
    xa::put(cx, c.a[0], chunk, word & !(1 << bit))?;
    Ok(0)
}

fn clear(cx: &mut Cx, root: u64) -> R<()> {
    let indexes: Vec<u64> = xa::tree(cx, root)?
        .map(|tree| tree.entries.keys().copied().collect())
        .unwrap_or_default();
    for index in indexes {
        xa::put(cx, root, index, 0)?;
    }
    Ok(())
}

fn ida_destroy(cx: &mut Cx, c: &Call) -> R {
    clear(cx, c.a[0])?;
    Ok(0)
}

/// An allocated number may have no pointer: then it is kept as the zero entry.
fn kept(entry: u64) -> u64 {
    if entry == 0 { ZERO } else { entry }
}

fn shown(entry: u64) -> u64 {
    if entry == ZERO { 0 } else { entry }
}

fn base(cx: &Cx, idr: u64) -> R {
    Ok(cx.r32(idr + cx.off.idr_base)?.into())
}

/// Takes the first free number from `min` to `max`.
fn take(cx: &mut Cx, idr: u64, entry: u64, min: u64, max: u64) -> R<Option<u64>> {
    let base = base(cx, idr)?;
    let (from, to) = (min.saturating_sub(base), max.wrapping_sub(base));
    let Some(index) = xa::room(cx, idr, from, to)? else {
        return Ok(None);
    };
    xa::put(cx, idr, index, kept(entry))?;
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
    let next = cx.off.idr_next + c.a[0];
    let from = u64::from(cx.r32(next)?).max(start);
    let mut got = take(cx, c.a[0], c.a[1], from, max)?;
    if got.is_none() && from > start {
        got = take(cx, c.a[0], c.a[1], start, max)?;
    }
    let Some(id) = got else {
        return Ok(neg(errno::ENOSPC));
    };
    cx.w32(next, id as u32 + 1)?;
    Ok(id)
}

fn idr_remove(cx: &mut Cx, c: &Call) -> R {
    let base = base(cx, c.a[0])?;
    Ok(shown(xa::put(cx, c.a[0], c.a[1].wrapping_sub(base), 0)?))
}

fn idr_find(cx: &mut Cx, c: &Call) -> R {
    let base = base(cx, c.a[0])?;
    Ok(shown(xa::get(cx, c.a[0], c.a[1].wrapping_sub(base))?))
}

/// idr_for_each(idr, fn(id, ptr, data), data): ends when fn returns something.
fn idr_for_each(cx: &mut Cx, c: &Call) -> R {
    let base = base(cx, c.a[0])?;
    let mut from = 0;
    while let Some((index, entry)) = xa::search(cx, c.a[0], from, INT_MAX, u64::MAX)? {
        let result = cx.call_guest(c.a[1], &[index + base, entry, c.a[2]]);
        if result as i32 != 0 {
            return Ok(result);
        }
        from = index + 1;
    }
    Ok(0)
}

fn next(cx: &Cx, idr: u64, from: u64) -> R<Option<(u64, u64)>> {
    let base = base(cx, idr)?;
    let found = xa::search(cx, idr, from.saturating_sub(base), u64::MAX, u64::MAX)?;
    Ok(found.map(|(index, entry)| (index + base, entry)))
}

fn idr_get_next(cx: &mut Cx, c: &Call) -> R {
    let from = u64::from(cx.r32(c.a[1])?);
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
    let index = c.a[2].wrapping_sub(base(cx, c.a[0])?);
    if xa::get(cx, c.a[0], index)? == 0 {
        return Ok(neg(errno::ENOENT));
    }
    Ok(shown(xa::put(cx, c.a[0], index, kept(c.a[1]))?))
}

fn idr_destroy(cx: &mut Cx, c: &Call) -> R {
    clear(cx, c.a[0])?;
    Ok(0)
}

/// Returns with preemption off; the inline *_preload_end puts it on again.
fn preload(cx: &mut Cx, _: &Call) -> R {
    crate::context::add(cx, 1);
    Ok(0)
}

fn radix_preload(cx: &mut Cx, c: &Call) -> R {
    preload(cx, c)
}

fn radix_insert(cx: &mut Cx, c: &Call) -> R {
    if xa::get(cx, c.a[0], c.a[1])? != 0 {
        return Ok(neg(errno::EEXIST));
    }
    xa::put(cx, c.a[0], c.a[1], c.a[2])?;
    Ok(0)
}

fn radix_lookup(cx: &mut Cx, c: &Call) -> R {
    xa::get(cx, c.a[0], c.a[1])
}

fn radix_delete(cx: &mut Cx, c: &Call) -> R {
    xa::put(cx, c.a[0], c.a[1], 0)
}

/// Removes the entry if it is the given one, or whatever it is when none is given.
fn radix_delete_item(cx: &mut Cx, c: &Call) -> R {
    let now = xa::get(cx, c.a[0], c.a[1])?;
    if c.a[2] != 0 && now != c.a[2] {
        return Ok(0);
    }
    xa::put(cx, c.a[0], c.a[1], 0)
}

fn gang(cx: &mut Cx, c: &Call, filter: u64) -> R {
    let [root, results, first, most, ..] = c.a;
    let (mut from, mut count) = (first, 0);
    while count < most & 0xffff_ffff {
        let Some((index, entry)) = xa::search(cx, root, from, u64::MAX, filter)? else {
            break;
        };
        cx.w64(results + 8 * count, entry)?;
        count += 1;
        match index.checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(count)
}

fn radix_gang(cx: &mut Cx, c: &Call) -> R {
    gang(cx, c, u64::MAX)
}

fn radix_gang_tag(cx: &mut Cx, c: &Call) -> R {
    gang(cx, c, c.a[4] & 0xffff_ffff)
}

fn radix_tag_set(cx: &mut Cx, c: &Call) -> R {
    xa::mark(cx, c.a[0], c.a[1], c.a[2] & 0xffff_ffff, true)?;
    xa::get(cx, c.a[0], c.a[1])
}

fn radix_tag_clear(cx: &mut Cx, c: &Call) -> R {
    xa::mark(cx, c.a[0], c.a[1], c.a[2] & 0xffff_ffff, false)?;
    xa::get(cx, c.a[0], c.a[1])
}

fn radix_tag_get(cx: &mut Cx, c: &Call) -> R {
    let tag = c.a[2] & 0xffff_ffff;
    Ok(u64::from(xa::marked(cx, c.a[0], c.a[1], tag)?))
}

/// Whether any entry of a root has a tag.
fn radix_tagged(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(xa::any_marked(cx, c.a[0], c.a[1] as u32)?))
}
