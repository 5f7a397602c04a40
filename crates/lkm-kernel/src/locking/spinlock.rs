//! Spin locks (kernel/locking/spinlock.c): the guest's word is 1 while the lock is taken, preempt_count and
//! the interrupt flag follow. On one CPU a taken lock can only be released by a task that was wrongly
//! suspended with it: others run, and when that does not help the spinning is a deadlock.

use super::{first_time, gave, holder, took};
use crate::abi::{Call, R};
use crate::context::{self, SOFTIRQ_DISABLE};
use crate::sched;
use crate::table::{Row, behaves};
use crate::{Cx, trace};
use lkm_trace::LockOp;

pub(crate) const ROWS: &[Row] = &[
    behaves("_raw_spin_lock", lock),
    behaves("_raw_spin_lock_nested", lock),
    behaves("_raw_spin_lock_nest_lock", lock),
    behaves("_raw_spin_lock_irq", lock_irq),
    behaves("_raw_spin_lock_irqsave", lock_irqsave),
    behaves("_raw_spin_lock_irqsave_nested", lock_irqsave),
    behaves("_raw_spin_lock_bh", lock_bh),
    behaves("_raw_spin_trylock", trylock),
    behaves("_raw_spin_trylock_bh", trylock_bh),
    behaves("_raw_spin_unlock", unlock),
    behaves("_raw_spin_unlock_irq", unlock_irq),
    behaves("_raw_spin_unlock_irqrestore", unlock_irqrestore),
    behaves("_raw_spin_unlock_bh", unlock_bh),
    behaves("queued_spin_lock_slowpath", slowpath),
    behaves("native_queued_spin_lock_slowpath", slowpath),
    behaves("_atomic_dec_and_lock", atomic_dec_and_lock),
    behaves("_atomic_dec_and_lock_irqsave", atomic_dec_and_lock_irqsave),
    behaves("atomic_dec_and_raw_lock", atomic_dec_and_lock),
    behaves("in_lock_functions", in_lock_functions),
];

const KIND: &str = "spinlock";
/// Yields to others before a taken lock counts as a deadlock.
const PATIENCE: u32 = 200;

/// Which context the lock functions change beside the preemption count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Irq,
    Bh,
}

/// Enters the context of a lock: what must be restored later.
pub(super) fn enter(cx: &mut Cx, mode: Mode) -> u64 {
    let flags = context::save(cx).1;
    match mode {
        Mode::Irq => {
            context::set_irqs(cx, false);
            context::add(cx, 1);
        }
        // spin_lock_bh counts softirqs off and preemption off in one.
        Mode::Bh => context::add(cx, (SOFTIRQ_DISABLE + 1) as i32),
        Mode::Plain => context::add(cx, 1),
    }
    flags
}

/// Leaves it.
pub(super) fn exit(cx: &mut Cx, mode: Mode) {
    match mode {
        Mode::Irq => {
            context::set_irqs(cx, true);
            context::add(cx, -1);
        }
        Mode::Bh => context::add(cx, -((SOFTIRQ_DISABLE + 1) as i32)),
        Mode::Plain => context::add(cx, -1),
    }
}

/// Waits, spinning, until `free`; a wait that nothing can end stops the task.
pub(super) fn spin(
    cx: &mut Cx,
    key: u64,
    kind: &'static str,
    function: &'static str,
    free: impl Fn(&Cx) -> R<bool>,
) -> R<()> {
    let me = sched::current_tid(cx);
    let holder = holder(cx, key);
    if holder == Some(me) {
        trace::misuse(cx, "recursive", kind, key, function);
        crate::traps::lockup(cx, "the lock that it holds itself");
    }
    super::tell_holder(cx, key);
    let alive = holder.is_some_and(|tid| !cx.sched.tasks[tid as usize].dead);
    if alive && cx.sched.irq != Some(me) {
        for _ in 0..PATIENCE {
            crate::time::pass(cx, 100_000);
            sched::let_others(cx);
            if free(cx)? {
                return Ok(());
            }
        }
    }
    let who = holder.map_or_else(
        || format!("a {kind} that nobody is known to hold"),
        |tid| {
            let task = &cx.sched.tasks[tid as usize];
            format!("a {kind} held by {}/{}", task.comm, task.pid)
        },
    );
    trace::misuse(cx, "livelock", &format!("spins for {who}"), key, function);
    crate::traps::lockup(cx, &who)
}

