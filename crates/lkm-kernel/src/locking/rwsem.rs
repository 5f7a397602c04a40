//! Reader/writer semaphores (kernel/locking/rwsem.c). The count word is the guest's (rwsem_is_locked reads it
//! inline): bit 0 a writer, 0x100 for each reader, bit 1 waiters. First come, first served: readers that come
//! after a waiting writer wait behind it.

use super::{
    check_sleeping, first_time, gave, hand_over, has_waiters, holds, initialised, pop_waiter, took,
    wait_for,
};
use crate::abi::{Call, R, errno, neg};
use crate::sched::wait::Woken;
use crate::sched::{self, INTERRUPTIBLE, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_trace::LockOp;

pub(crate) const ROWS: &[Row] = &[
    behaves("__init_rwsem", init_rwsem),
    behaves("down_read", down_read),
    behaves("down_read_nested", down_read),
    behaves("down_read_non_owner", down_read),
    behaves("down_read_interruptible", down_read_interruptible),
    behaves("down_read_killable", down_read_killable),
    behaves("down_read_killable_nested", down_read_killable),
    behaves("down_read_trylock", down_read_trylock),
    behaves("down_write", down_write),
    behaves("down_write_nested", down_write),
    behaves("_down_write_nest_lock", down_write),
    behaves("down_write_killable", down_write_killable),
    behaves("down_write_killable_nested", down_write_killable),
    behaves("down_write_trylock", down_write_trylock),
    behaves("up_read", up_read),
    behaves("up_read_non_owner", up_read),
    behaves("up_write", up_write),
    behaves("downgrade_write", downgrade_write),
];

const READ: &str = "rwsem-read";
const WRITE: &str = "rwsem-write";
const WRITER: u64 = 1;
const WAITERS: u64 = 2;
const READER: u64 = 0x100;

fn init_rwsem(cx: &mut Cx, c: &Call) -> R {
    let sem = c.a[0];
    initialised(cx, sem, WRITE, c.ret)?;
    cx.w64(sem + cx.off.rwsem_count, 0)?;
    cx.w64(sem + cx.off.rwsem_owner, 0)?;
    crate::util::list_init(cx, sem + cx.off.rwsem_wait_list)?;
    Ok(0)
}

fn me(cx: &Cx) -> u64 {
    cx.sched.tasks[sched::current_tid(cx) as usize].ts
}

fn check_init(cx: &mut Cx, sem: u64, function: &'static str) -> R<()> {
    if cx.r64(sem + cx.off.rwsem_wait_list)? == 0 && first_time(cx, "uninitialised", sem) {
        trace::misuse(cx, "uninitialised", WRITE, sem, function);
    }
    Ok(())
}

/// Takes it if the count and the queue allow.
fn attempt(cx: &mut Cx, sem: u64, write: bool) -> R<bool> {
    let at = sem + cx.off.rwsem_count;
    let count = cx.r64(at)?;
    let free = if write {
        count & !WAITERS == 0
    } else {
        count & WRITER == 0
    };
    if !free || has_waiters(cx, sem) {
        return Ok(false);
    }
    if write {
        cx.w64(at, count | WRITER)?;
        let me = me(cx);
        cx.w64(sem + cx.off.rwsem_owner, me)?;
    } else {
        cx.w64(at, count + READER)?;
    }
    Ok(true)
}

fn down(cx: &mut Cx, sem: u64, write: bool, state: u32, function: &'static str) -> R {
    check_sleeping(cx, sem, function);
    check_init(cx, sem, function)?;
    let kind = if write { WRITE } else { READ };
    if attempt(cx, sem, write)? {
        took(cx, sem, kind, LockOp::Acquire);
        return Ok(0);
    }
    let tid = sched::current_tid(cx);
    let at = sem + cx.off.rwsem_count;
    let count = cx.r64(at)?;
    if holds(cx, sem, tid) {
        trace::misuse(cx, "recursive", kind, sem, function);
    }
    cx.w64(at, count | WAITERS)?;
    match wait_for(cx, sem, write, 0, state, None, function, 0)? {
        Woken::Normally => Ok(0),
        _ => {
            // The one that gives up may have been what others waited behind.
            grant(cx, sem)?;
            Ok(neg(errno::EINTR))
        }
    }
}

/// Hands the semaphore to whom the queue and the count allow: one writer, or readers up to the next writer.
fn grant(cx: &mut Cx, sem: u64) -> R<()> {
    let at = sem + cx.off.rwsem_count;
    loop {
        let count = cx.r64(at)? & !WAITERS;
        let next = pop_waiter(cx, sem, |w| {
            if w.write {
                count == 0
            } else {
                count & WRITER == 0
            }
        });
        let flag = |cx: &Cx| if has_waiters(cx, sem) { WAITERS } else { 0 };
        let Some(waiter) = next else {
            let flag = flag(cx);
            cx.w64(at, count | flag)?;
            return Ok(());
        };
        let (tid, write) = (waiter.tid, waiter.write);
        let flag = flag(cx);
        if write {
            cx.w64(at, WRITER | flag)?;
            let ts = cx.sched.tasks[tid as usize].ts;
            cx.w64(sem + cx.off.rwsem_owner, ts)?;
        } else {
            cx.w64(at, (count + READER) | flag)?;
        }
        hand_over(cx, sem, if write { WRITE } else { READ }, tid)?;
        if write {
            return Ok(());
        }
    }
}

fn down_read(cx: &mut Cx, c: &Call) -> R {
    down(cx, c.a[0], false, UNINTERRUPTIBLE, "down_read")
}

fn down_read_interruptible(cx: &mut Cx, c: &Call) -> R {
    down(cx, c.a[0], false, INTERRUPTIBLE, "down_read_interruptible")
}

fn down_read_killable(cx: &mut Cx, c: &Call) -> R {
    down(
        cx,
        c.a[0],
        false,
        WAKEKILL | UNINTERRUPTIBLE,
        "down_read_killable",
    )
}

fn down_write(cx: &mut Cx, c: &Call) -> R {
    down(cx, c.a[0], true, UNINTERRUPTIBLE, "down_write")
}

fn down_write_killable(cx: &mut Cx, c: &Call) -> R {
    down(
        cx,
        c.a[0],
        true,
        WAKEKILL | UNINTERRUPTIBLE,
        "down_write_killable",
    )
}

fn trylock(cx: &mut Cx, sem: u64, write: bool, function: &'static str) -> R {
    check_init(cx, sem, function)?;
    let got = attempt(cx, sem, write)?;
    if got {
        took(
            cx,
            sem,
            if write { WRITE } else { READ },
            LockOp::TryAcquire,
        );
    }
    Ok(u64::from(got))
}

fn down_read_trylock(cx: &mut Cx, c: &Call) -> R {
    trylock(cx, c.a[0], false, "down_read_trylock")
}

fn down_write_trylock(cx: &mut Cx, c: &Call) -> R {
    trylock(cx, c.a[0], true, "down_write_trylock")
}

fn up_read(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0] + cx.off.rwsem_count;
    let count = cx.r64(at)?;
    if count < READER {
        trace::misuse(cx, "unlock-unlocked", READ, c.a[0], "up_read");
        return Ok(0);
    }
    cx.w64(at, count - READER)?;
    gave(cx, c.a[0], READ);
    grant(cx, c.a[0])?;
    Ok(0)
}

