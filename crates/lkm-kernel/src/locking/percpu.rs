//! Per-CPU reader/writer semaphores (kernel/locking/percpu-rwsem.c). Readers count inline in the per-CPU
//! word; while a writer has it, or waits, the `rss` state sends them through the slow path here.

use super::{check_sleeping, gave, took};
use crate::abi::{Call, R, errno, neg};
use crate::sched::wait::{wait_at, wake_at};
use crate::sched::{self, UNINTERRUPTIBLE};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, data};
use lkm_machine::map;
use lkm_trace::LockOp;

pub(crate) const ROWS: &[Row] = &[
    behaves("__percpu_init_rwsem", init).fails(Fails::Errno(errno::ENOMEM)),
    behaves("percpu_free_rwsem", free),
    behaves("__percpu_down_read", down_read),
    behaves("percpu_down_write", down_write),
    behaves("percpu_up_write", up_write),
    behaves("percpu_is_read_locked", is_read_locked),
    behaves("rcuwait_wake_up", rcuwait_wake_up),
    behaves("rcu_sync_init", rcu_sync_init),
    behaves("rcu_sync_enter", rcu_sync_enter),
    behaves("rcu_sync_exit", rcu_sync_exit),
    behaves("rcu_sync_dtor", rcu_sync_exit),
];

const KIND: &str = "percpu-rwsem-write";

fn readers_at(cx: &Cx, sem: u64) -> R<u64> {
    Ok(map::PERCPU.start + cx.r64(sem + cx.off.percpu_rwsem_read_count)?)
}

fn init(cx: &mut Cx, c: &Call) -> R {
    let sem = c.a[0];
    let Some(offset) = data::alloc_percpu(cx, 8, 8) else {
        return Ok(neg(errno::ENOMEM));
    };
    cx.fill(sem, 0, cx.off.percpu_rwsem_block + 4)?;
    cx.w32(map::PERCPU.start + offset, 0)?;
    cx.w64(sem + cx.off.percpu_rwsem_read_count, offset)?;
    Ok(0)
}

fn free(cx: &mut Cx, c: &Call) -> R {
    cx.w64(c.a[0] + cx.off.percpu_rwsem_read_count, 0)?;
    Ok(0)
}

/// The reader's slow path: preemption is off by one.
fn down_read(cx: &mut Cx, c: &Call) -> R {
    let [sem, try_only, ..] = c.a;
    while cx.r32(sem + cx.off.percpu_rwsem_block)? != 0 {
        if try_only & 1 != 0 {
            return Ok(0);
        }
        crate::context::add(cx, -1);
        wait_at(cx, sem, UNINTERRUPTIBLE, None, "percpu_down_read")?;
        crate::context::add(cx, 1);
    }
    let at = readers_at(cx, sem)?;
    let count = cx.r32(at)?;
    cx.w32(at, count.wrapping_add(1))?;
    Ok(1)
}

fn down_write(cx: &mut Cx, c: &Call) -> R {
    let sem = c.a[0];
    check_sleeping(cx, sem, "percpu_down_write");
    while cx.r32(sem + cx.off.percpu_rwsem_block)? != 0 {
        wait_at(cx, sem, UNINTERRUPTIBLE, None, "percpu_down_write")?;
    }
    // gp_state GP_PASSED: readers come to the slow path from now on.
    cx.w32(sem, 2)?;
    cx.w32(sem + cx.off.percpu_rwsem_block, 1)?;
    let at = readers_at(cx, sem)?;
    while cx.r32(at)? != 0 {
        sched::sleep(cx, UNINTERRUPTIBLE, 1_000_000, "percpu_down_write")?;
    }
    took(cx, sem, KIND, LockOp::Acquire);
    Ok(0)
}

fn up_write(cx: &mut Cx, c: &Call) -> R {
    let sem = c.a[0];
    cx.w32(sem + cx.off.percpu_rwsem_block, 0)?;
    cx.w32(sem, 0)?;
    gave(cx, sem, KIND);
    wake_at(cx, sem, usize::MAX)?;
    Ok(0)
}

fn is_read_locked(cx: &mut Cx, c: &Call) -> R {
    let at = readers_at(cx, c.a[0])?;
    Ok(u64::from(
        cx.r32(at)? != 0 && cx.r32(c.a[0] + cx.off.percpu_rwsem_block)? == 0,
    ))
}

fn rcuwait_wake_up(cx: &mut Cx, c: &Call) -> R {
    let task = cx.r64(c.a[0])?;
    if let Some(tid) = sched::by_struct(cx, task) {
        return Ok(u64::from(sched::wake(cx, tid)?));
    }
    Ok(0)
}

fn rcu_sync_init(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], 0)?;
    Ok(0)
}

fn rcu_sync_enter(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], 2)?;
    Ok(0)
}

fn rcu_sync_exit(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], 0)?;
    Ok(0)
}