/// Takes the word; the context has been entered.
pub(super) fn acquire(cx: &mut Cx, key: u64, function: &'static str) -> R<()> {
    let word = cx.r32(key)?;
    if word == 0x5a5a_5a5a && first_time(cx, "uninitialised", key) {
        trace::misuse(cx, "uninitialised", KIND, key, function);
    } else if word != 0 {
        spin(cx, key, KIND, function, |cx| Ok(cx.r32(key)? == 0))?;
    }
    cx.w32(key, 1)?;
    super::usage::check(cx, key, function);
    took(cx, key, KIND, LockOp::Acquire);
    Ok(())
}

pub(super) fn release(cx: &mut Cx, key: u64, function: &'static str) -> R<()> {
    if cx.r32(key)? == 0 {
        trace::misuse(cx, "unlock-unlocked", KIND, key, function);
    } else {
        cx.w32(key, 0)?;
        gave(cx, key, KIND);
    }
    Ok(())
}

fn lock(cx: &mut Cx, c: &Call) -> R {
    enter(cx, Mode::Plain);
    acquire(cx, c.a[0], "spin_lock")?;
    Ok(0)
}

fn lock_irq(cx: &mut Cx, c: &Call) -> R {
    enter(cx, Mode::Irq);
    acquire(cx, c.a[0], "spin_lock_irq")?;
    Ok(0)
}

fn lock_irqsave(cx: &mut Cx, c: &Call) -> R {
    let flags = enter(cx, Mode::Irq);
    acquire(cx, c.a[0], "spin_lock_irqsave")?;
    Ok(flags)
}

fn lock_bh(cx: &mut Cx, c: &Call) -> R {
    enter(cx, Mode::Bh);
    acquire(cx, c.a[0], "spin_lock_bh")?;
    Ok(0)
}

fn try_in(cx: &mut Cx, key: u64, mode: Mode) -> R {
    if cx.r32(key)? != 0 {
        return Ok(0);
    }
    enter(cx, mode);
    cx.w32(key, 1)?;
    took(cx, key, KIND, LockOp::TryAcquire);
    Ok(1)
}

fn trylock(cx: &mut Cx, c: &Call) -> R {
    try_in(cx, c.a[0], Mode::Plain)
}

fn trylock_bh(cx: &mut Cx, c: &Call) -> R {
    try_in(cx, c.a[0], Mode::Bh)
}

fn unlock(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0], "spin_unlock")?;
    exit(cx, Mode::Plain);
    Ok(0)
}

fn unlock_irq(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0], "spin_unlock_irq")?;
    exit(cx, Mode::Irq);
    Ok(0)
}

fn unlock_irqrestore(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0], "spin_unlock_irqrestore")?;
    context::set_irqs(cx, c.a[1] & 0x200 != 0);
    context::add(cx, -1);
    Ok(0)
}

fn unlock_bh(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0], "spin_unlock_bh")?;
    exit(cx, Mode::Bh);
    Ok(0)
}

/// Inline lockers come here when the word was not 0; preemption is off already.
fn slowpath(cx: &mut Cx, c: &Call) -> R {
    acquire(cx, c.a[0], "spin_lock")?;
    Ok(0)
}

fn atomic_dec_and_lock(cx: &mut Cx, c: &Call) -> R {
    let count = cx.r32(c.a[0])?;
    if count != 1 {
        cx.w32(c.a[0], count.wrapping_sub(1))?;
        return Ok(0);
    }
    enter(cx, Mode::Plain);
    acquire(cx, c.a[1], "atomic_dec_and_lock")?;
    cx.w32(c.a[0], 0)?;
    Ok(1)
}

fn atomic_dec_and_lock_irqsave(cx: &mut Cx, c: &Call) -> R {
    let count = cx.r32(c.a[0])?;
    if count != 1 {
        cx.w32(c.a[0], count.wrapping_sub(1))?;
        return Ok(0);
    }
    let flags = enter(cx, Mode::Irq);
    cx.w64(c.a[2], flags)?;
    acquire(cx, c.a[1], "atomic_dec_and_lock_irqsave")?;
    cx.w32(c.a[0], 0)?;
    Ok(1)
}

fn in_lock_functions(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}
