//! Entries of an XArray that cover several indices: ranges, orders, splitting (CONFIG_XARRAY_MULTI).

use super::node::{self, MARKS, is_value, shl};
use super::xas::Xas;
use crate::Cx;
use crate::abi::{R, errno};

impl Xas {
    /// Indices that the state covers.
    fn covers(&self) -> u64 {
        shl(self.sibs + 1, self.shift)
    }

    /// xas_create_range: single slots for the whole range.
    pub fn create_range(&mut self, cx: &mut Cx) -> R<()> {
        let (index, shift, sibs) = (self.index, self.shift, self.sibs);
        let (size, mask) = (node::size(cx), node::mask(cx));
        self.index |= self.covers().wrapping_sub(1);
        if !self.not_node() && node::shift(cx, self.node)? == shift {
            self.offset |= sibs;
        }
        self.shift = 0;
        self.sibs = 0;
        let mut fuel = node::Fuel::new();
        loop {
            fuel.burn()?;
            self.create(cx, true)?;
            if self.error() != 0 {
                (self.shift, self.sibs, self.index) = (shift, sibs, index);
                return Ok(());
            }
            if self.index <= index | mask {
                break;
            }
            self.index -= size;
            // Up to where the block of slots before begins.
            while self.node != 0 && node::shift(cx, self.node)? < shift {
                fuel.burn()?;
                let first = node::offset(cx, self.node)? == 0;
                self.up(cx)?;
                self.offset = self.offset.wrapping_sub(1) & 0xff;
                if !first {
                    break;
                }
            }
        }
        self.index = index;
        if self.node != 0 {
            self.find_offset(cx)?;
        }
        Ok(())
    }

    /// xas_split_alloc: the nodes that a split of an entry of that order needs.
    pub fn split_alloc(&mut self, cx: &mut Cx, entry: u64, order: u32) -> R<()> {
        let bits = node::bits(cx);
        if self.shift + 2 * bits < order {
            crate::traps::warn(cx, "", "xas_split_alloc")?;
            self.free_alloc(cx)?;
            self.set_error(errno::ENOMEM);
            return Ok(());
        }
        if self.shift + bits > order {
            return Ok(());
        }
        for _ in 0..shl(1, order % bits) {
            let new = node::new(cx, self.xa)?;
            let mut first = 0;
            for offset in 0..node::size(cx) {
                let put = if offset & self.sibs == 0 {
                    first = offset;
                    entry
                } else {
                    node::internal(first)
                };
                node::set_slot(cx, new, offset, put)?;
            }
            node::set_parent(cx, new, self.alloc)?;
            self.alloc = new;
        }
        Ok(())
    }

    /// xas_split: an entry becomes many of the order that the state has.
    pub fn split(&mut self, cx: &mut Cx, entry: u64, order: u32) -> R<()> {
        let bits = node::bits(cx);
        let before = self.load(cx)?;
        if self.top() {
            return Ok(());
        }
        let node = self.node;
        let shift = node::shift(cx, node)?;
        let mut marks = [false; MARKS as usize];
        for (mark, set) in marks.iter_mut().enumerate() {
            *set = node::marked(cx, node, self.offset, mark as u64)?;
        }
        let mut values = 0;
        let mut offset = self.offset + shl(1, order % bits) - 1;
        loop {
            let canon;
            if self.shift < shift {
                canon = offset;
                let child = self.alloc;
                self.alloc = node::parent(cx, child)?;
                let size = node::size(cx) as u8;
                node::set_shift(cx, child, shift.saturating_sub(bits))?;
                node::set_offset(cx, child, offset)?;
                node::set_counts(cx, child, size, if is_value(entry) { size } else { 0 })?;
                node::set_parent(cx, child, node)?;
                self.copy_marks(cx, canon, child, marks)?;
                node::set_slot(cx, node, offset, child | 2)?;
                values -= i32::from(is_value(before));
                self.updated(cx, child);
            } else {
                canon = offset.saturating_sub(self.sibs);
                self.copy_marks(cx, canon, 0, marks)?;
                node::set_slot(cx, node, canon, entry)?;
                for other in canon + 1..=offset {
                    node::set_slot(cx, node, other, node::internal(canon))?;
                }
                let each = i32::from(is_value(entry)) - i32::from(is_value(before));
                values += each * (self.sibs as i32 + 1);
            }
            if canon <= self.offset {
                break;
            }
            offset = canon - 1;
        }
        node::add_counts(cx, node, 0, values)?;
        self.updated(cx, node);
        Ok(())
    }

    /// Gives marks to a slot, and to all of the node that is to stand in it.
    fn copy_marks(&self, cx: &Cx, offset: u64, child: u64, marks: [bool; 3]) -> R<()> {
        for mark in (0..MARKS).filter(|mark| marks[*mark as usize]) {
            node::change_mark(cx, self.node, offset, mark, true)?;
            if child != 0 {
                node::mark_all(cx, child, mark)?;
            }
        }
        Ok(())
    }

    /// xas_destroy: gives back what was made beforehand.
    pub fn free_alloc(&mut self, cx: &mut Cx) -> R<()> {
        let mut fuel = node::Fuel::new();
        while self.alloc != 0 {
            fuel.burn()?;
            let next = node::parent(cx, self.alloc)?;
            node::free(cx, self.alloc)?;
            self.alloc = next;
        }
        Ok(())
    }

    /// The largest piece of a range that one store can take.
    fn set_range(&mut self, cx: &Cx, first: u64, last: u64) {
        let (bits, mask) = (node::bits(cx), node::mask(cx));
        self.set(first);
        let (mut at, mut sibs) = (first, last - first);
        let (mut shift, mut part) = (0, mask);
        while at & mask == 0 {
            if sibs < mask || (sibs == mask && part < mask) {
                break;
            }
            shift += bits;
            if part == mask {
                part = sibs & mask;
            }
            sibs >>= bits;
            at >>= bits;
        }
        let offset = at & mask;
        sibs = sibs.min(mask - offset);
        if shl(at.wrapping_add(sibs).wrapping_add(1), shift).wrapping_sub(1) > last {
            sibs = sibs.saturating_sub(1);
        }
        self.shift = shift;
        self.sibs = sibs;
    }

    /// xa_store_range.
    pub fn store_range(&mut self, cx: &mut Cx, mut first: u64, last: u64, entry: u64) -> R<()> {
        if entry != 0 {
            // The tree grows to where the range ends before anything is stored.
            let order = match last.wrapping_add(1) {
                0 => 64,
                end => end.trailing_zeros(),
            };
            self.set_order(cx, last, order);
            self.create(cx, true)?;
            if self.error() != 0 {
                return Ok(());
            }
        }
        loop {
            self.set_range(cx, first, last);
            self.store(cx, entry)?;
            if self.error() != 0 {
                return Ok(());
            }
            match first.checked_add(self.covers()) {
                // A range that covers all indices has a size of 0.
                Some(next) if next > first && next <= last => first = next,
                _ => return Ok(()),
            }
        }
    }

    /// xas_get_order: of the entry that was walked to.
    pub fn order(&self, cx: &Cx) -> R {
        if self.node == 0 {
            return Ok(0);
        }
        let mut order = 0;
        loop {
            let slot = self.offset + shl(1, order);
            if slot >= node::size(cx)
                || node::sibling(cx, node::slot(cx, self.node, slot)?).is_none()
            {
                break;
            }
            order += 1;
        }
        Ok(u64::from(order + node::shift(cx, self.node)?))
    }
}
