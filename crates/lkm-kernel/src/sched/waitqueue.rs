//! Wait queues (kernel/sched/wait.c): heads and entries are lists in guest memory, since wait_event and its
//! kin are built from these calls in the caller; wake functions may be the guest's own.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::sched::{self, INTERRUPTIBLE, NORMAL, RUNNING};
use crate::table::{Row, behaves};
use crate::util::{list_add, list_add_tail, list_del, list_del_init, list_init};

pub(crate) const ROWS: &[Row] = &[
    behaves("__init_waitqueue_head", init_waitqueue_head),
    behaves("init_wait_entry", init_wait_entry),
    behaves("prepare_to_wait", prepare_to_wait),
    behaves("prepare_to_wait_exclusive", prepare_to_wait_exclusive),
    behaves("prepare_to_wait_event", prepare_to_wait_event),
    behaves("finish_wait", fn_finish_wait),
    behaves("add_wait_queue", add_wait_queue),
    behaves("add_wait_queue_exclusive", add_wait_queue_exclusive),
    behaves("add_wait_queue_priority", add_wait_queue_priority),
    behaves("remove_wait_queue", remove_wait_queue),
    behaves("do_wait_intr", do_wait_intr).sleeps(),
    behaves("do_wait_intr_irq", do_wait_intr),
    behaves("autoremove_wake_function", autoremove_wake_function),
    behaves("default_wake_function", default_wake_function),
    behaves("woken_wake_function", woken_wake_function),
    behaves("wait_woken", wait_woken).sleeps(),
    behaves("__wake_up", fn_wake_up),
    behaves("__wake_up_on_current_cpu", fn_wake_up),
    behaves("__wake_up_locked", wake_up_locked),
    behaves("__wake_up_locked_key", wake_up_locked_key),
    behaves("__wake_up_locked_key_bookmark", wake_up_locked_key),
    behaves("__wake_up_sync", wake_up_sync),
    behaves("__wake_up_sync_key", wake_up_sync_key),
    behaves("__wake_up_locked_sync_key", wake_up_sync_key),
    behaves("__wake_up_pollfree", wake_up_pollfree),
];

const EXCLUSIVE: u32 = 1;
const WOKEN: u32 = 2;
const PRIORITY: u32 = 0x20;
const POLLFREE: u64 = 0x4000;
/// Entries looked at in one wake-up; a broken list ends.
const MAX_ENTRIES: u32 = 100_000;

fn current_ts(cx: &Cx) -> u64 {
    cx.sched.tasks[sched::current_tid(cx) as usize].ts
}

fn head(cx: &Cx, wq: u64) -> u64 {
    wq + cx.off.wqh_head
}

/// Remembers for reports what the running task is about to wait for.
fn waits_on(cx: &mut Cx, wq: u64) {
    let tid = sched::current_tid(cx);
    cx.sched.tasks[tid as usize].wait_queue = wq;
}

fn init_waitqueue_head(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], 0)?;
    list_init(cx, head(cx, c.a[0]))?;
    Ok(0)
}

/// Fills an entry for the running task.
pub(super) fn fill(cx: &mut Cx, entry: u64, flags: u32, func: &'static str) -> R<()> {
    let func = crate::symbols::address(cx, func);
    cx.w32(entry + cx.off.wqe_flags, flags)?;
    let ts = current_ts(cx);
    cx.w64(entry + cx.off.wqe_private, ts)?;
    cx.w64(entry + cx.off.wqe_func, func)?;
    list_init(cx, entry + cx.off.wqe_entry)
}

fn init_wait_entry(cx: &mut Cx, c: &Call) -> R {
    fill(cx, c.a[0], c.a[1] as u32, "autoremove_wake_function")?;
    Ok(0)
}

fn queued(cx: &Cx, entry: u64) -> R<bool> {
    let node = entry + cx.off.wqe_entry;
    Ok(cx.r64(node)? != node)
}

/// Ordinary waiters go behind those of a priority, at the front; exclusive ones to the end.
pub(super) fn link(cx: &mut Cx, wq: u64, entry: u64, exclusive: bool) -> R<()> {
    let at = entry + cx.off.wqe_flags;
    let flags = cx.r32(at)?;
    cx.w32(
        at,
        if exclusive {
            flags | EXCLUSIVE
        } else {
            flags & !EXCLUSIVE
        },
    )?;
    let (node, head) = (entry + cx.off.wqe_entry, head(cx, wq));
    if exclusive {
        return list_add_tail(cx, node, head);
    }
    let mut after = head;
    for _ in 0..MAX_ENTRIES {
        let next = cx.r64(after)?;
        if next == head || cx.r32(next - cx.off.wqe_entry + cx.off.wqe_flags)? & PRIORITY == 0 {
            break;
        }
        after = next;
    }
    list_add(cx, node, after)
}

