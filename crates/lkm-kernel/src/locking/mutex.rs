//! Mutexes (kernel/locking/mutex.c). The owner word of the guest is the truth: the owner's task_struct, with
//! the flag "waiters" in bit 0. A release hands the mutex to the longest waiter.

use super::{
    check_sleeping, first_time, gave, hand_over, has_waiters, holder, initialised, next_waiter,
    took, wait_for,
};
use crate::abi::{Call, R, errno, neg};
use crate::sched::wait::Woken;
use crate::sched::{self, INTERRUPTIBLE, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_trace::LockOp;

pub(crate) const ROWS: &[Row] = &[
    behaves("__mutex_init", mutex_init),
    behaves("mutex_lock", mutex_lock),
    behaves("mutex_lock_nested", mutex_lock),
    behaves("_mutex_lock_nest_lock", mutex_lock),
    behaves("mutex_lock_io", mutex_lock),
    behaves("mutex_lock_io_nested", mutex_lock),
    behaves("mutex_lock_interruptible", mutex_lock_interruptible),
    behaves("mutex_lock_interruptible_nested", mutex_lock_interruptible),
    behaves("mutex_lock_killable", mutex_lock_killable),
    behaves("mutex_lock_killable_nested", mutex_lock_killable),
    behaves("mutex_trylock", mutex_trylock),
    behaves("mutex_unlock", mutex_unlock),
    behaves("mutex_is_locked", mutex_is_locked),
    behaves("atomic_dec_and_mutex_lock", atomic_dec_and_mutex_lock),
    behaves("mutex_destroy", mutex_destroy),
];

const KIND: &str = "mutex";
const FLAGS: u64 = 7;
const WAITERS: u64 = 1;

fn current_ts(cx: &Cx) -> u64 {
    cx.sched
        .tasks
        .get(sched::current_tid(cx) as usize)
        .map_or(0, |t| t.ts)
}

/// Initialises the mutex at `lock`; its class is the place `class`.
pub(super) fn init(cx: &mut Cx, lock: u64, class: u64) -> R<()> {
    initialised(cx, lock, KIND, class)?;
    cx.w64(lock + cx.off.mutex_owner, 0)?;
    cx.w32(lock + 8, 0)?;
    cx.w32(lock + 12, 0)?;
    crate::util::list_init(cx, lock + cx.off.mutex_wait_list)
}

fn mutex_init(cx: &mut Cx, c: &Call) -> R {
    init(cx, c.a[0], c.ret)?;
    Ok(0)
}

/// Tells a mutex that was never initialised; zeroed memory works as an unlocked one all the same.
fn check_init(cx: &mut Cx, lock: u64, function: &'static str) -> R<()> {
    let list = cx.r64(lock + cx.off.mutex_wait_list)?;
    if (list == 0 || list == 0x5a5a_5a5a_5a5a_5a5a) && first_time(cx, "uninitialised", lock) {
        trace::misuse(cx, "uninitialised", KIND, lock, function);
        if list != 0 {
            // The garbage in the owner word is followed as a task.
            let owner = cx.r64(lock + cx.off.mutex_owner)? & !FLAGS;
            cx.r32(owner.wrapping_add(cx.off.task_state))?;
        }
    }
    Ok(())
}

/// Locks; 0, or -EINTR when a signal came.
pub(super) fn lock(cx: &mut Cx, lock: u64, state: u32, function: &'static str) -> R {
    check_sleeping(cx, lock, function);
    check_init(cx, lock, function)?;
    let word = lock + cx.off.mutex_owner;
    let me = current_ts(cx);
    let owner = cx.r64(word)?;
    if owner & !FLAGS == 0 {
        cx.w64(word, me)?;
        took(cx, lock, KIND, LockOp::Acquire);
        return Ok(0);
    }
    if owner & !FLAGS == me {
        trace::misuse(cx, "recursive", KIND, lock, function);
    }
    cx.w64(word, owner | WAITERS)?;
    match wait_for(cx, lock, true, 0, state, None, function, 0)? {
        Woken::Normally => Ok(0),
        _ => {
            tidy_flag(cx, lock)?;
            Ok(neg(errno::EINTR))
        }
    }
}

fn tidy_flag(cx: &mut Cx, lock: u64) -> R<()> {
    if !has_waiters(cx, lock) {
        let word = lock + cx.off.mutex_owner;
        let owner = cx.r64(word)?;
        cx.w64(word, owner & !WAITERS)?;
    }
    Ok(())
}

/// Unlocks; a release by another task than the owner is told, and works as on a kernel without debugging.
pub(super) fn unlock(cx: &mut Cx, lock: u64, function: &'static str) -> R<()> {
    let word = lock + cx.off.mutex_owner;
    let owner = cx.r64(word)? & !FLAGS;
    let me = current_ts(cx);
    if owner == 0 {
        trace::misuse(cx, "unlock-unlocked", KIND, lock, function);
        return Ok(());
    }
    if owner != me {
        let detail = match holder(cx, lock).map(|tid| &cx.sched.tasks[tid as usize]) {
            Some(task) => format!("{KIND} held by {}/{}", task.comm, task.pid),
            None => KIND.to_owned(),
        };
        trace::misuse(cx, "unlock-by-other", &detail, lock, function);
    }
    gave(cx, lock, KIND);
    release(cx, lock)
}

/// The word becomes free, or the longest waiter's.
fn release(cx: &mut Cx, lock: u64) -> R<()> {
    let word = lock + cx.off.mutex_owner;
    match next_waiter(cx, lock, |_| true) {
        Some(tid) => {
            let flag = if has_waiters(cx, lock) { WAITERS } else { 0 };
            let ts = cx.sched.tasks[tid as usize].ts;
            cx.w64(word, ts | flag)?;
            hand_over(cx, lock, KIND, tid)
        }
        None => Ok(cx.w64(word, 0)?),
    }
}

/// Takes the mutex if it is free.
pub(super) fn trylock(cx: &mut Cx, lock: u64, function: &'static str) -> R<bool> {
    check_init(cx, lock, function)?;
    if crate::context::preempt_count(cx) & crate::context::IRQ_MASK & !0xfe00 != 0 {
        check_sleeping(cx, lock, function);
    }
    let word = lock + cx.off.mutex_owner;
    if cx.r64(word)? & !FLAGS != 0 {
        return Ok(false);
    }
    let me = current_ts(cx);
    cx.w64(word, me)?;
    took(cx, lock, KIND, LockOp::TryAcquire);
    Ok(true)
}

fn mutex_lock(cx: &mut Cx, c: &Call) -> R {
    lock(cx, c.a[0], UNINTERRUPTIBLE, "mutex_lock")?;
    Ok(0)
}

fn mutex_lock_interruptible(cx: &mut Cx, c: &Call) -> R {
    lock(cx, c.a[0], INTERRUPTIBLE, "mutex_lock_interruptible")
}

fn mutex_lock_killable(cx: &mut Cx, c: &Call) -> R {
    lock(
        cx,
        c.a[0],
        WAKEKILL | UNINTERRUPTIBLE,
        "mutex_lock_killable",
    )
}

fn mutex_trylock(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(trylock(cx, c.a[0], "mutex_trylock")?))
}

