//! The life of a task_struct (kernel/fork.c): its usage count is in guest memory, where get_task_struct
//! and put_task_struct are inlined.

use crate::abi::{R, Stop};
use crate::sched::{self, Tid};
use crate::{Cx, trace};
use lkm_trace::Event;

/// When the structure of a task that has ended goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reap {
    /// After a grace period, and its memory is not used again: a late use faults.
    #[default]
    Soon,
    /// Not within the run: the parent has not reaped it.
    Delay,
    /// At once.
    Now,
    /// At once, and the next task gets its memory.
    Reuse,
}

/// A zeroed task_struct in guarded memory.
pub fn alloc(cx: &mut Cx) -> R<u64> {
    if let Some(ts) = cx.sched.reusable.pop() {
        cx.fill(ts, 0, cx.off.task_size)?;
        cx.sched.reused.insert(ts);
        return Ok(ts);
    }
    let size = cx.off.task_size;
    super::guard::alloc(cx, size, 64, true).ok_or_else(|| Stop::Bug("no memory for a task".into()))
}

/// The task has ended and been reaped: its own reference goes (release_task, after a grace period).
pub fn reap(cx: &mut Cx, tid: Tid) -> R<()> {
    let ts = cx.sched.tasks[tid as usize].ts;
    // The delay of the grace period, so that code that races with the end sees what it would see.
    let after = match cx.sched.reap {
        Reap::Soon => 20_000_000,
        Reap::Now | Reap::Reuse => 0,
        Reap::Delay => return Ok(()),
    };
    crate::time::at(cx, cx.clock.now + after, reaped, ts, u64::from(tid));
    Ok(())
}

fn reaped(cx: &mut Cx, ts: u64, _: u64) -> R<()> {
    let usage = cx.r32(ts + cx.off.task_usage)?;
    cx.w32(ts + cx.off.task_usage, usage.wrapping_sub(1))?;
    crate::kthread::on_reap(cx, ts);
    if usage == 1 {
        free(cx, ts)?;
    }
    Ok(())
}

/// The last reference went (__put_task_struct).
pub fn free(cx: &mut Cx, ts: u64) -> R<()> {
    if let Some(tid) = sched::by_struct(cx, ts) {
        let site = trace::site(cx);
        trace::emit(cx, Event::TaskFreed { tid, site });
        sched::forget_struct(cx, ts);
        crate::kthread::on_free(cx, ts);
    }
    if cx.sched.reap == Reap::Reuse {
        cx.sched.reusable.push(ts);
        return Ok(());
    }
    super::guard::free(cx, ts);
    Ok(())
}
