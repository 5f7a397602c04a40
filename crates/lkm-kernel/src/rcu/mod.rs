//! RCU (kernel/rcu/): a grace period is some virtual milliseconds, longer while a task is inside a read-side
//! critical section; callbacks run in softirq context after it.

pub(crate) mod srcu;

use crate::abi::{Call, R};
use crate::hash::Map;
use crate::sched::{self, Tid, UNINTERRUPTIBLE};
use crate::table::{Row, behaves};
use crate::{Cx, audit, time, trace};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("__rcu_read_lock", read_lock),
    behaves("__rcu_read_unlock", read_unlock),
    behaves("rcu_read_unlock_strict", nothing),
    behaves("call_rcu", call_rcu),
    behaves("call_rcu_hurry", call_rcu),
    behaves("call_rcu_tasks", call_rcu),
    behaves("call_rcu_tasks_trace", call_rcu),
    behaves("kvfree_call_rcu", kvfree_call_rcu),
    behaves("synchronize_rcu", synchronize_rcu).sleeps(),
    behaves("synchronize_rcu_expedited", synchronize_rcu).sleeps(),
    behaves("synchronize_rcu_tasks", synchronize_rcu).sleeps(),
    behaves("synchronize_rcu_tasks_rude", synchronize_rcu).sleeps(),
    behaves("synchronize_rcu_tasks_trace", synchronize_rcu).sleeps(),
    behaves("synchronize_net", synchronize_rcu).sleeps(),
    behaves("rcu_barrier", rcu_barrier).sleeps(),
    behaves("rcu_barrier_tasks", rcu_barrier).sleeps(),
    behaves("rcu_barrier_tasks_trace", rcu_barrier).sleeps(),
    behaves("kvfree_rcu_barrier", rcu_barrier).sleeps(),
    behaves("get_state_synchronize_rcu", get_state),
    behaves("start_poll_synchronize_rcu", get_state),
    behaves("poll_state_synchronize_rcu", poll_state),
    behaves("cond_synchronize_rcu", cond_synchronize).sleeps(),
    behaves("cond_synchronize_rcu_expedited", cond_synchronize).sleeps(),
    behaves("rcu_is_watching", yes),
    behaves("rcu_read_lock_held", yes),
    behaves("rcu_read_lock_bh_held", yes),
    behaves("rcu_read_lock_sched_held", yes),
    behaves("rcu_read_lock_any_held", yes),
    behaves("debug_lockdep_rcu_enabled", nothing),
    behaves("rcu_gp_is_normal", nothing),
    behaves("rcu_gp_is_expedited", nothing),
    behaves("rcu_expedite_gp", nothing),
    behaves("rcu_unexpedite_gp", nothing),
    behaves("rcu_momentary_dyntick_idle", nothing),
    behaves("rcu_all_qs", nothing),
    behaves("rcu_idle_enter", nothing),
    behaves("rcu_idle_exit", nothing),
    behaves("wakeme_after_rcu", wakeme_after_rcu),
    behaves("__wait_rcu_gp", wait_rcu_gp).sleeps(),
];

/// What waits for a grace period.
enum Waiting {
    /// A callback of the guest: its rcu_head.
    Callback(u64),
    /// Memory to free, and its rcu_head (0: none).
    Free(u64),
    /// Something of the kernel's own.
    Job(Box<dyn FnOnce(&mut Cx) -> R<()>>),
}

/// Readers and what waits for them.
#[derive(Default)]
pub struct State {
    readers: Map<Tid, u32>,
    waiting: BTreeMap<u64, Waiting>,
    seq: u64,
}

