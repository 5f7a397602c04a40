//! Waiting for a bit or a variable (kernel/sched/wait_bit.c): a hashed table of wait queues, shared by all.

use super::waitqueue;
use crate::abi::{Call, R, errno, neg};
use crate::sched::{self, NORMAL};
use crate::table::{Row, behaves};
use crate::util::{list_del_init, list_init};
use crate::{Cx, data};

pub(crate) const ROWS: &[Row] = &[
    behaves("bit_waitqueue", bit_waitqueue),
    behaves("__var_waitqueue", bit_waitqueue),
    behaves("wake_bit_function", wake_bit_function),
    behaves("init_wait_var_entry", init_wait_var_entry),
    behaves("wake_up_bit", wake_up_bit),
    behaves("wake_up_var", wake_up_var),
    behaves("__wake_up_bit", raw_wake_up_bit),
    behaves("__wait_on_bit", wait_on_bit).sleeps(),
    behaves("__wait_on_bit_lock", wait_on_bit_lock).sleeps(),
    behaves("out_of_line_wait_on_bit", out_of_line_wait_on_bit).sleeps(),
    behaves(
        "out_of_line_wait_on_bit_timeout",
        out_of_line_wait_on_bit_timeout,
    )
    .sleeps(),
    behaves("out_of_line_wait_on_bit_lock", out_of_line_wait_on_bit_lock).sleeps(),
    behaves("bit_wait", bit_wait).sleeps(),
    behaves("bit_wait_io", bit_wait).sleeps(),
    behaves("bit_wait_timeout", bit_wait_timeout).sleeps(),
    behaves("bit_wait_io_timeout", bit_wait_timeout).sleeps(),
];

/// The table, once made.
#[derive(Default)]
pub struct State {
    table: u64,
}

const QUEUES: u64 = 64;
const HEAD: u64 = 24;

fn queue(cx: &mut Cx, word: u64, bit: u64) -> R<u64> {
    if cx.bits.table == 0 {
        let table = data::alloc(cx, QUEUES * HEAD, 64)?;
        for n in 0..QUEUES {
            cx.w32(table + n * HEAD, 0)?;
            list_init(cx, table + n * HEAD + cx.off.wqh_head)?;
        }
        cx.bits.table = table;
    }
    let hash = (word >> 3).wrapping_mul(0x61c8_8646_80b5_83eb) ^ bit;
    Ok(cx.bits.table + (hash >> 40) % QUEUES * HEAD)
}

fn bit_waitqueue(cx: &mut Cx, c: &Call) -> R {
    queue(cx, c.a[0], 0)
}

fn key_of(cx: &Cx, entry: u64) -> R<(u64, u32)> {
    let wait = entry - cx.off.wbq_entry;
    Ok((cx.r64(wait)?, cx.r32(wait + 8)?))
}

/// Wakes those that wait for exactly this word and bit (bit -1: a variable).
fn wake(cx: &mut Cx, wq: u64, word: u64, bit: u32) -> R<()> {
    let own = crate::symbols::address(cx, "wake_bit_function");
    for node in crate::util::list_entries(cx, wq + cx.off.wqh_head)? {
        let entry = node - cx.off.wqe_entry;
        if cx.r64(entry + cx.off.wqe_func)? != own || key_of(cx, entry)? != (word, bit) {
            continue;
        }
        // A bit that is taken again already wakes nobody.
        if bit != u32::MAX && test(cx, word, bit)? {
            continue;
        }
        let task = cx.r64(entry + cx.off.wqe_private)?;
        if let Some(tid) = sched::by_struct(cx, task)
            && sched::wake_state(cx, tid, NORMAL | sched::WAKEKILL)?
        {
            list_del_init(cx, node)?;
            if cx.r32(entry + cx.off.wqe_flags)? & 1 != 0 {
                break;
            }
        }
    }
    Ok(())
}

fn test(cx: &Cx, word: u64, bit: u32) -> R<bool> {
    let word = cx.r64(word + u64::from(bit / 64) * 8)?;
    Ok(word >> (bit % 64) & 1 != 0)
}

fn wake_bit_function(cx: &mut Cx, c: &Call) -> R {
    let entry = c.a[0];
    let task = cx.r64(entry + cx.off.wqe_private)?;
    let Some(tid) = sched::by_struct(cx, task) else {
        return Ok(0);
    };
    let woken = sched::wake_state(cx, tid, c.a[1] as u32)?;
    if woken {
        list_del_init(cx, entry + cx.off.wqe_entry)?;
    }
    Ok(u64::from(woken))
}

