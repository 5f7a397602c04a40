//! Timers (kernel/time/timer.c). `struct timer_list` is the guest's: pending is a set `pprev`, as timer_pending
//! reads it inline; when it expires is kept here.

use super::{EventId, at, cancel, jiffies};
use crate::abi::{Call, R};
use crate::hash::Map;
use crate::sched::{self, JIFFY, Tid};
use crate::table::{Row, behaves};
use crate::{Cx, audit, context, data, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("init_timer_key", init_timer_key),
    behaves("timer_init_key", init_timer_key),
    behaves("add_timer", add_timer),
    behaves("add_timer_local", add_timer),
    behaves("add_timer_global", add_timer),
    behaves("add_timer_on", add_timer),
    behaves("mod_timer", fn_mod_timer),
    behaves("mod_timer_pending", mod_timer_pending),
    behaves("timer_reduce", timer_reduce),
    behaves("del_timer", fn_delete),
    behaves("timer_delete", fn_delete),
    behaves("del_timer_sync", delete_sync),
    behaves("timer_delete_sync", delete_sync),
    behaves("try_to_del_timer_sync", try_to_delete_sync),
    behaves("timer_shutdown", shutdown),
    behaves("timer_shutdown_sync", shutdown_sync),
];

/// Pending timers and the one whose function runs.
#[derive(Default)]
pub struct State {
    pending: Map<u64, EventId>,
    running: Option<(u64, Tid)>,
    /// What pprev of a pending timer points to.
    bucket: u64,
}

/// Kinds that the audit knows timers by: a work's timer is told as the work.
const KIND: &str = "timer";

fn init_timer_key(cx: &mut Cx, c: &Call) -> R {
    let [timer, function, flags, ..] = c.a;
    if cx.timers.pending.contains_key(&timer) {
        trace::misuse(cx, "double-init", "a pending timer", timer, "timer_setup");
        // The list it is on is not told: it still goes off, with what the structure says then.
    }
    cx.w64(timer + cx.off.timer_entry + 8, 0)?;
    cx.w64(timer + cx.off.timer_function, function)?;
    cx.w32(timer + cx.off.timer_flags, flags as u32)?;
    Ok(0)
}

/// When jiffies will be `expires`, in nanoseconds; in the past: at the next tick.
fn moment(cx: &Cx, expires: u64) -> u64 {
    let now = jiffies(cx);
    let left = (expires.wrapping_sub(now) as i64).max(1) as u64;
    (cx.clock.now / JIFFY)
        .saturating_add(left)
        .saturating_mul(JIFFY)
}

/// Whether it is pending.
pub(crate) fn pending(cx: &Cx, timer: u64) -> bool {
    cx.timers.pending.contains_key(&timer)
}

/// Arms the timer for `expires` jiffies; whether it was pending. `told` is false for timers that belong to
/// something the audit knows by another name.
pub(crate) fn modify(cx: &mut Cx, timer: u64, expires: u64, told: bool) -> R<bool> {
    let function = cx.r64(timer + cx.off.timer_function)?;
    let old = cx.timers.pending.remove(&timer);
    if let Some(event) = old {
        cancel(cx, event);
    }
    if function == 0 {
        // Shut down, or never set up: such a start is silently discarded.
        return Ok(false);
    }
    if cx.timers.bucket == 0 {
        cx.timers.bucket = data::alloc(cx, 16, 16)?;
    }
    let bucket = cx.timers.bucket;
    cx.w64(timer + cx.off.timer_expires, expires)?;
    cx.w64(timer + cx.off.timer_entry, 0)?;
    cx.w64(timer + cx.off.timer_entry + 8, bucket)?;
    let when = moment(cx, expires);
    let event = at(cx, when, fire, timer, 0);
    cx.timers.pending.insert(timer, event);
    if told {
        audit::arm(cx, KIND, timer, function, "");
    }
    Ok(old.is_some())
}

fn detach(cx: &mut Cx, timer: u64) -> R<bool> {
    let Some(event) = cx.timers.pending.remove(&timer) else {
        return Ok(false);
    };
    cancel(cx, event);
    cx.w64(timer + cx.off.timer_entry + 8, 0)?;
    audit::disarm(cx, KIND, timer);
    Ok(true)
}

/// Deactivates the timer without waiting; whether it was pending.
pub(crate) fn delete(cx: &mut Cx, timer: u64) -> R<bool> {
    cx.r64(timer + cx.off.timer_entry)?;
    detach(cx, timer)
}

