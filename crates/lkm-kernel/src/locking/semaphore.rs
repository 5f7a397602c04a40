//! Counting semaphores (kernel/locking/semaphore.c): the count is the guest's; they have no owner, so no
//! order and no misuse follows from who ups them.

use super::{check_sleeping, next_waiter, wait_for};
use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::sched::wait::Woken;
use crate::sched::{self, INTERRUPTIBLE, JIFFY, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("down", down),
    behaves("down_interruptible", down_interruptible),
    behaves("down_killable", down_killable),
    behaves("down_timeout", down_timeout),
    behaves("down_trylock", down_trylock),
    behaves("up", up),
];

fn take(cx: &mut Cx, sem: u64, state: u32, until: Option<u64>, function: &'static str) -> R {
    check_sleeping(cx, sem, function);
    let at = sem + cx.off.semaphore_count;
    let count = cx.r32(at)?;
    if count as i32 > 0 {
        cx.w32(at, count - 1)?;
        return Ok(0);
    }
    Ok(
        match wait_for(cx, sem, true, 0, state, until, function, 0)? {
            Woken::Normally => 0,
            Woken::Signal => neg(errno::EINTR),
            Woken::Timeout => neg(errno::ETIME),
        },
    )
}

fn down(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], UNINTERRUPTIBLE, None, "down")?;
    Ok(0)
}

fn down_interruptible(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], INTERRUPTIBLE, None, "down_interruptible")
}

fn down_killable(cx: &mut Cx, c: &Call) -> R {
    take(
        cx,
        c.a[0],
        WAKEKILL | UNINTERRUPTIBLE,
        None,
        "down_killable",
    )
}

fn down_timeout(cx: &mut Cx, c: &Call) -> R {
    let until = cx.clock.now.saturating_add(c.a[1].saturating_mul(JIFFY));
    take(cx, c.a[0], UNINTERRUPTIBLE, Some(until), "down_timeout")
}

/// 0 when it was taken, 1 when not: the other way round than mutex_trylock.
fn down_trylock(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0] + cx.off.semaphore_count;
    let count = cx.r32(at)?;
    if count as i32 > 0 {
        cx.w32(at, count - 1)?;
        return Ok(0);
    }
    Ok(1)
}

fn up(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0] + cx.off.semaphore_count;
    let count = cx.r32(at)?;
    match next_waiter(cx, c.a[0], |_| true) {
        Some(tid) => {
            sched::wake_state(cx, tid, sched::NORMAL | WAKEKILL)?;
        }
        None => cx.w32(at, count.wrapping_add(1))?,
    }
    Ok(0)
}
