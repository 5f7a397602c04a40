//! Index to pointer maps (lib/xarray.c): the plain interface, and the advanced one (xas_*) that headers complete.
//!
//! Nodes lie in guest memory and are the only truth, since headers walk them. Locks are words of the array that
//! the plain functions would take and give back within one call; on one CPU nobody could see it.

mod find;
pub(crate) mod node;
mod wide;
pub(crate) mod xas;

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::table::{Row, behaves};
use node::{FREE, MARKS, ZERO};
use xas::Xas;

pub use node::State;

pub(crate) const ROWS: &[Row] = &[
    behaves("xa_load", xa_load),
    behaves("xa_store", xa_store).sleeps_gfp(3),
    behaves("__xa_store", xa_store),
    behaves("xa_store_range", xa_store_range).sleeps_gfp(4),
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
    behaves("xa_get_order", xa_get_order),
    behaves("xa_delete_node", xa_delete_node),
    behaves("xa_destroy", xa_destroy),
    behaves("xas_load", xas_load),
    behaves("xas_store", xas_store),
    behaves("xas_nomem", xas_nomem).sleeps_gfp(1),
    behaves("xas_create_range", xas_create_range),
    behaves("xas_find", xas_find),
    behaves("xas_find_marked", xas_find_marked),
    behaves("xas_find_conflict", xas_find_conflict),
    behaves("xas_get_mark", xas_get_mark),
    behaves("xas_set_mark", xas_set_mark),
    behaves("xas_clear_mark", xas_clear_mark),
    behaves("xas_init_marks", xas_init_marks),
    behaves("xas_pause", xas_pause),
    behaves("xas_get_order", xas_get_order),
    behaves("xas_split_alloc", xas_split_alloc).sleeps_gfp(3),
    behaves("xas_split", xas_split),
    behaves("__xas_next", xas_next),
    behaves("__xas_prev", xas_prev),
];

/// Times a plain function looks again; more would be for ever, since nobody else runs meanwhile.
const RETRIES: u32 = 64;

fn xa_load(cx: &mut Cx, c: &Call) -> R {
    let mut xas = Xas::new(c.a[0], c.a[1]);
    for _ in 0..RETRIES {
        let entry = xas.load(cx)?;
        if entry == ZERO {
            return Ok(0);
        }
        if !xas.retry(entry) {
            return Ok(entry);
        }
    }
    Err(node::damaged())
}

/// An entry that callers may not store was given.
fn refused(cx: &mut Cx, function: &str) -> R {
    crate::traps::warn(cx, "", function)?;
    Ok(neg(errno::EINVAL))
}

fn xa_store(cx: &mut Cx, c: &Call) -> R {
    let [xa, index, mut entry, ..] = c.a;
    if node::is_advanced(entry) {
        refused(cx, "__xa_store")?;
        return Ok(node::error(errno::EINVAL));
    }
    let track = node::tracks_free(cx, xa)?;
    if track && entry == 0 {
        entry = ZERO;
    }
    let mut xas = Xas::new(xa, index);
    let before = xas.store(cx, entry)?;
    if track {
        xas.mark(cx, FREE, false)?;
    }
    Ok(xas.result(before))
}

/// xa_store_range(xa, first, last, entry, gfp).
fn xa_store_range(cx: &mut Cx, c: &Call) -> R {
    let [xa, first, last, entry, ..] = c.a;
    if node::is_internal(entry) {
        refused(cx, "xa_store_range")?;
        return Ok(node::error(errno::EINVAL));
    }
    if last < first {
        return Ok(node::error(errno::EINVAL));
    }
    let mut xas = Xas::new(xa, 0);
    xas.store_range(cx, first, last, entry)?;
    Ok(xas.result(0))
}

fn xa_erase(cx: &mut Cx, c: &Call) -> R {
    let mut xas = Xas::new(c.a[0], c.a[1]);
    let before = xas.store(cx, 0)?;
    Ok(xas.result(before))
}

fn xa_cmpxchg(cx: &mut Cx, c: &Call) -> R {
    let [xa, index, old, entry, ..] = c.a;
    if node::is_advanced(entry) {
        refused(cx, "__xa_cmpxchg")?;
        return Ok(node::error(errno::EINVAL));
    }
    let mut xas = Xas::new(xa, index);
    let now = xas.load(cx)?;
    if now == old {
        xas.store(cx, entry)?;
        if entry != 0 && now == 0 && node::tracks_free(cx, xa)? {
            xas.mark(cx, FREE, false)?;
        }
    }
    Ok(xas.result(now))
}

