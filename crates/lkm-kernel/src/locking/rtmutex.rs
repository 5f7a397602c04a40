//! Mutexes with priority inheritance (kernel/locking/rtmutex_api.c): all tasks have one priority here, so
//! they are owner words with a queue.

use super::{check_sleeping, gave, hand_over, holder, initialised, next_waiter, took, wait_for};
use crate::abi::{Call, R, errno, neg};
use crate::sched::wait::Woken;
use crate::sched::{self, INTERRUPTIBLE, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_trace::LockOp;

pub(crate) const ROWS: &[Row] = &[
    behaves("__rt_mutex_init", rt_mutex_init),
    behaves("rt_mutex_base_init", rt_mutex_init),
    behaves("rt_mutex_lock", rt_mutex_lock),
    behaves("rt_mutex_lock_nested", rt_mutex_lock),
    behaves("rt_mutex_lock_interruptible", rt_mutex_lock_interruptible),
    behaves("rt_mutex_lock_killable", rt_mutex_lock_killable),
    behaves("rt_mutex_trylock", rt_mutex_trylock),
    behaves("rt_mutex_unlock", rt_mutex_unlock),
];

const KIND: &str = "rt_mutex";

fn rt_mutex_init(cx: &mut Cx, c: &Call) -> R {
    initialised(cx, c.a[0], KIND, c.ret)?;
    cx.fill(c.a[0], 0, cx.off.rt_mutex_owner + 8)?;
    Ok(0)
}

fn me(cx: &Cx) -> u64 {
    cx.sched.tasks[sched::current_tid(cx) as usize].ts
}

fn lock(cx: &mut Cx, lock: u64, state: u32, function: &'static str) -> R {
    check_sleeping(cx, lock, function);
    let word = lock + cx.off.rt_mutex_owner;
    let owner = cx.r64(word)?;
    let me = me(cx);
    if owner & !1 == 0 {
        cx.w64(word, me)?;
        took(cx, lock, KIND, LockOp::Acquire);
        return Ok(0);
    }
    if owner & !1 == me {
        trace::misuse(cx, "recursive", KIND, lock, function);
    }
    match wait_for(cx, lock, true, 0, state, None, function, 0)? {
        Woken::Normally => Ok(0),
        _ => Ok(neg(errno::EINTR)),
    }
}

fn rt_mutex_lock(cx: &mut Cx, c: &Call) -> R {
    lock(cx, c.a[0], UNINTERRUPTIBLE, "rt_mutex_lock")
}

fn rt_mutex_lock_interruptible(cx: &mut Cx, c: &Call) -> R {
    lock(cx, c.a[0], INTERRUPTIBLE, "rt_mutex_lock_interruptible")
}

fn rt_mutex_lock_killable(cx: &mut Cx, c: &Call) -> R {
    lock(
        cx,
        c.a[0],
        UNINTERRUPTIBLE | WAKEKILL,
        "rt_mutex_lock_killable",
    )
}

fn rt_mutex_trylock(cx: &mut Cx, c: &Call) -> R {
    let word = c.a[0] + cx.off.rt_mutex_owner;
    if cx.r64(word)? & !1 != 0 {
        return Ok(0);
    }
    let me = me(cx);
    cx.w64(word, me)?;
    took(cx, c.a[0], KIND, LockOp::TryAcquire);
    Ok(1)
}

fn rt_mutex_unlock(cx: &mut Cx, c: &Call) -> R {
    let lock = c.a[0];
    let word = lock + cx.off.rt_mutex_owner;
    let owner = cx.r64(word)? & !1;
    if owner == 0 {
        trace::misuse(cx, "unlock-unlocked", KIND, lock, "rt_mutex_unlock");
        return Ok(0);
    }
    if owner != me(cx) {
        let by = holder(cx, lock).map_or(String::new(), |tid| {
            let task = &cx.sched.tasks[tid as usize];
            format!("{KIND} held by {}/{}", task.comm, task.pid)
        });
        trace::misuse(cx, "unlock-by-other", &by, lock, "rt_mutex_unlock");
    }
    gave(cx, lock, KIND);
    match next_waiter(cx, lock, |_| true) {
        Some(tid) => {
            let ts = cx.sched.tasks[tid as usize].ts;
            cx.w64(word, ts)?;
            hand_over(cx, lock, KIND, tid)?;
        }
        None => cx.w64(word, 0)?,
    }
    Ok(0)
}
