//! The radix tree (lib/radix-tree.c): an XArray's nodes, used by other calls, whose iteration headers complete. The IDR
//! is one whose tag 0 says where room is.

use super::xarray::node::{self, FREE, Fuel, MARKS, RETRY, is_node, is_value, shl, shr, to_node};
use super::xarray::xas::mark_upwards;
use crate::Cx;
use crate::abi::R;

/// RADIX_TREE_ITER_TAG_MASK, RADIX_TREE_ITER_TAGGED, RADIX_TREE_ITER_CONTIG.
pub(super) const TAG_MASK: u64 = 15;
pub(super) const TAGGED: u64 = 16;
const CONTIG: u64 = 32;

/// Where an entry is: its node (0: it is the head) and the address of its slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub node: u64,
    pub slot: u64,
}

impl Place {
    pub(super) fn offset(self, cx: &Cx) -> u64 {
        match self.node {
            0 => 0,
            node => self.slot.wrapping_sub(node::slot_at(cx, node, 0)) / 8,
        }
    }

    pub(super) fn tag(self, cx: &Cx, root: u64, tag: u64) -> R<bool> {
        match self.node {
            0 => node::root_marked(cx, root, tag),
            node => node::marked(cx, node, self.offset(cx), tag),
        }
    }
}

/// The last index below the node.
fn last_below(cx: &Cx, node: u64) -> R {
    node::max_index(cx, node | 2)
}

/// One level down: the offset of the index, and what is there.
fn descend(cx: &Cx, node: u64, index: u64) -> R<(u64, u64)> {
    let offset = shr(index, node::shift(cx, node)?) & node::mask(cx);
    Ok((offset, node::slot(cx, node, offset)?))
}

/// The place of an index and its entry; None when the tree does not reach so far.
pub(super) fn find(cx: &Cx, root: u64, index: u64) -> R<Option<(Place, u64)>> {
    let mut entry = node::head(cx, root)?;
    let mut place = Place {
        node: 0,
        slot: node::head_at(cx, root),
    };
    if index > node::max_index(cx, entry)? {
        return Ok(None);
    }
    let mut fuel = Fuel::new();
    while is_node(entry) {
        fuel.burn()?;
        place.node = to_node(entry);
        let offset;
        (offset, entry) = descend(cx, place.node, index)?;
        place.slot = node::slot_at(cx, place.node, offset);
        if node::shift(cx, place.node)? == 0 {
            break;
        }
    }
    Ok(Some((place, entry)))
}

/// A node for a parent, 0 when it is to be the head.
fn new_node(cx: &mut Cx, root: u64, parent: u64, shift: u32, offset: u64) -> R {
    if shift > 64 {
        return Err(node::damaged());
    }
    let new = node::new(cx, root)?;
    node::set_shift(cx, new, shift)?;
    node::set_offset(cx, new, offset)?;
    node::set_parent(cx, new, parent)?;
    Ok(new)
}

/// Puts a new node where a place is empty; the entry that stands there now.
fn hang(cx: &mut Cx, place: &Place, new: u64) -> R {
    let entry = new | 2;
    cx.w64(place.slot, entry)?;
    if place.node != 0 {
        node::add_counts(cx, place.node, 1, 0)?;
    }
    Ok(entry)
}

/// Puts nodes above the head until the index fits; the shift of a node above the head.
fn extend(cx: &mut Cx, root: u64, index: u64, mut shift: u32) -> R<u32> {
    let bits = node::bits(cx);
    let mut most = shift;
    while index > shl(node::size(cx), most).wrapping_sub(1) {
        most += bits;
    }
    let mut entry = node::head(cx, root)?;
    let track = node::tracks_free(cx, root)?;
    if entry == 0 && (!track || node::root_marked(cx, root, FREE)?) {
        return Ok(most + bits);
    }
    while shift <= most {
        let new = new_node(cx, root, 0, shift, 0)?;
        let value = !is_node(entry) && is_value(entry);
        node::set_counts(cx, new, 1, u8::from(value))?;
        for tag in 0..MARKS {
            let below = node::root_marked(cx, root, tag)?;
            if track && tag == FREE {
                node::mark_all(cx, new, tag)?;
                if !below {
                    node::change_mark(cx, new, 0, tag, false)?;
                    node::set_root_mark(cx, root, tag, true)?;
                }
            } else if below && !track {
                node::change_mark(cx, new, 0, tag, true)?;
            }
        }
        if is_node(entry) {
            node::set_parent(cx, to_node(entry), new)?;
        }
        node::set_slot(cx, new, 0, entry)?;
        entry = new | 2;
        node::set_head(cx, root, entry)?;
        shift += bits;
    }
    Ok(most + bits)
}

