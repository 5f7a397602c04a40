//! Workqueues (kernel/workqueue.c): works are the guest's structures with the PENDING bit in their data word;
//! queues and workers, reached by calls alone, are here. Workers are tasks that run works of any queue, as
//! many at once as the queue allows, never one work twice at a time.

pub(crate) mod asynchronous;
mod rows;

use crate::abi::{R, Stop};
use crate::hash::Map;
use crate::sched::wait::{wait_at, wake_at};
use crate::sched::{self, Body, Tid, UNINTERRUPTIBLE};
use crate::{Cx, audit, context, data, locking, symbols, trace};
use lkm_trace::{Site, TaskKind};
use std::collections::VecDeque;

pub(crate) use rows::ROWS;

/// A queued work.
#[derive(Debug, Clone, Copy)]
struct Pending {
    work: u64,
    seq: u64,
}

/// A work that runs.
#[derive(Debug, Clone, Copy)]
struct Running {
    work: u64,
    seq: u64,
    tid: Tid,
}

/// A workqueue.
struct Queue {
    name: String,
    addr: u64,
    max_active: usize,
    unbound: bool,
    system: bool,
    pending: VecDeque<Pending>,
    running: Vec<Running>,
    draining: bool,
}

/// Queues and workers.
#[derive(Default)]
pub struct State {
    queues: Vec<Queue>,
    by_addr: Map<u64, usize>,
    system: Map<&'static str, u64>,
    idle: Vec<Tid>,
    workers: u32,
    seq: u64,
    /// Delayed works whose timer is pending.
    delayed: Map<u64, u64>,
    jobs: VecDeque<Body>,
    /// What each worker task runs.
    current: Map<Tid, u64>,
}

const PENDING: u64 = 1;
const MAX_WORKERS: u32 = 256;
/// Where workers without work sleep.
const IDLE: u64 = 3;
const DEFAULT_ACTIVE: usize = 256;

/// The variables that hold the system's queues, and which of them are unbound.
const SYSTEM: &[(&str, &str, bool)] = &[
    ("system_wq", "events", false),
    ("system_highpri_wq", "events_highpri", false),
    ("system_long_wq", "events_long", false),
    ("system_unbound_wq", "events_unbound", true),
    ("system_freezable_wq", "events_freezable", false),
    ("system_power_efficient_wq", "events_power_efficient", false),
    (
        "system_freezable_power_efficient_wq",
        "events_freezable_power_efficient",
        false,
    ),
    ("system_bh_wq", "events_bh", false),
    ("system_bh_highpri_wq", "events_bh_highpri", false),
];

/// `system_wq` and its like: a variable with the address of a queue.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    let Some(&(name, ..)) = SYSTEM.iter().find(|(variable, ..)| *variable == name) else {
        return Ok(None);
    };
    let queue = system(cx, name)?;
    let at = data::alloc(cx, 8, 8)?;
    cx.w64(at, queue)?;
    Ok(Some(at))
}

/// The address of a system queue, by its variable's name.
pub(crate) fn system(cx: &mut Cx, variable: &'static str) -> R<u64> {
    if let Some(&addr) = cx.workqueues.system.get(variable) {
        return Ok(addr);
    }
    let (_, title, unbound) = SYSTEM
        .iter()
        .find(|(name, ..)| *name == variable)
        .copied()
        .unwrap_or(SYSTEM[0]);
    let addr = data::alloc(cx, 512, 64)?;
    add(cx, addr, title.into(), DEFAULT_ACTIVE, unbound, true);
    cx.workqueues.system.insert(variable, addr);
    Ok(addr)
}

fn add(cx: &mut Cx, addr: u64, name: String, max_active: usize, unbound: bool, system: bool) {
    let index = cx.workqueues.queues.len();
    cx.workqueues.queues.push(Queue {
        name,
        addr,
        max_active,
        unbound,
        system,
        pending: VecDeque::new(),
        running: Vec::new(),
        draining: false,
    });
    cx.workqueues.by_addr.insert(addr, index);
}