fn prepare_to_wait(cx: &mut Cx, c: &Call) -> R {
    let [wq, entry, state, ..] = c.a;
    if !queued(cx, entry)? {
        link(cx, wq, entry, false)?;
    }
    waits_on(cx, wq);
    sched::set_state(cx, state as u32)?;
    Ok(0)
}

fn prepare_to_wait_exclusive(cx: &mut Cx, c: &Call) -> R {
    let [wq, entry, state, ..] = c.a;
    let head = head(cx, wq);
    let mut was_empty = false;
    if !queued(cx, entry)? {
        was_empty = cx.r64(head)? == head;
        link(cx, wq, entry, true)?;
    }
    waits_on(cx, wq);
    sched::set_state(cx, state as u32)?;
    Ok(u64::from(was_empty))
}

/// One round of wait_event: queued and in `state`, or -ERESTARTSYS and off the queue.
pub(super) fn prepare(cx: &mut Cx, wq: u64, entry: u64, state: u32) -> R {
    let tid = sched::current_tid(cx);
    if sched::interrupted(cx, tid, state) {
        if queued(cx, entry)? {
            list_del_init(cx, entry + cx.off.wqe_entry)?;
        }
        return Ok(neg(errno::ERESTARTSYS));
    }
    if !queued(cx, entry)? {
        let exclusive = cx.r32(entry + cx.off.wqe_flags)? & EXCLUSIVE != 0;
        link(cx, wq, entry, exclusive)?;
    }
    waits_on(cx, wq);
    sched::set_state(cx, state)?;
    Ok(0)
}

fn prepare_to_wait_event(cx: &mut Cx, c: &Call) -> R {
    prepare(cx, c.a[0], c.a[1], c.a[2] as u32)
}

/// The wait is over: the task runs, the entry is off the queue.
pub(super) fn finish(cx: &mut Cx, entry: u64) -> R<()> {
    sched::set_state(cx, RUNNING)?;
    waits_on(cx, 0);
    if queued(cx, entry)? {
        list_del_init(cx, entry + cx.off.wqe_entry)?;
    }
    Ok(())
}

fn fn_finish_wait(cx: &mut Cx, c: &Call) -> R {
    finish(cx, c.a[1])?;
    Ok(0)
}

fn add_wait_queue(cx: &mut Cx, c: &Call) -> R {
    link(cx, c.a[0], c.a[1], false)?;
    waits_on(cx, c.a[0]);
    Ok(0)
}

fn add_wait_queue_exclusive(cx: &mut Cx, c: &Call) -> R {
    link(cx, c.a[0], c.a[1], true)?;
    waits_on(cx, c.a[0]);
    Ok(0)
}

fn add_wait_queue_priority(cx: &mut Cx, c: &Call) -> R {
    let [wq, entry, ..] = c.a;
    let at = entry + cx.off.wqe_flags;
    let flags = cx.r32(at)?;
    cx.w32(at, flags | EXCLUSIVE | PRIORITY)?;
    list_add(cx, entry + cx.off.wqe_entry, head(cx, wq))?;
    Ok(0)
}

fn remove_wait_queue(cx: &mut Cx, c: &Call) -> R {
    list_del(cx, c.a[1] + cx.off.wqe_entry)?;
    waits_on(cx, 0);
    Ok(0)
}

fn do_wait_intr(cx: &mut Cx, c: &Call) -> R {
    let [wq, entry, ..] = c.a;
    if !queued(cx, entry)? {
        list_add_tail(cx, entry + cx.off.wqe_entry, head(cx, wq))?;
    }
    sched::set_state(cx, INTERRUPTIBLE)?;
    let tid = sched::current_tid(cx);
    if sched::signal_pending(cx, tid) {
        return Ok(neg(errno::ERESTARTSYS));
    }
    // The caller holds the queue's lock; it is dropped around the sleep.
    cx.w32(wq, 0)?;
    let preempt = crate::context::preempt_count(cx);
    crate::context::add(cx, -(preempt as i32));
    sched::schedule(cx, "wait_event", wq)?;
    crate::context::add(cx, preempt as i32);
    cx.w32(wq, 1)?;
    Ok(0)
}

