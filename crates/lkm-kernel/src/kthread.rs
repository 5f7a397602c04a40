//! Kernel threads (kernel/kthread.c): create, run, stop, park, exit. The thread's own words live in the
//! task_struct; what kthread.c keeps in `struct kthread` (reached by calls alone) is here.

use crate::abi::{Call, R, Stop, errno, is_err, neg};
use crate::hash::Map;
use crate::sched::wait::{Woken, wait_at, wake_at};
use crate::sched::{self, Tid};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, trace};
use lkm_trace::{Site, TaskEnd, TaskKind};

pub(crate) const ROWS: &[Row] = &[
    behaves("kthread_create_on_node", kthread_create_on_node)
        .fails(Fails::ErrPtr(errno::ENOMEM))
        .sleeps(),
    behaves("kthread_stop", kthread_stop).sleeps(),
    behaves("kthread_stop_put", kthread_stop_put).sleeps(),
    behaves("kthread_should_stop", kthread_should_stop),
    behaves("kthread_should_park", kthread_should_park),
    behaves("kthread_park", kthread_park).sleeps(),
    behaves("kthread_unpark", kthread_unpark),
    behaves("kthread_parkme", kthread_parkme).sleeps(),
    behaves("kthread_bind", kthread_bind),
    behaves("kthread_data", kthread_data),
    behaves("kthread_probe_data", kthread_data),
    behaves("kthread_func", kthread_func),
    behaves(
        "kthread_freezable_should_stop",
        kthread_freezable_should_stop,
    ),
    behaves("kthread_set_per_cpu", nothing),
    behaves("kthread_is_per_cpu", nothing),
    behaves("set_freezable", nothing),
    behaves("__refrigerator", nothing),
    behaves("freezing_slow_path", nothing),
    behaves("kthread_create_on_cpu", kthread_create_on_cpu)
        .fails(Fails::ErrPtr(errno::ENOMEM))
        .sleeps(),
    behaves("kthread_complete_and_exit", kthread_complete_and_exit),
    behaves("kthread_exit", kthread_exit),
    behaves("__module_put_and_kthread_exit", module_put_and_exit),
];

/// What kthread.c knows of a thread.
#[derive(Debug, Clone, Default)]
struct Kthread {
    should_stop: bool,
    should_park: bool,
    parked: bool,
    exited: bool,
    started: bool,
    result: i64,
    stops: u32,
    reaped: bool,
    data: u64,
    function: u64,
}

/// All kernel threads, by task_struct address; an entry goes when the structure does.
#[derive(Default)]
pub struct State {
    threads: Map<u64, Kthread>,
    /// Task structures that were freed: address to (tid, whether it had been stopped).
    freed: Map<u64, (Tid, bool)>,
}

/// Makes a thread that runs the guest function `f(data)`; not woken. 0 when there is no room.
pub fn create(cx: &mut Cx, f: u64, data: u64, comm: &str, site: Site) -> R<u64> {
    let body = Box::new(move |cx: &mut Cx| run(cx, f, data));
    let Some(tid) = sched::new_task(cx, comm, TaskKind::Kthread, f, site, body)? else {
        return Ok(0);
    };
    let ts = cx.sched.tasks[tid as usize].ts;
    cx.kthread.freed.remove(&ts);
    let thread = Kthread {
        data,
        function: f,
        ..Kthread::default()
    };
    cx.kthread.threads.insert(ts, thread);
    let (name, made) = (cx.sched.tasks[tid as usize].comm.clone(), trace::site(cx));
    crate::audit::arm_at(cx, "kthread", ts, f, &name, made);
    Ok(ts)
}

fn run(cx: &mut Cx, f: u64, data: u64) -> R<i64> {
    let tid = sched::current_tid(cx);
    let ts = cx.sched.tasks[tid as usize].ts;
    if let Some(k) = cx.kthread.threads.get_mut(&ts) {
        if k.should_stop {
            return Ok(i64::from(-errno::EINTR));
        }
        k.started = true;
    }
    if cx.kthread.threads.get(&ts).is_some_and(|k| k.should_park) {
        parkme(cx, ts)?;
    }
    let value = i64::from(cx.call_guest(f, &[data]) as i32);
    set_result(cx, value);
    Ok(value)
}