/// A timer's time has come (call_timer_fn).
fn fire(cx: &mut Cx, timer: u64, _: u64) -> R<()> {
    if cx.timers.pending.remove(&timer).is_none() {
        return Ok(());
    }
    sched::entered(cx, "run_timer_softirq");
    audit::running(cx, KIND, timer);
    cx.w64(timer + cx.off.timer_entry + 8, 0)?;
    let function = cx.r64(timer + cx.off.timer_function)?;
    let before = context::save(cx);
    cx.timers.running = Some((timer, sched::current_tid(cx)));
    sched::entered(cx, "call_timer_fn");
    let map = crate::locking::map_enter(cx, timer, "timer", function);
    cx.call_guest(function, &[timer]);
    crate::locking::map_leave(cx, timer, "timer", map);
    sched::left(cx);
    cx.timers.running = None;
    audit::ran(cx, KIND, timer);
    crate::rcu::balance(cx, 0, "the timer function", function);
    let after = context::save(cx);
    if before.0 != after.0 {
        let name = crate::module::kallsyms::describe(cx, function);
        let (was, is) = (before.0 & 0x7fff_ffff, after.0 & 0x7fff_ffff);
        crate::printk::log(
            cx,
            4,
            &format!("timer: {name} preempt leak: {was:08x} -> {is:08x}\n"),
        );
        trace::misuse_at(
            cx,
            "preempt-imbalance",
            &format!("the timer function {name} returned with preempt_count {is:#x}"),
            timer,
            "call_timer_fn",
            trace::place(function),
        );
        context::add(cx, before.0.wrapping_sub(after.0) as i32);
    }
    sched::left(cx);
    Ok(())
}

fn add_timer(cx: &mut Cx, c: &Call) -> R {
    let timer = c.a[0];
    let expires = cx.r64(timer + cx.off.timer_expires)?;
    if pending(cx, timer) {
        trace::misuse(cx, "duplicate", "a pending timer", timer, "add_timer");
        crate::traps::warn(cx, "", "add_timer")?;
        return Ok(0);
    }
    modify(cx, timer, expires, true)?;
    Ok(0)
}

fn fn_mod_timer(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(modify(cx, c.a[0], c.a[1], true)?))
}

fn mod_timer_pending(cx: &mut Cx, c: &Call) -> R {
    if !pending(cx, c.a[0]) {
        return Ok(0);
    }
    Ok(u64::from(modify(cx, c.a[0], c.a[1], true)?))
}

fn timer_reduce(cx: &mut Cx, c: &Call) -> R {
    let [timer, expires, ..] = c.a;
    if pending(cx, timer) {
        let old = cx.r64(timer + cx.off.timer_expires)?;
        if (expires.wrapping_sub(old) as i64) >= 0 {
            return Ok(1);
        }
    }
    Ok(u64::from(modify(cx, timer, expires, true)?))
}

fn fn_delete(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(delete(cx, c.a[0])?))
}

/// Waits for a running function of the timer: on one CPU only a callback that wrongly sleeps is seen so.
fn wait_running(cx: &mut Cx, timer: u64, function: &'static str) -> R<()> {
    while let Some((running, tid)) = cx.timers.running
        && running == timer
    {
        if sched::current_tid(cx) == tid {
            let detail = "the timer's own function waits for itself to end";
            trace::misuse(cx, "livelock", detail, timer, function);
            crate::traps::lockup(cx, "the timer function it runs in");
        }
        sched::let_others(cx);
        crate::traps::busy(cx, 1_000_000, function);
    }
    Ok(())
}

/// Deactivates the timer and waits for its function; whether it was pending.
pub(crate) fn delete_and_wait(cx: &mut Cx, timer: u64, function: &'static str) -> R<bool> {
    let mut was = delete(cx, timer)?;
    crate::locking::map_wait(cx, timer, "timer");
    wait_running(cx, timer, function)?;
    was |= delete(cx, timer)?;
    Ok(was)
}

fn delete_sync(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(delete_and_wait(cx, c.a[0], "del_timer_sync")?))
}

fn try_to_delete_sync(cx: &mut Cx, c: &Call) -> R {
    if cx.timers.running.is_some_and(|(timer, _)| timer == c.a[0]) {
        return Ok(-1i64 as u64);
    }
    Ok(u64::from(delete(cx, c.a[0])?))
}

fn shutdown(cx: &mut Cx, c: &Call) -> R {
    let was = delete(cx, c.a[0])?;
    cx.w64(c.a[0] + cx.off.timer_function, 0)?;
    Ok(u64::from(was))
}

fn shutdown_sync(cx: &mut Cx, c: &Call) -> R {
    let was = delete_and_wait(cx, c.a[0], "timer_shutdown_sync")?;
    cx.w64(c.a[0] + cx.off.timer_function, 0)?;
    Ok(u64::from(was))
}
