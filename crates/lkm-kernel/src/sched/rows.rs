//! The scheduler's exported functions.

use super::*;
use crate::abi::Call;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("schedule", fn_schedule).sleeps(),
    behaves("wake_up_process", wake_up_process),
    behaves("schedule_timeout", schedule_timeout).sleeps(),
    behaves(
        "schedule_timeout_interruptible",
        schedule_timeout_interruptible,
    )
    .sleeps(),
    behaves(
        "schedule_timeout_uninterruptible",
        schedule_timeout_uninterruptible,
    )
    .sleeps(),
    behaves("schedule_timeout_killable", schedule_timeout_killable).sleeps(),
    behaves("msleep", msleep).sleeps(),
    behaves("msleep_interruptible", msleep_interruptible).sleeps(),
    behaves("usleep_range_state", usleep_range_state).sleeps(),
    behaves("yield", fn_yield).sleeps(),
    behaves("__cond_resched", cond_resched).sleeps(),
    behaves("__SCT__cond_resched", cond_resched).sleeps(),
    behaves("__SCT__might_resched", cond_resched).sleeps(),
    behaves("__put_task_struct", put_task_struct_zero),
    behaves("allow_signal", fn_allow_signal),
    behaves("kernel_sigaction", fn_allow_signal),
    behaves("send_sig", fn_send_sig),
];

/// Nanoseconds of a jiffy (HZ=250).
pub const JIFFY: u64 = 4_000_000;
const MAX_SCHEDULE_TIMEOUT: u64 = i64::MAX as u64;

fn fn_schedule(cx: &mut Cx, _: &Call) -> R {
    let on = cx.sched.tasks[current_tid(cx) as usize].wait_queue;
    schedule(cx, "schedule", on)?;
    Ok(0)
}

fn wake_up_process(cx: &mut Cx, c: &Call) -> R {
    match by_struct(cx, c.a[0]) {
        Some(tid) => Ok(u64::from(wake(cx, tid)?)),
        None => {
            // Not a live task_struct: touch what the kernel would, so that a bad pointer faults.
            cx.r32(c.a[0].wrapping_add(cx.off.task_state))?;
            Ok(0)
        }
    }
}

pub(crate) fn timeout_in(cx: &mut Cx, timeout: u64) -> R {
    let on = cx.sched.tasks[current_tid(cx) as usize].wait_queue;
    if timeout == MAX_SCHEDULE_TIMEOUT {
        schedule(cx, "schedule_timeout", on)?;
        return Ok(timeout);
    }
    if (timeout as i64) < 0 {
        let text = format!("schedule_timeout: wrong timeout value {timeout:x}\n");
        crate::printk::log(cx, 3, &text);
        set_state(cx, RUNNING)?;
        return Ok(0);
    }
    let until = cx.clock.now.saturating_add(timeout.saturating_mul(JIFFY));
    schedule_until(cx, Some(until), "schedule_timeout", on)?;
    Ok(until.saturating_sub(cx.clock.now) / JIFFY)
}

fn schedule_timeout(cx: &mut Cx, c: &Call) -> R {
    timeout_in(cx, c.a[0])
}

fn schedule_timeout_interruptible(cx: &mut Cx, c: &Call) -> R {
    set_state(cx, INTERRUPTIBLE)?;
    timeout_in(cx, c.a[0])
}

fn schedule_timeout_uninterruptible(cx: &mut Cx, c: &Call) -> R {
    set_state(cx, UNINTERRUPTIBLE)?;
    timeout_in(cx, c.a[0])
}

fn schedule_timeout_killable(cx: &mut Cx, c: &Call) -> R {
    set_state(cx, WAKEKILL | UNINTERRUPTIBLE)?;
    timeout_in(cx, c.a[0])
}

fn msleep(cx: &mut Cx, c: &Call) -> R {
    let until = cx.clock.now + u64::from(c.a[0] as u32) * 1_000_000 + JIFFY;
    while cx.clock.now < until {
        let left = until - cx.clock.now;
        sleep(cx, UNINTERRUPTIBLE, left, "msleep")?;
    }
    Ok(0)
}

fn msleep_interruptible(cx: &mut Cx, c: &Call) -> R {
    let until = cx.clock.now + u64::from(c.a[0] as u32) * 1_000_000 + JIFFY;
    let tid = current_tid(cx);
    while cx.clock.now < until && !signal_pending(cx, tid) {
        let left = until - cx.clock.now;
        sleep(cx, INTERRUPTIBLE, left, "msleep_interruptible")?;
    }
    Ok(until.saturating_sub(cx.clock.now) / 1_000_000)
}

fn usleep_range_state(cx: &mut Cx, c: &Call) -> R {
    sleep(
        cx,
        c.a[2] as u32,
        c.a[0].saturating_mul(1000),
        "usleep_range",
    )?;
    Ok(0)
}

fn fn_yield(cx: &mut Cx, _: &Call) -> R {
    yield_now(cx)?;
    Ok(0)
}

/// How many times a task asks before its share of the processor counts as used up.
const ASKS_PER_SLICE: u32 = 64;

/// `__cond_resched`: gives way when the task has had its share (`need_resched` after a scheduler tick).
fn cond_resched(cx: &mut Cx, _: &Call) -> R {
    // A task that only ever asks to be rescheduled must let time pass, or a loop that waits for jiffies
    // would never end; the sleep check was made by the declaration.
    crate::time::pass(cx, 1000);
    let tid = current_tid(cx);
    let task = &mut cx.sched.tasks[tid as usize];
    task.asked = (task.asked + 1) % ASKS_PER_SLICE;
    if task.asked != 0 || cx.sched.queue.is_empty() {
        interrupt_point(cx);
        return Ok(0);
    }
    yield_now(cx)?;
    Ok(1)
}

fn put_task_struct_zero(cx: &mut Cx, c: &Call) -> R {
    crate::mm::task_struct::free(cx, c.a[0])?;
    Ok(0)
}

fn fn_allow_signal(cx: &mut Cx, c: &Call) -> R {
    let tid = current_tid(cx);
    let (signo, handler) = (c.a[0] & 63, c.a[1]);
    // kernel_sigaction(sig, SIG_IGN = 1) is disallow_signal; allow_signal is (sig, 2).
    let task = &mut cx.sched.tasks[tid as usize];
    if handler == 1 {
        task.allowed &= !(1 << signo);
    } else {
        task.allowed |= 1 << signo;
    }
    Ok(0)
}

fn fn_send_sig(cx: &mut Cx, c: &Call) -> R {
    let signo = c.a[0] as u32;
    if let Some(tid) = by_struct(cx, c.a[1]) {
        send_signal(cx, tid, signo)?;
    }
    Ok(0)
}
