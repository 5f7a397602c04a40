//! Resizable hash tables (lib/rhashtable.c). Look-up, insertion and removal are inline in the module, on bucket tables
//! in guest memory; the slow insertion, resizing, walks and destruction are here. A resize is done at once: nobody
//! else runs meanwhile, so there is never a second table to look into.

use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, mm, symbols, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("rhashtable_init", rhashtable_init)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("rhltable_init", rhltable_init)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("rhashtable_insert_slow", insert_slow),
    behaves("rhashtable_walk_enter", walk_enter),
    behaves("rhashtable_walk_exit", walk_exit),
    behaves("rhashtable_walk_start_check", walk_start),
    behaves("rhashtable_walk_next", walk_next),
    behaves("rhashtable_walk_peek", walk_peek),
    behaves("rhashtable_walk_stop", walk_stop),
    behaves("rhashtable_free_and_destroy", free_and_destroy).sleeps(),
    behaves("rhashtable_destroy", destroy).sleeps(),
    // Tables are never nested here.
    behaves("rht_bucket_nested", none),
    behaves("__rht_bucket_nested", none),
    behaves("rht_bucket_nested_insert", none),
    behaves("__lkm_jhash", jhash_call),
    behaves("__lkm_jhash2", jhash2_call),
    behaves("__lkm_rht_deferred_worker", deferred_worker),
];

/// HASH_DEFAULT_SIZE, HASH_MIN_SIZE, RHT_ELASTICITY.
const DEFAULT_SIZE: u32 = 64;
const MIN_SIZE: u32 = 4;
const ELASTICITY: u32 = 16;
/// Most buckets of a table here.
const MAX_SIZE: u32 = 1 << 24;
/// Longest chain that is followed: a broken one ends.
const MAX_CHAIN: usize = 1 << 22;
/// WORK_STRUCT_NO_POOL.
const NO_POOL: u64 = 0xf_ffff_ffe0;

