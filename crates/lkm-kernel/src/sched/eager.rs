//! A schedule in which init and exit are slow: between any two of their calls, what waits for its time runs. What
//! they have taken away too early, or not set up yet, is met by those who use it.

use super::{RUNNING, UNINTERRUPTIBLE, current, others_wait, sleep, yield_now};
use crate::abi::{Call, R};
use crate::{Cx, context, module, rcu};
use lkm_trace::TaskKind;

/// What lies further in the future is not waited for. When exit begins, a period has any phase; in init it has
/// just begun, and only a slow machine gets so far.
const NEAR_EXIT: u64 = 1_500_000_000;
const NEAR_INIT: u64 = 10_000_000;

/// Lets others run before a call of the kernel, if the caller is a module's code in a process and may be
/// interrupted there.
pub(crate) fn breathe(cx: &mut Cx, c: &Call) -> R<()> {
    let Some(tid) = current(cx) else {
        return Ok(());
    };
    let task = &cx.sched.tasks[tid as usize];
    let (ts, process) = (task.ts, task.kind == TaskKind::User);
    let quiet = !process
        || context::in_atomic(cx)
        || rcu::depth(cx) != 0
        || cx.r32(ts + cx.off.task_state)? != RUNNING;
    let Some(index) = module::find_by_addr(cx, c.ret).filter(|_| !quiet) else {
        return Ok(());
    };
    let at = cx.modules.list[index].addr;
    let going = cx.r32(at + cx.off.module_state)? == module::GOING;
    let near = if going { NEAR_EXIT } else { NEAR_INIT };
    cx.sched.eager -= 1;
    let now = cx.clock.now;
    match crate::time::next_event(cx) {
        Some(when) if when <= now.saturating_add(near) => {
            sleep(
                cx,
                UNINTERRUPTIBLE,
                when.saturating_sub(now) + 1,
                "schedule",
            )?;
        }
        _ if others_wait(cx) => yield_now(cx)?,
        _ => {}
    }
    Ok(())
}