fn default_wake(cx: &mut Cx, entry: u64, mode: u32) -> R<bool> {
    let task = cx.r64(entry + cx.off.wqe_private)?;
    match sched::by_struct(cx, task) {
        Some(tid) => sched::wake_state(cx, tid, mode),
        None => {
            // Not a live task: the kernel would touch its state word.
            cx.r32(task.wrapping_add(cx.off.task_state))?;
            Ok(false)
        }
    }
}

fn autoremove(cx: &mut Cx, entry: u64, mode: u32) -> R<bool> {
    let woken = default_wake(cx, entry, mode)?;
    if woken {
        list_del_init(cx, entry + cx.off.wqe_entry)?;
    }
    Ok(woken)
}

fn woken_wake(cx: &mut Cx, entry: u64, mode: u32) -> R<bool> {
    let at = entry + cx.off.wqe_flags;
    let flags = cx.r32(at)?;
    cx.w32(at, flags | WOKEN)?;
    default_wake(cx, entry, mode)
}

fn default_wake_function(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(default_wake(cx, c.a[0], c.a[1] as u32)?))
}

fn autoremove_wake_function(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(autoremove(cx, c.a[0], c.a[1] as u32)?))
}

fn woken_wake_function(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(woken_wake(cx, c.a[0], c.a[1] as u32)?))
}

fn wait_woken(cx: &mut Cx, c: &Call) -> R {
    let [entry, mode, timeout, ..] = c.a;
    let at = entry + cx.off.wqe_flags;
    sched::set_state(cx, mode as u32)?;
    let mut left = timeout;
    if cx.r32(at)? & WOKEN == 0 && !crate::kthread::should_stop_or_park(cx) {
        left = sched::timeout_in(cx, timeout)?;
    }
    sched::set_state(cx, RUNNING)?;
    let flags = cx.r32(at)?;
    cx.w32(at, flags & !WOKEN)?;
    Ok(left)
}

/// Wakes waiters on the queue at `wq`: all that are not exclusive, and `exclusive` of those that are (0: all).
pub(crate) fn wake_up(
    cx: &mut Cx,
    wq: u64,
    mode: u32,
    exclusive: u32,
    flags: u64,
    key: u64,
) -> R<()> {
    let head = head(cx, wq);
    let own = [
        "autoremove_wake_function",
        "default_wake_function",
        "woken_wake_function",
    ]
    .map(|name| crate::symbols::address(cx, name));
    let mut left = exclusive;
    let mut node = cx.r64(head)?;
    for _ in 0..MAX_ENTRIES {
        if node == head {
            break;
        }
        let next = cx.r64(node)?;
        let entry = node - cx.off.wqe_entry;
        let entry_flags = cx.r32(entry + cx.off.wqe_flags)?;
        let func = cx.r64(entry + cx.off.wqe_func)?;
        let result = if func == own[0] {
            i32::from(autoremove(cx, entry, mode)?)
        } else if func == own[1] {
            i32::from(default_wake(cx, entry, mode)?)
        } else if func == own[2] {
            i32::from(woken_wake(cx, entry, mode)?)
        } else {
            cx.call_guest(func, &[entry, u64::from(mode), flags, key]) as i32
        };
        if result < 0 {
            break;
        }
        if result != 0 && entry_flags & EXCLUSIVE != 0 {
            left = left.wrapping_sub(1);
            if left == 0 {
                break;
            }
        }
        node = next;
    }
    Ok(())
}

fn fn_wake_up(cx: &mut Cx, c: &Call) -> R {
    wake_up(cx, c.a[0], c.a[1] as u32, c.a[2] as u32, 0, c.a[3])?;
    Ok(0)
}

fn wake_up_locked(cx: &mut Cx, c: &Call) -> R {
    wake_up(cx, c.a[0], c.a[1] as u32, c.a[2] as u32, 0, 0)?;
    Ok(0)
}

fn wake_up_locked_key(cx: &mut Cx, c: &Call) -> R {
    wake_up(cx, c.a[0], c.a[1] as u32, 1, 0, c.a[2])?;
    Ok(0)
}

fn wake_up_sync(cx: &mut Cx, c: &Call) -> R {
    wake_up(cx, c.a[0], c.a[1] as u32, 1, 0x10, 0)?;
    Ok(0)
}

fn wake_up_sync_key(cx: &mut Cx, c: &Call) -> R {
    wake_up(cx, c.a[0], c.a[1] as u32, 1, 0x10, c.a[2])?;
    Ok(0)
}

fn wake_up_pollfree(cx: &mut Cx, c: &Call) -> R {
    wake_up(cx, c.a[0], NORMAL, 0, 0, POLLFREE)?;
    Ok(0)
}