fn mutex_unlock(cx: &mut Cx, c: &Call) -> R {
    unlock(cx, c.a[0], "mutex_unlock")?;
    Ok(0)
}

fn mutex_is_locked(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(
        cx.r64(c.a[0] + cx.off.mutex_owner)? & !FLAGS != 0,
    ))
}

fn atomic_dec_and_mutex_lock(cx: &mut Cx, c: &Call) -> R {
    let count = cx.r32(c.a[0])?;
    if count != 1 {
        cx.w32(c.a[0], count.wrapping_sub(1))?;
        return Ok(0);
    }
    lock(cx, c.a[1], UNINTERRUPTIBLE, "atomic_dec_and_mutex_lock")?;
    let count = cx.r32(c.a[0])?.wrapping_sub(1);
    cx.w32(c.a[0], count)?;
    if count == 0 {
        return Ok(1);
    }
    unlock(cx, c.a[1], "atomic_dec_and_mutex_lock")?;
    Ok(0)
}

fn mutex_destroy(cx: &mut Cx, c: &Call) -> R {
    if cx.r64(c.a[0] + cx.off.mutex_owner)? & !FLAGS != 0 {
        trace::misuse(cx, "freed-held", "destroyed", c.a[0], "mutex_destroy");
    }
    Ok(0)
}
