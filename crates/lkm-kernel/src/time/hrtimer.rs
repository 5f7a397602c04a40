//! High-resolution timers (kernel/time/hrtimer.c). `struct hrtimer` is the guest's (hrtimer_is_queued and
//! hrtimer_forward_now read it inline); its base gives the clock through a function pointer, as there.

use super::{EventId, at, cancel};
use crate::abi::{Call, R};
use crate::hash::Map;
use crate::sched::{self, Tid};
use crate::table::{Row, behaves};
use crate::{Cx, audit, context, data, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("hrtimer_init", hrtimer_init),
    behaves("hrtimer_setup", hrtimer_setup),
    behaves("hrtimer_init_on_stack", hrtimer_init),
    behaves("hrtimer_start_range_ns", hrtimer_start_range_ns),
    behaves("hrtimer_cancel", hrtimer_cancel),
    behaves("hrtimer_try_to_cancel", hrtimer_try_to_cancel),
    behaves("hrtimer_active", hrtimer_active),
    behaves("hrtimer_forward", hrtimer_forward),
    behaves("__hrtimer_get_remaining", hrtimer_get_remaining),
    behaves("hrtimer_init_sleeper", hrtimer_init_sleeper),
    behaves(
        "hrtimer_sleeper_start_expires",
        hrtimer_sleeper_start_expires,
    ),
    behaves("hrtimer_wakeup", hrtimer_wakeup),
];

/// Pending hrtimers, the running one, and the clock bases.
#[derive(Default)]
pub struct State {
    pending: Map<u64, EventId>,
    running: Option<(u64, Tid)>,
    bases: Map<u32, u64>,
}

const KIND: &str = "hrtimer";
const REL: u64 = 1;
const SOFT: u64 = 4;
const ENQUEUED: u8 = 1;
/// struct hrtimer up to the flags behind `state`, when its size is not told by the types.
const CLEARED: u64 = 60;

const REALTIME: u32 = 0;
const BOOTTIME: u32 = 7;
const TAI: u32 = 11;

/// The base of a clock: its structure holds the function that tells the time.
fn base(cx: &mut Cx, clock: u32, soft: bool) -> R<u64> {
    let key = clock << 1 | u32::from(soft);
    if let Some(&base) = cx.hrtimers.bases.get(&key) {
        return Ok(base);
    }
    let base = data::alloc(cx, 256, 64)?;
    let name = match clock {
        REALTIME => "ktime_get_real",
        BOOTTIME => "ktime_get_boottime",
        TAI => "ktime_get_clocktai",
        _ => "ktime_get",
    };
    let get = crate::symbols::address(cx, name);
    cx.w64(base + cx.off.hrbase_get_time, get)?;
    cx.hrtimers.bases.insert(key, base);
    Ok(base)
}

/// What the clock of a timer is ahead of the monotonic one.
fn offset(cx: &Cx, timer: u64) -> R<u64> {
    let base = cx.r64(timer + cx.off.hrtimer_base)?;
    let real = [REALTIME << 1, REALTIME << 1 | 1, TAI << 1, TAI << 1 | 1]
        .iter()
        .any(|key| cx.hrtimers.bases.get(key) == Some(&base));
    Ok(if real { super::timekeeping::WALL } else { 0 })
}

fn setup(cx: &mut Cx, timer: u64, clock: u32, mode: u64) -> R<()> {
    if cx.hrtimers.pending.contains_key(&timer) {
        trace::misuse(
            cx,
            "double-init",
            "a pending hrtimer",
            timer,
            "hrtimer_init",
        );
    }
    cx.fill(timer, 0, CLEARED)?;
    // An unqueued node is its own parent (RB_CLEAR_NODE).
    cx.w64(timer, timer)?;
    let soft = mode & SOFT != 0;
    let base = base(cx, clock, soft)?;
    cx.w64(timer + cx.off.hrtimer_base, base)?;
    cx.w8(timer + cx.off.hrtimer_is_soft, u8::from(soft))?;
    Ok(())
}

fn hrtimer_init(cx: &mut Cx, c: &Call) -> R {
    setup(cx, c.a[0], c.a[1] as u32, c.a[2])?;
    Ok(0)
}

