//! The operation state of the advanced interface (struct xa_state), and walking, storing and marking by it
//! (lib/xarray.c). A state is read from the guest, worked on here, and written back where the caller has one.

use super::node::{self, FREE, Fuel, MARKS, RETRY, ZERO, is_node, is_value, shl, shr, to_node};
use crate::Cx;
use crate::abi::R;

/// XAS_BOUNDS: beyond the array's end.
pub(crate) const BOUNDS: u64 = 1;
/// XAS_RESTART: not walked yet.
pub(crate) const RESTART: u64 = 3;
/// Levels a tree can have.
const LEVELS: u32 = 64;

/// struct xa_state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Xas {
    pub xa: u64,
    pub index: u64,
    /// Order of the wanted entry, in whole levels, and how many more slots it takes.
    pub shift: u32,
    pub sibs: u64,
    pub offset: u64,
    /// A node; 0: the head; or BOUNDS, RESTART, an error.
    pub node: u64,
    /// Nodes made beforehand, linked by their parents.
    pub alloc: u64,
    /// xa_update_node_t.
    pub update: u64,
}

impl Xas {
    /// XA_STATE.
    pub fn new(xa: u64, index: u64) -> Xas {
        Xas {
            xa,
            index,
            shift: 0,
            sibs: 0,
            offset: 0,
            node: RESTART,
            alloc: 0,
            update: 0,
        }
    }

    /// The state at a guest address.
    pub fn read(cx: &Cx, at: u64) -> R<Xas> {
        let off = &cx.off;
        Ok(Xas {
            xa: cx.r64(at.wrapping_add(off.xas_xa))?,
            index: cx.r64(at.wrapping_add(off.xas_index))?,
            shift: cx.r8(at.wrapping_add(off.xas_shift))?.into(),
            sibs: cx.r8(at.wrapping_add(off.xas_sibs))?.into(),
            offset: cx.r8(at.wrapping_add(off.xas_offset))?.into(),
            node: cx.r64(at.wrapping_add(off.xas_node))?,
            alloc: cx.r64(at.wrapping_add(off.xas_alloc))?,
            update: cx.r64(at.wrapping_add(off.xas_update))?,
        })
    }

    /// Writes back what operations change.
    pub fn write(&self, cx: &Cx, at: u64) -> R<()> {
        let off = &cx.off;
        cx.w64(at.wrapping_add(off.xas_index), self.index)?;
        cx.w8(at.wrapping_add(off.xas_shift), self.shift as u8)?;
        cx.w8(at.wrapping_add(off.xas_sibs), self.sibs as u8)?;
        cx.w8(at.wrapping_add(off.xas_offset), self.offset as u8)?;
        cx.w64(at.wrapping_add(off.xas_node), self.node)?;
        Ok(cx.w64(at.wrapping_add(off.xas_alloc), self.alloc)?)
    }

    /// xas_set: begins anew at an index.
    pub fn set(&mut self, index: u64) {
        self.index = index;
        self.node = RESTART;
    }

    /// xas_set_order: the entry wanted covers 2^order indices.
    pub fn set_order(&mut self, cx: &Cx, index: u64, order: u32) {
        let bits = node::bits(cx);
        self.index = if order < 64 {
            shl(shr(index, order), order)
        } else {
            0
        };
        self.shift = order - order % bits;
        self.sibs = shl(1, order % bits) - 1;
        self.node = RESTART;
    }

    pub fn set_error(&mut self, errno: i32) {
        self.node = node::error(errno);
    }

    /// The negative errno of a failed operation, or 0.
    pub fn error(&self) -> u64 {
        node::errno_of(self.node)
    }

    /// xas_invalid: it stands nowhere.
    pub fn invalid(&self) -> bool {
        self.node & 3 != 0
    }

    /// xas_top: a walk begins at the head.
    pub fn top(&self) -> bool {
        self.node <= RESTART
    }

