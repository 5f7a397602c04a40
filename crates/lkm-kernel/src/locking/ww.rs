//! Wound/wait mutexes (kernel/locking/ww_mutex.h): a mutex with a pointer to the acquire context that holds
//! it. Context stamps order the tasks; who must give way learns it by -EDEADLK.

use super::{mutex, wait_for};
use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::sched::wait::Woken;
use crate::sched::{self, INTERRUPTIBLE, UNINTERRUPTIBLE};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("ww_mutex_lock", ww_mutex_lock),
    behaves("ww_mutex_lock_interruptible", ww_mutex_lock_interruptible),
    behaves("ww_mutex_trylock", ww_mutex_trylock),
    behaves("ww_mutex_unlock", ww_mutex_unlock),
];

/// Whether the context of stamp `a` is younger than that of `b`.
fn younger(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}

fn acquired(cx: &Cx, ctx: u64, delta: i32) -> R<()> {
    let at = ctx + cx.off.ww_ctx_acquired;
    let count = cx.r32(at)?.wrapping_add_signed(delta);
    Ok(cx.w32(at, count)?)
}

fn lock(cx: &mut Cx, c: &Call, state: u32, function: &'static str) -> R {
    let [lock, ctx, ..] = c.a;
    let holder_at = lock + cx.off.ww_mutex_ctx;
    if ctx == 0 {
        return mutex::lock(cx, lock, state, function);
    }
    let held_by = cx.r64(holder_at)?;
    if held_by == ctx {
        return Ok(neg(errno::EALREADY));
    }
    let wounded = ctx + cx.off.ww_ctx_wounded;
    if cx.r32(ctx + cx.off.ww_ctx_acquired)? == 0 {
        // It holds nothing: whatever wounded it has got its way.
        cx.w16(wounded, 0)?;
    }
    if !mutex::trylock(cx, lock, function)? {
        let stamp = cx.r64(ctx + cx.off.ww_ctx_stamp)?;
        let wait_die = cx.r16(ctx + cx.off.ww_ctx_is_wait_die)? != 0;
        if let Some(result) = give_way(cx, lock, ctx, stamp, wait_die)? {
            return Ok(result);
        }
        let order = stamp.wrapping_add(1).max(1);
        match wait_for(cx, lock, true, order, state, None, function, wounded)? {
            Woken::Normally => {}
            Woken::Signal => return Ok(neg(errno::EINTR)),
            Woken::Timeout => {
                if wait_die {
                    cx.w16(wounded, 0)?;
                }
                return Ok(neg(errno::EDEADLK));
            }
        }
        if wait_die {
            // It was to die, but the lock was given to it first.
            cx.w16(wounded, 0)?;
        }
    }
    cx.w64(holder_at, ctx)?;
    acquired(cx, ctx, 1)?;
    // The new owner wounds or wakes those behind it as the kernel does when it sets the context.
    wound_or_kill_waiters(cx, lock)?;
    Ok(0)
}

/// The lock is taken: the younger of two contexts gives way, by dying (wait-die) or by being wounded.
fn give_way(cx: &mut Cx, lock: u64, ctx: u64, stamp: u64, wait_die: bool) -> R<Option<u64>> {
    let other = cx.r64(lock + cx.off.ww_mutex_ctx)?;
    let mine = cx.r32(ctx + cx.off.ww_ctx_acquired)?;
    if wait_die {
        // Behind an older waiter it would have to die the moment that one has the lock.
        let older = cx.locks.queues.get(&lock).is_some_and(|q| {
            q.iter()
                .any(|w| w.stamp != 0 && younger(stamp, w.stamp.wrapping_sub(1)))
        });
        if older && mine > 0 {
            return Ok(Some(neg(errno::EDEADLK)));
        }
        kill_younger(cx, lock, stamp)?;
    }
    if other == 0 {
        return Ok(None);
    }
    let theirs = cx.r64(other + cx.off.ww_ctx_stamp)?;
    if wait_die {
        return Ok((mine > 0 && younger(stamp, theirs)).then(|| neg(errno::EDEADLK)));
    }
    if cx.r16(ctx + cx.off.ww_ctx_wounded)? != 0 && mine > 0 {
        return Ok(Some(neg(errno::EDEADLK)));
    }
    if younger(theirs, stamp) && cx.r32(other + cx.off.ww_ctx_acquired)? > 0 {
        wound(cx, other)?;
    }
    Ok(None)
}

