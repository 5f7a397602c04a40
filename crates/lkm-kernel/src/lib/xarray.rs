//! Index to pointer maps: the plain interface of the XArray (lib/xarray.c), the radix tree (lib/radix-tree.c) and
//! the IDR (lib/idr.c) on it, and the IDA.
//!
//! Headers read the root only (empty or not, marks, flags), so the root in guest memory is true: `xa_head` is
//! NULL or a handle, by which the entries are found here. A root that is initialised again is empty again.
//! The advanced interface (xas_*), whose headers walk nodes, is not modelled.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::hash::Map;
use crate::table::{Row, behaves};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ROWS: &[Row] = &[
    behaves("xa_load", xa_load),
    behaves("xa_store", xa_store).sleeps_gfp(3),
    behaves("__xa_store", xa_store),
    behaves("xa_erase", xa_erase),
    behaves("__xa_erase", xa_erase),
    behaves("__xa_cmpxchg", xa_cmpxchg),
    behaves("__xa_insert", xa_insert),
    behaves("__xa_alloc", xa_alloc),
    behaves("__xa_alloc_cyclic", xa_alloc_cyclic),
    behaves("xa_find", xa_find),
    behaves("xa_find_after", xa_find_after),
    behaves("xa_extract", xa_extract),
    behaves("xa_get_mark", xa_get_mark),
    behaves("xa_set_mark", xa_set_mark),
    behaves("__xa_set_mark", xa_set_mark),
    behaves("xa_clear_mark", xa_clear_mark),
    behaves("__xa_clear_mark", xa_clear_mark),
    behaves("xa_destroy", xa_destroy),
];

/// XA_ZERO_ENTRY: reserved, reads as NULL.
pub(super) const ZERO: u64 = 257 << 2 | 2;
/// XA_RETRY_ENTRY: entries up to it are the implementation's own.
const RETRY: u64 = 256 << 2 | 2;
/// XA_FLAGS_TRACK_FREE and XA_FLAGS_ZERO_BUSY.
const TRACK_FREE: u32 = 4;
const ZERO_BUSY: u32 = 8;
/// __GFP_BITS_SHIFT: marks of the whole array begin here in xa_flags.
const MARK_SHIFT: u32 = 27;

/// The entries of one array.
#[derive(Default)]
pub(super) struct Tree {
    pub entries: BTreeMap<u64, u64>,
    pub marks: [BTreeSet<u64>; 3],
}

/// All arrays, by handle.
#[derive(Default)]
pub struct State {
    trees: Map<u64, Tree>,
    spare: Vec<u64>,
}

fn flags(cx: &Cx, xa: u64) -> R<u32> {
    Ok(cx.r32(xa + cx.off.xarray_flags)?)
}

/// The handle in a root; 0 when it is empty.
fn handle(cx: &Cx, xa: u64) -> R {
    Ok(cx.r64(xa + cx.off.xarray_head)? & !3)
}

pub(super) fn tree(cx: &Cx, xa: u64) -> R<Option<&Tree>> {
    let handle = handle(cx, xa)?;
    Ok(cx.xarray.trees.get(&handle))
}

/// The entries of a root, made when it is empty.
pub(super) fn tree_mut(cx: &mut Cx, xa: u64) -> R<&mut Tree> {
    let mut at = handle(cx, xa)?;
    if !cx.xarray.trees.contains_key(&at) {
        at = match cx.xarray.spare.pop() {
            Some(at) => at,
            None => crate::mm::kernel_object(cx, 64)?,
        };
        // An internal pointer, as that of a node.
        cx.w64(xa + cx.off.xarray_head, at | 2)?;
    }
    Ok(cx.xarray.trees.entry(at).or_default())
}

/// After a change: an empty array has no head.
pub(super) fn settle(cx: &mut Cx, xa: u64) -> R<()> {
    let at = handle(cx, xa)?;
    if cx
        .xarray
        .trees
        .get(&at)
        .is_some_and(|tree| tree.entries.is_empty())
    {
        drop_tree(cx, xa)?;
    }
    Ok(())
}

fn drop_tree(cx: &mut Cx, xa: u64) -> R<()> {
    let at = handle(cx, xa)?;
    if cx.xarray.trees.remove(&at).is_some() {
        cx.xarray.spare.push(at);
    }
    Ok(cx.w64(xa + cx.off.xarray_head, 0)?)
}

pub(super) fn get(cx: &Cx, xa: u64, index: u64) -> R {
    Ok(tree(cx, xa)?
        .and_then(|tree| tree.entries.get(&index).copied())
        .unwrap_or(0))
}