/// A grace period without readers in the way.
const GRACE: u64 = 12_000_000;
/// How soon a held-up one is looked at again.
const RETRY: u64 = 4_000_000;

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn yes(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn read_lock(cx: &mut Cx, _: &Call) -> R {
    let tid = sched::current_tid(cx);
    *cx.rcu.readers.entry(tid).or_insert(0) += 1;
    Ok(0)
}

fn read_unlock(cx: &mut Cx, _: &Call) -> R {
    let tid = sched::current_tid(cx);
    match cx.rcu.readers.get_mut(&tid) {
        Some(depth) if *depth > 1 => *depth -= 1,
        Some(_) => {
            cx.rcu.readers.remove(&tid);
        }
        None => trace::misuse(
            cx,
            "unlock-unlocked",
            "rcu_read_unlock without rcu_read_lock",
            0,
            "rcu_read_unlock",
        ),
    }
    Ok(0)
}

/// How many read-side critical sections the running task is inside of.
pub(crate) fn depth(cx: &Cx) -> u32 {
    let tid = sched::current_tid(cx);
    cx.rcu.readers.get(&tid).copied().unwrap_or(0)
}

/// A callback that began at depth `before` has returned: what it left locked is told and unlocked. `function`: the
/// callback, or 0 for where the task is.
pub(crate) fn balance(cx: &mut Cx, before: u32, which: &str, function: u64) {
    let after = depth(cx);
    if after <= before {
        return;
    }
    let detail = format!("{which} returned inside of an RCU read-side critical section");
    let site = match function {
        0 => trace::site(cx),
        _ => trace::place(function),
    };
    trace::misuse_at(cx, "rcu-imbalance", &detail, 0, which, site);
    let tid = sched::current_tid(cx);
    if before == 0 {
        cx.rcu.readers.remove(&tid);
    } else {
        cx.rcu.readers.insert(tid, before);
    }
}

/// A task blocks: inside of a read-side critical section it may not (rcu_note_context_switch).
pub(crate) fn blocking(cx: &mut Cx) {
    let tid = sched::current_tid(cx);
    if !cx.rcu.readers.contains_key(&tid) || trace::told(cx, "rcu-blocking") {
        return;
    }
    trace::misuse(
        cx,
        "sleep-in-atomic",
        "inside of an RCU read-side critical section",
        0,
        "schedule",
    );
    let text = "Voluntary context switch within RCU read-side critical section!\n";
    let _ = crate::traps::warn(cx, text, "rcu_note_context_switch");
}

/// Whether any task is inside of a read-side critical section.
pub(crate) fn reading(cx: &Cx) -> bool {
    !cx.rcu.readers.is_empty()
}

/// A task has ended: what it read under is forgotten, as exit_rcu does.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) {
    if !cx.sched.tasks[tid as usize].oopsed {
        balance(cx, 0, "do_exit", 0);
    }
    cx.rcu.readers.remove(&tid);
}

fn enqueue(cx: &mut Cx, what: Waiting) -> u64 {
    cx.rcu.seq += 1;
    let seq = cx.rcu.seq;
    cx.rcu.waiting.insert(seq, what);
    let when = cx.clock.now + GRACE;
    time::at(cx, when, grace_over, seq, 0);
    seq
}

/// Runs a job of the kernel's after a grace period, in softirq context.
pub(crate) fn after_grace_period(cx: &mut Cx, job: Box<dyn FnOnce(&mut Cx) -> R<()>>) {
    enqueue(cx, Waiting::Job(job));
}

/// A grace period may be over (rcu_do_batch).
fn grace_over(cx: &mut Cx, seq: u64, late: u64) -> R<()> {
    if !cx.rcu.readers.is_empty() {
        let when = cx.clock.now + RETRY;
        time::at(cx, when, grace_over, seq, late);
        return Ok(());
    }
    // The end of a grace period is not when its callbacks have run: another processor's may come later, each after
    // those that were queued before it, and only rcu_barrier waits for them.
    let mut earlier = cx.rcu.waiting.range(..seq).map(|(_, what)| what);
    let behind = earlier.any(|what| matches!(what, Waiting::Callback(_)));
    let callback = matches!(cx.rcu.waiting.get(&seq), Some(Waiting::Callback(_)));
    if callback && (behind || late == 0 && crate::choice::callback_waits(cx)) {
        let when = cx.clock.now + if behind { RETRY } else { GRACE };
        time::at(cx, when, grace_over, seq, 1);
        return Ok(());
    }
    let Some(what) = cx.rcu.waiting.remove(&seq) else {
        return Ok(());
    };
    sched::entered(cx, "rcu_do_batch");
    match what {
        Waiting::Callback(head) => {
            audit::running(cx, "rcu callback", head);
            let func = cx.r64(head + cx.off.rcu_head_func)?;
            cx.call_guest(func, &[head]);
            audit::ran(cx, "rcu callback", head);
        }
        Waiting::Free(ptr) => crate::mm::slab::free(cx, ptr, "kfree_rcu")?,
        Waiting::Job(job) => job(cx)?,
    }
    sched::left(cx);
    Ok(())
}

