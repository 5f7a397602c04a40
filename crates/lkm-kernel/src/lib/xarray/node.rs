//! What an XArray is made of: entries, and nodes in guest memory with the layout of `struct xa_node`
//! (include/linux/xarray.h). Headers walk nodes, so guest memory is the only truth.

use crate::Cx;
use crate::abi::{R, Stop};

/// XA_RETRY_ENTRY: what stood here has moved, look again from the head.
pub(crate) const RETRY: u64 = internal(256);
/// XA_ZERO_ENTRY: reserved, reads as NULL.
pub(crate) const ZERO: u64 = internal(257);

/// XA_FLAGS_TRACK_FREE, which the IDR calls ROOT_IS_IDR: mark 0 says where room is.
pub(crate) const TRACK_FREE: u32 = 4;
/// XA_FLAGS_ZERO_BUSY: index 0 is never given out.
pub(crate) const ZERO_BUSY: u32 = 8;
/// XA_FLAGS_ALLOC_WRAPPED.
pub(crate) const WRAPPED: u32 = 16;
/// XA_FREE_MARK.
pub(crate) const FREE: u64 = 0;
/// XA_MAX_MARKS.
pub(crate) const MARKS: u64 = 3;

/// Steps of one call after which the nodes must form a loop.
const FUEL: u32 = 1 << 26;

/// Nodes that are not in use.
#[derive(Default)]
pub struct State {
    spare: Vec<u64>,
    /// Freed while somebody read: they keep what they hold until nobody does.
    limbo: Vec<u64>,
    /// Nodes of each array, and who made its first one.
    arrays: crate::hash::Map<u64, Owned>,
}

/// The nodes of one array.
struct Owned {
    nodes: u64,
    function: &'static str,
    /// The call in the guest.
    pc: u64,
}

/// xa_mk_internal.
pub(crate) const fn internal(value: u64) -> u64 {
    value << 2 | 2
}

/// An errno as an entry (XA_ERROR).
pub(crate) const fn error(errno: i32) -> u64 {
    internal(crate::abi::neg(errno))
}

/// The negative errno in an entry (xa_err); 0 when it is none.
pub(crate) fn errno_of(entry: u64) -> u64 {
    if is_internal(entry) && entry as i64 >= -(4095 << 2) && (entry as i64) < 0 {
        (entry as i64 >> 2) as u64
    } else {
        0
    }
}

pub(crate) fn is_internal(entry: u64) -> bool {
    entry & 3 == 2
}

/// xa_is_advanced: entries that only the advanced interface may store.
pub(crate) fn is_advanced(entry: u64) -> bool {
    is_internal(entry) && entry <= RETRY
}

/// xa_is_value: a number and no pointer.
pub(crate) fn is_value(entry: u64) -> bool {
    entry & 1 != 0
}

pub(crate) fn is_node(entry: u64) -> bool {
    is_internal(entry) && entry > 4096
}

pub(crate) fn to_node(entry: u64) -> u64 {
    entry.wrapping_sub(2)
}

/// The slot that a sibling entry stands for.
pub(crate) fn sibling(cx: &Cx, entry: u64) -> Option<u64> {
    (is_internal(entry) && entry < internal(mask(cx))).then_some(entry >> 2)
}

/// Slots of a node (XA_CHUNK_SIZE): as many as the type has, which is 16 with CONFIG_BASE_SMALL and else 64.
pub(crate) fn size(cx: &Cx) -> u64 {
    match cx.off.xa_node_marks.wrapping_sub(cx.off.xa_node_slots) / 8 {
        16 => 16,
        _ => 64,
    }
}

/// XA_CHUNK_MASK.
pub(crate) fn mask(cx: &Cx) -> u64 {
    size(cx) - 1
}

/// XA_CHUNK_SHIFT.
pub(crate) fn bits(cx: &Cx) -> u32 {
    size(cx).trailing_zeros()
}

/// A shift that guest memory decides: what is shifted out is gone.
pub(crate) fn shl(value: u64, by: u32) -> u64 {
    value.checked_shl(by).unwrap_or(0)
}

/// The same downwards.
pub(crate) fn shr(value: u64, by: u32) -> u64 {
    value.checked_shr(by).unwrap_or(0)
}

pub(crate) fn shift(cx: &Cx, node: u64) -> R<u32> {
    Ok(cx.r8(node.wrapping_add(cx.off.xa_node_shift))?.into())
}

pub(crate) fn set_shift(cx: &Cx, node: u64, shift: u32) -> R<()> {
    Ok(cx.w8(node.wrapping_add(cx.off.xa_node_shift), shift as u8)?)
}

/// Where a node is in its parent.
pub(crate) fn offset(cx: &Cx, node: u64) -> R {
    Ok(cx.r8(node.wrapping_add(cx.off.xa_node_offset))?.into())
}

pub(crate) fn set_offset(cx: &Cx, node: u64, offset: u64) -> R<()> {
    Ok(cx.w8(node.wrapping_add(cx.off.xa_node_offset), offset as u8)?)
}