/// The queue at an address; a freed one faults as its memory does.
fn queue_at(cx: &Cx, wq: u64) -> R<usize> {
    cx.r64(wq)?;
    cx.workqueues.by_addr.get(&wq).copied().ok_or({
        Stop::Fault(lkm_machine::Fault {
            addr: wq,
            write: false,
        })
    })
}

fn is_pending(cx: &Cx, work: u64) -> R<bool> {
    Ok(cx.r64(work + cx.off.work_data)? & PENDING != 0)
}

fn set_pending(cx: &Cx, work: u64, on: bool) -> R<()> {
    let at = work + cx.off.work_data;
    let data = cx.r64(at)?;
    Ok(cx.w64(at, if on { data | PENDING } else { data & !PENDING })?)
}

/// queue_work: false when it was pending already.
pub(crate) fn queue_work(cx: &mut Cx, wq: u64, work: u64) -> R<bool> {
    if is_pending(cx, work)? {
        return Ok(false);
    }
    set_pending(cx, work, true)?;
    insert(cx, wq, work, "queue_work")?;
    Ok(true)
}

/// Puts a work whose PENDING bit is set on its queue.
fn insert(cx: &mut Cx, wq: u64, work: u64, function: &'static str) -> R<()> {
    let index = queue_at(cx, wq)?;
    let entry = work + cx.off.work_entry;
    if cx.r64(entry)? != entry {
        trace::misuse(
            cx,
            "uninitialised",
            "a work without INIT_WORK",
            work,
            function,
        );
        return crate::traps::warn(cx, "", "__queue_work");
    }
    let chained = cx.workqueues.current.contains_key(&sched::current_tid(cx));
    if cx.workqueues.queues[index].draining && !chained {
        return crate::traps::warn(
            cx,
            "workqueue: cannot queue on a queue that is drained\n",
            "__queue_work",
        );
    }
    let func = cx.r64(work + cx.off.work_func)?;
    cx.workqueues.seq += 1;
    let seq = cx.workqueues.seq;
    cx.workqueues.queues[index]
        .pending
        .push_back(Pending { work, seq });
    audit::arm(cx, "work", work, func, "");
    kick(cx, index)
}

/// Runs a job of the kernel's own in a worker.
pub(crate) fn spawn(cx: &mut Cx, job: Body) -> R<()> {
    cx.workqueues.jobs.push_back(job);
    system(cx, "system_unbound_wq")?;
    kick(cx, 0)
}

/// Makes sure that some worker will look.
fn kick(cx: &mut Cx, index: usize) -> R<()> {
    if let Some(tid) = cx.workqueues.idle.pop() {
        sched::wake_state(cx, tid, sched::NORMAL | 0x400)?;
        return Ok(());
    }
    if cx.workqueues.workers >= MAX_WORKERS {
        return Ok(());
    }
    let unbound = cx.workqueues.queues[index].unbound;
    let number = cx.workqueues.workers;
    let comm = if unbound {
        format!("kworker/u2:{number}")
    } else {
        format!("kworker/0:{number}")
    };
    let body: Body = Box::new(worker);
    let made = sched::new_task(cx, &comm, TaskKind::Worker, 0, Site::default(), body)?;
    if let Some(tid) = made {
        cx.workqueues.workers += 1;
        let ts = cx.sched.tasks[tid as usize].ts;
        // PF_WQ_WORKER.
        let flags = cx.r32(ts + cx.off.task_flags)?;
        cx.w32(ts + cx.off.task_flags, flags | 0x20)?;
        sched::wake(cx, tid)?;
    }
    Ok(())
}

/// The next work that may run now: queue and position.
fn next(cx: &Cx) -> Option<(usize, usize)> {
    cx.workqueues
        .queues
        .iter()
        .enumerate()
        .filter(|(_, q)| q.running.len() < q.max_active)
        .filter_map(|(index, q)| {
            let at = q.pending.iter().position(|p| !runs(cx, p.work))?;
            Some((q.pending[at].seq, index, at))
        })
        .min()
        .map(|(_, index, at)| (index, at))
}

