//! The exported functions of workqueues.

use super::*;
use crate::abi::{Call, errno};
use crate::table::{Fails, Key, Row, When, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("alloc_workqueue", alloc_workqueue)
        .acquires("workqueue", Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::Null)
        .sleeps(),
    behaves("destroy_workqueue", destroy_workqueue)
        .releases("workqueue", Key::Arg(0))
        .sleeps(),
    behaves("queue_work_on", queue_work_on),
    behaves("queue_work_node", queue_work_on),
    behaves("queue_delayed_work_on", queue_delayed_work_on),
    behaves("mod_delayed_work_on", mod_delayed_work_on),
    behaves("delayed_work_timer_fn", delayed_work_timer_fn),
    behaves("queue_rcu_work", queue_rcu_work),
    behaves("flush_rcu_work", flush_rcu_work).sleeps(),
    behaves("flush_work", fn_flush_work).sleeps(),
    behaves("flush_delayed_work", flush_delayed_work).sleeps(),
    behaves("cancel_work", cancel_work),
    behaves("cancel_delayed_work", cancel_work),
    behaves("cancel_work_sync", cancel_work_sync).sleeps(),
    behaves("cancel_delayed_work_sync", cancel_delayed_work_sync).sleeps(),
    behaves("__flush_workqueue", flush_workqueue).sleeps(),
    behaves("flush_workqueue", flush_workqueue).sleeps(),
    behaves("drain_workqueue", drain_workqueue).sleeps(),
    behaves("workqueue_set_max_active", workqueue_set_max_active),
    behaves("workqueue_congested", workqueue_congested),
    behaves("work_busy", work_busy),
    behaves("current_work", current_work),
    behaves("set_worker_desc", set_worker_desc),
    behaves("schedule_on_each_cpu", schedule_on_each_cpu).sleeps(),
    behaves("execute_in_process_context", execute_in_process_context),
    behaves("__warn_flushing_systemwide_wq", warn_flushing),
    behaves("__init_work", init_work),
    behaves("destroy_work_on_stack", init_work),
    behaves("destroy_delayed_work_on_stack", init_work),
];

const UNBOUND: u64 = 2;
const ORDERED: u64 = 1 << 17;
/// WQ_MAX_ACTIVE.
const MAX_ACTIVE: i32 = 512;

fn alloc_workqueue(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(3);
    let name = crate::printk::format::vsnprintf(cx, c.a[0], &mut args, 24)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let (flags, max_active) = (c.a[1], c.a[2] as i32);
    let Some(addr) = crate::mm::guard::alloc(cx, 512, 64, true) else {
        return Ok(0);
    };
    let max_active = match max_active {
        0 => DEFAULT_ACTIVE as i32,
        n => n.clamp(1, MAX_ACTIVE),
    };
    let max_active = if flags & ORDERED != 0 { 1 } else { max_active };
    add(
        cx,
        addr,
        name,
        max_active as usize,
        flags & UNBOUND != 0,
        false,
    );
    Ok(addr)
}

fn destroy_workqueue(cx: &mut Cx, c: &Call) -> R {
    let wq = c.a[0];
    let index = queue_at(cx, wq)?;
    drain(cx, wq, "destroy_workqueue")?;
    if cx.workqueues.queues[index].system {
        return Ok(0);
    }
    // Delays that still run will follow the freed queue.
    cx.workqueues.by_addr.remove(&wq);
    cx.workqueues.queues[index].max_active = 0;
    crate::mm::guard::free(cx, wq);
    Ok(0)
}

fn drain(cx: &mut Cx, wq: u64, function: &'static str) -> R<()> {
    let index = queue_at(cx, wq)?;
    cx.workqueues.queues[index].draining = true;
    let mut passes = 0u32;
    loop {
        flush_queue(cx, wq, function)?;
        let q = &cx.workqueues.queues[index];
        if q.pending.is_empty() && q.running.is_empty() {
            break;
        }
        passes += 1;
        if passes == 10 || passes.is_multiple_of(100) && passes <= 1000 {
            let text = format!(
                "workqueue {}: drain_workqueue() isn't complete after {passes} tries\n",
                q.name
            );
            crate::printk::log(cx, 4, &text);
        }
        if passes > 5000 {
            trace::misuse(
                cx,
                "livelock",
                "a work queues itself again and again while its queue is drained",
                wq,
                function,
            );
            crate::traps::lockup(cx, "a queue that never becomes empty");
        }
    }
    cx.workqueues.queues[index].draining = false;
    Ok(())
}

fn queue_work_on(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(queue_work(cx, c.a[1], c.a[2])?))
}

fn queue_delayed_work_on(cx: &mut Cx, c: &Call) -> R {
    let [_, wq, dwork, delay, ..] = c.a;
    if is_pending(cx, dwork)? {
        return Ok(0);
    }
    set_pending(cx, dwork, true)?;
    start_delayed(cx, wq, dwork, delay)?;
    Ok(1)
}

fn mod_delayed_work_on(cx: &mut Cx, c: &Call) -> R {
    let [_, wq, dwork, delay, ..] = c.a;
    let was = steal(cx, dwork)?;
    set_pending(cx, dwork, true)?;
    start_delayed(cx, wq, dwork, delay)?;
    Ok(u64::from(was))
}

fn delayed_work_timer_fn(cx: &mut Cx, c: &Call) -> R {
    delay_over(cx, c.a[0])?;
    Ok(0)
}