/// Stores an entry, 0 to remove it; the entry before.
pub(super) fn put(cx: &mut Cx, xa: u64, index: u64, entry: u64) -> R {
    if entry == 0 {
        if tree(cx, xa)?.is_none() {
            return Ok(0);
        }
        let tree = tree_mut(cx, xa)?;
        let old = tree.entries.remove(&index).unwrap_or(0);
        for marks in &mut tree.marks {
            marks.remove(&index);
        }
        let gone: Vec<u32> = (0..3)
            .filter(|&m| tree.marks[m as usize].is_empty())
            .collect();
        let mut word = flags(cx, xa)?;
        for mark in gone {
            // In an allocating array mark 0 says where room is.
            if mark != 0 || word & TRACK_FREE == 0 {
                word &= !(1 << (MARK_SHIFT + mark));
            }
        }
        cx.w32(xa + cx.off.xarray_flags, word)?;
        settle(cx, xa)?;
        return Ok(old);
    }
    Ok(tree_mut(cx, xa)?.entries.insert(index, entry).unwrap_or(0))
}

/// What callers see of an entry.
fn shown(entry: u64) -> u64 {
    if entry == ZERO { 0 } else { entry }
}

/// An errno as an entry (XA_ERROR).
fn error(errno: i32) -> u64 {
    neg(errno) << 2 | 2
}

/// Whether an entry is one that callers may not store.
fn reserved(entry: u64) -> bool {
    entry & 3 == 2 && entry <= RETRY
}

fn xa_load(cx: &mut Cx, c: &Call) -> R {
    Ok(shown(get(cx, c.a[0], c.a[1])?))
}

fn refused(cx: &mut Cx, function: &str) -> R {
    crate::traps::warn(cx, "", function)?;
    Ok(error(errno::EINVAL))
}

fn xa_store(cx: &mut Cx, c: &Call) -> R {
    let [xa, index, entry, ..] = c.a;
    if reserved(entry) {
        return refused(cx, "__xa_store");
    }
    let track = flags(cx, xa)? & TRACK_FREE != 0;
    let entry = if track && entry == 0 { ZERO } else { entry };
    Ok(shown(put(cx, xa, index, entry)?))
}

fn xa_erase(cx: &mut Cx, c: &Call) -> R {
    Ok(shown(put(cx, c.a[0], c.a[1], 0)?))
}

fn xa_cmpxchg(cx: &mut Cx, c: &Call) -> R {
    let [xa, index, old, entry, ..] = c.a;
    if reserved(entry) {
        return refused(cx, "__xa_cmpxchg");
    }
    let now = get(cx, xa, index)?;
    if now == old {
        put(cx, xa, index, entry)?;
    }
    Ok(shown(now))
}

fn xa_insert(cx: &mut Cx, c: &Call) -> R {
    let [xa, index, entry, ..] = c.a;
    if reserved(entry) {
        crate::traps::warn(cx, "", "__xa_insert")?;
        return Ok(neg(errno::EINVAL));
    }
    if get(cx, xa, index)? != 0 {
        return Ok(neg(errno::EBUSY));
    }
    put(cx, xa, index, if entry == 0 { ZERO } else { entry })?;
    Ok(0)
}

/// The first index from `min` to `max` that holds nothing.
pub(super) fn room(cx: &Cx, xa: u64, min: u64, max: u64) -> R<Option<u64>> {
    let mut want = min;
    if let Some(tree) = tree(cx, xa)? {
        for (&index, _) in tree.entries.range(min..) {
            if index != want {
                break;
            }
            want += 1;
        }
    }
    Ok((want <= max).then_some(want))
}

/// Stores at a free index within a struct xa_limit (max in the low half, min in the high).
fn place(cx: &mut Cx, xa: u64, id: u64, entry: u64, min: u64, max: u64) -> R {
    let word = flags(cx, xa)?;
    if reserved(entry) || word & TRACK_FREE == 0 {
        crate::traps::warn(cx, "", "__xa_alloc")?;
        return Ok(neg(errno::EINVAL));
    }
    let min = min.max(u64::from(word & ZERO_BUSY != 0));
    let Some(index) = room(cx, xa, min, max)? else {
        return Ok(neg(errno::EBUSY));
    };
    cx.w32(id, index as u32)?;
    put(cx, xa, index, if entry == 0 { ZERO } else { entry })?;
    Ok(0)
}

fn xa_alloc(cx: &mut Cx, c: &Call) -> R {
    let [xa, id, entry, limit, ..] = c.a;
    place(cx, xa, id, entry, limit >> 32, limit & 0xffff_ffff)
}

