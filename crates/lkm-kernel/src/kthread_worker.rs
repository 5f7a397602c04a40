//! Kthread workers (kernel/kthread.c, second half): a thread with a list of works in guest memory, since
//! DEFINE_KTHREAD_WORK and kthread_init_work are inline.

use crate::abi::{Call, R, errno, is_err, neg};
use crate::sched::wait::{wait_at, wake_at};
use crate::sched::{self, INTERRUPTIBLE, UNINTERRUPTIBLE};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::util::{list_add_tail, list_del_init, list_entries, list_init};
use crate::{Cx, audit, kthread, symbols, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("__kthread_init_worker", init_worker),
    behaves("kthread_worker_fn", worker_fn).sleeps(),
    behaves("kthread_create_worker", create_worker)
        .acquires("kthread worker", Key::Ret, When::Pointer)
        .named(1)
        .fails(Fails::ErrPtr(errno::ENOMEM))
        .sleeps(),
    behaves("kthread_create_worker_on_cpu", create_worker_on_cpu)
        .acquires("kthread worker", Key::Ret, When::Pointer)
        .named(2)
        .fails(Fails::ErrPtr(errno::ENOMEM))
        .sleeps(),
    behaves("kthread_destroy_worker", destroy_worker)
        .releases("kthread worker", Key::Arg(0))
        .sleeps(),
    behaves("kthread_queue_work", queue_work),
    behaves("kthread_queue_delayed_work", queue_delayed_work),
    behaves("kthread_mod_delayed_work", mod_delayed_work),
    behaves("kthread_delayed_work_timer_fn", delayed_work_timer_fn),
    behaves("kthread_flush_work", fn_flush_work).sleeps(),
    behaves("kthread_flush_worker", fn_flush_worker).sleeps(),
    behaves("kthread_cancel_work_sync", cancel_work_sync).sleeps(),
    behaves("kthread_cancel_delayed_work_sync", cancel_delayed_work_sync).sleeps(),
];

const KIND: &str = "kthread work";
const DELAYED: &str = "kthread delayed work";
/// Bytes of struct kthread_worker.
const WORKER_SIZE: u64 = 64;

fn init(cx: &mut Cx, worker: u64) -> R<()> {
    cx.fill(worker, 0, cx.off.kworker_current + 8)?;
    list_init(cx, worker + cx.off.kworker_work_list)?;
    list_init(cx, worker + cx.off.kworker_delayed_list)
}

fn init_worker(cx: &mut Cx, c: &Call) -> R {
    init(cx, c.a[0])?;
    Ok(0)
}

/// The thread's loop, until it is asked to stop.
fn worker_fn(cx: &mut Cx, c: &Call) -> R {
    let worker = c.a[0];
    let ts = cx.sched.tasks[sched::current_tid(cx) as usize].ts;
    cx.w64(worker + cx.off.kworker_task, ts)?;
    let list = worker + cx.off.kworker_work_list;
    loop {
        sched::set_state(cx, INTERRUPTIBLE)?;
        if kthread::should_stop(cx) {
            sched::set_state(cx, sched::RUNNING)?;
            cx.w64(worker + cx.off.kworker_task, 0)?;
            return Ok(0);
        }
        let node = cx.r64(list)?;
        if node == list {
            // Idle: neither hung nor waiting for anything of its own.
            sched::schedule(cx, "kthread_worker_fn", 0)?;
            continue;
        }
        sched::set_state(cx, sched::RUNNING)?;
        let work = node - cx.off.kwork_node;
        list_del_init(cx, node)?;
        let func = cx.r64(work + cx.off.kwork_func)?;
        cx.w64(worker + cx.off.kworker_current, work)?;
        audit::running(cx, KIND, work);
        cx.call_guest(func, &[work]);
        audit::ran(cx, KIND, work);
        cx.w64(worker + cx.off.kworker_current, 0)?;
        wake_at(cx, work, usize::MAX)?;
        wake_at(cx, worker, usize::MAX)?;
        if sched::others_wait(cx) {
            sched::yield_now(cx)?;
        }
    }
}

