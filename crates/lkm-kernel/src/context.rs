//! The context a task runs in: preempt_count, the interrupt flag, and the checks that depend on them
//! (include/linux/preempt.h, __might_sleep of kernel/sched/core.c).

use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_machine::{leaf, map};

pub(crate) const ROWS: &[Row] = &[
    behaves("preempt_count_add", preempt_count_add),
    behaves("preempt_count_sub", preempt_count_sub),
    behaves("__might_sleep", might_sleep),
    behaves("__might_resched", might_sleep),
    behaves("local_bh_disable", local_bh_disable),
    behaves("__local_bh_disable_ip", local_bh_disable_ip),
    behaves("__local_bh_enable_ip", local_bh_enable_ip),
    behaves("_local_bh_enable", local_bh_enable),
];

/// PREEMPT_NEED_RESCHED, stored inverted: set means "no need".
pub const NEED_RESCHED: u32 = 0x8000_0000;
/// One level of softirq disabling (SOFTIRQ_DISABLE_OFFSET).
pub const SOFTIRQ_DISABLE: u32 = 0x200;
/// Inside a softirq.
pub const SOFTIRQ: u32 = 0x100;
/// Inside a hardware interrupt.
pub const HARDIRQ: u32 = 0x1_0000;

/// The bits of preempt_count that say "in an interrupt" or "softirqs are off".
pub const IRQ_MASK: u32 = 0x00ff_ff00;

/// preempt_count without the inverted flag.
pub fn preempt_count(cx: &Cx) -> u32 {
    cx.r32(map::PERCPU.start + cx.off.preempt_count)
        .unwrap_or(0)
        & !NEED_RESCHED
}

/// Changes preempt_count.
pub fn add(cx: &Cx, delta: i32) {
    let at = map::PERCPU.start + cx.off.preempt_count;
    if let Ok(word) = cx.r32(at) {
        let _ = cx.w32(at, word.wrapping_add(delta as u32));
    }
}

/// Whether interrupts are off.
pub fn irqs_disabled(cx: &Cx) -> bool {
    cx.r64(map::PERCPU.start + leaf::IRQ_FLAG).unwrap_or(0x200) & 0x200 == 0
}

/// Sets the interrupt flag.
pub fn set_irqs(cx: &Cx, enabled: bool) {
    let _ = cx.w64(
        map::PERCPU.start + leaf::IRQ_FLAG,
        if enabled { 0x200 } else { 0 },
    );
}

/// Whether sleeping is forbidden now.
pub fn in_atomic(cx: &Cx) -> bool {
    preempt_count(cx) != 0 || irqs_disabled(cx)
}

/// Reads the per-CPU words of the running task.
pub(crate) fn save(cx: &Cx) -> (u32, u64) {
    (
        cx.r32(map::PERCPU.start + cx.off.preempt_count)
            .unwrap_or(NEED_RESCHED),
        cx.r64(map::PERCPU.start + leaf::IRQ_FLAG).unwrap_or(0x200),
    )
}

/// Makes a task's per-CPU words the CPU's.
pub(crate) fn restore(cx: &Cx, ts: u64, preempt: u32, irq: u64) {
    let _ = cx.w32(map::PERCPU.start + cx.off.preempt_count, preempt);
    let _ = cx.w64(map::PERCPU.start + leaf::IRQ_FLAG, irq);
    let _ = cx.w64(map::PERCPU.start + cx.off.current_task, ts);
}

/// A task is about to block: doing so in atomic context is "scheduling while atomic".
pub(crate) fn blocking(cx: &mut Cx) -> R<()> {
    crate::rcu::blocking(cx);
    if preempt_count(cx) != 0 && !trace::told(cx, "schedule-in-atomic") {
        let count = preempt_count(cx);
        let (comm, pid) = crate::sched::current(cx)
            .map(|tid| {
                (
                    cx.sched.tasks[tid as usize].comm.clone(),
                    cx.sched.tasks[tid as usize].pid,
                )
            })
            .unwrap_or_default();
        crate::printk::log(
            cx,
            3,
            &format!("BUG: scheduling while atomic: {comm}/{pid}/0x{count:08x}\n"),
        );
        trace::misuse(
            cx,
            "schedule-in-atomic",
            &format!("preempt_count {count:#x}"),
            0,
            "schedule",
        );
    }
    Ok(())
}

/// A function that may sleep was called: in atomic context that is a bug (might_sleep).
pub(crate) fn may_sleep(cx: &mut Cx, function: &str) {
    let depth = crate::rcu::depth(cx);
    if (in_atomic(cx) || depth != 0) && crate::sched::current(cx).is_some() {
        let mut detail = format!(
            "in_atomic(): {}, irqs_disabled(): {}, preempt_count {:#x}",
            u8::from(preempt_count(cx) != 0),
            u8::from(irqs_disabled(cx)),
            preempt_count(cx)
        );
        if depth != 0 {
            detail = format!("{detail}, RCU nest depth {depth}");
        }
        trace::misuse(cx, "sleep-in-atomic", &detail, 0, function);
    }
}

fn preempt_count_add(cx: &mut Cx, c: &Call) -> R {
    add(cx, c.int(0));
    Ok(0)
}

fn preempt_count_sub(cx: &mut Cx, c: &Call) -> R {
    add(cx, c.int(0).wrapping_neg());
    Ok(0)
}

fn might_sleep(cx: &mut Cx, _: &Call) -> R {
    may_sleep(cx, "might_sleep");
    Ok(0)
}

fn local_bh_disable(cx: &mut Cx, _: &Call) -> R {
    add(cx, SOFTIRQ_DISABLE as i32);
    Ok(0)
}

fn local_bh_disable_ip(cx: &mut Cx, c: &Call) -> R {
    add(cx, c.int(1));
    Ok(0)
}

fn local_bh_enable_ip(cx: &mut Cx, c: &Call) -> R {
    add(cx, c.int(1).wrapping_neg());
    Ok(0)
}

fn local_bh_enable(cx: &mut Cx, _: &Call) -> R {
    add(cx, -(SOFTIRQ_DISABLE as i32));
    Ok(0)
}
