//! Completions (kernel/sched/completion.c): `done` is the guest's word, sleepers wait by its address.

use super::wait::{Woken, any_at, wait_at, wake_at};
use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::sched::{INTERRUPTIBLE, JIFFY, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("complete", fn_complete),
    behaves("complete_all", fn_complete_all),
    behaves("wait_for_completion", wait).sleeps(),
    behaves("wait_for_completion_io", wait).sleeps(),
    behaves("wait_for_completion_timeout", wait_timeout).sleeps(),
    behaves("wait_for_completion_interruptible", wait_interruptible).sleeps(),
    behaves("wait_for_completion_killable", wait_killable).sleeps(),
    behaves(
        "wait_for_completion_interruptible_timeout",
        wait_interruptible_timeout,
    )
    .sleeps(),
    behaves(
        "wait_for_completion_killable_timeout",
        wait_killable_timeout,
    )
    .sleeps(),
    behaves("try_wait_for_completion", try_wait),
    behaves("completion_done", completion_done),
];

const ALL: u32 = u32::MAX;
const MAX_TIMEOUT: u64 = i64::MAX as u64;

/// Completes once: one waiter, present or future, goes on.
pub fn complete(cx: &mut Cx, x: u64) -> R<()> {
    let done = cx.r32(x)?;
    if done != ALL {
        cx.w32(x, done + 1)?;
    }
    wake_at(cx, x, 1)?;
    Ok(())
}

/// Waits; what is left of the timeout (at least 1), 0 when it ran out, or -ERESTARTSYS.
pub fn wait_for(cx: &mut Cx, x: u64, state: u32, timeout: u64, what: &'static str) -> R<i64> {
    let until = (timeout != MAX_TIMEOUT)
        .then(|| cx.clock.now.saturating_add(timeout.saturating_mul(JIFFY)));
    loop {
        let done = cx.r32(x)?;
        if done != 0 {
            if done != ALL {
                cx.w32(x, done - 1)?;
            }
            let left = until.map_or(MAX_TIMEOUT, |until| {
                until.saturating_sub(cx.clock.now) / JIFFY
            });
            return Ok(left.max(1) as i64);
        }
        match wait_at(cx, x, state, until, what)? {
            Woken::Normally => {}
            Woken::Signal => return Ok(i64::from(-errno::ERESTARTSYS)),
            Woken::Timeout => {
                if cx.r32(x)? == 0 {
                    return Ok(0);
                }
            }
        }
    }
}

fn fn_complete(cx: &mut Cx, c: &Call) -> R {
    complete(cx, c.a[0])?;
    Ok(0)
}

fn fn_complete_all(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], ALL)?;
    wake_at(cx, c.a[0], usize::MAX)?;
    Ok(0)
}

fn wait(cx: &mut Cx, c: &Call) -> R {
    wait_for(
        cx,
        c.a[0],
        UNINTERRUPTIBLE,
        MAX_TIMEOUT,
        "wait_for_completion",
    )?;
    Ok(0)
}

fn wait_timeout(cx: &mut Cx, c: &Call) -> R {
    Ok(wait_for(
        cx,
        c.a[0],
        UNINTERRUPTIBLE,
        c.a[1],
        "wait_for_completion_timeout",
    )? as u64)
}

fn plain(result: i64) -> u64 {
    if result == i64::from(-errno::ERESTARTSYS) {
        neg(errno::ERESTARTSYS)
    } else {
        0
    }
}

fn wait_interruptible(cx: &mut Cx, c: &Call) -> R {
    Ok(plain(wait_for(
        cx,
        c.a[0],
        INTERRUPTIBLE,
        MAX_TIMEOUT,
        "wait_for_completion_interruptible",
    )?))
}

fn wait_killable(cx: &mut Cx, c: &Call) -> R {
    Ok(plain(wait_for(
        cx,
        c.a[0],
        WAKEKILL | UNINTERRUPTIBLE,
        MAX_TIMEOUT,
        "wait_for_completion_killable",
    )?))
}

fn wait_interruptible_timeout(cx: &mut Cx, c: &Call) -> R {
    Ok(wait_for(
        cx,
        c.a[0],
        INTERRUPTIBLE,
        c.a[1],
        "wait_for_completion_interruptible_timeout",
    )? as u64)
}

fn wait_killable_timeout(cx: &mut Cx, c: &Call) -> R {
    Ok(wait_for(
        cx,
        c.a[0],
        WAKEKILL | UNINTERRUPTIBLE,
        c.a[1],
        "wait_for_completion_killable_timeout",
    )? as u64)
}

fn try_wait(cx: &mut Cx, c: &Call) -> R {
    let done = cx.r32(c.a[0])?;
    if done == 0 {
        return Ok(0);
    }
    if done != ALL {
        cx.w32(c.a[0], done - 1)?;
    }
    Ok(1)
}

fn completion_done(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(cx.r32(c.a[0])? != 0 && !any_at(cx, c.a[0])))
}