fn create(cx: &mut Cx, name: &str) -> R {
    let Some(worker) = crate::mm::guard::alloc(cx, WORKER_SIZE, 8, true) else {
        return Ok(neg(errno::ENOMEM));
    };
    init(cx, worker)?;
    let f = symbols::address(cx, "kthread_worker_fn");
    let site = trace::site(cx);
    let ts = kthread::create(cx, f, worker, name, site)?;
    if ts == 0 || is_err(ts) {
        return Ok(neg(errno::ENOMEM));
    }
    cx.w64(worker + cx.off.kworker_task, ts)?;
    if let Some(tid) = sched::by_struct(cx, ts) {
        sched::wake(cx, tid)?;
    }
    Ok(worker)
}

fn create_worker(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(2);
    let name = crate::printk::format::vsnprintf(cx, c.a[1], &mut args, 64)?;
    create(cx, &String::from_utf8_lossy(&name))
}

fn create_worker_on_cpu(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(3);
    let name = crate::printk::format::vsnprintf(cx, c.a[2], &mut args, 64)?;
    create(cx, &String::from_utf8_lossy(&name))
}

fn destroy_worker(cx: &mut Cx, c: &Call) -> R {
    let worker = c.a[0];
    let task = cx.r64(worker + cx.off.kworker_task)?;
    if task == 0 {
        return crate::traps::warn(cx, "", "kthread_destroy_worker").map(|()| 0);
    }
    flush_worker(cx, worker)?;
    kthread::stop(cx, task, "kthread_destroy_worker")?;
    crate::mm::guard::free(cx, worker);
    Ok(0)
}

fn queued(cx: &Cx, work: u64) -> R<bool> {
    let node = work + cx.off.kwork_node;
    let next = cx.r64(node)?;
    Ok(next != node && next != 0)
}

fn insert(cx: &mut Cx, worker: u64, work: u64) -> R<()> {
    let node = work + cx.off.kwork_node;
    list_add_tail(cx, node, worker + cx.off.kworker_work_list)?;
    cx.w64(work + cx.off.kwork_worker, worker)?;
    let func = cx.r64(work + cx.off.kwork_func)?;
    audit::arm(cx, KIND, work, func, "");
    let task = cx.r64(worker + cx.off.kworker_task)?;
    if cx.r64(worker + cx.off.kworker_current)? == 0
        && let Some(tid) = sched::by_struct(cx, task)
    {
        sched::wake(cx, tid)?;
    }
    Ok(())
}

fn busy(cx: &Cx, work: u64) -> R<bool> {
    Ok(queued(cx, work)? || cx.r32(work + cx.off.kwork_canceling)? != 0)
}

fn queue_work(cx: &mut Cx, c: &Call) -> R {
    let [worker, work, ..] = c.a;
    if busy(cx, work)? {
        return Ok(0);
    }
    insert(cx, worker, work)?;
    Ok(1)
}

fn start_delayed(cx: &mut Cx, worker: u64, dwork: u64, delay: u64) -> R<()> {
    if delay == 0 {
        return insert(cx, worker, dwork);
    }
    let node = dwork + cx.off.kwork_node;
    list_add_tail(cx, node, worker + cx.off.kworker_delayed_list)?;
    cx.w64(dwork + cx.off.kwork_worker, worker)?;
    let func = cx.r64(dwork + cx.off.kwork_func)?;
    audit::arm(cx, DELAYED, dwork, func, "");
    let expires = crate::time::jiffies(cx).wrapping_add(delay);
    crate::time::timer::modify(cx, dwork + cx.off.kdwork_timer, expires, false)?;
    Ok(())
}

