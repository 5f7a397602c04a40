//! Interrupt work and per-CPU interrupts (kernel/irq_work.c, kernel/irq/manage.c), and workqueues that parts
//! of the kernel lend out.

use crate::abi::{Call, R, errno, neg};
use crate::table::{Row, behaves};
use crate::{Cx, audit, context, sched, time};

pub(crate) const ROWS: &[Row] = &[
    behaves("irq_work_queue", irq_work_queue),
    behaves("irq_work_queue_on", irq_work_queue),
    behaves("irq_work_sync", irq_work_sync).sleeps(),
    behaves("irq_work_run", nothing),
    behaves("__request_percpu_irq", request_percpu_irq).sleeps(),
    behaves("free_percpu_irq", free_percpu_irq).sleeps(),
    behaves("enable_percpu_irq", nothing),
    behaves("disable_percpu_irq", nothing),
    behaves("kblockd_schedule_work", kblockd_schedule_work),
    behaves("irq_fpu_usable", irq_fpu_usable),
    behaves("ktime_add_safe", ktime_add_safe),
];

const KIND: &str = "irq work";
/// struct irq_work: a list node, the flags word in it at 8, the function at 16 (include/linux/irq_work.h).
const FLAGS: u64 = 8;
const FUNC: u64 = 16;
const PENDING: u32 = 1;
const BUSY: u32 = 2;

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn irq_work_queue(cx: &mut Cx, c: &Call) -> R {
    let work = c.a[0];
    let flags = cx.r32(work + FLAGS)?;
    if flags & PENDING != 0 {
        return Ok(0);
    }
    cx.w32(work + FLAGS, flags | PENDING | BUSY)?;
    let function = cx.r64(work + FUNC)?;
    audit::arm(cx, KIND, work, function, "");
    let now = cx.clock.now;
    time::at(cx, now, run, work, 0);
    Ok(1)
}

fn run(cx: &mut Cx, work: u64, _: u64) -> R<()> {
    sched::entered(cx, "irq_work_single");
    audit::running(cx, KIND, work);
    let flags = cx.r32(work + FLAGS)?;
    cx.w32(work + FLAGS, flags & !PENDING)?;
    let function = cx.r64(work + FUNC)?;
    let delta = context::HARDIRQ as i32 - context::SOFTIRQ as i32;
    context::add(cx, delta);
    context::set_irqs(cx, false);
    cx.call_guest(function, &[work]);
    context::set_irqs(cx, true);
    context::add(cx, -delta);
    audit::ran(cx, KIND, work);
    let flags = cx.r32(work + FLAGS)?;
    if flags & PENDING == 0 {
        cx.w32(work + FLAGS, flags & !BUSY)?;
    }
    sched::left(cx);
    Ok(())
}

fn irq_work_sync(cx: &mut Cx, c: &Call) -> R {
    while cx.r32(c.a[0] + FLAGS)? & BUSY != 0 {
        sched::sleep(cx, sched::UNINTERRUPTIBLE, 1_000_000, "irq_work_sync")?;
    }
    Ok(0)
}

/// No per-CPU interrupt line is there to be had.
fn request_percpu_irq(_: &mut Cx, _: &Call) -> R {
    Ok(neg(errno::EINVAL))
}

fn free_percpu_irq(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn kblockd_schedule_work(cx: &mut Cx, c: &Call) -> R {
    let queue = crate::workqueue::system(cx, "system_highpri_wq")?;
    Ok(u64::from(crate::workqueue::queue_work(cx, queue, c.a[0])?))
}

fn irq_fpu_usable(cx: &mut Cx, _: &Call) -> R {
    Ok(u64::from(context::preempt_count(cx) & 0x000f_0000 == 0))
}

/// The sum, or the largest time when it would overflow.
fn ktime_add_safe(_: &mut Cx, c: &Call) -> R {
    Ok((c.a[0] as i64)
        .checked_add(c.a[1] as i64)
        .filter(|sum| *sum >= 0)
        .unwrap_or(i64::MAX) as u64)
}