pub(crate) fn parent(cx: &Cx, node: u64) -> R {
    Ok(cx.r64(node.wrapping_add(cx.off.xa_node_parent))?)
}

pub(crate) fn set_parent(cx: &Cx, node: u64, parent: u64) -> R<()> {
    Ok(cx.w64(node.wrapping_add(cx.off.xa_node_parent), parent)?)
}

/// Entries in a node.
pub(crate) fn count(cx: &Cx, node: u64) -> R<u8> {
    Ok(cx.r8(node.wrapping_add(cx.off.xa_node_count))?)
}

/// Sets how many entries, and how many of them are values, a node has.
pub(crate) fn set_counts(cx: &Cx, node: u64, count: u8, values: u8) -> R<()> {
    cx.w8(node.wrapping_add(cx.off.xa_node_count), count)?;
    Ok(cx.w8(node.wrapping_add(cx.off.xa_node_values), values)?)
}

/// Changes them.
pub(crate) fn add_counts(cx: &Cx, node: u64, count: i32, values: i32) -> R<()> {
    let (had, valued) = (
        cx.r8(node.wrapping_add(cx.off.xa_node_count))?,
        cx.r8(node.wrapping_add(cx.off.xa_node_values))?,
    );
    set_counts(
        cx,
        node,
        had.wrapping_add(count as u8),
        valued.wrapping_add(values as u8),
    )
}

/// Address of a slot.
pub(crate) fn slot_at(cx: &Cx, node: u64, offset: u64) -> u64 {
    node.wrapping_add(cx.off.xa_node_slots + 8 * offset)
}

/// What a slot holds.
pub(crate) fn slot(cx: &Cx, node: u64, offset: u64) -> R {
    Ok(cx.r64(slot_at(cx, node, offset))?)
}

pub(crate) fn set_slot(cx: &Cx, node: u64, offset: u64, entry: u64) -> R<()> {
    Ok(cx.w64(slot_at(cx, node, offset), entry)?)
}

fn at_mark(cx: &Cx, node: u64, mark: u64) -> u64 {
    node.wrapping_add(cx.off.xa_node_marks + 8 * mark)
}

/// The bits of a mark, one for each slot.
pub(crate) fn mark_word(cx: &Cx, node: u64, mark: u64) -> R {
    Ok(cx.r64(at_mark(cx, node, mark))?)
}

pub(crate) fn set_mark_word(cx: &Cx, node: u64, mark: u64, word: u64) -> R<()> {
    Ok(cx.w64(at_mark(cx, node, mark), word)?)
}

pub(crate) fn marked(cx: &Cx, node: u64, offset: u64, mark: u64) -> R<bool> {
    Ok(mark_word(cx, node, mark)? & shl(1, offset as u32) != 0)
}

/// Sets or clears a mark of a slot; whether it was set.
pub(crate) fn change_mark(cx: &Cx, node: u64, offset: u64, mark: u64, on: bool) -> R<bool> {
    let (word, bit) = (mark_word(cx, node, mark)?, shl(1, offset as u32));
    if (word & bit != 0) != on {
        set_mark_word(cx, node, mark, word ^ bit)?;
    }
    Ok(word & bit != 0)
}

/// Marks every slot.
pub(crate) fn mark_all(cx: &Cx, node: u64, mark: u64) -> R<()> {
    set_mark_word(cx, node, mark, u64::MAX >> (64 - size(cx).min(64)))
}

/// The first marked slot from `from` on; the number of slots when there is none.
pub(crate) fn next_marked(cx: &Cx, node: u64, mark: u64, from: u64) -> R {
    let word = mark_word(cx, node, mark)? & shl(u64::MAX, from as u32);
    Ok(u64::from(word.trailing_zeros()).min(size(cx)))
}

/// The bit of a mark in the flags of an array. __GFP_BITS_SHIFT, from which they are counted, became smaller by two
/// when the flags were enumerated (Linux kernel commit 772dd0342727 ("mm: enumerate all gfp flags"), in v6.10, which
/// also brought `fop_flags`).
fn root_bit(cx: &Cx, mark: u64) -> u32 {
    let first = if cx.off.fops_flags == crate::layout::NONE {
        27
    } else {
        25
    };
    1 << (first + mark.min(4) as u32)
}

/// xa_flags.
pub(crate) fn flags(cx: &Cx, xa: u64) -> R<u32> {
    Ok(cx.r32(xa.wrapping_add(cx.off.xarray_flags))?)
}

pub(crate) fn set_flags(cx: &Cx, xa: u64, flags: u32) -> R<()> {
    Ok(cx.w32(xa.wrapping_add(cx.off.xarray_flags), flags)?)
}

/// xa_marked: whether any entry of an array has the mark.
pub(crate) fn root_marked(cx: &Cx, xa: u64, mark: u64) -> R<bool> {
    Ok(flags(cx, xa)? & root_bit(cx, mark) != 0)
}

pub(crate) fn set_root_mark(cx: &Cx, xa: u64, mark: u64, on: bool) -> R<()> {
    let (word, bit) = (flags(cx, xa)?, root_bit(cx, mark));
    set_flags(cx, xa, if on { word | bit } else { word & !bit })
}