fn init_wait_var_entry(cx: &mut Cx, c: &Call) -> R {
    let [wait, var, flags, ..] = c.a;
    cx.w64(wait, var)?;
    cx.w32(wait + 8, u32::MAX)?;
    let entry = wait + cx.off.wbq_entry;
    waitqueue::fill(cx, entry, flags as u32, "wake_bit_function")?;
    Ok(0)
}

fn wake_up_bit(cx: &mut Cx, c: &Call) -> R {
    let wq = queue(cx, c.a[0], 0)?;
    wake(cx, wq, c.a[0], c.a[1] as u32)?;
    Ok(0)
}

fn wake_up_var(cx: &mut Cx, c: &Call) -> R {
    let wq = queue(cx, c.a[0], 0)?;
    wake(cx, wq, c.a[0], u32::MAX)?;
    Ok(0)
}

fn raw_wake_up_bit(cx: &mut Cx, c: &Call) -> R {
    wake(cx, c.a[0], c.a[1], c.a[2] as u32)?;
    Ok(0)
}

/// Waits until the bit is clear; with `lock` it is set then. The action decides how to sleep.
fn wait(cx: &mut Cx, word: u64, bit: u32, action: u64, mode: u32, lock: bool, timeout: u64) -> R {
    let wq = queue(cx, word, 0)?;
    // wait_bit_queue_entry: key, then the entry; on the caller's behalf in kernel memory.
    let wait = crate::mm::kernel_object(cx, 128)?;
    cx.w64(wait, word)?;
    cx.w32(wait + 8, bit)?;
    cx.w64(wait + 16, timeout)?;
    let entry = wait + cx.off.wbq_entry;
    waitqueue::fill(cx, entry, u32::from(lock), "wake_bit_function")?;
    let result = loop {
        let node = entry + cx.off.wqe_entry;
        if cx.r64(node)? == node {
            waitqueue::link(cx, wq, entry, lock)?;
        }
        sched::set_state(cx, mode)?;
        if test(cx, word, bit)? {
            let result = cx.call_guest(action, &[wait, u64::from(mode)]) as i32;
            if result != 0 && test(cx, word, bit)? {
                break i64::from(result) as u64;
            }
            if test(cx, word, bit)? {
                continue;
            }
        }
        if lock {
            let at = word + u64::from(bit / 64) * 8;
            let value = cx.r64(at)?;
            cx.w64(at, value | 1 << (bit % 64))?;
        }
        break 0;
    };
    waitqueue::finish(cx, entry)?;
    Ok(result)
}

fn out_of_line_wait_on_bit(cx: &mut Cx, c: &Call) -> R {
    let [word, bit, action, mode, ..] = c.a;
    wait(cx, word, bit as u32, action, mode as u32, false, 0)
}

fn out_of_line_wait_on_bit_timeout(cx: &mut Cx, c: &Call) -> R {
    let [word, bit, action, mode, timeout, ..] = c.a;
    let until = crate::time::jiffies(cx).wrapping_add(timeout);
    wait(cx, word, bit as u32, action, mode as u32, false, until)
}

fn out_of_line_wait_on_bit_lock(cx: &mut Cx, c: &Call) -> R {
    let [word, bit, action, mode, ..] = c.a;
    wait(cx, word, bit as u32, action, mode as u32, true, 0)
}

fn on_entry(cx: &mut Cx, c: &Call, lock: bool) -> R {
    let [_, entry, action, mode, ..] = c.a;
    let (word, bit) = (cx.r64(entry)?, cx.r32(entry + 8)?);
    wait(cx, word, bit, action, mode as u32, lock, 0)
}

fn wait_on_bit(cx: &mut Cx, c: &Call) -> R {
    on_entry(cx, c, false)
}

fn wait_on_bit_lock(cx: &mut Cx, c: &Call) -> R {
    on_entry(cx, c, true)
}

fn bit_wait(cx: &mut Cx, c: &Call) -> R {
    let word = cx.r64(c.a[0])?;
    sched::schedule(cx, "wait_on_bit", word)?;
    let tid = sched::current_tid(cx);
    Ok(if sched::interrupted(cx, tid, c.a[1] as u32) {
        neg(errno::EINTR)
    } else {
        0
    })
}

fn bit_wait_timeout(cx: &mut Cx, c: &Call) -> R {
    let until = cx.r64(c.a[0] + 16)?;
    let left = until.wrapping_sub(crate::time::jiffies(cx)) as i64;
    if left <= 0 {
        return Ok(neg(errno::EAGAIN));
    }
    sched::timeout_in(cx, left as u64)?;
    let tid = sched::current_tid(cx);
    Ok(if sched::interrupted(cx, tid, c.a[1] as u32) {
        neg(errno::EINTR)
    } else {
        0
    })
}
