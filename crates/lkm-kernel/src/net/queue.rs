//! Queues of socket buffers (net/core/skbuff.c): rings in guest memory, since most of their operations are inline.
//! Head and buffers begin with next and prev; the head's count follows.

use super::skb;
use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("skb_queue_tail", queue_tail),
    behaves("skb_queue_head", queue_head),
    behaves("skb_dequeue", dequeue),
    behaves("skb_dequeue_tail", dequeue_tail),
    behaves("skb_queue_purge", purge),
    behaves("skb_unlink", unlink_call),
    behaves("skb_append", append),
];

const NEXT: u64 = 0;
const PREV: u64 = 8;
const QLEN: u64 = 16;
/// Buffers on one queue at most; a ring that does not close ends here.
const MAX: u32 = 1 << 20;

fn count(cx: &Cx, list: u64, delta: i32) -> R<()> {
    let old = cx.r32(list + QLEN)?;
    Ok(cx.w32(list + QLEN, old.wrapping_add_signed(delta))?)
}

/// Links a buffer behind `prev`.
fn link(cx: &Cx, list: u64, buffer: u64, prev: u64) -> R<()> {
    let next = cx.r64(prev + NEXT)?;
    cx.w64(buffer + NEXT, next)?;
    cx.w64(buffer + PREV, prev)?;
    cx.w64(next + PREV, buffer)?;
    cx.w64(prev + NEXT, buffer)?;
    count(cx, list, 1)
}

fn unlink(cx: &Cx, list: u64, buffer: u64) -> R<()> {
    let (next, prev) = (cx.r64(buffer + NEXT)?, cx.r64(buffer + PREV)?);
    count(cx, list, -1)?;
    cx.w64(buffer + NEXT, 0)?;
    cx.w64(buffer + PREV, 0)?;
    cx.w64(next + PREV, prev)?;
    Ok(cx.w64(prev + NEXT, next)?)
}

fn queue_tail(cx: &mut Cx, c: &Call) -> R {
    let [list, buffer, ..] = c.a;
    let last = cx.r64(list + PREV)?;
    link(cx, list, buffer, last)?;
    Ok(0)
}

fn queue_head(cx: &mut Cx, c: &Call) -> R {
    link(cx, c.a[0], c.a[1], c.a[0])?;
    Ok(0)
}

fn take(cx: &mut Cx, list: u64, end: u64) -> R {
    let buffer = cx.r64(list + end)?;
    if buffer == list {
        return Ok(0);
    }
    unlink(cx, list, buffer)?;
    Ok(buffer)
}

fn dequeue(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], NEXT)
}

fn dequeue_tail(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], PREV)
}

fn purge(cx: &mut Cx, c: &Call) -> R {
    for _ in 0..MAX {
        let buffer = take(cx, c.a[0], NEXT)?;
        if buffer == 0 {
            break;
        }
        skb::free(cx, buffer)?;
    }
    Ok(0)
}

/// `skb_unlink(skb, list)`.
fn unlink_call(cx: &mut Cx, c: &Call) -> R {
    unlink(cx, c.a[1], c.a[0])?;
    Ok(0)
}

/// `skb_append(old, new, list)`.
fn append(cx: &mut Cx, c: &Call) -> R {
    link(cx, c.a[2], c.a[1], c.a[0])?;
    Ok(0)
}