/// The shift of a node above the head.
fn height(cx: &Cx, head: u64) -> R<u32> {
    match is_node(head) {
        true => Ok(node::shift(cx, to_node(head))? + node::bits(cx)),
        false => Ok(0),
    }
}

/// The place of an index, made with the nodes that lead to it.
pub(super) fn create(cx: &mut Cx, root: u64, index: u64) -> R<Place> {
    let mut entry = node::head(cx, root)?;
    let mut shift = height(cx, entry)?;
    if index > node::max_index(cx, entry)? {
        shift = extend(cx, root, index, shift)?;
        entry = node::head(cx, root)?;
    }
    let bits = node::bits(cx);
    let mut offset = 0;
    let mut place = Place {
        node: 0,
        slot: node::head_at(cx, root),
    };
    while shift > 0 {
        shift = shift.saturating_sub(bits);
        if entry == 0 {
            let new = new_node(cx, root, place.node, shift, offset)?;
            entry = hang(cx, &place, new)?;
        } else if !is_node(entry) {
            break;
        }
        place.node = to_node(entry);
        (offset, entry) = descend(cx, place.node, index)?;
        place.slot = node::slot_at(cx, place.node, offset);
    }
    Ok(place)
}

/// A head whose only entry is the first needs no node; whether any went.
fn shrink(cx: &mut Cx, root: u64) -> R<bool> {
    let track = node::tracks_free(cx, root)?;
    let mut shrunk = false;
    let mut fuel = Fuel::new();
    loop {
        fuel.burn()?;
        let head = node::head(cx, root)?;
        let node = to_node(head);
        if !is_node(head) || node::count(cx, node)? != 1 {
            return Ok(shrunk);
        }
        let child = node::slot(cx, node, 0)?;
        // Number 0 of an IDR stays where it is: its pointer might look like a node.
        if child == 0 || (track && node::shift(cx, node)? == 0) {
            return Ok(shrunk);
        }
        if is_node(child) {
            node::set_parent(cx, to_node(child), 0)?;
        } else if node::shift(cx, node)? != 0 {
            return Ok(shrunk);
        }
        node::set_head(cx, root, child)?;
        if track && !node::marked(cx, node, 0, FREE)? {
            node::set_root_mark(cx, root, FREE, false)?;
        }
        node::set_counts(cx, node, 0, 0)?;
        if !is_node(child) {
            node::set_slot(cx, node, 0, RETRY)?;
        }
        node::free(cx, node)?;
        shrunk = true;
    }
}

/// Frees a node that is empty, and so upwards; whether any went.
fn delete_node(cx: &mut Cx, root: u64, mut node: u64) -> R<bool> {
    let mut gone = false;
    let mut fuel = Fuel::new();
    while node != 0 {
        fuel.burn()?;
        if node::count(cx, node)? != 0 {
            if node::head(cx, root)? == node | 2 {
                gone |= shrink(cx, root)?;
            }
            return Ok(gone);
        }
        let parent = node::parent(cx, node)?;
        if parent != 0 {
            node::set_slot(cx, parent, node::offset(cx, node)?, 0)?;
            node::add_counts(cx, parent, -1, 0)?;
        } else {
            if !node::tracks_free(cx, root)? {
                for tag in 0..MARKS {
                    node::set_root_mark(cx, root, tag, false)?;
                }
            }
            node::set_head(cx, root, 0)?;
        }
        node::free(cx, node)?;
        gone = true;
        node = parent;
    }
    Ok(gone)
}

