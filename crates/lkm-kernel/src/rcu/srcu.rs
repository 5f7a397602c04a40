//! Sleepable RCU (kernel/rcu/srcutree.c): readers are counted by structure; updaters sleep until they have
//! gone.

use crate::abi::{Call, R, errno};
use crate::hash::Map;
use crate::sched::wait::{wait_at, wake_at};
use crate::sched::{self, UNINTERRUPTIBLE};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, audit, time, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("init_srcu_struct", init_srcu_struct)
        .acquires("srcu_struct", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(errno::ENOMEM)),
    behaves("__init_srcu_struct", init_srcu_struct)
        .acquires("srcu_struct", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(errno::ENOMEM)),
    behaves("cleanup_srcu_struct", cleanup_srcu_struct).releases("srcu_struct", Key::Arg(0)),
    behaves("__srcu_read_lock", read_lock),
    behaves("__srcu_read_unlock", read_unlock),
    behaves("__srcu_read_lock_nmisafe", read_lock),
    behaves("__srcu_read_unlock_nmisafe", read_unlock),
    behaves("synchronize_srcu", synchronize_srcu).sleeps(),
    behaves("synchronize_srcu_expedited", synchronize_srcu).sleeps(),
    behaves("srcu_barrier", srcu_barrier).sleeps(),
    behaves("call_srcu", call_srcu),
    behaves("get_state_synchronize_srcu", get_state),
    behaves("start_poll_synchronize_srcu", get_state),
    behaves("poll_state_synchronize_srcu", poll_state),
    behaves("srcu_batches_completed", get_state),
];

/// Readers and waiting callbacks by structure.
#[derive(Default)]
pub struct State {
    readers: Map<u64, u32>,
    callbacks: Map<u64, Vec<(u64, u64)>>,
}

const GRACE: u64 = 12_000_000;

fn readers(cx: &Cx, ssp: u64) -> u32 {
    cx.srcu.readers.get(&ssp).copied().unwrap_or(0)
}

fn init_srcu_struct(cx: &mut Cx, c: &Call) -> R {
    cx.w64(c.a[0], 0)?;
    cx.srcu.readers.remove(&c.a[0]);
    Ok(0)
}

fn cleanup_srcu_struct(cx: &mut Cx, c: &Call) -> R {
    let ssp = c.a[0];
    cx.r64(ssp)?;
    if readers(cx, ssp) != 0 {
        // The kernel warns and leaks rather than to free under a reader.
        crate::traps::warn(cx, "", "cleanup_srcu_struct")?;
        trace::misuse(
            cx,
            "active-free",
            "readers are inside",
            ssp,
            "cleanup_srcu_struct",
        );
    }
    cx.srcu.readers.remove(&ssp);
    Ok(0)
}

fn read_lock(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    *cx.srcu.readers.entry(c.a[0]).or_insert(0) += 1;
    Ok(0)
}

fn read_unlock(cx: &mut Cx, c: &Call) -> R {
    let ssp = c.a[0];
    cx.r64(ssp)?;
    match cx.srcu.readers.get_mut(&ssp) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) => {
            cx.srcu.readers.remove(&ssp);
            wake_at(cx, ssp, usize::MAX)?;
        }
        None => trace::misuse(
            cx,
            "unlock-unlocked",
            "srcu_read_unlock without srcu_read_lock",
            ssp,
            "srcu_read_unlock",
        ),
    }
    Ok(0)
}

fn synchronize(cx: &mut Cx, ssp: u64) -> R<()> {
    cx.r64(ssp)?;
    sched::sleep(cx, UNINTERRUPTIBLE, GRACE, "synchronize_srcu")?;
    while readers(cx, ssp) != 0 {
        wait_at(cx, ssp, UNINTERRUPTIBLE, None, "synchronize_srcu")?;
    }
    Ok(())
}

fn synchronize_srcu(cx: &mut Cx, c: &Call) -> R {
    synchronize(cx, c.a[0])?;
    Ok(0)
}

fn call_srcu(cx: &mut Cx, c: &Call) -> R {
    let [ssp, head, func, ..] = c.a;
    cx.w64(head + cx.off.rcu_head_func, func)?;
    cx.w64(head, 0)?;
    audit::arm(cx, "rcu callback", head, func, "srcu");
    let when = cx.clock.now + GRACE;
    cx.srcu.callbacks.entry(ssp).or_default().push((head, func));
    time::at(cx, when, grace_over, ssp, head);
    Ok(0)
}

/// SRCU callbacks run in a worker (srcu_invoke_callbacks).
fn grace_over(cx: &mut Cx, ssp: u64, head: u64) -> R<()> {
    if readers(cx, ssp) != 0 {
        let when = cx.clock.now + GRACE;
        time::at(cx, when, grace_over, ssp, head);
        return Ok(());
    }
    crate::workqueue::spawn(
        cx,
        Box::new(move |cx: &mut Cx| {
            sched::entered(cx, "srcu_invoke_callbacks");
            audit::running(cx, "rcu callback", head);
            let func = cx.r64(head + cx.off.rcu_head_func)?;
            // Callbacks run with softirqs off.
            crate::context::add(cx, crate::context::SOFTIRQ_DISABLE as i32);
            cx.call_guest(func, &[head]);
            crate::context::add(cx, -(crate::context::SOFTIRQ_DISABLE as i32));
            audit::ran(cx, "rcu callback", head);
            if let Some(list) = cx.srcu.callbacks.get_mut(&ssp) {
                list.retain(|&(h, _)| h != head);
            }
            sched::left(cx);
            wake_at(cx, ssp + 1, usize::MAX)?;
            Ok(0)
        }),
    )
}

fn srcu_barrier(cx: &mut Cx, c: &Call) -> R {
    let ssp = c.a[0];
    cx.r64(ssp)?;
    while cx.srcu.callbacks.get(&ssp).is_some_and(|l| !l.is_empty()) {
        wait_at(cx, ssp + 1, UNINTERRUPTIBLE, None, "srcu_barrier")?;
    }
    Ok(0)
}

fn get_state(cx: &mut Cx, _: &Call) -> R {
    Ok(cx.clock.now + GRACE)
}

fn poll_state(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(
        cx.clock.now >= c.a[1] && readers(cx, c.a[0]) == 0,
    ))
}