    /// xas_not_node.
    pub fn not_node(&self) -> bool {
        self.invalid() || self.node == 0
    }

    pub fn bounds(&mut self) -> u64 {
        self.node = BOUNDS;
        0
    }

    /// Where the index is in a node of that shift.
    pub fn offset_in(&self, cx: &Cx, shift: u32) -> u64 {
        shr(self.index, shift) & node::mask(cx)
    }

    /// xas_set_offset.
    pub fn find_offset(&mut self, cx: &Cx) -> R<()> {
        self.offset = self.offset_in(cx, node::shift(cx, self.node)?);
        Ok(())
    }

    /// Goes to the parent; the offset becomes the node's own in it.
    pub fn up(&mut self, cx: &Cx) -> R<()> {
        self.offset = node::offset(cx, self.node)?;
        self.node = node::parent(cx, self.node)?;
        Ok(())
    }

    /// What it stands at (xas_reload).
    fn reload(&self, cx: &Cx) -> R {
        if self.node == 0 {
            return node::head(cx, self.xa);
        }
        let offset = self.offset_in(cx, node::shift(cx, self.node)?);
        let entry = node::slot(cx, self.node, offset)?;
        match node::sibling(cx, entry) {
            Some(first) => node::slot(cx, self.node, first),
            None => Ok(entry),
        }
    }

    /// Begins a walk: the head, or what it stands at already; 0 when the index lies outside.
    pub fn start(&mut self, cx: &Cx) -> R {
        if !self.invalid() {
            return self.reload(cx);
        }
        if self.error() != 0 {
            return Ok(0);
        }
        let entry = node::head(cx, self.xa)?;
        let outside = if is_node(entry) {
            shr(self.index, node::shift(cx, to_node(entry))?) > node::mask(cx)
        } else {
            self.index != 0
        };
        if outside {
            return Ok(self.bounds());
        }
        self.node = 0;
        Ok(entry)
    }

    /// One level down into a node; siblings lead to their entry.
    pub fn descend(&mut self, cx: &Cx, node: u64) -> R {
        let shift = node::shift(cx, node)?;
        let mut offset = self.offset_in(cx, shift);
        let mut entry = node::slot(cx, node, offset)?;
        let mut fuel = LEVELS;
        while let Some(first) = node::sibling(cx, entry) {
            offset = first;
            entry = node::slot(cx, node, offset)?;
            if shift != 0 && is_node(entry) {
                entry = RETRY;
            }
            fuel = fuel.checked_sub(1).ok_or_else(node::damaged)?;
        }
        self.node = node;
        self.offset = offset;
        Ok(entry)
    }

    /// xas_load.
    pub fn load(&mut self, cx: &Cx) -> R {
        let mut entry = self.start(cx)?;
        for _ in 0..LEVELS {
            if !is_node(entry) {
                return Ok(entry);
            }
            let shift = node::shift(cx, to_node(entry))?;
            if self.shift > shift {
                return Ok(entry);
            }
            entry = self.descend(cx, to_node(entry))?;
            if shift == 0 {
                return Ok(entry);
            }
        }
        Err(node::damaged())
    }

    /// Tells the owner that a node has changed.
    pub fn updated(&self, cx: &mut Cx, node: u64) {
        if self.update != 0 {
            cx.call_guest(self.update, &[node]);
        }
    }

    /// A new node below where it stands; its slot is the caller's to write.
    fn new_node(&mut self, cx: &mut Cx, shift: u32) -> R {
        if shift > 64 {
            return Err(node::damaged());
        }
        let new = match self.alloc {
            0 => node::new(cx, self.xa)?,
            // One made by xas_nomem: it is the only one.
            made => {
                self.alloc = 0;
                cx.w64(made.wrapping_add(cx.off.xa_node_array), self.xa)?;
                made
            }
        };
        if self.node != 0 {
            node::set_offset(cx, new, self.offset)?;
            node::add_counts(cx, self.node, 1, 0)?;
            self.updated(cx, self.node);
        }
        node::set_shift(cx, new, shift)?;
        node::set_counts(cx, new, 0, 0)?;
        node::set_parent(cx, new, self.node)?;
        Ok(new)
    }

