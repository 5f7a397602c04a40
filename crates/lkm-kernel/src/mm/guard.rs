//! Guarded allocations: pages with a guard behind them, the object at the end of its pages, so that the
//! first byte too far faults. Given back, the pages lose their access: a late use faults as well.
//!
//! Slots are made in batches (a few system calls for many allocations) and each costs the host kernel two
//! mappings; when the host's limit comes near, allocations go to plain memory with poisoned red zones.

use crate::Cx;
use crate::hash::Map;
use lkm_machine::{Prot, map};
use std::collections::BTreeMap;

/// What is known of an address in guarded or bulk memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Start of the object.
    pub addr: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its pages: first address and number.
    pub pages: (u64, u64),
    /// Whether it has been given back.
    pub freed: bool,
    /// Whether a guard follows.
    pub guarded: bool,
}

/// The allocator's state.
#[derive(Default)]
pub struct State {
    used: u64,
    bulk_used: u64,
    free: Map<u64, Vec<u64>>,
    blocks: BTreeMap<u64, Block>,
    slots: u64,
    /// Objects lie at the start of their pages instead of their end: what is before them faults then.
    at_start: bool,
    /// Blocks made since the mark, oldest first; None where no mark is set.
    since: Option<Vec<u64>>,
    /// Slots that were used before: without access, and with old contents.
    used_before: crate::hash::Set<u64>,
    /// Slots that are mappings of their own.
    apart: crate::hash::Set<u64>,
}

/// Where in their pages objects lie from now on: with the guard in front of them, or behind.
pub fn place_at_start(cx: &mut Cx, at_start: bool) {
    cx.guard.at_start = at_start;
}

/// Slots after which allocations are unguarded: two mappings each, of 65,530 that the host allows.
const MAX_SLOTS: u64 = 28_000;
const BATCH: u64 = 32;
/// Bytes around an object that must keep their pattern.
const RED: u64 = 16;
const RED_BYTE: u8 = 0xcc;
/// How far in front of an object an access still counts as one that missed it.
const NEAR: u64 = 64;
/// Bytes behind an object at the start of its pages that must keep their pattern.
const MAX_SLACK: u64 = 64;

/// Allocates `size` bytes. Not zeroed: filled with 0x5a where a reader of uninitialised memory will see it.
pub fn alloc(cx: &mut Cx, size: u64, align: u64, zero: bool) -> Option<u64> {
    let align = align.max(8);
    let npages = (size.next_multiple_of(align).max(8)).div_ceil(map::PAGE);
    // A slot is aligned to a page, no more.
    let guarded = align <= map::PAGE
        && npages <= 16
        && (cx.guard.slots < MAX_SLOTS
            || cx.guard.free.get(&npages).is_some_and(|f| !f.is_empty()));
    let mut stale = !guarded;
    let (base, addr) = if guarded {
        let base = slot(cx, npages)?;
        if cx.guard.used_before.remove(&base) {
            cx.protect(map::SLOTS, base, npages * map::PAGE, Prot::ReadWrite)
                .ok()?;
            stale = true;
        }
        let addr = if cx.guard.at_start {
            base
        } else {
            (base + npages * map::PAGE - size) & !(align - 1)
        };
        (base, addr)
    } else {
        let base =
            (map::BULK.start + cx.guard.bulk_used).next_multiple_of(align.max(16)) + align.max(RED);
        if base + size + RED > map::BULK.end() {
            return None;
        }
        cx.guard.bulk_used = base + size + RED - map::BULK.start;
        (base & !(map::PAGE - 1), base)
    };
    let block = Block {
        addr,
        size,
        pages: (base, npages),
        freed: false,
        guarded,
    };
    cx.guard.blocks.insert(addr, block);
    if let Some(since) = &mut cx.guard.since {
        since.push(addr);
    }
    if !zero {
        let some = if guarded && stale {
            size
        } else {
            size.min(256)
        };
        let _ = cx.fill(addr, 0x5a, some);
    } else if stale {
        let _ = cx.fill(addr, 0, size);
    }
    // Bytes between the object's end and its guard, and some before it, must stay as they are.
    let _ = cx.fill(addr + size, RED_BYTE, slack(&block));
    let front = (addr - base).min(RED);
    let _ = cx.fill(addr - front, RED_BYTE, front);
    Some(addr)
}