fn hrtimer_setup(cx: &mut Cx, c: &Call) -> R {
    setup(cx, c.a[0], c.a[2] as u32, c.a[3])?;
    cx.w64(c.a[0] + cx.off.hrtimer_function, c.a[1])?;
    Ok(0)
}

fn enqueue(cx: &mut Cx, timer: u64, expires: u64) -> R<()> {
    if let Some(old) = cx.hrtimers.pending.remove(&timer) {
        cancel(cx, old);
    }
    cx.w64(timer + cx.off.hrtimer_expires, expires)?;
    cx.w8(timer + cx.off.hrtimer_state, ENQUEUED)?;
    let when = expires.saturating_sub(offset(cx, timer)?);
    // A function that never moves its timer forward must not stop the clock for ever.
    let when = when.max(cx.clock.now + 1000);
    let event = at(cx, when, fire, timer, 0);
    cx.hrtimers.pending.insert(timer, event);
    let function = cx.r64(timer + cx.off.hrtimer_function)?;
    audit::arm(cx, KIND, timer, function, "");
    Ok(())
}

fn start(cx: &mut Cx, timer: u64, tim: u64, mode: u64) -> R<()> {
    if cx.r64(timer + cx.off.hrtimer_base)? == 0 {
        trace::misuse(cx, "uninitialised", KIND, timer, "hrtimer_start");
        // The base is followed.
        cx.r64(0)?;
    }
    let function = cx.r64(timer + cx.off.hrtimer_function)?;
    if function == 0 {
        crate::traps::warn(cx, "", "hrtimer_start_range_ns")?;
        return Ok(());
    }
    let tim = (tim as i64).max(0) as u64;
    let expires = if mode & REL != 0 {
        let now = cx.clock.now + offset(cx, timer)?;
        now.saturating_add(tim).min(i64::MAX as u64)
    } else {
        tim
    };
    cx.w64(timer + cx.off.hrtimer_softexpires, expires)?;
    enqueue(cx, timer, expires)
}

fn hrtimer_start_range_ns(cx: &mut Cx, c: &Call) -> R {
    start(cx, c.a[0], c.a[1], c.a[3])?;
    Ok(0)
}

/// The timer's moment has come (__run_hrtimer): hard interrupt, unless it is a soft one.
fn fire(cx: &mut Cx, timer: u64, _: u64) -> R<()> {
    if cx.hrtimers.pending.remove(&timer).is_none() {
        return Ok(());
    }
    sched::entered(cx, "hrtimer_interrupt");
    audit::running(cx, KIND, timer);
    cx.w8(timer + cx.off.hrtimer_state, 0)?;
    let function = cx.r64(timer + cx.off.hrtimer_function)?;
    let base = cx.r64(timer + cx.off.hrtimer_base)?;
    let soft = cx.r8(timer + cx.off.hrtimer_is_soft)? != 0;
    cx.w64(base + cx.off.hrbase_running, timer)?;
    cx.hrtimers.running = Some((timer, sched::current_tid(cx)));
    let delta = context::HARDIRQ as i32 - context::SOFTIRQ as i32;
    if !soft {
        context::add(cx, delta);
        context::set_irqs(cx, false);
    }
    sched::entered(cx, "__hrtimer_run_queues");
    let map = crate::locking::map_enter(cx, timer, "hrtimer", function);
    let restart = cx.call_guest(function, &[timer]) as u32;
    crate::locking::map_leave(cx, timer, "hrtimer", map);
    crate::rcu::balance(cx, 0, "the timer function", function);
    sched::left(cx);
    if !soft {
        context::set_irqs(cx, true);
        context::add(cx, -delta);
    }
    cx.hrtimers.running = None;
    cx.w64(base + cx.off.hrbase_running, 0)?;
    if restart != 0 && !cx.hrtimers.pending.contains_key(&timer) {
        let expires = cx.r64(timer + cx.off.hrtimer_expires)?;
        enqueue(cx, timer, expires)?;
    } else {
        audit::ran(cx, KIND, timer);
    }
    sched::left(cx);
    Ok(())
}

fn remove(cx: &mut Cx, timer: u64) -> R<bool> {
    let Some(event) = cx.hrtimers.pending.remove(&timer) else {
        return Ok(false);
    };
    cancel(cx, event);
    cx.w8(timer + cx.off.hrtimer_state, 0)?;
    audit::disarm(cx, KIND, timer);
    Ok(true)
}

