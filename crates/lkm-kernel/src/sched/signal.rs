//! Signals (kernel/signal.c): a pending bit, TIF_SIGPENDING in guest memory, and the wake-up.

use super::{INTERRUPTIBLE, Tid, WAKEKILL, wake_state};
use crate::Cx;
use crate::abi::R;
use lkm_trace::TaskKind;

/// Sends a signal: user tasks take any, kernel threads those they allow.
pub fn send_signal(cx: &mut Cx, tid: Tid, signo: u32) -> R<bool> {
    let task = &mut cx.sched.tasks[tid as usize];
    if task.dead || signo > 63 {
        return Ok(false);
    }
    if task.kind != TaskKind::User && task.allowed & (1 << signo) == 0 {
        return Ok(false);
    }
    task.signals |= 1 << signo;
    let ts = task.ts;
    let flags = cx.off.task_thread_info_flags;
    let word = cx.r64(ts + flags)?;
    cx.w64(ts + flags, word | (1 << 2))?; // TIF_SIGPENDING
    wake_state(
        cx,
        tid,
        INTERRUPTIBLE | if signo == 9 { WAKEKILL } else { 0 },
    )
}

/// The signal that a process ends by, which its own access brought (force_sig_fault).
pub fn tell_killed(cx: &mut Cx, tid: Tid, signo: u32) {
    cx.sched.tasks[tid as usize].signals |= 1 << (signo & 63);
}