fn none(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn rounds(mut a: u32, mut b: u32, mut c: u32, last: bool) -> (u32, u32, u32) {
    if last {
        for (shift_b, shift_c, shift_a) in [(14, 11, 25), (16, 4, 14)] {
            c = (c ^ b).wrapping_sub(b.rotate_left(shift_b));
            a = (a ^ c).wrapping_sub(c.rotate_left(shift_c));
            b = (b ^ a).wrapping_sub(a.rotate_left(shift_a));
        }
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        return (a, b, c);
    }
    for (one, two, three) in [(4, 6, 8), (16, 19, 4)] {
        a = a.wrapping_sub(c) ^ c.rotate_left(one);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(two);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(three);
        b = b.wrapping_add(a);
    }
    (a, b, c)
}

/// jhash of a key (include/linux/jhash.h); jhash2 of the same words has the same value but for what it adds at first.
fn jhash(key: &[u8], added: u32, initval: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(added).wrapping_add(initval);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = key;
    let word = |bytes: &[u8], at: usize| {
        let mut value = 0;
        for (n, &byte) in bytes.iter().skip(at).take(4).enumerate() {
            value |= u32::from(byte) << (8 * n);
        }
        value
    };
    while rest.len() > 12 {
        a = a.wrapping_add(word(rest, 0));
        b = b.wrapping_add(word(rest, 4));
        c = c.wrapping_add(word(rest, 8));
        (a, b, c) = rounds(a, b, c, false);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(rest, 0));
    b = b.wrapping_add(word(rest, 4));
    c = c.wrapping_add(word(rest, 8));
    rounds(a, b, c, true).2
}

fn jhash_call(cx: &mut Cx, c: &Call) -> R {
    let len = c.a[1] as u32;
    let key = cx.bytes(c.a[0], u64::from(len))?;
    Ok(u64::from(jhash(&key, len, c.a[2] as u32)))
}

fn jhash2_call(cx: &mut Cx, c: &Call) -> R {
    let words = c.a[1] as u32;
    let key = cx.bytes(c.a[0], u64::from(words) * 4)?;
    Ok(u64::from(jhash(&key, words << 2, c.a[2] as u32)))
}

/// The end of the chain of a bucket (RHT_NULLS_MARKER).
const fn marker(bucket: u64) -> u64 {
    bucket | 1
}

fn bucket(cx: &Cx, tbl: u64, index: u32) -> u64 {
    tbl + cx.off.rht_buckets + 8 * u64::from(index)
}

fn alloc(cx: &mut Cx, size: u32) -> R {
    let bytes = cx.off.rht_buckets + 8 * u64::from(size);
    let tbl = mm::kalloc(cx, bytes)?;
    cx.w32(tbl, size)?;
    let random = super::random::next(cx) as u32;
    cx.w32(tbl + cx.off.rht_hash_rnd, random)?;
    util::list_init(cx, tbl + cx.off.rht_walkers)?;
    Ok(tbl)
}

fn init(cx: &mut Cx, ht: u64, params: u64, rhlist: bool) -> R {
    let off = cx.off;
    let key_len = u32::from(cx.r16(params + off.rhp_key_len)?);
    let (hashfn, obj_hashfn, obj_cmpfn) = (
        cx.r64(params + off.rhp_hashfn)?,
        cx.r64(params + off.rhp_obj_hashfn)?,
        cx.r64(params + off.rhp_obj_cmpfn)?,
    );
    if key_len == 0 && obj_hashfn == 0 || obj_hashfn != 0 && obj_cmpfn == 0 {
        return Ok(neg(EINVAL));
    }
    cx.fill(ht, 0, off.rht_nelems + 4)?;
    let p = ht + off.rht_p;
    cx.copy(p, params, off.rhp_obj_cmpfn + 8)?;
    cx.w8(ht + off.rht_rhlist, u8::from(rhlist))?;
    let min = u32::from(cx.r16(p + off.rhp_min_size)?);
    let min = if min == 0 { 0 } else { min.next_power_of_two() }.max(MIN_SIZE);
    cx.w16(p + off.rhp_min_size, min as u16)?;
    let max = cx.r32(p + off.rhp_max_size)?;
    let max = if max == 0 { 0 } else { 1 << max.ilog2() };
    cx.w32(p + off.rhp_max_size, max)?;
    let most = if max != 0 && max < 1 << 30 {
        max * 2
    } else {
        1 << 31
    };
    cx.w32(ht + off.rht_max_elems, most)?;
    cx.w32(ht + off.rht_key_len, key_len)?;
    if hashfn == 0 {
        let words = key_len % 4 == 0;
        let name = if words { "__lkm_jhash2" } else { "__lkm_jhash" };
        let own = symbols::address(cx, name);
        cx.w64(p + off.rhp_hashfn, own)?;
        if words {
            cx.w32(ht + off.rht_key_len, key_len / 4)?;
        }
    }
    let hint = u32::from(cx.r16(p + off.rhp_nelem_hint)?);
    let size = match hint {
        0 => DEFAULT_SIZE,
        hint => (hint * 4 / 3).max(1).next_power_of_two(),
    };
    let tbl = alloc(cx, size.max(min))?;
    cx.w64(ht, tbl)?;
    util::list_init(cx, ht + off.rht_mutex + off.mutex_wait_list)?;
    let work = ht + off.rht_run_work;
    cx.w64(work + off.work_data, NO_POOL)?;
    util::list_init(cx, work + off.work_entry)?;
    let worker = symbols::address(cx, "__lkm_rht_deferred_worker");
    cx.w64(work + off.work_func, worker)?;
    Ok(0)
}

fn rhashtable_init(cx: &mut Cx, c: &Call) -> R {
    init(cx, c.a[0], c.a[1], false)
}

fn rhltable_init(cx: &mut Cx, c: &Call) -> R {
    init(cx, c.a[0], c.a[1], true)
}

/// The object that a head is in.
fn object(cx: &Cx, ht: u64, head: u64) -> R {
    Ok(head - u64::from(cx.r16(ht + cx.off.rht_p + cx.off.rhp_head_offset)?))
}

/// rht_head_hashfn with the random number of a table, without the reduction to its size.
fn hash(cx: &mut Cx, ht: u64, head: u64, random: u32) -> R<u32> {
    let off = cx.off;
    let p = ht + off.rht_p;
    let object = object(cx, ht, head)?;
    let by_object = cx.r64(p + off.rhp_obj_hashfn)?;
    if by_object != 0 {
        let len = u64::from(cx.r16(p + off.rhp_key_len)?);
        return Ok(cx.call_guest(by_object, &[object, len, u64::from(random)]) as u32);
    }
    let key = object + u64::from(cx.r16(p + off.rhp_key_offset)?);
    let hashfn = cx.r64(p + off.rhp_hashfn)?;
    let len = u64::from(cx.r32(ht + off.rht_key_len)?);
    Ok(cx.call_guest(hashfn, &[key, len, u64::from(random)]) as u32)
}

/// The heads of a bucket, first to last.
fn chain(cx: &Cx, tbl: u64, index: u32) -> R<Vec<u64>> {
    let mut heads = Vec::new();
    let mut at = cx.r64(bucket(cx, tbl, index))? & !1;
    while at != 0 && at & 1 == 0 && heads.len() < MAX_CHAIN {
        heads.push(at);
        at = cx.r64(at)?;
    }
    Ok(heads)
}

/// rhashtable_rehash_table: everything into a new table of `size` buckets; the old one goes after a grace period.
fn rehash(cx: &mut Cx, ht: u64, size: u32) -> R {
    let off = cx.off;
    let old = cx.r64(ht)?;
    let new = alloc(cx, size.clamp(MIN_SIZE, MAX_SIZE))?;
    let (size, random) = (cx.r32(new)?, cx.r32(new + off.rht_hash_rnd)?);
    // The kernel holds the locks of buckets here: whoever inserted meanwhile would be lost in the old table.
    crate::context::add(cx, 1);
    let mut moved = Vec::new();
    for index in 0..cx.r32(old)? {
        for head in chain(cx, old, index)? {
            moved.push(head);
        }
    }
    // The module's own functions hash: only then is anything changed.
    let mut places = Vec::with_capacity(moved.len());
    for &head in &moved {
        places.push(hash(cx, ht, head, random)? & (size - 1));
    }
    for (&head, &index) in moved.iter().zip(&places).rev() {
        let at = bucket(cx, new, index);
        let first = cx.r64(at)?;
        cx.w64(head, if first == 0 { marker(at) } else { first })?;
        cx.w64(at, head)?;
    }
    for walker in util::list_entries(cx, old + off.rht_walkers)? {
        cx.w64(walker + off.rht_walker_tbl, 0)?;
    }
    cx.w64(old + off.rht_future_tbl, new)?;
    cx.w64(ht, new)?;
    crate::context::add(cx, -1);
    crate::rcu::after_grace_period(
        cx,
        Box::new(move |cx: &mut Cx| {
            mm::kfree(cx, old);
            Ok(())
        }),
    );
    Ok(new)
}

/// rht_deferred_worker: grows above three quarters, shrinks below three tenths.
fn deferred_worker(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let ht = c.a[0].wrapping_sub(off.rht_run_work);
    let p = ht + off.rht_p;
    let tbl = cx.r64(ht)?;
    let (size, count) = (cx.r32(tbl)?, cx.r32(ht + off.rht_nelems)?);
    let (max, min) = (
        cx.r32(p + off.rhp_max_size)?,
        u32::from(cx.r16(p + off.rhp_min_size)?),
    );
    if count > size / 4 * 3 && (max == 0 || size < max) {
        rehash(cx, ht, size * 2)?;
    } else if cx.r8(p + off.rhp_automatic_shrinking)? != 0 && count < size * 3 / 10 && size > min {
        let wanted = (count * 3 / 2).max(1).next_power_of_two().max(min);
        if wanted < size {
            rehash(cx, ht, wanted)?;
        }
    }
    Ok(0)
}

/// Whether the object of a head has the key.
fn same(cx: &mut Cx, ht: u64, head: u64, key: u64) -> R<bool> {
    let off = cx.off;
    let p = ht + off.rht_p;
    let object = object(cx, ht, head)?;
    let compare = cx.r64(p + off.rhp_obj_cmpfn)?;
    if compare != 0 {
        // struct rhashtable_compare_arg: table and key.
        let arg = mm::kalloc(cx, 16)?;
        cx.w64(arg, ht)?;
        cx.w64(arg + 8, key)?;
        let answer = cx.call_guest(compare, &[arg, object]) as i32;
        mm::kfree(cx, arg);
        return Ok(answer == 0);
    }
    let at = object + u64::from(cx.r16(p + off.rhp_key_offset)?);
    let len = u64::from(cx.r16(p + off.rhp_key_len)?);
    Ok(cx.bytes(at, len)? == cx.bytes(key, len)?)
}

/// rhashtable_insert_slow(ht, key, obj): NULL, the object that has the key, or an error pointer.
fn insert_slow(cx: &mut Cx, c: &Call) -> R {
    let [ht, key, obj, ..] = c.a;
    // Under the lock of the bucket, as above.
    crate::context::add(cx, 1);
    let answer = insert(cx, ht, key, obj)?;
    crate::context::add(cx, -1);
    Ok(answer)
}

fn insert(cx: &mut Cx, ht: u64, key: u64, obj: u64) -> R {
    let off = cx.off;
    let rhlist = cx.r8(ht + off.rht_rhlist)? != 0;
    let mut tbl = cx.r64(ht)?;
    let random = cx.r32(tbl + off.rht_hash_rnd)?;
    let mut index = hash(cx, ht, obj, random)? & (cx.r32(tbl)? - 1);
    let heads = chain(cx, tbl, index)?;
    for (n, &head) in heads.iter().enumerate() {
        if key == 0 || !same(cx, ht, head, key)? {
            continue;
        }
        if !rhlist {
            return object(cx, ht, head);
        }
        // The new one takes the place of the first of its kind, which becomes the second.
        let next = cx.r64(head)?;
        cx.w64(obj + 8, head)?;
        let next = if n + 1 < heads.len() {
            next
        } else {
            marker(bucket(cx, tbl, index))
        };
        cx.w64(obj, next)?;
        let before = match n {
            0 => bucket(cx, tbl, index),
            n => heads[n - 1],
        };
        cx.w64(before, obj)?;
        return Ok(0);
    }
    let (size, count) = (cx.r32(tbl)?, cx.r32(ht + off.rht_nelems)?);
    if count >= cx.r32(ht + off.rht_max_elems)? {
        return Ok(neg(E2BIG));
    }
    let max = cx.r32(ht + off.rht_p + off.rhp_max_size)?;
    let full = count > size && (max == 0 || size < max);
    if full || heads.len() as u32 >= ELASTICITY {
        // Twice as large when it is full, else the same with another random number.
        let grow = count > size / 4 * 3 && (max == 0 || size < max);
        tbl = rehash(cx, ht, if grow { size * 2 } else { size })?;
        let random = cx.r32(tbl + off.rht_hash_rnd)?;
        index = hash(cx, ht, obj, random)? & (cx.r32(tbl)? - 1);
    }
    let at = bucket(cx, tbl, index);
    let first = cx.r64(at)? & !1;
    cx.w64(obj, if first == 0 { marker(at) } else { first })?;
    if rhlist {
        cx.w64(obj + 8, 0)?;
    }
    cx.w64(at, obj)?;
    let count = cx.r32(ht + off.rht_nelems)?;
    cx.w32(ht + off.rht_nelems, count.wrapping_add(1))?;
    Ok(0)
}

fn walk_enter(cx: &mut Cx, c: &Call) -> R {
    let [ht, iter, ..] = c.a;
    let off = cx.off;
    cx.w64(iter, ht)?;
    cx.w64(iter + off.rht_iter_p, 0)?;
    cx.w32(iter + off.rht_iter_slot, 0)?;
    cx.w32(iter + off.rht_iter_skip, 0)?;
    cx.w8(iter + off.rht_iter_end, 0)?;
    let tbl = cx.r64(ht)?;
    let walker = iter + off.rht_iter_walker;
    cx.w64(walker + off.rht_walker_tbl, tbl)?;
    util::list_add(cx, walker, tbl + off.rht_walkers)?;
    Ok(0)
}

fn walk_exit(cx: &mut Cx, c: &Call) -> R {
    let walker = c.a[0] + cx.off.rht_iter_walker;
    if cx.r64(walker + cx.off.rht_walker_tbl)? != 0 {
        util::list_del(cx, walker)?;
    }
    Ok(0)
}

/// The elements of a slot in the order of a walk: head, and with lists each member.
fn members(cx: &Cx, ht: u64, tbl: u64, slot: u32) -> R<Vec<(u64, u64)>> {
    let rhlist = cx.r8(ht + cx.off.rht_rhlist)? != 0;
    let mut out = Vec::new();
    for head in chain(cx, tbl, slot)? {
        let mut at = head;
        while at != 0 && out.len() < MAX_CHAIN {
            out.push((head, at));
            at = if rhlist { cx.r64(at + 8)? } else { 0 };
        }
    }
    Ok(out)
}

fn walk_start(cx: &mut Cx, c: &Call) -> R {
    let iter = c.a[0];
    let off = cx.off;
    let walker = iter + off.rht_iter_walker;
    internal(cx, "__rcu_read_lock", 0)?;
    let (ht, tbl) = (cx.r64(iter)?, cx.r64(walker + off.rht_walker_tbl)?);
    if tbl != 0 {
        util::list_del(cx, walker)?;
    }
    if cx.r8(iter + off.rht_iter_end)? != 0 {
        return Ok(0);
    }
    if tbl == 0 {
        let now = cx.r64(ht)?;
        cx.w64(walker + off.rht_walker_tbl, now)?;
        cx.w32(iter + off.rht_iter_slot, 0)?;
        cx.w32(iter + off.rht_iter_skip, 0)?;
        cx.w64(iter + off.rht_iter_p, 0)?;
        return Ok(neg(EAGAIN));
    }
    // Where it stood may have gone, or moved within its slot.
    let (p, list) = (
        cx.r64(iter + off.rht_iter_p)?,
        cx.r64(iter + off.rht_iter_list)?,
    );
    if p != 0 {
        let rhlist = cx.r8(ht + off.rht_rhlist)? != 0;
        let slot = cx.r32(iter + off.rht_iter_slot)?;
        let all = members(cx, ht, tbl, slot)?;
        let at = all
            .iter()
            .position(|&(head, member)| if rhlist { member == list } else { head == p });
        match at {
            Some(at) => {
                cx.w64(iter + off.rht_iter_p, all[at].0)?;
                cx.w32(iter + off.rht_iter_skip, at as u32 + 1)?;
            }
            None => cx.w64(iter + off.rht_iter_p, 0)?,
        }
    }
    Ok(0)
}

/// The element behind `skip` others of the slot the walk is at, or the first of a later slot.
fn find_next(cx: &mut Cx, iter: u64) -> R {
    let off = cx.off;
    let ht = cx.r64(iter)?;
    let tbl = cx.r64(iter + off.rht_iter_walker + off.rht_walker_tbl)?;
    if tbl == 0 {
        return Ok(0);
    }
    let mut slot = cx.r32(iter + off.rht_iter_slot)?;
    let mut skip = cx.r32(iter + off.rht_iter_skip)?;
    while slot < cx.r32(tbl)? {
        if let Some(&(head, member)) = members(cx, ht, tbl, slot)?.get(skip as usize) {
            cx.w32(iter + off.rht_iter_slot, slot)?;
            cx.w32(iter + off.rht_iter_skip, skip + 1)?;
            cx.w64(iter + off.rht_iter_p, head)?;
            cx.w64(iter + off.rht_iter_list, member)?;
            return object(cx, ht, member);
        }
        skip = 0;
        slot += 1;
    }
    cx.w32(iter + off.rht_iter_slot, slot)?;
    cx.w32(iter + off.rht_iter_skip, 0)?;
    cx.w64(iter + off.rht_iter_p, 0)?;
    let future = cx.r64(tbl + off.rht_future_tbl)?;
    cx.w64(iter + off.rht_iter_walker + off.rht_walker_tbl, future)?;
    if future != 0 {
        cx.w32(iter + off.rht_iter_slot, 0)?;
        return Ok(neg(EAGAIN));
    }
    cx.w8(iter + off.rht_iter_end, 1)?;
    Ok(0)
}

fn walk_next(cx: &mut Cx, c: &Call) -> R {
    let iter = c.a[0];
    let off = cx.off;
    let p = cx.r64(iter + off.rht_iter_p)?;
    let tbl = cx.r64(iter + off.rht_iter_walker + off.rht_walker_tbl)?;
    if p != 0 && tbl != 0 {
        // From where it stands: others may have removed what was before it.
        let (ht, member) = (cx.r64(iter)?, cx.r64(iter + off.rht_iter_list)?);
        let slot = cx.r32(iter + off.rht_iter_slot)?;
        let all = members(cx, ht, tbl, slot)?;
        if let Some(at) = all.iter().position(|&(_, m)| m == member) {
            cx.w32(iter + off.rht_iter_skip, at as u32 + 1)?;
        }
    }
    find_next(cx, iter)
}

fn walk_peek(cx: &mut Cx, c: &Call) -> R {
    let iter = c.a[0];
    let off = cx.off;
    if cx.r64(iter + off.rht_iter_p)? != 0 {
        let (ht, member) = (cx.r64(iter)?, cx.r64(iter + off.rht_iter_list)?);
        return object(cx, ht, member);
    }
    let skip = cx.r32(iter + off.rht_iter_skip)?;
    cx.w32(iter + off.rht_iter_skip, skip.saturating_sub(1))?;
    find_next(cx, iter)
}

fn walk_stop(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let walker = c.a[0] + off.rht_iter_walker;
    let tbl = cx.r64(walker + off.rht_walker_tbl)?;
    if tbl != 0 {
        if cx.r64(tbl + off.rht_future_tbl)? != 0 {
            // That table is on its way out.
            cx.w64(walker + off.rht_walker_tbl, 0)?;
        } else {
            util::list_add(cx, walker, tbl + off.rht_walkers)?;
        }
    }
    internal(cx, "__rcu_read_unlock", 0)?;
    Ok(0)
}

/// Calls one of the kernel's own functions.
fn internal(cx: &mut Cx, name: &str, arg: u64) -> R<()> {
    if let Some(row) = symbols::row(cx, name) {
        (row.fun)(cx, &Call::internal([arg, 0, 0, 0, 0, 0]))?;
    }
    Ok(())
}

fn tear_down(cx: &mut Cx, ht: u64, free: u64, arg: u64) -> R {
    internal(cx, "cancel_work_sync", ht + cx.off.rht_run_work)?;
    let tbl = cx.r64(ht)?;
    if free != 0 {
        for slot in 0..cx.r32(tbl)? {
            for (_, member) in members(cx, ht, tbl, slot)? {
                let object = object(cx, ht, member)?;
                cx.call_guest(free, &[object, arg]);
            }
        }
    }
    mm::kfree(cx, tbl);
    Ok(0)
}

fn free_and_destroy(cx: &mut Cx, c: &Call) -> R {
    tear_down(cx, c.a[0], c.a[1], c.a[2])
}

fn destroy(cx: &mut Cx, c: &Call) -> R {
    tear_down(cx, c.a[0], 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_kernel() {
        // No bytes: the start value as it is. The rest are values of Bob Jenkins' lookup3, which this is.
        assert_eq!(jhash(b"", 0, 0), 0xdead_beef);
        let text = b"Four score and seven years ago";
        assert_eq!(jhash(text, 30, 0), 0x1777_0551);
        assert_eq!(jhash(text, 30, 1), 0xcd62_8161);
    }
}