    /// The highest index the tree must reach. An entry of several indices cannot be the head itself.
    fn highest(&self) -> u64 {
        if self.shift == 0 && self.sibs == 0 {
            return self.index;
        }
        let below = shl(self.sibs + 1, self.shift).wrapping_sub(1);
        let last = self.index | below;
        if last == below {
            last.wrapping_add(1)
        } else {
            last
        }
    }

    /// Puts nodes above the head until the index fits; the shift of a node that would be above the head.
    fn expand(&mut self, cx: &mut Cx, mut head: u64) -> R<u32> {
        let (bits, highest) = (node::bits(cx), self.highest());
        let mut shift = 0;
        if head == 0 {
            if highest == 0 {
                return Ok(0);
            }
            while shr(highest, shift) >= node::size(cx) {
                shift += bits;
            }
            return Ok(shift + bits);
        }
        if is_node(head) {
            shift = node::shift(cx, to_node(head))? + bits;
        }
        self.node = 0;
        let mut top = if is_node(head) { to_node(head) } else { 0 };
        let track = node::tracks_free(cx, self.xa)?;
        while highest > node::max_index(cx, head)? {
            top = self.new_node(cx, shift)?;
            node::set_counts(cx, top, 1, u8::from(is_value(head)))?;
            node::set_slot(cx, top, 0, head)?;
            for mark in 0..MARKS {
                let below = node::root_marked(cx, self.xa, mark)?;
                if track && mark == FREE {
                    // All of the new node is free, but for what was the whole array.
                    node::mark_all(cx, top, mark)?;
                    if !below {
                        node::change_mark(cx, top, 0, mark, false)?;
                        node::set_root_mark(cx, self.xa, mark, true)?;
                    }
                } else if below {
                    node::change_mark(cx, top, 0, mark, true)?;
                }
            }
            if is_node(head) {
                node::set_offset(cx, to_node(head), 0)?;
                node::set_parent(cx, to_node(head), top)?;
            }
            head = top | 2;
            node::set_head(cx, self.xa, head)?;
            self.updated(cx, top);
            shift += bits;
        }
        self.node = top;
        Ok(shift)
    }

    /// Makes the slot of the index, with the nodes that lead to it; what it holds. `root`: the head itself may be it.
    pub fn create(&mut self, cx: &mut Cx, root: bool) -> R {
        let (xa, order, bits) = (self.xa, self.shift, node::bits(cx));
        let (mut shift, mut entry, mut slot);
        if self.top() {
            let mut head = node::head(cx, xa)?;
            self.node = 0;
            if head == 0 && node::zero_busy(cx, xa)? {
                head = ZERO;
            }
            shift = self.expand(cx, head)?;
            if shift == 0 && !root {
                shift = bits;
            }
            entry = node::head(cx, xa)?;
            slot = node::head_at(cx, xa);
        } else if self.error() != 0 {
            return Ok(0);
        } else {
            shift = node::shift(cx, self.node)?;
            entry = node::slot(cx, self.node, self.offset)?;
            slot = node::slot_at(cx, self.node, self.offset);
        }
        let track = node::tracks_free(cx, xa)?;
        while shift > order {
            shift = shift.saturating_sub(bits);
            let below = if entry == 0 {
                let new = self.new_node(cx, shift)?;
                if track {
                    node::mark_all(cx, new, FREE)?;
                }
                cx.w64(slot, new | 2)?;
                new
            } else if is_node(entry) {
                to_node(entry)
            } else {
                break;
            };
            entry = self.descend(cx, below)?;
            slot = node::slot_at(cx, below, self.offset);
        }
        Ok(entry)
    }