fn kthread_create_on_node(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(4);
    let name = crate::printk::format::vsnprintf(cx, c.a[3], &mut args, 64)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let site = trace::site(cx);
    let ts = create(cx, c.a[0], c.a[1], &name, site)?;
    Ok(if ts == 0 { neg(errno::ENOMEM) } else { ts })
}

/// A task ends: its result is kept and whoever waits for it in kthread_stop goes on.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) -> R<()> {
    let ts = cx.sched.tasks[tid as usize].ts;
    if let Some(k) = cx.kthread.threads.get_mut(&ts) {
        k.exited = true;
        wake_at(cx, ts, usize::MAX)?;
    }
    Ok(())
}

/// Stores the value that kthread_stop will return.
pub(crate) fn set_result(cx: &mut Cx, value: i64) {
    let tid = sched::current_tid(cx);
    let ts = cx.sched.tasks[tid as usize].ts;
    if let Some(k) = cx.kthread.threads.get_mut(&ts) {
        k.result = value;
    }
}

/// The task_struct goes, and struct kthread with it (free_kthread_struct).
pub(crate) fn on_free(cx: &mut Cx, ts: u64) {
    if let Some(k) = cx.kthread.threads.remove(&ts) {
        let tid = cx.sched.tasks.iter().position(|t| t.ts == ts).unwrap_or(0) as Tid;
        cx.kthread.freed.insert(ts, (tid, k.stops > 0));
    }
}

/// The thread's own reference has gone: who can still name it holds another.
pub(crate) fn on_reap(cx: &mut Cx, ts: u64) {
    if let Some(k) = cx.kthread.threads.get_mut(&ts) {
        k.reaped = true;
    }
}

/// What a stop of a thread whose structure is gone does: the kernel follows freed memory.
fn stop_freed(cx: &mut Cx, ts: u64, function: &'static str) -> R {
    let (tid, stopped) = cx.kthread.freed[&ts];
    let name = cx.sched.tasks[tid as usize].comm.clone();
    let what = if stopped {
        "kthread-stop-twice"
    } else {
        "kthread-stop-exited"
    };
    trace::misuse(cx, what, &name, u64::from(tid), function);
    if cx.profile.kthread_on_stack {
        // The usage count goes 0 to 1 and back: __put_task_struct runs a second time on a task whose
        // credentials are gone, and exit_creds follows a NULL pointer.
        let slot = crate::symbols::address(cx, "exit_creds");
        let slot = cx.slot_at(slot);
        sched::entered(cx, "__put_task_struct");
        let fault = lkm_machine::Fault {
            addr: 0,
            write: false,
        };
        crate::traps::kernel_oops(cx, Stop::Fault(fault), slot);
    }
    crate::traps::warn(cx, "refcount_t: addition on 0; use-after-free.\n", function)?;
    // worker_private was cleared when the structure was freed: the first write through it faults.
    Err(Stop::Fault(lkm_machine::Fault {
        addr: 0,
        write: true,
    }))
}

/// A stop of a task_struct that is another task's by now: told when the caller's module did not make that one.
fn wrong_task(cx: &mut Cx, ts: u64, function: &'static str) {
    let Some(tid) = sched::by_struct(cx, ts) else {
        return;
    };
    let module = |cx: &Cx, pc: u64| crate::module::find_by_addr(cx, pc);
    let caller = module(cx, trace::site(cx).pc);
    let task = &cx.sched.tasks[tid as usize];
    if task.maker != 0 && module(cx, task.maker) == caller {
        return;
    }
    let detail = format!("wrong task stopped: the structure is {}'s now", task.comm);
    trace::misuse(cx, "kthread-stop-exited", &detail, u64::from(tid), function);
}

