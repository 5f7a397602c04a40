//! Socket buffers (net/core/skbuff.c): struct sk_buff and its data are guest memory, because skb_put and its kin are
//! inlined; allocating and freeing are here. Paged data is not modelled.

use crate::abi::{Call, R, Stop};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("__alloc_skb", alloc_skb_call)
        .acquires("skb", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(1),
    behaves("__netdev_alloc_skb", netdev_alloc_skb)
        .acquires("skb", Key::Ret, When::Pointer)
        .fails(Fails::Null),
    behaves("kfree_skb", free_call),
    behaves("kfree_skb_reason", free_call),
    behaves("consume_skb", free_call),
    behaves("__kfree_skb", free_call),
    behaves("skb_clone", copy_call)
        .acquires("skb", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(1),
    behaves("skb_copy", copy_call)
        .acquires("skb", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(1),
    behaves("skb_put", skb_put),
    behaves("skb_push", skb_push),
    behaves("skb_pull", skb_pull),
    behaves("skb_trim", skb_trim),
];

/// Most bytes of a buffer.
const MAX: u64 = 1 << 20;
/// Bytes behind the data: struct skb_shared_info, which inline code may clear.
const SHARED_INFO: u64 = 512;

/// A buffer with room for `size` bytes; 0 when it is too large.
pub fn alloc(cx: &mut Cx, size: u64, headroom: u64) -> R {
    let Some(room) = size.checked_add(headroom).filter(|&n| n <= MAX) else {
        return Ok(0);
    };
    let room = room.next_multiple_of(64);
    let off = cx.off;
    let skb = mm::kalloc(cx, off.skb_size)?;
    let head = mm::kalloc(cx, room + SHARED_INFO)?;
    cx.w64(skb + off.skb_head, head)?;
    cx.w64(skb + off.skb_data, head + headroom)?;
    cx.w32(skb + off.skb_tail, headroom as u32)?;
    cx.w32(skb + off.skb_end, room as u32)?;
    cx.w32(
        skb + off.skb_truesize,
        (room + SHARED_INFO + off.skb_size) as u32,
    )?;
    cx.w32(skb + off.skb_users, 1)?;
    Ok(skb)
}

/// The bytes of a linear buffer.
pub fn bytes(cx: &Cx, skb: u64) -> R<Vec<u8>> {
    let data = cx.r64(skb + cx.off.skb_data)?;
    let len = u64::from(cx.r32(skb + cx.off.skb_len)?);
    Ok(cx.bytes(data, len.min(MAX))?)
}

/// Appends bytes; the caller made room.
pub fn append(cx: &mut Cx, skb: u64, bytes: &[u8]) -> R<()> {
    let at = put(cx, skb, bytes.len() as u32)?;
    Ok(cx.write(at, bytes)?)
}

fn put(cx: &mut Cx, skb: u64, len: u32) -> R {
    let off = cx.off;
    let (head, tail) = (cx.r64(skb + off.skb_head)?, cx.r32(skb + off.skb_tail)?);
    let end = cx.r32(skb + off.skb_end)?;
    let new = tail.wrapping_add(len);
    if new > end || new < tail {
        return Err(Stop::Bug("skb_over_panic".into()));
    }
    cx.w32(skb + off.skb_tail, new)?;
    let total = cx.r32(skb + off.skb_len)?;
    cx.w32(skb + off.skb_len, total.wrapping_add(len))?;
    Ok(head + u64::from(tail))
}

/// Gives a reference back; the last frees the buffer.
pub fn free(cx: &mut Cx, skb: u64) -> R<()> {
    if skb == 0 {
        return Ok(());
    }
    let users = cx.r32(skb + cx.off.skb_users)?;
    if users > 1 {
        return Ok(cx.w32(skb + cx.off.skb_users, users - 1)?);
    }
    let head = cx.r64(skb + cx.off.skb_head)?;
    trace::released(cx, "skb", skb);
    mm::kfree(cx, head);
    mm::kfree(cx, skb);
    Ok(())
}

fn alloc_skb_call(cx: &mut Cx, c: &Call) -> R {
    alloc(cx, c.a[0] & 0xffff_ffff, 0)
}

fn netdev_alloc_skb(cx: &mut Cx, c: &Call) -> R {
    // NET_SKB_PAD.
    alloc(cx, c.a[1] & 0xffff_ffff, 64)
}

fn free_call(cx: &mut Cx, c: &Call) -> R {
    free(cx, c.a[0])?;
    Ok(0)
}

fn copy_call(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let old = bytes(cx, c.a[0])?;
    let data = cx.r64(c.a[0] + off.skb_data)?;
    let headroom = data.wrapping_sub(cx.r64(c.a[0] + off.skb_head)?);
    let room = u64::from(cx.r32(c.a[0] + off.skb_end)?).max(headroom + old.len() as u64);
    let skb = alloc(cx, room - headroom, headroom)?;
    if skb != 0 {
        append(cx, skb, &old)?;
        let cb = cx.bytes(c.a[0] + off.skb_cb, 48)?;
        cx.write(skb + off.skb_cb, &cb)?;
    }
    Ok(skb)
}

fn skb_put(cx: &mut Cx, c: &Call) -> R {
    put(cx, c.a[0], c.a[1] as u32)
}

fn skb_push(cx: &mut Cx, c: &Call) -> R {
    let (skb, len) = (c.a[0], c.a[1] & 0xffff_ffff);
    let off = cx.off;
    let data = cx.r64(skb + off.skb_data)?.wrapping_sub(len);
    if data < cx.r64(skb + off.skb_head)? {
        return Err(Stop::Bug("skb_under_panic".into()));
    }
    cx.w64(skb + off.skb_data, data)?;
    let total = cx.r32(skb + off.skb_len)?;
    cx.w32(skb + off.skb_len, total.wrapping_add(len as u32))?;
    Ok(data)
}

fn skb_pull(cx: &mut Cx, c: &Call) -> R {
    let (skb, len) = (c.a[0], c.a[1] as u32);
    let total = cx.r32(skb + cx.off.skb_len)?;
    if len > total {
        return Ok(0);
    }
    let data = cx.r64(skb + cx.off.skb_data)? + u64::from(len);
    cx.w64(skb + cx.off.skb_data, data)?;
    cx.w32(skb + cx.off.skb_len, total - len)?;
    Ok(data)
}

fn skb_trim(cx: &mut Cx, c: &Call) -> R {
    let (skb, len) = (c.a[0], c.a[1] as u32);
    let off = cx.off;
    if cx.r32(skb + off.skb_len)? > len {
        let headroom = cx
            .r64(skb + off.skb_data)?
            .wrapping_sub(cx.r64(skb + off.skb_head)?);
        cx.w32(skb + off.skb_len, len)?;
        cx.w32(skb + off.skb_tail, (headroom as u32).wrapping_add(len))?;
    }
    Ok(0)
}