/// Another item for a slot. A number of an IDR that is taken counts whether it has a pointer or not.
pub(super) fn replace(cx: &mut Cx, root: u64, place: Place, item: u64) -> R<()> {
    let old = cx.r64(place.slot)?;
    let values = i32::from(is_value(item)) - i32::from(is_value(old));
    let mut count = i32::from(item != 0) - i32::from(old != 0);
    if node::tracks_free(cx, root)? {
        if !place.tag(cx, root, FREE)? {
            count = 0;
        } else if old == 0 {
            count = 1;
        }
    }
    if place.node == 0 && place.slot != node::head_at(cx, root) && (count != 0 || values != 0) {
        crate::traps::warn(cx, "", "__radix_tree_replace")?;
    }
    if place.node != 0 {
        node::add_counts(cx, place.node, count, values)?;
    }
    cx.w64(place.slot, item)?;
    if place.node != 0 {
        delete_node(cx, root, place.node)?;
    }
    Ok(())
}

/// Takes the entry at a place out; whether nodes went with it.
pub(super) fn remove(cx: &mut Cx, root: u64, place: Place) -> R<bool> {
    let old = cx.r64(place.slot)?;
    let offset = place.offset(cx);
    if node::tracks_free(cx, root)? {
        mark_upwards(cx, root, place.node, offset, FREE, true)?;
    } else {
        for tag in 0..MARKS {
            mark_upwards(cx, root, place.node, offset, tag, false)?;
        }
    }
    cx.w64(place.slot, 0)?;
    if place.node == 0 {
        return Ok(false);
    }
    node::add_counts(cx, place.node, -1, -i32::from(is_value(old)))?;
    delete_node(cx, root, place.node)
}

/// Removes the entry of an index if it is `item`, or whatever it is when that is 0; the entry.
pub(super) fn take(cx: &mut Cx, root: u64, index: u64, item: u64) -> R {
    let Some((place, entry)) = find(cx, root, index)? else {
        return Ok(0);
    };
    if entry == 0 && (!node::tracks_free(cx, root)? || place.tag(cx, root, FREE)?) {
        return Ok(0);
    }
    if item != 0 && entry != item {
        return Ok(0);
    }
    remove(cx, root, place)?;
    Ok(entry)
}

/// idr_get_free: the place of the first free number from `start` to `max`, made if need be.
pub(super) fn free_place(
    cx: &mut Cx,
    root: u64,
    mut start: u64,
    max: u64,
) -> R<Option<(u64, Place)>> {
    let (bits, size) = (node::bits(cx), node::size(cx));
    let mut fuel = Fuel::new();
    'grow: loop {
        fuel.burn()?;
        let mut entry = node::head(cx, root)?;
        let mut shift = height(cx, entry)?;
        let highest = node::max_index(cx, entry)?;
        if !node::root_marked(cx, root, FREE)? {
            match highest.checked_add(1) {
                Some(next) => start = start.max(next),
                None => return Ok(None),
            }
        }
        if start > max {
            return Ok(None);
        }
        if start > highest {
            shift = extend(cx, root, start, shift)?;
            entry = node::head(cx, root)?;
        }
        if start == 0 && shift == 0 {
            shift = bits;
        }
        let mut offset = 0;
        let mut place = Place {
            node: 0,
            slot: node::head_at(cx, root),
        };
        while shift > 0 {
            fuel.burn()?;
            shift = shift.saturating_sub(bits);
            if entry == 0 {
                let new = new_node(cx, root, place.node, shift, offset)?;
                node::mark_all(cx, new, FREE)?;
                entry = hang(cx, &place, new)?;
            } else if !is_node(entry) {
                break;
            }
            place.node = to_node(entry);
            (offset, entry) = descend(cx, place.node, start)?;
            if !node::marked(cx, place.node, offset, FREE)? {
                offset = node::next_marked(cx, place.node, FREE, offset + 1)?;
                let below = node::shift(cx, place.node)?;
                start = (start & !last_below(cx, place.node)?).wrapping_add(shl(offset, below));
                if start > max || start == 0 {
                    return Ok(None);
                }
                while offset == size {
                    fuel.burn()?;
                    offset = node::offset(cx, place.node)? + 1;
                    place.node = node::parent(cx, place.node)?;
                    if place.node == 0 {
                        continue 'grow;
                    }
                    shift = node::shift(cx, place.node)?;
                }
                entry = node::slot(cx, place.node, offset)?;
            }
            place.slot = node::slot_at(cx, place.node, offset);
        }
        return Ok(Some((start, place)));
    }
}