pub(crate) fn tracks_free(cx: &Cx, xa: u64) -> R<bool> {
    Ok(flags(cx, xa)? & TRACK_FREE != 0)
}

pub(crate) fn zero_busy(cx: &Cx, xa: u64) -> R<bool> {
    Ok(flags(cx, xa)? & ZERO_BUSY != 0)
}

/// Address of the head.
pub(crate) fn head_at(cx: &Cx, xa: u64) -> u64 {
    xa.wrapping_add(cx.off.xarray_head)
}

/// xa_head.
pub(crate) fn head(cx: &Cx, xa: u64) -> R {
    Ok(cx.r64(head_at(cx, xa))?)
}

pub(crate) fn set_head(cx: &Cx, xa: u64, entry: u64) -> R<()> {
    Ok(cx.w64(head_at(cx, xa), entry)?)
}

/// The last index that fits below an entry of the head.
pub(crate) fn max_index(cx: &Cx, entry: u64) -> R {
    if !is_node(entry) {
        return Ok(0);
    }
    Ok(shl(size(cx), shift(cx, to_node(entry))?).wrapping_sub(1))
}

/// An empty node.
pub(crate) fn new(cx: &mut Cx, xa: u64) -> R {
    if cx.xarray.spare.is_empty() && !crate::rcu::reading(cx) {
        let state = &mut cx.xarray;
        std::mem::swap(&mut state.spare, &mut state.limbo);
    }
    let bytes = cx.off.xa_node_marks + 8 * MARKS;
    let node = match cx.xarray.spare.pop() {
        Some(node) => {
            cx.fill(node, 0, bytes)?;
            node
        }
        None => crate::mm::kernel_object(cx, bytes)?,
    };
    // The constructor of the kernel's cache makes the list empty.
    let list = node.wrapping_add(cx.off.xa_node_list);
    cx.w64(list, list)?;
    cx.w64(list + 8, list)?;
    cx.w64(node.wrapping_add(cx.off.xa_node_array), xa)?;
    match cx.xarray.arrays.get_mut(&xa) {
        Some(owned) => owned.nodes += 1,
        None => {
            let (pc, function) = (crate::trace::call_place(cx), crate::trace::function(cx));
            let owned = Owned {
                nodes: 1,
                function,
                pc,
            };
            cx.xarray.arrays.insert(xa, owned);
        }
    }
    Ok(node)
}

/// A module's memory is about to go: arrays in it, or in what was freed, that have nodes are lost with them.
pub(crate) fn after_unload(cx: &mut Cx, index: usize) {
    let inside = |addr: u64| crate::module::find_by_addr(cx, addr) == Some(index);
    let freed = |addr: u64| crate::mm::guard::block_of(cx, addr).is_some_and(|b| b.freed);
    let mut lost: Vec<u64> = cx
        .xarray
        .arrays
        .iter()
        .filter(|(xa, owned)| inside(owned.pc) && (inside(**xa) || freed(**xa)))
        .map(|(&xa, _)| xa)
        .collect();
    lost.sort_unstable();
    let bytes = cx.off.xa_node_marks + 8 * MARKS;
    for xa in lost {
        let Some(owned) = cx.xarray.arrays.remove(&xa) else {
            continue;
        };
        let event = lkm_trace::Event::Acquire {
            kind: "xarray".into(),
            key: xa,
            size: owned.nodes * bytes,
            detail: String::new(),
            function: owned.function.into(),
            class: lkm_trace::Class::Behaves,
            tid: crate::sched::current_tid(cx),
            site: lkm_trace::Site {
                pc: owned.pc,
                stack: Vec::new(),
            },
        };
        crate::trace::emit(cx, event);
    }
}

/// Gives a node back. A reader may still be in it: then it stays as it is until nobody reads.
pub(crate) fn free(cx: &mut Cx, node: u64) -> R<()> {
    let xa = cx.r64(node.wrapping_add(cx.off.xa_node_array))?;
    if let Some(owned) = cx.xarray.arrays.get_mut(&xa) {
        owned.nodes -= 1;
        if owned.nodes == 0 {
            cx.xarray.arrays.remove(&xa);
        }
    }
    // XA_RCU_FREE.
    cx.w64(node.wrapping_add(cx.off.xa_node_array), 1)?;
    if crate::rcu::reading(cx) {
        cx.xarray.limbo.push(node);
    } else {
        cx.xarray.spare.push(node);
    }
    Ok(())
}

/// What bounds a walk over nodes that guest code may have damaged.
pub(crate) struct Fuel(u32);

impl Fuel {
    pub fn new() -> Fuel {
        Fuel(FUEL)
    }

    /// One step.
    pub fn burn(&mut self) -> R<()> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(damaged()),
        }
    }
}

/// A kernel would go round for ever.
pub(crate) fn damaged() -> Stop {
    Stop::Bug("kernel BUG: the nodes of an XArray form a loop".into())
}