fn up_write(cx: &mut Cx, c: &Call) -> R {
    let sem = c.a[0];
    let at = sem + cx.off.rwsem_count;
    let count = cx.r64(at)?;
    if count & WRITER == 0 {
        trace::misuse(cx, "unlock-unlocked", WRITE, sem, "up_write");
        return Ok(0);
    }
    if !holds(cx, sem, sched::current_tid(cx)) {
        let by = super::describe(cx, sem).unwrap_or_default();
        trace::misuse(cx, "unlock-by-other", &by, sem, "up_write");
    }
    cx.w64(at, count & !WRITER)?;
    cx.w64(sem + cx.off.rwsem_owner, 0)?;
    gave(cx, sem, WRITE);
    grant(cx, sem)?;
    Ok(0)
}

fn downgrade_write(cx: &mut Cx, c: &Call) -> R {
    let sem = c.a[0];
    let at = sem + cx.off.rwsem_count;
    let count = cx.r64(at)?;
    if count & WRITER == 0 {
        trace::misuse(cx, "unlock-unlocked", WRITE, sem, "downgrade_write");
        return Ok(0);
    }
    cx.w64(at, (count & !WRITER) + READER)?;
    gave(cx, sem, WRITE);
    took(cx, sem, READ, LockOp::TryAcquire);
    grant(cx, sem)?;
    Ok(0)
}