/// __xa_alloc_cyclic(xa, id, entry, limit, next, gfp): 1 when it wrapped.
fn xa_alloc_cyclic(cx: &mut Cx, c: &Call) -> R {
    let [xa, id, entry, limit, next, _] = c.a;
    let (min, max) = (limit >> 32, limit & 0xffff_ffff);
    let from = u64::from(cx.r32(next)?).max(min);
    let mut result = place(cx, xa, id, entry, from, max)?;
    if result == neg(errno::EBUSY) && from > min {
        result = place(cx, xa, id, entry, min, max)?;
        if result == 0 {
            result = 1;
        }
    }
    if (result as i64) >= 0 {
        let taken = cx.r32(id)?;
        cx.w32(next, taken.wrapping_add(1))?;
    }
    Ok(result)
}

/// The first entry from `from` to `max` that the filter takes.
pub(super) fn search(cx: &Cx, xa: u64, from: u64, max: u64, filter: u64) -> R<Option<(u64, u64)>> {
    if from > max {
        return Ok(None);
    }
    let Some(tree) = tree(cx, xa)? else {
        return Ok(None);
    };
    let found = match tree.marks.get(filter as usize) {
        Some(marks) => marks
            .range(from..=max)
            .find_map(|index| Some((*index, *tree.entries.get(index)?))),
        None => tree
            .entries
            .range(from..=max)
            .find(|(_, entry)| **entry != ZERO)
            .map(|(index, entry)| (*index, *entry)),
    };
    Ok(found)
}

fn find_from(cx: &Cx, c: &Call, from: Option<u64>) -> R {
    let Some(from) = from else { return Ok(0) };
    let filter = c.a[3] & 0xffff_ffff;
    match search(cx, c.a[0], from, c.a[2], filter)? {
        Some((index, entry)) => {
            cx.w64(c.a[1], index)?;
            Ok(entry)
        }
        None => Ok(0),
    }
}

fn xa_find(cx: &mut Cx, c: &Call) -> R {
    let from = cx.r64(c.a[1])?;
    find_from(cx, c, Some(from))
}

fn xa_find_after(cx: &mut Cx, c: &Call) -> R {
    let from = cx.r64(c.a[1])?.checked_add(1);
    find_from(cx, c, from)
}

/// xa_extract(xa, dst, start, max, n, filter).
fn xa_extract(cx: &mut Cx, c: &Call) -> R {
    let [xa, dst, start, max, n, filter] = c.a;
    let (mut from, mut count) = (start, 0);
    while count < n & 0xffff_ffff {
        let Some((index, entry)) = search(cx, xa, from, max, filter & 0xffff_ffff)? else {
            break;
        };
        cx.w64(dst + 8 * count, entry)?;
        count += 1;
        match index.checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(count)
}

pub(super) fn marked(cx: &Cx, xa: u64, index: u64, mark: u64) -> R<bool> {
    Ok(tree(cx, xa)?.is_some_and(|tree| {
        tree.marks
            .get(mark as usize)
            .is_some_and(|m| m.contains(&index))
    }))
}

/// Sets or clears a mark; false when nothing is stored there.
pub(super) fn mark(cx: &mut Cx, xa: u64, index: u64, mark: u64, on: bool) -> R<bool> {
    if get(cx, xa, index)? == 0 || mark > 2 {
        return Ok(false);
    }
    let marks = &mut tree_mut(cx, xa)?.marks[mark as usize];
    if on {
        marks.insert(index);
    } else {
        marks.remove(&index);
    }
    let any = !marks.is_empty();
    let bit = 1 << (MARK_SHIFT + mark as u32);
    let word = flags(cx, xa)?;
    let word = if any { word | bit } else { word & !bit };
    cx.w32(xa + cx.off.xarray_flags, word)?;
    Ok(true)
}

/// Whether the root says that an entry has the mark.
pub(super) fn any_marked(cx: &Cx, xa: u64, mark: u32) -> R<bool> {
    Ok(mark < 3 && flags(cx, xa)? >> (MARK_SHIFT + mark) & 1 != 0)
}

fn xa_get_mark(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(marked(cx, c.a[0], c.a[1], c.a[2] & 0xffff_ffff)?))
}

fn xa_set_mark(cx: &mut Cx, c: &Call) -> R {
    mark(cx, c.a[0], c.a[1], c.a[2] & 0xffff_ffff, true)?;
    Ok(0)
}

fn xa_clear_mark(cx: &mut Cx, c: &Call) -> R {
    mark(cx, c.a[0], c.a[1], c.a[2] & 0xffff_ffff, false)?;
    Ok(0)
}

fn xa_destroy(cx: &mut Cx, c: &Call) -> R {
    let word = flags(cx, c.a[0])?;
    // Marks go with the entries; an allocating array has room again.
    let mut marks = 7 << MARK_SHIFT;
    if word & TRACK_FREE != 0 {
        marks &= !(1 << MARK_SHIFT);
    }
    cx.w32(c.a[0] + cx.off.xarray_flags, word & !marks)?;
    drop_tree(cx, c.a[0])?;
    Ok(0)
}