fn runs(cx: &Cx, work: u64) -> bool {
    cx.workqueues
        .queues
        .iter()
        .any(|q| q.running.iter().any(|r| r.work == work))
}

fn worker(cx: &mut Cx) -> R<i64> {
    loop {
        if let Some(job) = cx.workqueues.jobs.pop_front() {
            job(cx)?;
        } else if let Some((queue, at)) = next(cx) {
            process_one_work(cx, queue, at)?;
        } else {
            let tid = sched::current_tid(cx);
            cx.workqueues.idle.push(tid);
            // TASK_IDLE: an idle worker is neither hung nor load.
            sched::set_state(cx, UNINTERRUPTIBLE | 0x400)?;
            sched::schedule(cx, "worker_thread", IDLE)?;
            cx.workqueues.idle.retain(|&t| t != tid);
        }
    }
}

fn process_one_work(cx: &mut Cx, index: usize, at: usize) -> R<()> {
    let Some(Pending { work, seq }) = cx.workqueues.queues[index].pending.remove(at) else {
        return Ok(());
    };
    let tid = sched::current_tid(cx);
    cx.workqueues.queues[index]
        .running
        .push(Running { work, seq, tid });
    cx.workqueues.current.insert(tid, work);
    audit::running(cx, "work", work);
    sched::entered(cx, "process_one_work");
    let func = cx.r64(work + cx.off.work_func)?;
    set_pending(cx, work, false)?;
    let before = context::save(cx);
    let queue = cx.workqueues.queues[index].addr;
    let system = cx.workqueues.queues[index].system;
    let told = !system && locking::map_enter(cx, queue, "workqueue", func);
    let map = locking::map_enter(cx, work, "work", func);
    cx.call_guest(func, &[work]);
    locking::map_leave(cx, work, "work", map);
    locking::map_leave(cx, queue, "workqueue", told);
    balance(cx, before, func, work)?;
    sched::left(cx);
    audit::ran(cx, "work", work);
    cx.workqueues.current.remove(&tid);
    // The work's own memory may be gone by now: only its address is used.
    cx.workqueues.queues[index].running.retain(|r| r.tid != tid);
    wake_at(cx, work, usize::MAX)?;
    wake_at(cx, queue, usize::MAX)?;
    if next(cx).is_some() {
        kick(cx, index)?;
    }
    Ok(())
}

/// A work function must leave the context as it found it.
fn balance(cx: &mut Cx, before: (u32, u64), func: u64, work: u64) -> R<()> {
    crate::rcu::balance(cx, 0, "the work function", func);
    let after = context::save(cx);
    if before == after {
        return Ok(());
    }
    let tid = sched::current_tid(cx);
    let (comm, pid) = {
        let task = &cx.sched.tasks[tid as usize];
        (task.comm.clone(), task.pid)
    };
    let name = crate::module::kallsyms::describe(cx, func);
    let count = after.0 & 0x7fff_ffff;
    let text = format!(
        "BUG: workqueue leaked lock or atomic: {comm}/0x{count:08x}/{pid}\n     last function: {name}\n"
    );
    crate::printk::log(cx, 3, &text);
    let (what, detail) = if before.0 != after.0 {
        (
            "preempt-imbalance",
            format!("the work function {name} returned with preempt_count {count:#x}"),
        )
    } else {
        (
            "irq-imbalance",
            format!("the work function {name} returned with interrupts off"),
        )
    };
    let site = trace::place(func);
    trace::misuse_at(cx, what, &detail, work, "process_one_work", site);
    context::add(cx, before.0.wrapping_sub(after.0) as i32);
    context::set_irqs(cx, before.1 & 0x200 != 0);
    Ok(())
}