/// Takes the free mark off a place.
pub(super) fn taken(cx: &Cx, root: u64, place: Place) -> R<()> {
    mark_upwards(cx, root, place.node, place.offset(cx), FREE, false)
}

/// A run of slots: the index of the first, where the next run begins, the node, and where it begins.
pub(super) struct Chunk {
    pub index: u64,
    pub next: u64,
    pub place: Place,
    pub tags: u64,
}

/// The run of slots that has the first entry, tagged or present, from `index` on.
pub(super) fn chunk(cx: &Cx, root: u64, mut index: u64, flags: u64) -> R<Option<Chunk>> {
    let (tag, size) = ((flags & TAG_MASK).min(MARKS - 1), node::size(cx));
    let by_tag = flags & TAGGED != 0;
    if by_tag && !node::root_marked(cx, root, tag)? {
        return Ok(None);
    }
    let mut fuel = Fuel::new();
    'restart: loop {
        fuel.burn()?;
        let mut child = node::head(cx, root)?;
        let highest = node::max_index(cx, child)?;
        if index > highest || child == 0 {
            return Ok(None);
        }
        if !is_node(child) {
            return Ok(Some(Chunk {
                index,
                next: highest.wrapping_add(1),
                place: Place {
                    node: 0,
                    slot: node::head_at(cx, root),
                },
                tags: 1,
            }));
        }
        loop {
            fuel.burn()?;
            let node = to_node(child);
            let mut offset;
            (offset, child) = descend(cx, node, index)?;
            let hole = match by_tag {
                true => !node::marked(cx, node, offset, tag)?,
                false => child == 0,
            };
            if hole {
                if flags & CONTIG != 0 {
                    return Ok(None);
                }
                offset += 1;
                if by_tag {
                    offset = node::next_marked(cx, node, tag, offset)?;
                } else {
                    while offset < size && node::slot(cx, node, offset)? == 0 {
                        offset += 1;
                    }
                }
                let below = node::shift(cx, node)?;
                index = (index & !last_below(cx, node)?).wrapping_add(shl(offset, below));
                // Behind the last index comes 0.
                if index == 0 {
                    return Ok(None);
                }
                if offset == size {
                    continue 'restart;
                }
                child = node::slot(cx, node, offset)?;
            }
            if child == 0 && !(by_tag && node::shift(cx, node)? == 0) {
                continue 'restart;
            }
            if child != RETRY && node::shift(cx, node)? != 0 && is_node(child) {
                continue;
            }
            let last = last_below(cx, node)?;
            let tags = match by_tag {
                true => shr(node::mark_word(cx, node, tag)?, offset as u32),
                false => 0,
            };
            return Ok(Some(Chunk {
                index: index & !last | offset,
                next: (index | last).wrapping_add(1),
                place: Place {
                    node,
                    slot: node::slot_at(cx, node, offset),
                },
                tags,
            }));
        }
    }
}

/// The entries from `first` on, tagged (`flags`) or all, as long as `f` wants more: it is given the index, where the
/// entry is, and the entry.
pub(super) fn each(
    cx: &mut Cx,
    root: u64,
    first: u64,
    flags: u64,
    mut f: impl FnMut(&mut Cx, u64, Place, u64) -> R<bool>,
) -> R<()> {
    let size = node::size(cx);
    let mut index = first;
    let mut fuel = Fuel::new();
    while let Some(found) = chunk(cx, root, index, flags)? {
        // From the run's first slot to the end of its node.
        let slots = match found.place.node {
            0 => 1,
            _ => size - found.place.offset(cx).min(size),
        };
        for n in 0..slots {
            fuel.burn()?;
            if flags & TAGGED != 0 && shr(found.tags, n as u32) & 1 == 0 {
                continue;
            }
            let place = Place {
                node: found.place.node,
                slot: found.place.slot + 8 * n,
            };
            let entry = cx.r64(place.slot)?;
            if entry != 0 && !node::is_internal(entry) && !f(cx, found.index + n, place, entry)? {
                return Ok(());
            }
        }
        index = found.next;
        if index == 0 {
            break;
        }
    }
    Ok(())
}

/// Whether the number at a place is free.
pub(super) fn is_free(cx: &Cx, root: u64, place: Place) -> R<bool> {
    place.tag(cx, root, FREE)
}
