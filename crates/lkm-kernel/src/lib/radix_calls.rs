//! The calls of the radix tree (lib/radix-tree.c); the tree itself is in `radix.rs`.

use super::radix::{Place, TAG_MASK, TAGGED, chunk, create, each, find, remove, replace, take};
use super::xarray::node::{self, MARKS, is_value};
use super::xarray::xas::mark_upwards;
use crate::Cx;
use crate::abi::{Call, R, Stop, errno, neg};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("radix_tree_preload", preload).sleeps_gfp(0),
    behaves("radix_tree_maybe_preload", preload),
    behaves("radix_tree_insert", insert),
    behaves("radix_tree_lookup", lookup),
    behaves("radix_tree_lookup_slot", lookup_slot),
    behaves("radix_tree_replace_slot", replace_slot),
    behaves("radix_tree_delete", delete),
    behaves("radix_tree_delete_item", delete_item),
    behaves("radix_tree_iter_delete", iter_delete),
    behaves("radix_tree_iter_resume", iter_resume),
    behaves("radix_tree_next_chunk", next_chunk),
    behaves("radix_tree_gang_lookup", gang),
    behaves("radix_tree_gang_lookup_tag", gang_tag),
    behaves("radix_tree_gang_lookup_tag_slot", gang_tag_slot),
    behaves("radix_tree_tag_set", tag_set),
    behaves("radix_tree_tag_clear", tag_clear),
    behaves("radix_tree_tag_get", tag_get),
    behaves("radix_tree_tagged", tagged),
];

/// Returns with preemption off; the inline *_preload_end puts it on again.
pub(super) fn preload(cx: &mut Cx, _: &Call) -> R {
    crate::context::add(cx, 1);
    Ok(0)
}

fn insert(cx: &mut Cx, c: &Call) -> R {
    let [root, index, item, ..] = c.a;
    if node::is_internal(item) {
        return Err(Stop::Bug("kernel BUG at lib/radix-tree.c".into()));
    }
    let place = create(cx, root, index)?;
    if cx.r64(place.slot)? != 0 {
        return Ok(neg(errno::EEXIST));
    }
    cx.w64(place.slot, item)?;
    if place.node != 0 {
        node::add_counts(cx, place.node, 1, i32::from(is_value(item)))?;
    }
    Ok(0)
}

fn lookup(cx: &mut Cx, c: &Call) -> R {
    Ok(find(cx, c.a[0], c.a[1])?.map_or(0, |(_, entry)| entry))
}

fn lookup_slot(cx: &mut Cx, c: &Call) -> R {
    Ok(match find(cx, c.a[0], c.a[1])? {
        Some((place, entry)) if entry != 0 => place.slot,
        _ => 0,
    })
}

/// radix_tree_replace_slot(root, slot, item): an entry for an entry, a value for a value.
fn replace_slot(cx: &mut Cx, c: &Call) -> R {
    let place = Place {
        node: 0,
        slot: c.a[1],
    };
    replace(cx, c.a[0], place, c.a[2])?;
    Ok(0)
}

fn delete(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], c.a[1], 0)
}

fn delete_item(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], c.a[1], c.a[2])
}

/// radix_tree_iter_delete(root, iter, slot): an iterator whose node goes begins at the next run.
fn iter_delete(cx: &mut Cx, c: &Call) -> R {
    let [root, iter, slot, ..] = c.a;
    let node = cx.r64(iter + cx.off.radix_iter_node)?;
    if remove(cx, root, Place { node, slot })? {
        let next = cx.r64(iter + cx.off.radix_iter_next)?;
        cx.w64(iter + cx.off.radix_iter_index, next)?;
    }
    Ok(0)
}

/// radix_tree_iter_resume(slot, iter): NULL, and the iterator begins behind the slot.
fn iter_resume(cx: &mut Cx, c: &Call) -> R {
    let iter = c.a[1];
    let next = cx.r64(iter + cx.off.radix_iter_index)?.wrapping_add(1);
    cx.w64(iter + cx.off.radix_iter_index, next)?;
    cx.w64(iter + cx.off.radix_iter_next, next)?;
    cx.w64(iter + cx.off.radix_iter_tags, 0)?;
    Ok(0)
}

/// radix_tree_next_chunk(root, iter, flags): the first slot of the next run.
fn next_chunk(cx: &mut Cx, c: &Call) -> R {
    let [root, iter, flags, ..] = c.a;
    let index = cx.r64(iter + cx.off.radix_iter_next)?;
    if index == 0 && cx.r64(iter + cx.off.radix_iter_index)? != 0 {
        return Ok(0);
    }
    let Some(found) = chunk(cx, root, index, flags)? else {
        return Ok(0);
    };
    cx.w64(iter + cx.off.radix_iter_index, found.index)?;
    cx.w64(iter + cx.off.radix_iter_next, found.next)?;
    cx.w64(iter + cx.off.radix_iter_node, found.place.node)?;
    if flags & TAGGED != 0 || found.place.node == 0 {
        cx.w64(iter + cx.off.radix_iter_tags, found.tags)?;
    }
    Ok(found.place.slot)
}

/// radix_tree_gang_lookup*(root, results, first, max, tag): entries, or their slots.
fn collect(cx: &mut Cx, c: &Call, flags: u64, slots: bool) -> R {
    let [root, results, first, most, ..] = c.a;
    let most = most & 0xffff_ffff;
    let mut count = 0;
    if most == 0 {
        return Ok(0);
    }
    each(cx, root, first, flags, |cx, _, place, entry| {
        let put = if slots { place.slot } else { entry };
        cx.w64(results.wrapping_add(8 * count), put)?;
        count += 1;
        Ok(count < most)
    })?;
    Ok(count)
}

fn gang(cx: &mut Cx, c: &Call) -> R {
    collect(cx, c, 0, false)
}

fn gang_tag(cx: &mut Cx, c: &Call) -> R {
    collect(cx, c, TAGGED | c.a[4] & TAG_MASK, false)
}

fn gang_tag_slot(cx: &mut Cx, c: &Call) -> R {
    collect(cx, c, TAGGED | c.a[4] & TAG_MASK, true)
}

/// Sets or clears the tag of what is stored at an index; what it is. A kernel stops at a tag for nothing.
fn tag(cx: &mut Cx, c: &Call, on: bool) -> R {
    let [root, index, tag, ..] = c.a;
    let tag = (tag & 0xffff_ffff).min(MARKS - 1);
    match find(cx, root, index)? {
        Some((place, entry)) if entry != 0 => {
            mark_upwards(cx, root, place.node, place.offset(cx), tag, on)?;
            Ok(entry)
        }
        _ if on => Err(Stop::Bug("kernel BUG at lib/radix-tree.c".into())),
        _ => Ok(0),
    }
}

fn tag_set(cx: &mut Cx, c: &Call) -> R {
    tag(cx, c, true)
}

fn tag_clear(cx: &mut Cx, c: &Call) -> R {
    tag(cx, c, false)
}

fn tag_get(cx: &mut Cx, c: &Call) -> R {
    let tag = (c.a[2] & 0xffff_ffff).min(MARKS - 1);
    Ok(match find(cx, c.a[0], c.a[1])? {
        Some((place, _)) => u64::from(place.tag(cx, c.a[0], tag)?),
        None => 0,
    })
}

/// Whether any entry of a root has a tag.
fn tagged(cx: &mut Cx, c: &Call) -> R {
    let tag = (c.a[1] & 0xffff_ffff).min(MARKS - 1);
    Ok(u64::from(node::root_marked(cx, c.a[0], tag)?))
}