    /// A head whose only entry is the first needs no node.
    fn shrink(&mut self, cx: &mut Cx) -> R<()> {
        let (xa, mut node) = (self.xa, self.node);
        let track = node::tracks_free(cx, xa)?;
        for _ in 0..LEVELS {
            if node::count(cx, node)? != 1 {
                return Ok(());
            }
            let mut entry = node::slot(cx, node, 0)?;
            if entry == 0 || (!is_node(entry) && node::shift(cx, node)? != 0) {
                return Ok(());
            }
            if entry == ZERO && node::zero_busy(cx, xa)? {
                entry = 0;
            }
            self.node = BOUNDS;
            node::set_head(cx, xa, entry)?;
            if track && !node::marked(cx, node, 0, FREE)? {
                node::set_root_mark(cx, xa, FREE, false)?;
            }
            node::set_counts(cx, node, 0, 0)?;
            if !is_node(entry) {
                // Who reads here must look again.
                node::set_slot(cx, node, 0, RETRY)?;
            }
            self.updated(cx, node);
            node::free(cx, node)?;
            if !is_node(entry) {
                return Ok(());
            }
            node = to_node(entry);
            node::set_parent(cx, node, 0)?;
        }
        Err(node::damaged())
    }

    /// Frees the node it stands in when that is empty, and so upwards.
    fn delete_node(&mut self, cx: &mut Cx) -> R<()> {
        let mut node = self.node;
        for _ in 0..LEVELS {
            if node::count(cx, node)? != 0 {
                if node::parent(cx, node)? == 0 {
                    self.shrink(cx)?;
                }
                return Ok(());
            }
            self.up(cx)?;
            node::free(cx, node)?;
            let parent = self.node;
            if parent == 0 {
                node::set_head(cx, self.xa, 0)?;
                self.node = BOUNDS;
                return Ok(());
            }
            node::set_slot(cx, parent, self.offset, 0)?;
            node::add_counts(cx, parent, -1, 0)?;
            node = parent;
            self.updated(cx, node);
        }
        Err(node::damaged())
    }

    /// Frees a node that is out of the tree, and all below it.
    pub fn free_nodes(&self, cx: &mut Cx, top: u64) -> R<()> {
        let (mut node, mut offset) = (top, 0);
        let mut fuel = Fuel::new();
        loop {
            fuel.burn()?;
            let entry = node::slot(cx, node, offset)?;
            if is_node(entry) && node::shift(cx, node)? != 0 {
                node = to_node(entry);
                offset = 0;
                continue;
            }
            if entry != 0 {
                node::set_slot(cx, node, offset, RETRY)?;
            }
            offset += 1;
            while offset == node::size(cx) {
                let parent = node::parent(cx, node)?;
                offset = node::offset(cx, node)? + 1;
                node::set_counts(cx, node, 0, 0)?;
                self.updated(cx, node);
                node::free(cx, node)?;
                if node == top {
                    return Ok(());
                }
                node = parent;
            }
        }
    }

    /// The first slot of an entry takes the marks of all its slots.
    fn squash_marks(&self, cx: &Cx) -> R<()> {
        let others = shl(
            shl(1, self.sibs as u32).wrapping_sub(1),
            self.offset as u32 + 1,
        );
        for mark in 0..MARKS {
            let word = node::mark_word(cx, self.node, mark)?;
            if word & others != 0 {
                let word = word & !others | shl(1, self.offset as u32);
                node::set_mark_word(cx, self.node, mark, word)?;
            }
        }
        Ok(())
    }

