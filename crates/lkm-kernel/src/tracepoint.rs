//! Tracepoints and function tracing as modules that attach to them see it (kernel/tracepoint.c, kernel/trace/): the
//! points are there by name, and probes are in the ledger. Nothing passes them.

use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::{Cx, mm};

pub(crate) const ROWS: &[Row] = &[
    behaves("for_each_kernel_tracepoint", for_each),
    behaves("ftrace_set_filter", zero).sleeps(),
    behaves("ftrace_set_filter_ip", zero).sleeps(),
    behaves("ftrace_set_notrace", zero).sleeps(),
    behaves("ftrace_free_filter", zero).sleeps(),
    behaves("__trace_bprintk", zero),
    behaves("__trace_printk", zero),
    behaves("__trace_bputs", zero),
    behaves("__trace_puts", trace_puts),
];

/// Names of tracepoints that every stock kernel has.
const NAMES: &[&str] = &[
    "sched_switch",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "sched_process_free",
    "irq_handler_entry",
    "irq_handler_exit",
    "softirq_entry",
    "softirq_exit",
    "sys_enter",
    "sys_exit",
    "timer_start",
    "timer_expire_entry",
    "timer_expire_exit",
    "workqueue_execute_start",
    "workqueue_execute_end",
    "kmalloc",
    "kfree",
    "module_load",
    "module_free",
    "net_dev_queue",
    "net_dev_xmit",
    "netif_receive_skb",
    "block_rq_issue",
    "block_rq_complete",
    "signal_generate",
    "signal_deliver",
    "task_newtask",
    "task_rename",
];

/// The points, made when they are first asked for.
#[derive(Default)]
pub struct State {
    points: Vec<u64>,
}

/// `__trace_puts(place, text, bytes)`.
fn trace_puts(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[2])
}

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// `for_each_kernel_tracepoint(function, private)`; a struct tracepoint begins with its name.
fn for_each(cx: &mut Cx, c: &Call) -> R {
    if cx.tracepoints.points.is_empty() {
        for name in NAMES {
            let point = mm::kernel_object(cx, 128)?;
            let text = mm::kernel_object(cx, name.len() as u64 + 1)?;
            cx.write(text, name.as_bytes())?;
            cx.w64(point, text)?;
            cx.tracepoints.points.push(point);
        }
    }
    for point in cx.tracepoints.points.clone() {
        cx.call_guest(c.a[0], &[point, c.a[1]]);
    }
    Ok(0)
}
