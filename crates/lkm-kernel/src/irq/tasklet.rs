//! Tasklets (kernel/softirq.c): the state and count words are the guest's (scheduling and disabling are
//! inline); what is scheduled runs in softirq context at the next moment.

use crate::abi::{Call, R};
use crate::hash::Map;
use crate::sched::wait::{wait_at, wake_at};
use crate::sched::{self, JIFFY, UNINTERRUPTIBLE};
use crate::table::{Row, behaves};
use crate::{Cx, audit, context, time};

pub(crate) const ROWS: &[Row] = &[
    behaves("__tasklet_schedule", schedule),
    behaves("__tasklet_hi_schedule", schedule),
    behaves("tasklet_init", tasklet_init),
    behaves("tasklet_setup", tasklet_setup),
    behaves("tasklet_kill", tasklet_kill).sleeps(),
    behaves("tasklet_unlock", tasklet_unlock),
    behaves("tasklet_unlock_wait", nothing),
    behaves("tasklet_unlock_spin_wait", nothing),
    behaves("raise_softirq", nothing),
    behaves("raise_softirq_irqoff", nothing),
    behaves("__raise_softirq_irqoff", nothing),
    behaves("do_softirq", nothing),
];

/// Scheduled tasklets.
#[derive(Default)]
pub struct State {
    scheduled: Map<u64, time::EventId>,
    running: Option<u64>,
}

const KIND: &str = "tasklet";
const SCHED: u64 = 1;
const RUN: u64 = 2;
/// How long a disabled one waits at most between two looks.
const LONGEST: u64 = 25 * JIFFY;

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn function(cx: &Cx, t: u64) -> R<(u64, u64)> {
    let func = cx.r64(t + cx.off.tasklet_func)?;
    let callback = cx.r8(t + cx.off.tasklet_use_callback)? != 0;
    let arg = if callback {
        t
    } else {
        cx.r64(t + cx.off.tasklet_data)?
    };
    Ok((func, arg))
}

fn schedule(cx: &mut Cx, c: &Call) -> R {
    let t = c.a[0];
    let (func, _) = function(cx, t)?;
    // One that schedules itself is left to ksoftirqd, which lets others run in between.
    let again = cx.tasklets.running == Some(t);
    let when = cx.clock.now + if again { JIFFY } else { 0 };
    let event = time::at(cx, when, run, t, JIFFY);
    cx.tasklets.scheduled.insert(t, event);
    audit::arm(cx, KIND, t, func, "");
    Ok(0)
}

/// tasklet_action for one tasklet; a disabled one stays scheduled and is looked at again.
fn run(cx: &mut Cx, t: u64, again: u64) -> R<()> {
    if cx.tasklets.scheduled.remove(&t).is_none() {
        return Ok(());
    }
    sched::entered(cx, "tasklet_action_common");
    if cx.r32(t + cx.off.tasklet_count)? != 0 {
        let when = cx.clock.now + again;
        let event = time::at(cx, when, run, t, (again * 2).min(LONGEST));
        cx.tasklets.scheduled.insert(t, event);
        sched::left(cx);
        return Ok(());
    }
    let at = t + cx.off.tasklet_state;
    let state = cx.r64(at)?;
    cx.w64(at, (state & !SCHED) | RUN)?;
    let (func, arg) = function(cx, t)?;
    audit::running(cx, KIND, t);
    cx.tasklets.running = Some(t);
    cx.call_guest(func, &[arg]);
    cx.tasklets.running = None;
    audit::ran(cx, KIND, t);
    let state = cx.r64(at)?;
    cx.w64(at, state & !RUN)?;
    wake_at(cx, t, usize::MAX)?;
    sched::left(cx);
    Ok(())
}

fn tasklet_init(cx: &mut Cx, c: &Call) -> R {
    let [t, func, data, ..] = c.a;
    cx.fill(t, 0, cx.off.tasklet_func)?;
    cx.w64(t + cx.off.tasklet_func, func)?;
    cx.w64(t + cx.off.tasklet_data, data)?;
    Ok(0)
}

fn tasklet_setup(cx: &mut Cx, c: &Call) -> R {
    let [t, callback, ..] = c.a;
    cx.fill(t, 0, cx.off.tasklet_func)?;
    cx.w64(t + cx.off.tasklet_func, callback)?;
    cx.w8(t + cx.off.tasklet_use_callback, 1)?;
    cx.w64(t + cx.off.tasklet_data, 0)?;
    Ok(0)
}

/// Waits until it is neither scheduled nor running. A disabled one that is scheduled never gets there.
fn tasklet_kill(cx: &mut Cx, c: &Call) -> R {
    let t = c.a[0];
    let at = t + cx.off.tasklet_state;
    if context::preempt_count(cx) & context::IRQ_MASK != 0 {
        crate::printk::log(cx, 5, "Attempt to kill tasklet from interrupt\n");
    }
    while cx.r64(at)? & (SCHED | RUN) != 0 {
        wait_at(cx, t, UNINTERRUPTIBLE, None, "tasklet_kill")?;
    }
    if let Some(event) = cx.tasklets.scheduled.remove(&t) {
        time::cancel(cx, event);
    }
    audit::disarm(cx, KIND, t);
    Ok(0)
}

fn tasklet_unlock(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0] + cx.off.tasklet_state;
    let state = cx.r64(at)?;
    cx.w64(at, state & !RUN)?;
    Ok(0)
}