    /// xas_store: the entry before.
    pub fn store(&mut self, cx: &mut Cx, entry: u64) -> R {
        let mut first = if entry != 0 {
            self.create(cx, !is_node(entry) && entry != ZERO)?
        } else {
            self.load(cx)?
        };
        if self.invalid() {
            return Ok(first);
        }
        let node = self.node;
        let shift = if node == 0 { 0 } else { node::shift(cx, node)? };
        if node != 0 && self.shift < shift {
            self.sibs = 0;
        }
        if first == entry && self.sibs == 0 {
            return Ok(first);
        }
        if node != 0 && self.sibs != 0 {
            self.squash_marks(cx)?;
        }
        if entry == 0 {
            self.init_marks(cx)?;
        }
        if node == 0 {
            node::set_head(cx, self.xa, entry)?;
            if is_node(first) {
                self.free_nodes(cx, to_node(first))?;
            }
            return Ok(first);
        }
        let (mut put, mut next) = (entry, first);
        let (mut offset, last, end) = (self.offset, self.offset + self.sibs, node::mask(cx));
        let (mut count, mut values) = (0, 0);
        loop {
            node::set_slot(cx, node, offset, put)?;
            if is_node(next) && shift != 0 {
                self.free_nodes(cx, to_node(next))?;
            }
            count += i32::from(put != 0) - i32::from(next != 0);
            values += i32::from(is_value(entry)) - i32::from(is_value(first));
            if put != 0 {
                if offset >= last {
                    break;
                }
                put = node::internal(self.offset);
            } else if offset >= end {
                break;
            }
            offset += 1;
            next = node::slot(cx, node, offset)?;
            // What the slots behind belong to changes with the first of another entry.
            if node::sibling(cx, next).is_none() {
                if entry == 0 && offset > last {
                    break;
                }
                first = next;
            }
        }
        if count != 0 || values != 0 {
            node::add_counts(cx, node, count, values)?;
            self.updated(cx, node);
            if count < 0 {
                self.delete_node(cx)?;
            }
        }
        Ok(first)
    }

    /// xas_get_mark.
    pub fn marked(&self, cx: &Cx, mark: u64) -> R<bool> {
        if self.invalid() || mark >= MARKS {
            return Ok(false);
        }
        match self.node {
            0 => node::root_marked(cx, self.xa, mark),
            node => node::marked(cx, node, self.offset, mark),
        }
    }

    /// xas_set_mark, xas_clear_mark: of the entry, and of what is above it.
    pub fn mark(&self, cx: &Cx, mark: u64, on: bool) -> R<()> {
        if self.invalid() || mark >= MARKS {
            return Ok(());
        }
        mark_upwards(cx, self.xa, self.node, self.offset, mark, on)
    }

    /// xas_init_marks: those of an entry that is not there.
    pub fn init_marks(&self, cx: &Cx) -> R<()> {
        let track = node::tracks_free(cx, self.xa)?;
        for mark in 0..MARKS {
            self.mark(cx, mark, track && mark == FREE)?;
        }
        Ok(())
    }

    /// xas_retry: the walk met an entry that is none.
    pub fn retry(&mut self, entry: u64) -> bool {
        if entry == RETRY {
            self.node = RESTART;
        }
        entry == RETRY || entry == ZERO
    }

    /// What a plain function answers for the entry that was there.
    pub fn result(&self, entry: u64) -> u64 {
        if entry == ZERO {
            0
        } else if self.error() != 0 {
            self.node
        } else {
            entry
        }
    }
}

/// Sets or clears the mark of a slot (of the array itself when there is no node), and of its ancestors as far as they
/// follow from it.
pub(crate) fn mark_upwards(
    cx: &Cx,
    xa: u64,
    mut node: u64,
    mut offset: u64,
    mark: u64,
    on: bool,
) -> R<()> {
    let mut levels = LEVELS;
    while node != 0 {
        let was = node::change_mark(cx, node, offset, mark, on)?;
        if was == on || (!on && node::mark_word(cx, node, mark)? != 0) {
            return Ok(());
        }
        offset = node::offset(cx, node)?;
        node = node::parent(cx, node)?;
        levels = levels.checked_sub(1).ok_or_else(node::damaged)?;
    }
    if node::root_marked(cx, xa, mark)? != on {
        node::set_root_mark(cx, xa, mark, on)?;
    }
    Ok(())
}