fn queue_rcu_work(cx: &mut Cx, c: &Call) -> R {
    let [wq, rwork, ..] = c.a;
    if is_pending(cx, rwork)? {
        return Ok(0);
    }
    set_pending(cx, rwork, true)?;
    cx.w64(rwork + cx.off.rwork_wq, wq)?;
    crate::rcu::after_grace_period(
        cx,
        Box::new(move |cx: &mut Cx| {
            let wq = cx.r64(rwork + cx.off.rwork_wq)?;
            insert(cx, wq, rwork, "queue_rcu_work")
        }),
    );
    Ok(1)
}

fn flush_rcu_work(cx: &mut Cx, c: &Call) -> R {
    if is_pending(cx, c.a[0])? {
        crate::rcu::barrier(cx)?;
        flush_work(cx, c.a[0], "flush_rcu_work")?;
        return Ok(1);
    }
    Ok(u64::from(flush_work(cx, c.a[0], "flush_rcu_work")?))
}

fn check_func(cx: &mut Cx, work: u64, function: &'static str) -> R<bool> {
    if cx.r64(work + cx.off.work_func)? == 0 {
        trace::misuse(
            cx,
            "uninitialised",
            "a work without INIT_WORK",
            work,
            function,
        );
        crate::traps::warn(cx, "", "__flush_work")?;
        return Ok(false);
    }
    Ok(true)
}

fn fn_flush_work(cx: &mut Cx, c: &Call) -> R {
    if !check_func(cx, c.a[0], "flush_work")? {
        return Ok(0);
    }
    Ok(u64::from(flush_work(cx, c.a[0], "flush_work")?))
}

fn flush_delayed_work(cx: &mut Cx, c: &Call) -> R {
    let dwork = c.a[0];
    if let Some(wq) = cx.workqueues.delayed.remove(&dwork) {
        crate::time::timer::delete(cx, dwork + cx.off.dwork_timer)?;
        audit::disarm(cx, "delayed work", dwork);
        insert(cx, wq, dwork, "flush_delayed_work")?;
    }
    Ok(u64::from(flush_work(cx, dwork, "flush_delayed_work")?))
}

fn cancel_work(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(steal(cx, c.a[0])?))
}

fn cancel_work_sync(cx: &mut Cx, c: &Call) -> R {
    check_func(cx, c.a[0], "cancel_work_sync")?;
    Ok(u64::from(cancel_sync(cx, c.a[0], "cancel_work_sync")?))
}

fn cancel_delayed_work_sync(cx: &mut Cx, c: &Call) -> R {
    check_func(cx, c.a[0], "cancel_delayed_work_sync")?;
    Ok(u64::from(cancel_sync(
        cx,
        c.a[0],
        "cancel_delayed_work_sync",
    )?))
}

fn flush_workqueue(cx: &mut Cx, c: &Call) -> R {
    flush_queue(cx, c.a[0], "flush_workqueue")?;
    Ok(0)
}

fn drain_workqueue(cx: &mut Cx, c: &Call) -> R {
    drain(cx, c.a[0], "drain_workqueue")?;
    Ok(0)
}

fn workqueue_set_max_active(cx: &mut Cx, c: &Call) -> R {
    let index = queue_at(cx, c.a[0])?;
    cx.workqueues.queues[index].max_active = (c.a[1] as i32).clamp(1, MAX_ACTIVE) as usize;
    kick(cx, index)?;
    Ok(0)
}

fn workqueue_congested(cx: &mut Cx, c: &Call) -> R {
    let index = queue_at(cx, c.a[1])?;
    let q = &cx.workqueues.queues[index];
    Ok(u64::from(
        q.running.len() >= q.max_active && !q.pending.is_empty(),
    ))
}

fn work_busy(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(is_pending(cx, c.a[0])?) | u64::from(runs(cx, c.a[0])) << 1)
}

fn current_work(cx: &mut Cx, _: &Call) -> R {
    let tid = sched::current_tid(cx);
    Ok(cx.workqueues.current.get(&tid).copied().unwrap_or(0))
}

fn set_worker_desc(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn schedule_on_each_cpu(cx: &mut Cx, c: &Call) -> R {
    let func = c.a[0];
    // One work for the one CPU, in the kernel's memory.
    let work = crate::mm::kernel_object(cx, 64)?;
    crate::util::list_init(cx, work + cx.off.work_entry)?;
    cx.w64(work + cx.off.work_func, func)?;
    let wq = system(cx, "system_wq")?;
    if !queue_work(cx, wq, work)? {
        return Ok(crate::abi::neg(errno::ENOMEM));
    }
    flush_work(cx, work, "schedule_on_each_cpu")?;
    Ok(0)
}

fn execute_in_process_context(cx: &mut Cx, c: &Call) -> R {
    let [func, work, ..] = c.a;
    if context::preempt_count(cx) & context::IRQ_MASK == 0 {
        cx.call_guest(func, &[work]);
        return Ok(0);
    }
    cx.w64(work + cx.off.work_data, 0)?;
    crate::util::list_init(cx, work + cx.off.work_entry)?;
    cx.w64(work + cx.off.work_func, func)?;
    let wq = system(cx, "system_wq")?;
    queue_work(cx, wq, work)?;
    Ok(1)
}

fn warn_flushing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn init_work(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}