fn queue_delayed_work(cx: &mut Cx, c: &Call) -> R {
    let [worker, dwork, delay, ..] = c.a;
    if busy(cx, dwork)? {
        return Ok(0);
    }
    start_delayed(cx, worker, dwork, delay)?;
    Ok(1)
}

/// Takes the work off its list and its timer; whether it was on one.
fn steal(cx: &mut Cx, work: u64, delayed: bool) -> R<bool> {
    if delayed {
        crate::time::timer::delete_and_wait(
            cx,
            work + cx.off.kdwork_timer,
            "kthread_cancel_delayed_work_sync",
        )?;
    }
    audit::disarm(cx, DELAYED, work);
    if !queued(cx, work)? {
        return Ok(false);
    }
    list_del_init(cx, work + cx.off.kwork_node)?;
    audit::disarm(cx, KIND, work);
    wake_at(cx, work, usize::MAX)?;
    Ok(true)
}

fn mod_delayed_work(cx: &mut Cx, c: &Call) -> R {
    let [worker, dwork, delay, ..] = c.a;
    let was = steal(cx, dwork, true)?;
    start_delayed(cx, worker, dwork, delay)?;
    Ok(u64::from(was))
}

fn delayed_work_timer_fn(cx: &mut Cx, c: &Call) -> R {
    let dwork = c.a[0] - cx.off.kdwork_timer;
    let worker = cx.r64(dwork + cx.off.kwork_worker)?;
    if worker == 0 {
        return crate::traps::warn(cx, "", "kthread_delayed_work_timer_fn").map(|()| 0);
    }
    list_del_init(cx, dwork + cx.off.kwork_node)?;
    audit::disarm(cx, DELAYED, dwork);
    if cx.r32(dwork + cx.off.kwork_canceling)? == 0 {
        insert(cx, worker, dwork)?;
    }
    Ok(0)
}

fn current_of(cx: &Cx, work: u64) -> R<bool> {
    let worker = cx.r64(work + cx.off.kwork_worker)?;
    Ok(worker != 0 && cx.r64(worker + cx.off.kworker_current)? == work)
}

fn flush_work(cx: &mut Cx, work: u64, function: &'static str) -> R<()> {
    while queued(cx, work)? || current_of(cx, work)? {
        wait_at(cx, work, UNINTERRUPTIBLE, None, function)?;
    }
    Ok(())
}

fn fn_flush_work(cx: &mut Cx, c: &Call) -> R {
    flush_work(cx, c.a[0], "kthread_flush_work")?;
    Ok(0)
}

fn flush_worker(cx: &mut Cx, worker: u64) -> R<()> {
    let list = worker + cx.off.kworker_work_list;
    while !list_entries(cx, list)?.is_empty() || cx.r64(worker + cx.off.kworker_current)? != 0 {
        wait_at(cx, worker, UNINTERRUPTIBLE, None, "kthread_flush_worker")?;
    }
    Ok(())
}

fn fn_flush_worker(cx: &mut Cx, c: &Call) -> R {
    flush_worker(cx, c.a[0])?;
    Ok(0)
}

fn cancel(cx: &mut Cx, work: u64, delayed: bool, function: &'static str) -> R {
    let was = steal(cx, work, delayed)?;
    if current_of(cx, work)? {
        let at = work + cx.off.kwork_canceling;
        let count = cx.r32(at)?;
        cx.w32(at, count + 1)?;
        flush_work(cx, work, function)?;
        let count = cx.r32(at)?;
        cx.w32(at, count.wrapping_sub(1))?;
    }
    Ok(u64::from(was))
}

fn cancel_work_sync(cx: &mut Cx, c: &Call) -> R {
    cancel(cx, c.a[0], false, "kthread_cancel_work_sync")
}

fn cancel_delayed_work_sync(cx: &mut Cx, c: &Call) -> R {
    cancel(cx, c.a[0], true, "kthread_cancel_delayed_work_sync")
}