/// kthread_stop.
pub fn stop(cx: &mut Cx, ts: u64, function: &'static str) -> R {
    if is_err(ts) {
        trace::misuse(
            cx,
            "err-ptr-used",
            &format!("{} was passed to {function}", ts as i64),
            ts,
            function,
        );
    }
    if cx.sched.reused.contains(&ts) {
        wrong_task(cx, ts, function);
    } else if cx.kthread.freed.contains_key(&ts) {
        return stop_freed(cx, ts, function);
    }
    if !cx.kthread.threads.contains_key(&ts) {
        // No thread of ours: the kernel would take a reference first, and fault on a bad pointer.
        let at = ts.wrapping_add(cx.off.task_usage);
        let usage = cx.r32(at)?;
        let flags = cx.r32(ts.wrapping_add(cx.off.task_flags))?;
        if cx.profile.kthread_on_stack {
            cx.w32(at, usage)?;
            return Err(Stop::Fault(lkm_machine::Fault {
                addr: ts,
                write: true,
            }));
        }
        cx.w32(at, usage.wrapping_add(1))?;
        // to_kthread() warns of what is no thread of the kernel, which has no struct kthread either: its first word,
        // the flags, is written.
        if flags & sched::PF_KTHREAD == 0 {
            crate::traps::warn(cx, "", function)?;
        }
        return Err(Stop::Fault(lkm_machine::Fault {
            addr: 0,
            write: true,
        }));
    }
    let usage = ts + cx.off.task_usage;
    let count = cx.r32(usage)?;
    if count == 1
        && let Some(k) = cx.kthread.threads.get(&ts)
        && k.exited
        && !k.reaped
    {
        // The only reference left is the one that goes with the grace period: nothing but luck keeps the
        // structure there.
        let what = if k.stops > 0 {
            "kthread-stop-twice"
        } else {
            "kthread-stop-exited"
        };
        let (name, tid) = sched::by_struct(cx, ts).map_or((String::new(), 0), |tid| {
            (cx.sched.tasks[tid as usize].comm.clone(), tid)
        });
        trace::misuse(cx, what, &name, u64::from(tid), function);
    }
    cx.w32(usage, count.wrapping_add(1))?;
    let started = {
        let Some(k) = cx.kthread.threads.get_mut(&ts) else {
            return Ok(0);
        };
        k.should_stop = true;
        k.stops += 1;
        k.started
    };
    unpark(cx, ts)?;
    if let Some(tid) = sched::by_struct(cx, ts) {
        sched::wake(cx, tid)?;
    }
    if sched::by_struct(cx, ts) == sched::current(cx) {
        // Waiting for its own end: nothing will ever wake it.
        trace::misuse(cx, "recursive", "a thread stops itself", ts, function);
    }
    while !cx.kthread.threads.get(&ts).is_none_or(|k| k.exited) {
        wait_at(cx, ts, sched::UNINTERRUPTIBLE, None, "kthread_stop")?;
    }
    let result = cx.kthread.threads.get(&ts).map_or(0, |k| k.result);
    let result = if started {
        result
    } else {
        i64::from(-errno::EINTR)
    };
    let count = cx.r32(usage)?;
    cx.w32(usage, count.wrapping_sub(1))?;
    if count == 1 {
        crate::mm::task_struct::free(cx, ts)?;
    }
    Ok(result as u64)
}

fn kthread_stop(cx: &mut Cx, c: &Call) -> R {
    stop(cx, c.a[0], "kthread_stop")
}

fn kthread_stop_put(cx: &mut Cx, c: &Call) -> R {
    let result = stop(cx, c.a[0], "kthread_stop_put")?;
    let usage = c.a[0] + cx.off.task_usage;
    let count = cx.r32(usage)?;
    cx.w32(usage, count.wrapping_sub(1))?;
    if count == 1 {
        crate::mm::task_struct::free(cx, c.a[0])?;
    }
    Ok(result)
}

fn mine(cx: &Cx) -> Option<&Kthread> {
    let tid = sched::current(cx)?;
    cx.kthread.threads.get(&cx.sched.tasks[tid as usize].ts)
}

/// Whether the running task is a thread that was asked to stop or park.
pub(crate) fn should_stop_or_park(cx: &Cx) -> bool {
    mine(cx).is_some_and(|k| k.should_stop || k.should_park)
}

/// Whether the running task is a thread that was asked to stop.
pub(crate) fn should_stop(cx: &Cx) -> bool {
    mine(cx).is_some_and(|k| k.should_stop)
}

fn kthread_should_stop(cx: &mut Cx, _: &Call) -> R {
    Ok(u64::from(mine(cx).is_some_and(|k| k.should_stop)))
}