/// hrtimer_cancel: whether it was queued.
pub(crate) fn cancel_sync(cx: &mut Cx, timer: u64) -> R<bool> {
    cx.r8(timer + cx.off.hrtimer_state)?;
    crate::locking::map_wait(cx, timer, "hrtimer");
    loop {
        if let Some((running, tid)) = cx.hrtimers.running
            && running == timer
        {
            if sched::current_tid(cx) == tid {
                let detail = "the timer's own function waits for itself to end";
                trace::misuse(cx, "livelock", detail, timer, "hrtimer_cancel");
                crate::traps::lockup(cx, "the timer function it runs in");
            }
            sched::let_others(cx);
            crate::traps::busy(cx, 1_000_000, "hrtimer_cancel");
            continue;
        }
        return remove(cx, timer);
    }
}

fn hrtimer_cancel(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(cancel_sync(cx, c.a[0])?))
}

fn hrtimer_try_to_cancel(cx: &mut Cx, c: &Call) -> R {
    if cx
        .hrtimers
        .running
        .is_some_and(|(timer, _)| timer == c.a[0])
    {
        return Ok(-1i64 as u64);
    }
    Ok(u64::from(remove(cx, c.a[0])?))
}

fn hrtimer_active(cx: &mut Cx, c: &Call) -> R {
    cx.r8(c.a[0] + cx.off.hrtimer_state)?;
    Ok(u64::from(
        cx.hrtimers.pending.contains_key(&c.a[0])
            || cx
                .hrtimers
                .running
                .is_some_and(|(timer, _)| timer == c.a[0]),
    ))
}

fn hrtimer_forward(cx: &mut Cx, c: &Call) -> R {
    let [timer, now, interval, ..] = c.a;
    let at = timer + cx.off.hrtimer_expires;
    let mut expires = cx.r64(at)? as i64;
    let (now, interval) = (now as i64, (interval as i64).max(1));
    let delta = now.wrapping_sub(expires);
    if delta < 0 {
        return Ok(0);
    }
    if cx.r8(timer + cx.off.hrtimer_state)? & ENQUEUED != 0 {
        crate::traps::warn(cx, "", "hrtimer_forward")?;
        return Ok(0);
    }
    let mut overruns = 1u64;
    if delta >= interval {
        let skipped = delta / interval;
        expires = expires.saturating_add(interval.saturating_mul(skipped));
        overruns = skipped as u64;
        if expires <= now {
            overruns += 1;
            expires = expires.saturating_add(interval);
        }
    } else {
        expires = expires.saturating_add(interval);
    }
    cx.w64(at, expires as u64)?;
    cx.w64(timer + cx.off.hrtimer_softexpires, expires as u64)?;
    Ok(overruns)
}

fn hrtimer_get_remaining(cx: &mut Cx, c: &Call) -> R {
    let expires = cx.r64(c.a[0] + cx.off.hrtimer_expires)?;
    let now = cx.clock.now + offset(cx, c.a[0])?;
    Ok(expires.wrapping_sub(now))
}

fn hrtimer_init_sleeper(cx: &mut Cx, c: &Call) -> R {
    let sleeper = c.a[0];
    setup(cx, sleeper, c.a[1] as u32, c.a[2])?;
    let wakeup = crate::symbols::address(cx, "hrtimer_wakeup");
    cx.w64(sleeper + cx.off.hrtimer_function, wakeup)?;
    let ts = cx.sched.tasks[sched::current_tid(cx) as usize].ts;
    cx.w64(sleeper + cx.off.hrtimer_sleeper_task, ts)?;
    Ok(0)
}

fn hrtimer_sleeper_start_expires(cx: &mut Cx, c: &Call) -> R {
    let expires = cx.r64(c.a[0] + cx.off.hrtimer_softexpires)?;
    start(cx, c.a[0], expires, c.a[1])?;
    Ok(0)
}

fn hrtimer_wakeup(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0] + cx.off.hrtimer_sleeper_task;
    let task = cx.r64(at)?;
    cx.w64(at, 0)?;
    if let Some(tid) = sched::by_struct(cx, task) {
        sched::wake(cx, tid)?;
    }
    Ok(0)
}
