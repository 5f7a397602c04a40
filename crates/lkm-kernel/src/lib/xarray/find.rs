//! Going from entry to entry of an XArray: the next present or marked one, the neighbours, conflicts in a range.

use super::node::{self, FREE, Fuel, MARKS, is_node, shl, shr, to_node};
use super::xas::{RESTART, Xas};
use crate::Cx;
use crate::abi::R;

impl Xas {
    /// The index of a slot of the node it stands in.
    fn move_index(&mut self, cx: &Cx, offset: u64) -> R<()> {
        let shift = node::shift(cx, self.node)?;
        self.index &= shl(!node::mask(cx), shift);
        self.index = self.index.wrapping_add(shl(offset, shift));
        Ok(())
    }

    fn next_offset(&mut self, cx: &Cx) -> R<()> {
        self.offset += 1;
        self.move_index(cx, self.offset)
    }

    /// Goes up out of nodes whose slots are used up.
    fn up_to_next(&mut self, cx: &Cx) -> R<()> {
        self.up(cx)?;
        self.offset += 1;
        Ok(())
    }

    /// xas_find: the next entry whose index is at most `max`.
    pub fn find(&mut self, cx: &Cx, max: u64) -> R {
        if self.error() != 0 || self.node == super::xas::BOUNDS {
            return Ok(0);
        }
        if self.index > max {
            return Ok(self.bounds());
        }
        if self.node == 0 {
            self.index = 1;
            return Ok(self.bounds());
        }
        if self.node == RESTART {
            let entry = self.load(cx)?;
            if entry != 0 || self.not_node() {
                return Ok(entry);
            }
        } else if node::shift(cx, self.node)? == 0 && self.offset != self.index & node::mask(cx) {
            // The inline xas_next_entry may have moved the index only.
            self.offset = (self.index.wrapping_sub(1) & node::mask(cx)) + 1;
        }
        self.next_offset(cx)?;
        let mut fuel = Fuel::new();
        while self.node != 0 && self.index <= max {
            fuel.burn()?;
            if self.offset >= node::size(cx) {
                self.up_to_next(cx)?;
                continue;
            }
            let entry = node::slot(cx, self.node, self.offset)?;
            if is_node(entry) {
                self.node = to_node(entry);
                self.offset = 0;
                continue;
            }
            if entry != 0 && node::sibling(cx, entry).is_none() {
                return Ok(entry);
            }
            self.next_offset(cx)?;
        }
        if self.node == 0 {
            self.bounds();
        }
        Ok(0)
    }

    /// xas_find_marked: the next entry with a mark whose index is at most `max`.
    pub fn find_marked(&mut self, cx: &Cx, max: u64, mark: u64) -> R {
        if self.error() != 0 {
            return Ok(0);
        }
        let mark = mark.min(MARKS - 1);
        if self.index > max {
            self.node = RESTART;
            return Ok(0);
        }
        let mut advance = true;
        if self.node == 0 {
            self.index = 1;
            return Ok(self.beyond(max));
        }
        if self.top() {
            advance = false;
            let entry = node::head(cx, self.xa)?;
            self.node = 0;
            if self.index > node::max_index(cx, entry)? {
                return Ok(self.beyond(max));
            }
            if !is_node(entry) {
                if node::root_marked(cx, self.xa, mark)? {
                    return Ok(entry);
                }
                self.index = 1;
                return Ok(self.beyond(max));
            }
            self.node = to_node(entry);
            self.offset = shr(self.index, node::shift(cx, self.node)?);
        }
        let free = mark == FREE && node::tracks_free(cx, self.xa)?;
        let mut fuel = Fuel::new();
        while self.index <= max {
            fuel.burn()?;
            if self.offset >= node::size(cx) {
                self.up_to_next(cx)?;
                if self.node == 0 {
                    break;
                }
                advance = false;
                continue;
            }
            if !advance {
                let entry = node::slot(cx, self.node, self.offset)?;
                if let Some(first) = node::sibling(cx, entry) {
                    self.offset = first;
                    self.move_index(cx, first)?;
                }
            }
            let from = self.offset + u64::from(advance);
            let offset = node::next_marked(cx, self.node, mark, from)?;
            if offset > self.offset {
                advance = false;
                self.move_index(cx, offset)?;
                // Behind the last index comes 0.
                if self.index.wrapping_sub(1) >= max {
                    self.node = RESTART;
                    return Ok(0);
                }
                self.offset = offset;
                if offset == node::size(cx) {
                    continue;
                }
            }
            let entry = node::slot(cx, self.node, self.offset)?;
            if entry == 0 && !free {
                continue;
            }
            if !is_node(entry) {
                return Ok(entry);
            }
            self.node = to_node(entry);
            self.find_offset(cx)?;
        }
        Ok(self.beyond(max))
    }

