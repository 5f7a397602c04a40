//! Locks taken when a count falls to zero (lib/refcount.c), locks dropped around a reschedule
//! (kernel/sched/core.c), and the kernel's own big mutexes that modules take by function.

use super::{mutex, spinlock};
use crate::abi::{Call, R};
use crate::hash::Map;
use crate::sched::{self, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};
use crate::{Cx, data};

pub(crate) const ROWS: &[Row] = &[
    behaves("refcount_dec_and_mutex_lock", refcount_dec_and_mutex_lock),
    behaves("refcount_dec_and_lock", refcount_dec_and_lock),
    behaves(
        "refcount_dec_and_lock_irqsave",
        refcount_dec_and_lock_irqsave,
    ),
    behaves("refcount_dec_if_one", refcount_dec_if_one),
    behaves("refcount_dec_not_one", refcount_dec_not_one),
    behaves("__cond_resched_lock", cond_resched_lock),
    behaves("__cond_resched_rwlock_read", nothing),
    behaves("__cond_resched_rwlock_write", nothing),
    behaves("rtnl_lock", rtnl_lock),
    behaves("rtnl_lock_killable", rtnl_lock_killable),
    behaves("rtnl_trylock", rtnl_trylock),
    behaves("rtnl_unlock", rtnl_unlock),
    behaves("__rtnl_unlock", rtnl_unlock),
    behaves("rtnl_is_locked", rtnl_is_locked),
    behaves("genl_lock", genl_lock),
    behaves("genl_unlock", genl_unlock),
    behaves("lock_system_sleep", lock_system_sleep),
    behaves("unlock_system_sleep", unlock_system_sleep),
    behaves("i8042_lock_chip", i8042_lock),
    behaves("i8042_unlock_chip", i8042_unlock),
];

/// The mutexes of the kernel's own, by name.
pub(crate) type Own = Map<&'static str, u64>;

fn own(cx: &mut Cx, name: &'static str) -> R<u64> {
    if let Some(&lock) = cx.locks.own.get(name) {
        return Ok(lock);
    }
    let lock = data::alloc(cx, 64, 64)?;
    mutex::init(cx, lock, 0)?;
    cx.locks.own.insert(name, lock);
    Ok(lock)
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// A count that is already saturated or zero is told by the kernel's own checks in refcount_warn_saturate.
fn dec_not_one(cx: &mut Cx, at: u64) -> R<bool> {
    let count = cx.r32(at)?;
    if count == 1 {
        return Ok(false);
    }
    if count == 0 {
        crate::trace::misuse(
            cx,
            "refcount",
            "refcount_t: underflow; use-after-free.",
            at,
            "refcount_dec_and_lock",
        );
        crate::traps::warn(
            cx,
            "refcount_t: underflow; use-after-free.\n",
            "refcount_dec",
        )?;
        return Ok(true);
    }
    if count != 0xc000_0000 {
        cx.w32(at, count - 1)?;
    }
    Ok(true)
}

fn refcount_dec_not_one(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(dec_not_one(cx, c.a[0])?))
}

fn refcount_dec_if_one(cx: &mut Cx, c: &Call) -> R {
    if cx.r32(c.a[0])? != 1 {
        return Ok(0);
    }
    cx.w32(c.a[0], 0)?;
    Ok(1)
}

fn refcount_dec_and_mutex_lock(cx: &mut Cx, c: &Call) -> R {
    let [count, lock, ..] = c.a;
    if dec_not_one(cx, count)? {
        return Ok(0);
    }
    mutex::lock(cx, lock, UNINTERRUPTIBLE, "refcount_dec_and_mutex_lock")?;
    let left = cx.r32(count)?.wrapping_sub(1);
    cx.w32(count, left)?;
    if left == 0 {
        return Ok(1);
    }
    mutex::unlock(cx, lock, "refcount_dec_and_mutex_lock")?;
    Ok(0)
}

fn refcount_dec_and_lock(cx: &mut Cx, c: &Call) -> R {
    let [count, lock, ..] = c.a;
    if dec_not_one(cx, count)? {
        return Ok(0);
    }
    spinlock::enter(cx, spinlock::Mode::Plain);
    spinlock::acquire(cx, lock, "refcount_dec_and_lock")?;
    cx.w32(count, 0)?;
    Ok(1)
}

fn refcount_dec_and_lock_irqsave(cx: &mut Cx, c: &Call) -> R {
    let [count, lock, flags, ..] = c.a;
    if dec_not_one(cx, count)? {
        return Ok(0);
    }
    let old = spinlock::enter(cx, spinlock::Mode::Irq);
    cx.w64(flags, old)?;
    spinlock::acquire(cx, lock, "refcount_dec_and_lock_irqsave")?;
    cx.w32(count, 0)?;
    Ok(1)
}

/// Drops the lock while others run, when others wait.
fn cond_resched_lock(cx: &mut Cx, c: &Call) -> R {
    if !sched::others_wait(cx) {
        crate::time::pass(cx, 1000);
        return Ok(0);
    }
    spinlock::release(cx, c.a[0], "cond_resched_lock")?;
    spinlock::exit(cx, spinlock::Mode::Plain);
    sched::yield_now(cx)?;
    spinlock::enter(cx, spinlock::Mode::Plain);
    spinlock::acquire(cx, c.a[0], "cond_resched_lock")?;
    Ok(1)
}

fn rtnl_lock(cx: &mut Cx, _: &Call) -> R {
    let lock = own(cx, "rtnl")?;
    mutex::lock(cx, lock, UNINTERRUPTIBLE, "rtnl_lock")
}

fn rtnl_lock_killable(cx: &mut Cx, _: &Call) -> R {
    let lock = own(cx, "rtnl")?;
    mutex::lock(cx, lock, UNINTERRUPTIBLE | WAKEKILL, "rtnl_lock_killable")
}

fn rtnl_trylock(cx: &mut Cx, _: &Call) -> R {
    let lock = own(cx, "rtnl")?;
    Ok(u64::from(mutex::trylock(cx, lock, "rtnl_trylock")?))
}

fn rtnl_unlock(cx: &mut Cx, _: &Call) -> R {
    let lock = own(cx, "rtnl")?;
    mutex::unlock(cx, lock, "rtnl_unlock")?;
    Ok(0)
}

fn rtnl_is_locked(cx: &mut Cx, _: &Call) -> R {
    let lock = own(cx, "rtnl")?;
    Ok(u64::from(cx.r64(lock + cx.off.mutex_owner)? & !7 != 0))
}

macro_rules! big {
    ($($lock:ident $unlock:ident $name:literal;)*) => {$(
        fn $lock(cx: &mut Cx, _: &Call) -> R {
            let lock = own(cx, $name)?;
            mutex::lock(cx, lock, UNINTERRUPTIBLE, stringify!($lock))
        }
        fn $unlock(cx: &mut Cx, _: &Call) -> R {
            let lock = own(cx, $name)?;
            mutex::unlock(cx, lock, stringify!($unlock))?;
            Ok(0)
        }
    )*};
}

big! {
    genl_lock genl_unlock "genl";
    lock_system_sleep unlock_system_sleep "system transition";
    i8042_lock i8042_unlock "i8042";
}
