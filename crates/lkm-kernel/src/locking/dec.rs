//! Locks dropped around a reschedule (kernel/sched/core.c), and the kernel's own big mutexes that modules take
//! by function.

use super::{mutex, spinlock};
use crate::abi::{Call, R};
use crate::hash::Map;
use crate::sched::{self, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};
use crate::{Cx, data};

pub(crate) const ROWS: &[Row] = &[
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

/// rtnl_lock.
pub(crate) fn lock_rtnl(cx: &mut Cx) -> R {
    let lock = own(cx, "rtnl")?;
    mutex::lock(cx, lock, UNINTERRUPTIBLE, "rtnl_lock")
}

/// rtnl_unlock: first the lock, then what unregistered devices have still to come.
pub(crate) fn unlock_rtnl(cx: &mut Cx) -> R<()> {
    let lock = own(cx, "rtnl")?;
    mutex::unlock(cx, lock, "rtnl_unlock")?;
    crate::net::dev::run_todo(cx)
}

/// genl_lock.
pub(crate) fn lock_genl(cx: &mut Cx) -> R {
    let lock = own(cx, "genl")?;
    mutex::lock(cx, lock, UNINTERRUPTIBLE, "genl_lock")
}

/// genl_unlock.
pub(crate) fn unlock_genl(cx: &mut Cx) -> R<()> {
    let lock = own(cx, "genl")?;
    mutex::unlock(cx, lock, "genl_unlock")
}

fn rtnl_lock(cx: &mut Cx, _: &Call) -> R {
    lock_rtnl(cx)
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
    unlock_rtnl(cx)?;
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