fn kthread_should_park(cx: &mut Cx, _: &Call) -> R {
    Ok(u64::from(mine(cx).is_some_and(|k| k.should_park)))
}

fn kthread_park(cx: &mut Cx, c: &Call) -> R {
    let ts = c.a[0];
    let Some(k) = cx.kthread.threads.get_mut(&ts) else {
        cx.r32(ts.wrapping_add(cx.off.task_flags))?;
        return Ok(neg(errno::ENOSYS));
    };
    if k.exited {
        crate::traps::warn(cx, "", "kthread_park")?;
        return Ok(neg(errno::ENOSYS));
    }
    if k.should_park {
        if cx.profile.kthread_on_stack {
            return Ok(0);
        }
        crate::traps::warn(cx, "", "kthread_park")?;
        return Ok(neg(errno::EBUSY));
    }
    k.should_park = true;
    if let Some(tid) = sched::by_struct(cx, ts) {
        sched::wake(cx, tid)?;
    }
    while cx
        .kthread
        .threads
        .get(&ts)
        .is_some_and(|k| !k.parked && !k.exited)
    {
        if wait_at(cx, ts + 1, sched::UNINTERRUPTIBLE, None, "kthread_park")? != Woken::Normally {
            break;
        }
    }
    Ok(0)
}

fn unpark(cx: &mut Cx, ts: u64) -> R<()> {
    if let Some(k) = cx.kthread.threads.get_mut(&ts)
        && k.should_park
    {
        k.should_park = false;
        wake_at(cx, ts + 2, usize::MAX)?;
    }
    Ok(())
}

fn kthread_unpark(cx: &mut Cx, c: &Call) -> R {
    unpark(cx, c.a[0])?;
    Ok(0)
}

fn parkme(cx: &mut Cx, ts: u64) -> R<()> {
    while cx.kthread.threads.get(&ts).is_some_and(|k| k.should_park) {
        if let Some(k) = cx.kthread.threads.get_mut(&ts) {
            k.parked = true;
        }
        wake_at(cx, ts + 1, usize::MAX)?;
        wait_at(cx, ts + 2, sched::UNINTERRUPTIBLE, None, "kthread_parkme")?;
    }
    if let Some(k) = cx.kthread.threads.get_mut(&ts) {
        k.parked = false;
    }
    Ok(())
}

fn kthread_parkme(cx: &mut Cx, _: &Call) -> R {
    let tid = sched::current_tid(cx);
    let ts = cx.sched.tasks[tid as usize].ts;
    parkme(cx, ts)?;
    Ok(0)
}

fn kthread_bind(cx: &mut Cx, c: &Call) -> R {
    if cx.kthread.threads.get(&c.a[0]).is_none_or(|k| k.started) {
        crate::traps::warn(cx, "", "kthread_bind")?;
    }
    Ok(0)
}

fn kthread_data(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.kthread.threads.get(&c.a[0]).map_or(0, |k| k.data))
}

fn kthread_func(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.kthread.threads.get(&c.a[0]).map_or(0, |k| k.function))
}

fn kthread_freezable_should_stop(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        cx.w8(c.a[0], 0)?;
    }
    Ok(u64::from(should_stop(cx)))
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// The name's one `%u` is the CPU, of which there is one.
fn kthread_create_on_cpu(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[3])?.replace("%u", "0").replace("%d", "0");
    let site = trace::site(cx);
    let ts = create(cx, c.a[0], c.a[1], &name, site)?;
    Ok(if ts == 0 { neg(errno::ENOMEM) } else { ts })
}

fn kthread_exit(cx: &mut Cx, c: &Call) -> R {
    set_result(cx, c.a[0] as i64);
    sched::exit(cx, TaskEnd::Exited, c.a[0] as i64)
}

fn kthread_complete_and_exit(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        crate::sched::completion::complete(cx, c.a[0])?;
    }
    set_result(cx, c.a[1] as i64);
    sched::exit(cx, TaskEnd::Exited, c.a[1] as i64)
}

fn module_put_and_exit(cx: &mut Cx, c: &Call) -> R {
    crate::module::refs::put(cx, c.a[0], "module_put_and_kthread_exit")?;
    set_result(cx, c.a[1] as i64);
    sched::exit(cx, TaskEnd::Exited, c.a[1] as i64)
}