fn slack(block: &Block) -> u64 {
    if block.guarded {
        (block.pages.0 + block.pages.1 * map::PAGE - block.addr - block.size).min(MAX_SLACK)
    } else {
        RED
    }
}

fn slot(cx: &mut Cx, npages: u64) -> Option<u64> {
    if let Some(base) = cx.guard.free.get_mut(&npages).and_then(Vec::pop) {
        return Some(base);
    }
    let step = (npages + 1) * map::PAGE;
    let batch = if npages == 1 { BATCH } else { 4 };
    let start = map::SLOTS.start + cx.guard.used;
    if start + step * batch > map::SLOTS.end() {
        return None;
    }
    for index in 0..batch {
        cx.protect(
            map::SLOTS,
            start + index * step,
            npages * map::PAGE,
            Prot::ReadWrite,
        )
        .ok()?;
    }
    cx.guard.used += step * batch;
    cx.guard.slots += batch;
    let free = cx.guard.free.entry(npages).or_default();
    free.extend((0..batch).rev().map(|index| start + index * step));
    free.pop()
}

/// Pages of a freed object that keep their contents where a mark is set.
const KEPT: u64 = 4;

/// From here on it is noted what is made, for [`recycle`].
pub(crate) fn mark(cx: &mut Cx) {
    cx.guard.since = Some(Vec::new());
}

/// What was made since the mark and freed again is forgotten: its slots are used again, in the same order.
pub(crate) fn recycle(cx: &mut Cx) {
    let since = cx.guard.since.replace(Vec::new()).unwrap_or_default();
    for addr in since.into_iter().rev() {
        let Some(block) = cx.guard.blocks.get(&addr).copied() else {
            continue;
        };
        if block.freed && block.guarded {
            cx.guard.blocks.remove(&addr);
            let (base, npages) = block.pages;
            cx.guard.used_before.insert(base);
            if cx.guard.apart.insert(base) {
                cx.set_apart(map::SLOTS, base, npages * map::PAGE);
            }
            cx.guard.free.entry(npages).or_default().push(base);
        }
    }
}

/// Whether the bytes around an object are as they were left; the first that is not.
pub fn damaged(cx: &Cx, block: &Block) -> Option<u64> {
    let front = (block.addr - block.pages.0).min(RED);
    let check = |from: u64, len: u64| -> Option<u64> {
        let bytes = cx.bytes(from, len).ok()?;
        bytes
            .iter()
            .position(|&b| b != RED_BYTE)
            .map(|at| from + at as u64)
    };
    check(block.addr + block.size, slack(block)).or_else(|| check(block.addr - front, front))
}

/// Gives an object back; its memory becomes inaccessible and is not used again.
pub fn free(cx: &mut Cx, addr: u64) {
    let Some(block) = cx.guard.blocks.get_mut(&addr) else {
        return;
    };
    block.freed = true;
    let block = *block;
    if block.guarded {
        let _ = cx.protect(
            map::SLOTS,
            block.pages.0,
            block.pages.1 * map::PAGE,
            Prot::None,
        );
        // A few pages may wait for the next cycle with what is in them; more are given back.
        if cx.guard.since.is_none() || block.pages.1 > KEPT {
            cx.discard(map::SLOTS, block.pages.0, block.pages.1 * map::PAGE);
        }
    } else {
        let _ = cx.fill(block.addr, 0x6b, block.size);
    }
}

/// The object at, around, or just before an address (in its guard), freed ones included.
pub fn block_of(cx: &Cx, addr: u64) -> Option<Block> {
    let (_, block) = cx
        .guard
        .blocks
        .range(..=addr + NEAR)
        .next_back()
        .into_iter()
        .next()?;
    let mut block = *block;
    if block.addr > addr {
        // An address before an object but in its pages belongs to it when no other is nearer.
        if block.pages.0 > addr
            && let Some((_, before)) = cx.guard.blocks.range(..=addr).next_back()
            && addr.saturating_sub(before.addr + before.size) <= block.addr - addr
        {
            block = *before;
        }
    }
    let end = if block.guarded {
        block.pages.0 + (block.pages.1 + 1) * map::PAGE
    } else {
        block.addr + block.size + RED
    };
    let start = block.pages.0.min(block.addr.saturating_sub(NEAR));
    (addr >= start && addr < end).then_some(block)
}

/// The live object that starts at `addr`.
pub fn block_at(cx: &Cx, addr: u64) -> Option<Block> {
    cx.guard.blocks.get(&addr).copied()
}