fn call_rcu(cx: &mut Cx, c: &Call) -> R {
    let [head, func, ..] = c.a;
    let twice = cx
        .rcu
        .waiting
        .values()
        .any(|w| matches!(w, Waiting::Callback(h) if *h == head));
    if twice {
        trace::misuse(cx, "duplicate", "a waiting rcu_head", head, "call_rcu");
    }
    cx.w64(head + cx.off.rcu_head_func, func)?;
    cx.w64(head, 0)?;
    audit::arm(cx, "rcu callback", head, func, "");
    enqueue(cx, Waiting::Callback(head));
    Ok(0)
}

/// (head, offset of the head) up to 6.1, (head, object) later; without a head the object itself, and the
/// caller may sleep.
fn kvfree_call_rcu(cx: &mut Cx, c: &Call) -> R {
    let [head, func, ..] = c.a;
    if head == 0 {
        crate::context::may_sleep(cx, "kvfree_rcu");
    }
    let ptr = if head != 0 && func < 4096 {
        head - func
    } else {
        func
    };
    cx.r64(ptr)?;
    enqueue(cx, Waiting::Free(ptr));
    Ok(0)
}

/// Waits for a grace period.
pub(crate) fn synchronize(cx: &mut Cx, function: &'static str) -> R<()> {
    let tid = sched::current_tid(cx);
    if cx.rcu.readers.contains_key(&tid) {
        let detail = "waits for a grace period inside of a read-side critical section";
        trace::misuse(cx, "recursive", detail, 0, function);
    }
    sched::sleep(cx, UNINTERRUPTIBLE, GRACE, function)?;
    while !cx.rcu.readers.is_empty() {
        sched::sleep(cx, UNINTERRUPTIBLE, RETRY, function)?;
        if cx.clock.now > 1 << 60 {
            break;
        }
    }
    Ok(())
}

fn synchronize_rcu(cx: &mut Cx, _: &Call) -> R {
    synchronize(cx, "synchronize_rcu")?;
    Ok(0)
}

/// Waits for all callbacks that were queued before.
pub(crate) fn barrier(cx: &mut Cx) -> R<()> {
    let upto = cx.rcu.seq;
    while cx.rcu.waiting.keys().next().is_some_and(|&seq| seq <= upto) {
        sched::sleep(cx, UNINTERRUPTIBLE, RETRY, "rcu_barrier")?;
    }
    Ok(())
}

fn rcu_barrier(cx: &mut Cx, _: &Call) -> R {
    barrier(cx)?;
    Ok(0)
}

/// A cookie: the time at which a grace period begun now is over.
fn get_state(cx: &mut Cx, _: &Call) -> R {
    Ok(cx.clock.now + GRACE)
}

fn poll_state(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(
        cx.clock.now >= c.a[0] && cx.rcu.readers.is_empty(),
    ))
}

fn cond_synchronize(cx: &mut Cx, c: &Call) -> R {
    if cx.clock.now < c.a[0] {
        synchronize(cx, "cond_synchronize_rcu")?;
    }
    Ok(0)
}

/// struct rcu_synchronize: an rcu_head, then the completion.
fn wakeme_after_rcu(cx: &mut Cx, c: &Call) -> R {
    sched::completion::complete(cx, c.a[0] + 16)?;
    Ok(0)
}

fn wait_rcu_gp(cx: &mut Cx, _: &Call) -> R {
    synchronize(cx, "synchronize_rcu")?;
    Ok(0)
}