    /// Nothing more in the array.
    fn beyond(&mut self, max: u64) -> u64 {
        if self.index > max {
            self.node = RESTART;
            return 0;
        }
        self.bounds()
    }

    /// xas_find_conflict: the next entry in the range that the state describes.
    pub fn find_conflict(&mut self, cx: &Cx) -> R {
        if self.error() != 0 || self.node == 0 {
            return Ok(0);
        }
        let mut fuel = Fuel::new();
        if self.top() {
            let mut entry = self.start(cx)?;
            while is_node(entry) {
                fuel.burn()?;
                entry = self.descend(cx, to_node(entry))?;
            }
            if entry != 0 || self.not_node() {
                return Ok(entry);
            }
        }
        if node::shift(cx, self.node)? > self.shift {
            return Ok(0);
        }
        loop {
            fuel.burn()?;
            if node::shift(cx, self.node)? == self.shift {
                if self.offset & self.sibs == self.sibs {
                    break;
                }
            } else if self.offset >= node::mask(cx) {
                self.up(cx)?;
                if self.node == 0 {
                    break;
                }
                continue;
            }
            self.offset += 1;
            let mut entry = node::slot(cx, self.node, self.offset)?;
            if node::sibling(cx, entry).is_some() {
                continue;
            }
            while is_node(entry) {
                fuel.burn()?;
                self.node = to_node(entry);
                self.offset = 0;
                entry = node::slot(cx, self.node, 0)?;
            }
            if entry != 0 {
                return Ok(entry);
            }
        }
        self.offset = self.offset.wrapping_sub(self.sibs) & 0xff;
        Ok(0)
    }

    /// __xas_next and __xas_prev: the entry at the index beside, there or not.
    pub fn step(&mut self, cx: &Cx, forward: bool) -> R {
        let by = if forward { 1 } else { u64::MAX };
        // xas_frozen: a state that was not walked begins where it is.
        if self.node & 2 == 0 {
            self.index = self.index.wrapping_add(by);
        }
        if self.node == 0 {
            return Ok(self.bounds());
        }
        if self.not_node() {
            return self.load(cx);
        }
        // The offset is a byte: before the first slot comes 255.
        if self.offset != self.offset_in(cx, node::shift(cx, self.node)?) {
            self.offset = self.offset.wrapping_add(by) & 0xff;
        }
        let out = if forward { node::size(cx) } else { 0xff };
        let mut fuel = Fuel::new();
        while self.offset == out {
            fuel.burn()?;
            self.up(cx)?;
            self.offset = self.offset.wrapping_add(by) & 0xff;
            if self.node == 0 {
                return Ok(self.bounds());
            }
        }
        loop {
            fuel.burn()?;
            let entry = node::slot(cx, self.node, self.offset)?;
            if !is_node(entry) {
                return Ok(entry);
            }
            self.node = to_node(entry);
            self.find_offset(cx)?;
        }
    }

    /// xas_pause: the walk goes on behind the entry when the lock is held again.
    pub fn pause(&mut self, cx: &Cx) -> R<()> {
        if self.invalid() {
            return Ok(());
        }
        let node = self.node;
        self.node = RESTART;
        if node == 0 {
            self.index = self.index.wrapping_add(1);
            return Ok(());
        }
        let mut offset = self.offset + 1;
        while offset < node::size(cx) {
            if node::sibling(cx, node::slot(cx, node, offset)?).is_none() {
                break;
            }
            offset += 1;
        }
        let over = shl(offset - self.offset, node::shift(cx, node)?);
        self.index = self.index.wrapping_add(over);
        if self.index == 0 {
            self.bounds();
        }
        Ok(())
    }

    /// Whether it stands in the middle of an entry of several indices.
    pub fn inside(&self, cx: &Cx) -> R<bool> {
        if self.node == 0 {
            return Ok(false);
        }
        let shift = node::shift(cx, self.node)?;
        let below = shl(node::size(cx), shift).wrapping_sub(1);
        Ok(self.index & below > shl(self.offset, shift))
    }

    /// The next entry as a filter has it: a mark, or anything present (XA_PRESENT).
    pub fn find_filtered(&mut self, cx: &Cx, max: u64, filter: u64) -> R {
        if filter < MARKS {
            self.find_marked(cx, max, filter)
        } else {
            self.find(cx, max)
        }
    }
}
