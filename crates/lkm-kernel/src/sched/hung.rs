//! The hung-task detector (kernel/hung_task.c): a task that stays in uninterruptible sleep for two minutes is
//! told in the log, with its call trace. It goes on waiting.

use super::{INTERRUPTIBLE, Tid, UNINTERRUPTIBLE};
use crate::Cx;
use lkm_trace::TaskKind;

/// sysctl_hung_task_timeout_secs, in nanoseconds.
const TIMEOUT: u64 = 120_000_000_000;
/// TASK_NOLOAD: such sleeps are not looked at.
const NOLOAD: u32 = 0x400;

fn watched(cx: &Cx, tid: Tid) -> bool {
    let task = &cx.sched.tasks[tid as usize];
    if task.dead
        || task.hung_told
        || task.queued
        || task.waits.is_none()
        || task.kind == TaskKind::Interrupt
    {
        return false;
    }
    let state = cx.r32(task.ts + cx.off.task_state).unwrap_or(0);
    state & UNINTERRUPTIBLE != 0 && state & (INTERRUPTIBLE | NOLOAD) == 0
}

/// When the next task will have been blocked for too long.
pub(super) fn deadline(cx: &Cx) -> Option<u64> {
    let live = cx.sched.live.iter().copied();
    live.filter(|&tid| watched(cx, tid))
        .map(|tid| cx.sched.tasks[tid as usize].since + TIMEOUT)
        .min()
}

/// Tells the tasks that have been blocked for too long by now.
pub(super) fn check(cx: &mut Cx) {
    for index in 0..cx.sched.live.len() {
        let tid = cx.sched.live[index];
        if watched(cx, tid) && cx.clock.now >= cx.sched.tasks[tid as usize].since + TIMEOUT {
            cx.sched.tasks[tid as usize].hung_told = true;
            tell(cx, tid);
        }
    }
}

fn tell(cx: &mut Cx, tid: Tid) {
    let task = &cx.sched.tasks[tid as usize];
    let (comm, pid, ts) = (task.comm.clone(), task.pid, task.ts);
    let parent = cx
        .sched
        .tasks
        .get(task.parent as usize)
        .map_or(0, |p| p.pid);
    let flags = cx.r32(ts + cx.off.task_flags).unwrap_or(0);
    let taint = crate::module::taint::kernel_text(cx);
    let release = cx.options.release.clone();
    for (level, text) in [
        (
            3,
            format!(
                "INFO: task {comm}:{pid} blocked for more than {} seconds.",
                TIMEOUT / 1_000_000_000
            ),
        ),
        (3, format!("      {taint} {release} #1")),
        (
            3,
            "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message."
                .to_owned(),
        ),
        (
            6,
            format!(
                "task:{comm:<15} state:D stack:0     pid:{pid:<5} ppid:{parent:<6} flags:0x{flags:08x}"
            ),
        ),
    ] {
        crate::printk::log(cx, level, &format!("{text}\n"));
    }
    crate::traps::show_stack(cx, tid);
}