/// Takes a pending work off its queue or its timer; whether it was pending.
fn steal(cx: &mut Cx, work: u64) -> R<bool> {
    let mut found = false;
    for queue in 0..cx.workqueues.queues.len() {
        let q = &mut cx.workqueues.queues[queue];
        if let Some(at) = q.pending.iter().position(|p| p.work == work) {
            q.pending.remove(at);
            found = true;
            let addr = q.addr;
            wake_at(cx, addr, usize::MAX)?;
        }
    }
    if cx.workqueues.delayed.remove(&work).is_some() {
        crate::time::timer::delete(cx, work + cx.off.dwork_timer)?;
        audit::disarm(cx, "delayed work", work);
        found = true;
    }
    if found {
        audit::disarm(cx, "work", work);
        set_pending(cx, work, false)?;
        wake_at(cx, work, usize::MAX)?;
    }
    Ok(found)
}

fn queued(cx: &Cx, work: u64) -> bool {
    cx.workqueues
        .queues
        .iter()
        .any(|q| q.pending.iter().any(|p| p.work == work))
}

/// Waits until the work neither is queued nor runs; whether there was something to wait for.
fn flush_work(cx: &mut Cx, work: u64, function: &'static str) -> R<bool> {
    let mut waited = false;
    locking::map_wait(cx, work, "work");
    while queued(cx, work) || runs(cx, work) {
        waited = true;
        wait_at(cx, work, UNINTERRUPTIBLE, None, function)?;
    }
    Ok(waited)
}

/// Cancels and waits for a run; it cannot be queued again meanwhile. Whether it was pending.
fn cancel_sync(cx: &mut Cx, work: u64, function: &'static str) -> R<bool> {
    let was = steal(cx, work)?;
    locking::map_wait(cx, work, "work");
    while runs(cx, work) {
        wait_at(cx, work, UNINTERRUPTIBLE, None, function)?;
        steal(cx, work)?;
    }
    Ok(was)
}

/// Waits for all works that are on the queue now.
fn flush_queue(cx: &mut Cx, wq: u64, function: &'static str) -> R<()> {
    let index = queue_at(cx, wq)?;
    let upto = cx.workqueues.seq;
    if !cx.workqueues.queues[index].system {
        locking::map_wait(cx, wq, "workqueue");
    }
    loop {
        let q = &cx.workqueues.queues[index];
        let busy =
            q.pending.iter().any(|p| p.seq <= upto) || q.running.iter().any(|r| r.seq <= upto);
        if !busy {
            return Ok(());
        }
        wait_at(cx, wq, UNINTERRUPTIBLE, None, function)?;
    }
}

/// Starts the delay of a work whose PENDING bit is set.
fn start_delayed(cx: &mut Cx, wq: u64, dwork: u64, delay: u64) -> R<()> {
    let timer = dwork + cx.off.dwork_timer;
    let timer_fn = symbols::address(cx, "delayed_work_timer_fn");
    if cx.r64(timer + cx.off.timer_function)? != timer_fn {
        trace::misuse(
            cx,
            "uninitialised",
            "a delayed work without INIT_DELAYED_WORK",
            dwork,
            "queue_delayed_work",
        );
        crate::traps::warn(cx, "", "__queue_delayed_work")?;
    }
    if delay == 0 {
        return insert(cx, wq, dwork, "queue_delayed_work");
    }
    queue_at(cx, wq)?;
    cx.w64(dwork + cx.off.dwork_wq, wq)?;
    cx.w32(dwork + cx.off.dwork_cpu, 0)?;
    let func = cx.r64(dwork + cx.off.work_func)?;
    let expires = crate::time::jiffies(cx).wrapping_add(delay);
    crate::time::timer::modify(cx, timer, expires, false)?;
    cx.workqueues.delayed.insert(dwork, wq);
    audit::arm(cx, "delayed work", dwork, func, "");
    Ok(())
}

/// The delay is over.
fn delay_over(cx: &mut Cx, timer: u64) -> R<()> {
    let dwork = timer - cx.off.dwork_timer;
    let wq = cx.r64(dwork + cx.off.dwork_wq)?;
    cx.workqueues.delayed.remove(&dwork);
    audit::disarm(cx, "delayed work", dwork);
    insert(cx, wq, dwork, "delayed_work_timer_fn")
}