fn xa_insert(cx: &mut Cx, c: &Call) -> R {
    let [xa, index, entry, ..] = c.a;
    if node::is_advanced(entry) {
        return refused(cx, "__xa_insert");
    }
    let mut xas = Xas::new(xa, index);
    if xas.load(cx)? != 0 {
        return Ok(neg(errno::EBUSY));
    }
    xas.store(cx, if entry == 0 { ZERO } else { entry })?;
    if node::tracks_free(cx, xa)? {
        xas.mark(cx, FREE, false)?;
    }
    Ok(xas.error())
}

/// Stores at the first free index from `min` to `max`.
fn place(cx: &mut Cx, xa: u64, id: u64, entry: u64, min: u64, max: u64) -> R {
    if node::is_advanced(entry) || !node::tracks_free(cx, xa)? {
        return refused(cx, "__xa_alloc");
    }
    let mut xas = Xas::new(xa, min);
    xas.find_marked(cx, max, FREE)?;
    if xas.node == xas::RESTART {
        return Ok(neg(errno::EBUSY));
    }
    cx.w32(id, xas.index as u32)?;
    xas.store(cx, if entry == 0 { ZERO } else { entry })?;
    xas.mark(cx, FREE, false)?;
    Ok(xas.error())
}

/// __xa_alloc(xa, id, entry, limit, gfp): a struct xa_limit has max in its low half and min in the high one.
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
    let flags = node::flags(cx, xa)?;
    if result == 0 && flags & node::WRAPPED != 0 {
        node::set_flags(cx, xa, flags & !node::WRAPPED)?;
        result = 1;
    }
    if (result as i64) < 0 && from > min {
        result = place(cx, xa, id, entry, min, max)?;
        if result == 0 {
            result = 1;
        }
    }
    if (result as i64) >= 0 {
        let after = cx.r32(id)?.wrapping_add(1);
        cx.w32(next, after)?;
        if after == 0 {
            let flags = node::flags(cx, xa)?;
            node::set_flags(cx, xa, flags | node::WRAPPED)?;
        }
    }
    Ok(result)
}

fn xa_find(cx: &mut Cx, c: &Call) -> R {
    let [xa, indexp, max, filter, ..] = c.a;
    let mut xas = Xas::new(xa, cx.r64(indexp)?);
    let mut entry;
    let mut fuel = node::Fuel::new();
    loop {
        fuel.burn()?;
        entry = xas.find_filtered(cx, max, filter & 0xffff_ffff)?;
        if !xas.retry(entry) {
            break;
        }
    }
    if entry != 0 {
        cx.w64(indexp, xas.index)?;
    }
    Ok(entry)
}

fn xa_find_after(cx: &mut Cx, c: &Call) -> R {
    let [xa, indexp, max, filter, ..] = c.a;
    let Some(from) = cx.r64(indexp)?.checked_add(1) else {
        return Ok(0);
    };
    let mut xas = Xas::new(xa, from);
    let mut entry;
    let mut fuel = node::Fuel::new();
    loop {
        fuel.burn()?;
        entry = xas.find_filtered(cx, max, filter & 0xffff_ffff)?;
        if xas.invalid() {
            break;
        }
        // The rest of the entry that the index is in is not after it.
        if xas.inside(cx)? {
            continue;
        }
        if !xas.retry(entry) {
            break;
        }
    }
    if entry != 0 {
        cx.w64(indexp, xas.index)?;
    }
    Ok(entry)
}

/// xa_extract(xa, dst, start, max, n, filter).
fn xa_extract(cx: &mut Cx, c: &Call) -> R {
    let [xa, dst, start, max, n, filter] = c.a;
    let mut xas = Xas::new(xa, start);
    let mut count = 0;
    let mut fuel = node::Fuel::new();
    while count < n & 0xffff_ffff {
        fuel.burn()?;
        let entry = xas.find_filtered(cx, max, filter & 0xffff_ffff)?;
        if entry == 0 {
            break;
        }
        if !xas.retry(entry) {
            cx.w64(dst.wrapping_add(8 * count), entry)?;
            count += 1;
        }
    }
    Ok(count)
}

fn xa_get_mark(cx: &mut Cx, c: &Call) -> R {
    let (xa, mark) = (c.a[0], c.a[2] & 0xffff_ffff);
    let mut xas = Xas::new(xa, c.a[1]);
    let mut entry = xas.start(cx)?;
    let mut fuel = node::Fuel::new();
    while xas.marked(cx, mark)? {
        fuel.burn()?;
        if !node::is_node(entry) {
            return Ok(1);
        }
        entry = xas.descend(cx, node::to_node(entry))?;
    }
    Ok(0)
}