/// Wait-die: every waiter that is younger than `stamp` and holds something must let go.
fn kill_younger(cx: &mut Cx, lock: u64, stamp: u64) -> R<()> {
    let waiting = cx.locks.queues.get(&lock);
    let dying: Vec<u64> = waiting
        .into_iter()
        .flatten()
        .filter(|w| w.abort != 0 && younger(w.stamp.wrapping_sub(1), stamp))
        .map(|w| w.abort - cx.off.ww_ctx_wounded)
        .collect();
    for ctx in dying {
        if cx.r32(ctx + cx.off.ww_ctx_acquired)? > 0 {
            wound(cx, ctx)?;
        }
    }
    Ok(())
}

/// Marks a context wounded; its task learns it when it next waits, or now if it waits.
fn wound(cx: &mut Cx, ctx: u64) -> R<()> {
    cx.w16(ctx + cx.off.ww_ctx_wounded, 1)?;
    let task = cx.r64(ctx)?;
    if let Some(tid) = sched::by_struct(cx, task)
        && cx
            .locks
            .queues
            .values()
            .any(|q| q.iter().any(|w| w.tid == tid))
    {
        sched::wake_state(cx, tid, sched::NORMAL | sched::WAKEKILL)?;
    }
    Ok(())
}

/// After a change of the holder: an older waiter behind a younger holder wounds it; by wait-die the younger waiters
/// die.
fn wound_or_kill_waiters(cx: &mut Cx, lock: u64) -> R<()> {
    let ctx = cx.r64(lock + cx.off.ww_mutex_ctx)?;
    if ctx == 0 {
        return Ok(());
    }
    let mine = cx.r64(ctx + cx.off.ww_ctx_stamp)?;
    if cx.r16(ctx + cx.off.ww_ctx_is_wait_die)? != 0 {
        return kill_younger(cx, lock, mine);
    }
    let oldest = cx
        .locks
        .queues
        .get(&lock)
        .and_then(|q| q.iter().filter(|w| w.stamp != 0).map(|w| w.stamp).min());
    if let Some(stamp) = oldest
        && younger(mine, stamp.wrapping_sub(1))
        && cx.r32(ctx + cx.off.ww_ctx_acquired)? > 0
    {
        wound(cx, ctx)?;
    }
    Ok(())
}

fn ww_mutex_lock(cx: &mut Cx, c: &Call) -> R {
    lock(cx, c, UNINTERRUPTIBLE, "ww_mutex_lock")
}

fn ww_mutex_lock_interruptible(cx: &mut Cx, c: &Call) -> R {
    lock(cx, c, INTERRUPTIBLE, "ww_mutex_lock_interruptible")
}

fn ww_mutex_trylock(cx: &mut Cx, c: &Call) -> R {
    let [lock, ctx, ..] = c.a;
    if ctx != 0 && cx.r32(ctx + cx.off.ww_ctx_acquired)? == 0 {
        cx.w16(ctx + cx.off.ww_ctx_wounded, 0)?;
    }
    if !mutex::trylock(cx, lock, "ww_mutex_trylock")? {
        return Ok(0);
    }
    if ctx != 0 {
        cx.w64(lock + cx.off.ww_mutex_ctx, ctx)?;
        acquired(cx, ctx, 1)?;
    }
    Ok(1)
}

fn ww_mutex_unlock(cx: &mut Cx, c: &Call) -> R {
    let lock = c.a[0];
    let at = lock + cx.off.ww_mutex_ctx;
    let ctx = cx.r64(at)?;
    if ctx != 0 {
        acquired(cx, ctx, -1)?;
        cx.w64(at, 0)?;
    }
    mutex::unlock(cx, lock, "ww_mutex_unlock")?;
    Ok(0)
}