fn mark(cx: &mut Cx, c: &Call, on: bool) -> R {
    let mut xas = Xas::new(c.a[0], c.a[1]);
    if xas.load(cx)? != 0 {
        xas.mark(cx, c.a[2] & 0xffff_ffff, on)?;
    }
    Ok(0)
}

fn xa_set_mark(cx: &mut Cx, c: &Call) -> R {
    mark(cx, c, true)
}

fn xa_clear_mark(cx: &mut Cx, c: &Call) -> R {
    mark(cx, c, false)
}

fn xa_get_order(cx: &mut Cx, c: &Call) -> R {
    let mut xas = Xas::new(c.a[0], c.a[1]);
    match xas.load(cx)? {
        0 => Ok(0),
        _ => xas.order(cx),
    }
}

/// xa_delete_node(node, update): a node is taken out of the tree with all that is in it.
fn xa_delete_node(cx: &mut Cx, c: &Call) -> R {
    let node = c.a[0];
    let shift = node::shift(cx, node)? + node::bits(cx);
    let offset = node::offset(cx, node)?;
    let mut xas = Xas {
        xa: cx.r64(node.wrapping_add(cx.off.xa_node_array))?,
        index: node::shl(offset, shift),
        shift,
        sibs: 0,
        offset,
        node: node::parent(cx, node)?,
        alloc: 0,
        update: c.a[1],
    };
    xas.store(cx, 0)?;
    Ok(0)
}

/// Empties an array without a look at what it holds.
pub(crate) fn destroy(cx: &mut Cx, xa: u64) -> R<()> {
    let head = node::head(cx, xa)?;
    node::set_head(cx, xa, 0)?;
    let track = node::tracks_free(cx, xa)? && !node::zero_busy(cx, xa)?;
    for mark in 0..MARKS {
        node::set_root_mark(cx, xa, mark, track && mark == FREE)?;
    }
    if node::is_node(head) {
        Xas::new(xa, 0).free_nodes(cx, node::to_node(head))?;
    }
    Ok(())
}

fn xa_destroy(cx: &mut Cx, c: &Call) -> R {
    destroy(cx, c.a[0])?;
    Ok(0)
}

/// Works on the state in argument 0, and writes it back.
fn with(cx: &mut Cx, c: &Call, f: impl FnOnce(&mut Cx, &mut Xas) -> R) -> R {
    let mut xas = Xas::read(cx, c.a[0])?;
    let result = f(cx, &mut xas)?;
    xas.write(cx, c.a[0])?;
    Ok(result)
}

fn xas_load(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.load(cx))
}

fn xas_store(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.store(cx, c.a[1]))
}

fn xas_nomem(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| {
        if xas.error() != neg(errno::ENOMEM) {
            xas.free_alloc(cx)?;
            return Ok(0);
        }
        xas.alloc = node::new(cx, xas.xa)?;
        xas.node = xas::RESTART;
        Ok(1)
    })
}

fn xas_create_range(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.create_range(cx).map(|()| 0))
}

fn xas_find(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.find(cx, c.a[1]))
}

fn xas_find_marked(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| {
        xas.find_marked(cx, c.a[1], c.a[2] & 0xffff_ffff)
    })
}

fn xas_find_conflict(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.find_conflict(cx))
}

fn xas_get_mark(cx: &mut Cx, c: &Call) -> R {
    let xas = Xas::read(cx, c.a[0])?;
    Ok(u64::from(xas.marked(cx, c.a[1] & 0xffff_ffff)?))
}

fn xas_set_mark(cx: &mut Cx, c: &Call) -> R {
    Xas::read(cx, c.a[0])?.mark(cx, c.a[1] & 0xffff_ffff, true)?;
    Ok(0)
}

fn xas_clear_mark(cx: &mut Cx, c: &Call) -> R {
    Xas::read(cx, c.a[0])?.mark(cx, c.a[1] & 0xffff_ffff, false)?;
    Ok(0)
}

fn xas_init_marks(cx: &mut Cx, c: &Call) -> R {
    Xas::read(cx, c.a[0])?.init_marks(cx)?;
    Ok(0)
}

fn xas_pause(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.pause(cx).map(|()| 0))
}

fn xas_get_order(cx: &mut Cx, c: &Call) -> R {
    Xas::read(cx, c.a[0])?.order(cx)
}

fn xas_split_alloc(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| {
        xas.split_alloc(cx, c.a[1], c.a[2] as u32).map(|()| 0)
    })
}

fn xas_split(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| {
        xas.split(cx, c.a[1], c.a[2] as u32).map(|()| 0)
    })
}

fn xas_next(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.step(cx, true))
}

fn xas_prev(cx: &mut Cx, c: &Call) -> R {
    with(cx, c, |cx, xas| xas.step(cx, false))
}
